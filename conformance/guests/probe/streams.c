// Standard input, output and error.
#include "probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int hello(struct words words) {
    (void)words;
    return puts("hello from a guest") < 0;
}

// Standard input to standard output until its end, which is then said on standard error.
static int cat(struct words words) {
    static char buffer[65536];
    unsigned long total = 0;
    ssize_t n;
    (void)words;
    while ((n = read(0, buffer, sizeof buffer)) > 0) {
        if (fwrite(buffer, 1, (size_t)n, stdout) != (size_t)n || fflush(stdout) != 0) return fail("cat", "stdout");
        total += (unsigned long)n;
    }
    if (n < 0) return fail("cat", "stdin");
    fprintf(stderr, "probe: end of input after %lu bytes\n", total);
    return 0;
}

// Reads standard input to its end as slowly as it is told: a pause after each of its reads.
static int sip(struct words words) {
    static char buffer[65536];
    unsigned long long total = 0, wrong = 0;
    double pause = atof(words.at[0]);
    ssize_t n;
    while ((n = read(0, buffer, sizeof buffer)) > 0) {
        for (ssize_t i = 0; i < n; i++) wrong += buffer[i] != pattern(total + (unsigned long long)i);
        total += (unsigned long long)n;
        nap(pause);
    }
    if (n < 0) return fail("sip", "stdin");
    printf("%llu bytes, %llu wrong\n", total, wrong);
    return 0;
}

// A line of standard input, and no more than that.
static int line(struct words words) {
    char c;
    ssize_t n;
    (void)words;
    while ((n = read(0, &c, 1)) == 1) {
        putchar(c);
        if (c == '\n') return 0;
    }
    return n == 0 ? puts("end of input") < 0 : fail("line", "stdin");
}

// After the end there is the end, however often it is asked for.
static int after_end(struct words words) {
    char buffer[64];
    (void)words;
    while (read(0, buffer, sizeof buffer) > 0) {
    }
    for (int i = 0; i < 3; i++) printf("%zd\n", read(0, buffer, sizeof buffer));
    return 0;
}

static int pour(FILE *stream, const char *name, unsigned long count) {
    static char buffer[65536];
    for (unsigned long at = 0; at < count;) {
        size_t n = count - at < sizeof buffer ? count - at : sizeof buffer;
        for (size_t i = 0; i < n; i++) buffer[i] = pattern(at + i);
        if (fwrite(buffer, 1, n, stream) != n) return fail("spew", name);
        at += n;
    }
    return fflush(stream) == 0 ? 0 : fail("spew", name);
}

static int spew(struct words words) { return pour(stdout, "stdout", strtoul(words.at[0], NULL, 10)); }

static int spew_err(struct words words) { return pour(stderr, "stderr", strtoul(words.at[0], NULL, 10)); }

// Lines on both streams in turn.
static int both(struct words words) {
    unsigned long count = strtoul(words.at[0], NULL, 10);
    for (unsigned long i = 0; i < count; i++) {
        if (printf("out %lu\n", i) < 0 || fflush(stdout) != 0) return fail("both", "stdout");
        if (fprintf(stderr, "err %lu\n", i) < 0) return fail("both", "stderr");
    }
    return 0;
}

static int out(struct words words) { return printf("%s\n", words.at[0]) < 0; }

static int err(struct words words) { return fprintf(stderr, "%s\n", words.at[0]) < 0; }

// Without a newline, and without a flush of its own.
static int unended(struct words words) { return printf("%s", words.at[0]) < 0; }

// Output, each of the 256 bytes once.
static int bytes(struct words words) {
    (void)words;
    for (int i = 0; i < 256; i++) putchar(i);
    return 0;
}

static int terminals(struct words words) {
    (void)words;
    for (int fd = 0; fd < 3; fd++) printf("%d: %s\n", fd, isatty(fd) ? "terminal" : "no terminal");
    return 0;
}

// The streams the wrong way round, and closed.
static int misuse(struct words words) {
    char c = 'x';
    (void)words;
    if (lseek(1, 0, SEEK_CUR) >= 0) return fputs("a pipe has no position\n", stderr), 1;
    printf("seek: %s\n", errno_name(errno));
    fflush(stdout);
    if (close(0) != 0) return fail("close", "stdin");
    if (read(0, &c, 1) >= 0) return fputs("read from what is closed\n", stderr), 1;
    printf("closed: %s\n", errno_name(errno));
    if (read(999, &c, 1) >= 0) return fputs("read from what was never open\n", stderr), 1;
    printf("never open: %s\n", errno_name(errno));
    return 0;
}

const struct verb stream_verbs[] = {
    {"hello", 0, hello}, {"cat", 0, cat},         {"sip", 1, sip},         {"line", 0, line},       {"after-end", 0, after_end},
    {"spew", 1, spew},   {"spew-err", 1, spew_err}, {"both", 1, both},     {"out", 1, out},         {"err", 1, err},
    {"say", 1, err},     {"unended", 1, unended}, {"bytes", 0, bytes},     {"terminals", 0, terminals}, {"misuse", 0, misuse},
    {0},
};
