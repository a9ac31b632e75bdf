// What the parts of the probe share.
#pragma once
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

// A verb's part of the command line, without the verb itself.
struct words {
    int count;
    char **at;
};

struct verb {
    const char *name;
    int least; // so many words it needs
    int (*run)(struct words);
};

// Each part's verbs; the last has no name.
extern const struct verb stream_verbs[], file_verbs[], entry_verbs[], time_verbs[], poll_verbs[], end_verbs[];

// Says on stderr what failed on what, with errno's name, and gives 1.
int fail(const char *what, const char *about);

// errno's name: texts of it differ between C libraries.
const char *errno_name(int number);

// Writes a line and flushes it: a test waits for what is said before a guest blocks.
void say(const char *line);

// Waits for so many seconds, whatever interrupts it.
void nap(double seconds);

// The byte at `at` of a pattern with a period of 251, a prime: what is lost or doubled anywhere shows.
static inline char pattern(uint64_t at) { return (char)(at % 251); }
