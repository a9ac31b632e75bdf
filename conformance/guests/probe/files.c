// What is done with one file: its content, its size, its times.
#include "probe.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static int read_file(struct words words) {
    char buffer[4096];
    ssize_t n;
    int fd = open(words.at[0], O_RDONLY);
    if (fd < 0) return fail("read", words.at[0]);
    while ((n = read(fd, buffer, sizeof buffer)) > 0) fwrite(buffer, 1, (size_t)n, stdout);
    return n == 0 && close(fd) == 0 ? 0 : fail("read", words.at[0]);
}

static int put(const char *verb, const char *path, int how, const char *text) {
    size_t length = strlen(text);
    int fd = open(path, O_WRONLY | O_CREAT | how, 0644);
    if (fd < 0) return fail(verb, path);
    if (write(fd, text, length) != (ssize_t)length || close(fd) != 0) return fail(verb, path);
    return 0;
}

static int write_file(struct words words) { return put("write", words.at[0], O_TRUNC, words.at[1]); }

static int append(struct words words) { return put("append", words.at[0], O_APPEND, words.at[1]); }

// Opens PATH with the flags that are named, and says whether it could.
static int try_open(struct words words) {
    static const struct {
        const char *name;
        int flag;
    } flags[] = {{"create", O_CREAT}, {"exclusive", O_EXCL},    {"truncate", O_TRUNC}, {"append", O_APPEND},
                 {"write", O_RDWR},   {"directory", O_DIRECTORY}, {"nofollow", O_NOFOLLOW}};
    int how = 0;
    for (int i = 1; i < words.count; i++)
        for (size_t f = 0; f < sizeof flags / sizeof *flags; f++)
            if (strcmp(words.at[i], flags[f].name) == 0) how |= flags[f].flag;
    // To read is a flag of its own in some C libraries, and no flag in others.
    int fd = open(words.at[0], how & O_RDWR ? how : how | O_RDONLY, 0644);
    if (fd < 0) return fail("open", words.at[0]);
    printf("opened %s\n", words.at[0]);
    return close(fd) == 0 ? 0 : fail("close", words.at[0]);
}

// Positions: set, from here, from the end; before the start there are none.
static int seek(struct words words) {
    const char *path = words.at[0];
    char got[4] = {0};
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || write(fd, "0123456789", 10) != 10) return fail("seek", path);
    printf("set: %lld\n", (long long)lseek(fd, 4, SEEK_SET));
    if (read(fd, got, 2) != 2) return fail("seek", path);
    printf("read: %s\n", got);
    printf("from here: %lld\n", (long long)lseek(fd, -3, SEEK_CUR));
    printf("from the end: %lld\n", (long long)lseek(fd, -1, SEEK_END));
    printf("past the end: %lld\n", (long long)lseek(fd, 5, SEEK_END));
    printf("read there: %zd\n", read(fd, got, 1));
    printf("before the start: %s\n", lseek(fd, -1, SEEK_SET) < 0 ? errno_name(errno) : "no error");
    return close(fd) == 0 ? 0 : fail("close", path);
}

// What is left of parts when `n` bytes of them are done.
static struct iovec *taken(struct iovec *part, struct iovec *end, size_t n) {
    for (; part < end && n >= part->iov_len; part++) n -= part->iov_len;
    if (part < end) {
        part->iov_base = (char *)part->iov_base + n;
        part->iov_len -= n;
    }
    return part;
}

