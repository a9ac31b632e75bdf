// Ways to end: codes, traps, loops without end, memory until there is no more.
#include "probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void goodbye(void) { puts("goodbye"); }

// What stands in a buffer is written, and what is to be done at the end is done.
static int orderly(struct words words) {
    atexit(goodbye);
    printf("leaving\n");
    exit(atoi(words.at[0]));
}

static int with_code(struct words words) { exit(atoi(words.at[0])); }

// At once: a buffer is lost.
static int at_once(struct words words) {
    printf("never seen");
    _Exit(atoi(words.at[0]));
}

static int give_up(struct words words) {
    (void)words;
    say("giving up\n");
    abort();
}

// Its name is looked for in the engine's backtrace.
__attribute__((noinline)) static void deliberate_trap(void) { __builtin_trap(); }

static int trap(struct words words) {
    (void)words;
    deliberate_trap();
    return 0;
}

static int out_of_bounds(struct words words) {
    (void)words;
    return *(volatile char *)(uintptr_t)0xfffffff0u;
}

static int divide(struct words words) {
    volatile int what = words.count + 7, by = 0;
    return what / by;
}

// A call through a pointer to a function of another kind.
static int wrong_kind(struct words words) {
    (void)words;
    int (*volatile other)(double, double) = (int (*)(double, double))(void (*)(void))deliberate_trap;
    return other(1, 2);
}

// Not a tail call, and no local whose address is taken: only the engine's own stack grows.
__attribute__((noinline)) static unsigned recurse(volatile unsigned *deep) {
    return *deep == 0 ? 0 : recurse(deep) + *deep;
}

static int endless_recursion(struct words words) {
    unsigned endless = 1;
    (void)words;
    return (int)recurse(&endless);
}

// No host call in the loop: it ends only if something interrupts the guest itself.
_Noreturn static int spin(struct words words) {
    (void)words;
    say("spinning\n");
    for (volatile unsigned long turns = 0;; turns++) {
    }
}

// Memory that is written to, so that the kernel must give it.
static int eat(struct words words) {
    unsigned long mebibytes = strtoul(words.at[0], NULL, 10);
    for (unsigned long i = 0; i < mebibytes; i++) {
        char *bite = malloc(1 << 20);
        if (!bite) return fail("eat", "memory");
        memset(bite, (int)i | 1, 1 << 20);
        if (bite[i] == 0) return 1;
    }
    printf("ate %lu MiB\n", mebibytes);
    return 0;
}

const struct verb end_verbs[] = {
    {"exit", 1, with_code},   {"orderly", 1, orderly}, {"at-once", 1, at_once},       {"abort", 0, give_up},
    {"trap", 0, trap},        {"oob", 0, out_of_bounds}, {"divide", 0, divide},       {"wrong-kind", 0, wrong_kind},
    {"recurse", 0, endless_recursion}, {"spin", 0, spin}, {"eat", 1, eat},
    {0},
};
