// Names: folders, what is in them, renaming and removing, links.
#include "probe.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __wasi__
#include <wasi/api.h>
#endif

static bool dots(const char *name) { return strcmp(name, ".") == 0 || strcmp(name, "..") == 0; }

static int by_name(const void *one, const void *other) { return strcmp(*(char *const *)one, *(char *const *)other); }

// The names in a folder, sorted: no order is promised.
static int list(struct words words) {
    static char *names[4096];
    size_t count = 0;
    struct dirent *entry;
    DIR *folder = opendir(words.at[0]);
    if (!folder) return fail("ls", words.at[0]);
    while ((entry = readdir(folder)) && count < sizeof names / sizeof *names)
        if (!dots(entry->d_name)) names[count++] = strdup(entry->d_name);
    if (closedir(folder) != 0) return fail("ls", words.at[0]);
    qsort(names, count, sizeof *names, by_name);
    for (size_t i = 0; i < count; i++) printf("%s\n", names[i]);
    return 0;
}

// `.` and `..` are listed too, each once.
static int list_dots(struct words words) {
    int one = 0, two = 0;
    struct dirent *entry;
    DIR *folder = opendir(words.at[0]);
    if (!folder) return fail("dots", words.at[0]);
    while ((entry = readdir(folder))) {
        one += strcmp(entry->d_name, ".") == 0;
        two += strcmp(entry->d_name, "..") == 0;
    }
    printf(". %d, .. %d\n", one, two);
    return closedir(folder) == 0 ? 0 : fail("dots", words.at[0]);
}

// The types that a listing gives without a look at the entries themselves.
static int types(struct words words) {
    int files = 0, folders = 0, links = 0, others = 0;
    struct dirent *entry;
    DIR *folder = opendir(words.at[0]);
    if (!folder) return fail("types", words.at[0]);
    while ((entry = readdir(folder))) {
        if (dots(entry->d_name)) continue;
        if (entry->d_type == DT_REG) files++;
        else if (entry->d_type == DT_DIR) folders++;
        else if (entry->d_type == DT_LNK) links++;
        else others++;
    }
    printf("files %d, folders %d, links %d, others %d\n", files, folders, links, others);
    return closedir(folder) == 0 ? 0 : fail("types", words.at[0]);
}

// COUNT files with names of 200 characters: more than fits into one read of a folder, each is listed once, twice over.
static int many(struct words words) {
    static unsigned char seen[4096];
    long count = atol(words.at[1]), wrong = 0;
    char path[512];
    struct dirent *entry;
    for (long i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%0200ld", words.at[0], i);
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
        if (fd < 0 || close(fd) != 0) return fail("many", path);
    }
    DIR *folder = opendir(words.at[0]);
    if (!folder) return fail("many", words.at[0]);
    for (int turn = 1; turn <= 2; turn++, rewinddir(folder)) {
        memset(seen, 0, sizeof seen);
        while ((entry = readdir(folder)))
            if (!dots(entry->d_name)) seen[atol(entry->d_name) % 4096]++;
        for (long i = 0; i < count; i++) wrong += seen[i] != 1;
        printf("turn %d: %ld, %ld wrong\n", turn, count, wrong);
    }
    return closedir(folder) == 0 ? 0 : fail("many", words.at[0]);
}

// Removes all files of a folder while it is being read: none may be left out.
static int sweep(struct words words) {
    long count = 0;
    char path[512];
    struct dirent *entry;
    DIR *folder = opendir(words.at[0]);
    if (!folder) return fail("sweep", words.at[0]);
    while ((entry = readdir(folder))) {
        if (dots(entry->d_name)) continue;
        snprintf(path, sizeof path, "%s/%s", words.at[0], entry->d_name);
        if (unlink(path) != 0) return fail("unlink", path);
        count++;
    }
    closedir(folder);
    printf("removed %ld\n", count);
    return rmdir(words.at[0]) == 0 ? 0 : fail("rmdir", words.at[0]);
}

// A name of LENGTH characters in FOLDER, made and removed.
static int long_name(struct words words) {
    size_t length = strtoul(words.at[1], NULL, 10);
    char path[1024];
    int at = snprintf(path, sizeof path, "%s/", words.at[0]);
    if (length + (size_t)at >= sizeof path) return 64;
    memset(path + at, 'n', length);
    path[(size_t)at + length] = 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (fd < 0) return fail("long-name", words.at[1]);
    return close(fd) == 0 && unlink(path) == 0 ? printf("%zu\n", length) < 0 : fail("long-name", words.at[1]);
}

static int checked(const char *verb, const char *about, int result) { return result == 0 ? 0 : fail(verb, about); }

static int make(struct words words) { return checked("mkdir", words.at[0], mkdir(words.at[0], 0755)); }

static int drop(struct words words) { return checked("rmdir", words.at[0], rmdir(words.at[0])); }

static int remove_file(struct words words) { return checked("unlink", words.at[0], unlink(words.at[0])); }

static int move(struct words words) { return checked("rename", words.at[0], rename(words.at[0], words.at[1])); }

static int hard_link(struct words words) { return checked("link", words.at[0], link(words.at[0], words.at[1])); }

static int soft_link(struct words words) { return checked("symlink", words.at[1], symlink(words.at[0], words.at[1])); }

static int read_link(struct words words) {
    char target[1024];
    ssize_t n = readlink(words.at[0], target, sizeof target);
    return n < 0 ? fail("readlink", words.at[0]) : printf("%.*s\n", (int)n, target) < 0;
}

#ifdef __wasi__
// Opens PATH below the first preopen, past the C library, which would take dots and slashes out of it.
static int raw_open(struct words words) {
    char got[64];
    __wasi_fd_t fd;
    __wasi_errno_t error = __wasi_path_open(3, __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW, words.at[0], 0, __WASI_RIGHTS_FD_READ, 0, 0, &fd);
    errno = error;
    if (error != 0) return fail("raw-open", words.at[0]);
    ssize_t n = read((int)fd, got, sizeof got);
    return n < 0 ? fail("raw-open", words.at[0]) : printf("opened: %.*s\n", (int)n, got) < 0;
}
#endif

const struct verb entry_verbs[] = {
#ifdef __wasi__
    {"raw-open", 1, raw_open},
#endif
    {"ls", 1, list},       {"dots", 1, list_dots},   {"types", 1, types},      {"many", 2, many},
    {"sweep", 1, sweep},   {"long-name", 2, long_name}, {"mkdir", 1, make},    {"rmdir", 1, drop},
    {"unlink", 1, remove_file}, {"rename", 2, move}, {"link", 2, hard_link},   {"symlink", 2, soft_link},
    {"readlink", 1, read_link},
    {0},
};