// Reads and writes at a position leave the file's own where it is.
static int at_position(struct words words) {
    const char *path = words.at[0];
    char got[11] = {0};
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || write(fd, "0123456789", 10) != 10) return fail("at", path);
    if (pwrite(fd, "ABC", 3, 2) != 3) return fail("at", path);
    if (pread(fd, got, 5, 1) != 5) return fail("at", path);
    printf("there: %s\nposition: %lld\n", got, (long long)lseek(fd, 0, SEEK_CUR));
    // As many calls as it takes: each may do less than all.
    struct iovec parts[2] = {{.iov_base = "<", .iov_len = 1}, {.iov_base = ">!", .iov_len = 2}};
    for (struct iovec *part = parts; part < parts + 2;) {
        ssize_t n = writev(fd, part, (int)(parts + 2 - part));
        if (n <= 0) return fail("writev", path);
        part = taken(part, parts + 2, (size_t)n);
    }
    char first[4] = {0}, second[10] = {0};
    struct iovec into[2] = {{.iov_base = first, .iov_len = 3}, {.iov_base = second, .iov_len = 9}};
    lseek(fd, 1, SEEK_SET);
    for (struct iovec *part = into; part < into + 2;) {
        ssize_t n = readv(fd, part, (int)(into + 2 - part));
        if (n <= 0) return fail("readv", path);
        part = taken(part, into + 2, (size_t)n);
    }
    printf("in parts: %s %s\n", first, second);
    return close(fd) == 0 ? 0 : fail("close", path);
}

// Shorter and longer: what is cut is gone, and what was never written is zeros.
static int cut(struct words words) {
    const char *path = words.at[0];
    char got[8];
    struct stat about;
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || write(fd, "0123456789", 10) != 10) return fail("cut", path);
    if (ftruncate(fd, 3) != 0 || fstat(fd, &about) != 0) return fail("cut", path);
    printf("shorter: %lld\n", (long long)about.st_size);
    if (ftruncate(fd, 8) != 0 || fstat(fd, &about) != 0) return fail("cut", path);
    printf("longer: %lld\n", (long long)about.st_size);
    if (pread(fd, got, 8, 0) != 8) return fail("cut", path);
    printf("content: %.3s, then %d %d\n", got, got[3], got[7]);
    printf("negative: %s\n", ftruncate(fd, -1) != 0 ? errno_name(errno) : "no error");
    return close(fd) == 0 ? 0 : fail("close", path);
}

// A byte beyond 4 GiB: no offset may be cut to 32 bits.
static int far(struct words words) {
    const char *path = words.at[0];
    const off_t there = ((off_t)5 << 30) + 7;
    char got = 0, hole = 1;
    struct stat about;
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || pwrite(fd, "x", 1, there) != 1 || fstat(fd, &about) != 0) return fail("far", path);
    if (pread(fd, &got, 1, there) != 1 || pread(fd, &hole, 1, there - ((off_t)1 << 32)) != 1) return fail("far", path);
    printf("size: %lld\nthere: %c\nhole: %d\nend: %lld\n", (long long)about.st_size, got, hole,
           (long long)lseek(fd, 0, SEEK_END));
    return close(fd) == 0 ? 0 : fail("close", path);
}

// Writes so many MiB of the pattern in parts, and reads them again.
static int bulk(struct words words) {
    static char buffer[1 << 20];
    const char *path = words.at[0];
    long count = atol(words.at[1]);
    unsigned long long wrong = 0, total = 0;
    ssize_t n;
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (fd < 0) return fail("bulk", path);
    for (long i = 0; i < count; i++) {
        for (size_t j = 0; j < sizeof buffer; j++) buffer[j] = pattern(((uint64_t)i << 20) + j);
        if (write(fd, buffer, sizeof buffer) != (ssize_t)sizeof buffer) return fail("bulk", path);
    }
    if (fsync(fd) != 0 || fdatasync(fd) != 0) return fail("sync", path);
    lseek(fd, 0, SEEK_SET);
    while ((n = read(fd, buffer, sizeof buffer)) > 0)
        for (ssize_t j = 0; j < n; j++) wrong += buffer[j] != pattern(total++);
    printf("%llu bytes, %llu wrong\n", total, wrong);
    return n == 0 && close(fd) == 0 ? 0 : fail("bulk", path);
}

// Two descriptors of one file: each has a position of its own, and sees what the other wrote; appending goes to the end.
static int two(struct words words) {
    const char *path = words.at[0];
    char got[16] = {0};
    int one = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644), other = open(path, O_WRONLY | O_APPEND);
    if (one < 0 || other < 0) return fail("two", path);
    if (write(one, "first ", 6) != 6 || write(other, "second", 6) != 6) return fail("two", path);
    printf("position: %lld\n", (long long)lseek(one, 0, SEEK_CUR));
    if (pread(one, got, 12, 0) != 12) return fail("two", path);
    printf("content: %s\n", got);
    printf("read what is for writing: %s\n", read(other, got, 1) < 0 ? errno_name(errno) : "no error");
    return close(one) == 0 && close(other) == 0 ? 0 : fail("close", path);
}

