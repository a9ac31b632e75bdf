// The guest of most tests: does one thing, named by its first argument, and says what it saw.
//
// Built for wasm32-wasi and, from the same source, as a static native program, so that a test body can be proved
// against runc before it is trusted with a Wasm engine.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#ifndef __wasi__
#include <signal.h>
#endif

extern char **environ;

static int fail(const char *what, const char *about) {
    fprintf(stderr, "probe: %s %s: %s\n", what, about, strerror(errno));
    return 1;
}

// What is printed before a guest blocks must be out before it does: a test waits for it.
static void say(const char *line) {
    fputs(line, stdout);
    fflush(stdout);
}

static void nap(double seconds) {
    struct timespec left = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

static int args(int argc, char **argv) {
    for (int i = 0; i < argc; i++) printf("%s\n", argv[i]);
    return 0;
}

static int env(void) {
    for (char **entry = environ; *entry; entry++) printf("%s\n", *entry);
    return 0;
}

// Standard input to standard output until its end, which is then said on standard error.
static int cat(void) {
    static char buffer[65536];
    unsigned long total = 0;
    size_t n;
    while ((n = fread(buffer, 1, sizeof buffer, stdin)) > 0) {
        if (fwrite(buffer, 1, n, stdout) != n) return fail("cat", "stdout");
        fflush(stdout);
        total += n;
    }
    if (ferror(stdin)) return fail("cat", "stdin");
    fprintf(stderr, "probe: end of input after %lu bytes\n", total);
    return 0;
}

// Bytes of a pattern with a period of 251, a prime: what is lost or doubled anywhere shows.
static int spew(unsigned long count) {
    static char buffer[65536];
    unsigned long at = 0;
    while (at < count) {
        size_t n = count - at < sizeof buffer ? count - at : sizeof buffer;
        for (size_t i = 0; i < n; i++) buffer[i] = (char)((at + i) % 251);
        if (fwrite(buffer, 1, n, stdout) != n) return fail("spew", "stdout");
        at += n;
    }
    return fflush(stdout) == 0 ? 0 : fail("spew", "stdout");
}

// Its name is looked for in the engine's backtrace.
__attribute__((noinline)) static void deliberate_trap(void) { __builtin_trap(); }

static int out_of_bounds(void) { return *(volatile char *)(uintptr_t)0xfffffff0u; }

// Not a tail call, and no local whose address is taken: only the engine's own stack grows.
__attribute__((noinline)) static unsigned recurse(volatile unsigned *deep) {
    return *deep == 0 ? 0 : recurse(deep) + *deep;
}

// No host call in the loop: it ends only if something interrupts the guest itself.
_Noreturn static void spin(void) {
    say("spinning\n");
    for (volatile unsigned long turns = 0;; turns++) {
    }
}

static int sleep_for(double seconds) {
    say("sleeping\n");
    nap(seconds);
    say("awake\n");
    return 0;
}

static int ticks(unsigned long count, double seconds) {
    for (unsigned long i = 0; i < count; i++) {
        printf("tick %lu\n", i);
        fflush(stdout);
        nap(seconds);
    }
    return 0;
}

static int read_file(const char *path) {
    char buffer[4096];
    ssize_t n;
    int fd = open(path, O_RDONLY);
    if (fd < 0) return fail("read", path);
    while ((n = read(fd, buffer, sizeof buffer)) > 0) fwrite(buffer, 1, (size_t)n, stdout);
    return n == 0 ? 0 : fail("read", path);
}

static int write_file(const char *path, const char *text) {
    size_t length = strlen(text);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0) return fail("write", path);
    if (write(fd, text, length) != (ssize_t)length || close(fd) != 0) return fail("write", path);
    return 0;
}

static int list(const char *path) {
    struct dirent *entry;
    DIR *folder = opendir(path);
    if (!folder) return fail("ls", path);
    while ((entry = readdir(folder)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) printf("%s\n", entry->d_name);
    return 0;
}

// Memory that is written to, so that the kernel must give it.
static int eat(unsigned long mebibytes) {
    for (unsigned long i = 0; i < mebibytes; i++) {
        char *bite = malloc(1 << 20);
        if (!bite) return fail("eat", "memory");
        memset(bite, (int)i | 1, 1 << 20);
        if (bite[i] == 0) return 1;
    }
    printf("ate %lu MiB\n", mebibytes);
    return 0;
}

#ifdef __wasi__
// What `probe.wasm#answer` calls.
__attribute__((export_name("answer"))) void answer(void) { say("answer\n"); }
#else
// The kernel keeps from a pid namespace's first process every signal that it has no handler for.
static void end_by(int signal) { _exit(128 + signal); }
#endif

int main(int argc, char **argv) {
    const char *verb = argc > 1 ? argv[1] : "hello";
    const char *first = argc > 2 ? argv[2] : NULL;
    const char *second = argc > 3 ? argv[3] : NULL;
    unsigned endless = 1;
#ifndef __wasi__
    signal(SIGTERM, end_by);
    signal(SIGINT, end_by);
#endif
#define IS(name) (strcmp(verb, name) == 0)
    if (IS("hello")) return puts("hello from a guest") < 0;
    if (IS("args")) return args(argc, argv);
    if (IS("env")) return env();
    if (IS("cat")) return cat();
    if (IS("trap")) return deliberate_trap(), 0;
    if (IS("oob")) return out_of_bounds();
    if (IS("recurse")) return (int)recurse(&endless);
    if (IS("spin")) spin();
    if (first) {
        if (IS("exit")) exit(atoi(first));
        if (IS("spew")) return spew(strtoul(first, NULL, 10));
        if (IS("sleep")) return sleep_for(atof(first));
        if (IS("read")) return read_file(first);
        if (IS("ls")) return list(first);
        if (IS("eat")) return eat(strtoul(first, NULL, 10));
        if (IS("say")) return fprintf(stderr, "%s\n", first) < 0;
        if (second && IS("write")) return write_file(first, second);
        if (second && IS("ticks")) return ticks(strtoul(first, NULL, 10), atof(second));
    }
    fprintf(stderr, "probe: no such verb, or too few arguments: %s\n", verb);
    return 64;
}