// An open file outlives its name.
static int nameless(struct words words) {
    const char *path = words.at[0];
    char got[8] = {0};
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || write(fd, "still", 5) != 5 || unlink(path) != 0) return fail("nameless", path);
    printf("name: %s\n", access(path, F_OK) != 0 ? errno_name(errno) : "still there");
    if (pread(fd, got, 5, 0) != 5) return fail("nameless", path);
    printf("content: %s there\n", got);
    return close(fd) == 0 ? 0 : fail("close", path);
}

// Type, size and number of names of what is there; with `link`, of a link itself.
static int about(struct words words) {
    struct stat found;
    bool link = words.count > 1 && strcmp(words.at[1], "link") == 0;
    if ((link ? lstat : stat)(words.at[0], &found) != 0) return fail("stat", words.at[0]);
    printf("%s", S_ISREG(found.st_mode)   ? "file"
                 : S_ISDIR(found.st_mode) ? "folder"
                 : S_ISLNK(found.st_mode) ? "link"
                 : S_ISCHR(found.st_mode) ? "device"
                                          : "other");
    if (!S_ISDIR(found.st_mode)) printf(" of %lld bytes, %lu names", (long long)found.st_size, (unsigned long)found.st_nlink);
    printf("\n");
    return 0;
}

// Whether two paths are one file, as its device and number say.
static int same(struct words words) {
    struct stat one, other;
    if (stat(words.at[0], &one) != 0) return fail("stat", words.at[0]);
    if (stat(words.at[1], &other) != 0) return fail("stat", words.at[1]);
    return puts(one.st_dev == other.st_dev && one.st_ino == other.st_ino ? "the same" : "different") < 0;
}

// Sets both times of PATH and reads them again, to the nanosecond.
static int times(struct words words) {
    struct timespec set[2] = {{.tv_sec = 1000000000, .tv_nsec = 1}, {.tv_sec = 1500000000, .tv_nsec = 123456789}};
    struct stat found;
    if (utimensat(AT_FDCWD, words.at[0], set, 0) != 0) return fail("utimensat", words.at[0]);
    if (stat(words.at[0], &found) != 0) return fail("stat", words.at[0]);
    printf("read %lld.%09ld, changed %lld.%09ld\n", (long long)found.st_atim.tv_sec, found.st_atim.tv_nsec,
           (long long)found.st_mtim.tv_sec, found.st_mtim.tv_nsec);
    return 0;
}

// A file that is written now bears the time of now.
static int fresh(struct words words) {
    struct timespec now;
    struct stat found;
    if (put("write", words.at[0], O_TRUNC, "x") != 0) return 1;
    clock_gettime(CLOCK_REALTIME, &now);
    if (stat(words.at[0], &found) != 0) return fail("stat", words.at[0]);
    long long off = (long long)now.tv_sec - (long long)found.st_mtim.tv_sec;
    return puts(off >= -1 && off <= 5 ? "of now" : "of another time") < 0;
}

// Opens PATH until no more can be opened, and says why it ended there and whether that was near LIMIT.
static int descriptors(struct words words) {
    long limit = atol(words.at[1]), count = 0;
    while (count <= limit && open(words.at[0], O_RDONLY) >= 0) count++;
    // Some of them are taken before a guest begins.
    printf("%s, %s\n", count > limit ? "no end" : errno_name(errno), count > limit / 4 && count < limit ? "in time" : "not in time");
    return 0;
}

const struct verb file_verbs[] = {
    {"read", 1, read_file}, {"write", 2, write_file}, {"append", 2, append}, {"open", 1, try_open},
    {"seek", 1, seek},      {"at", 1, at_position},   {"cut", 1, cut},       {"far", 1, far},
    {"bulk", 2, bulk},      {"two", 1, two},          {"nameless", 1, nameless}, {"stat", 1, about},
    {"same", 2, same},      {"times", 1, times},      {"fresh", 1, fresh},   {"descriptors", 2, descriptors},
    {0},
};
