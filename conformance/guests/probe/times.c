// Clocks, pauses and random numbers.
#include "probe.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#ifndef __wasi__
#include <sys/random.h>
#endif

void nap(double seconds) {
    struct timespec left = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

static double now(clockid_t clock) {
    struct timespec at = {0};
    clock_gettime(clock, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static int sleep_for(struct words words) {
    say("sleeping\n");
    nap(atof(words.at[0]));
    say("awake\n");
    return 0;
}

static int ticks(struct words words) {
    unsigned long count = strtoul(words.at[0], NULL, 10);
    for (unsigned long i = 0; i < count; i++) {
        printf("tick %lu\n", i);
        fflush(stdout);
        nap(atof(words.at[1]));
    }
    return 0;
}

// The date is one that a machine can have; the same clock in whole seconds says the same.
static int date(struct words words) {
    double at = now(CLOCK_REALTIME);
    time_t seconds = time(NULL);
    struct tm *parts = gmtime(&seconds);
    (void)words;
    printf("after 2024: %s\nbefore 2100: %s\n", at > 1735689600. ? "yes" : "no", at < 4102444800. ? "yes" : "no");
    printf("time agrees: %s\n", at - (double)seconds > -1.1 && at - (double)seconds < 1.1 ? "yes" : "no");
    printf("local is utc: %s\n", localtime(&seconds)->tm_hour == parts->tm_hour ? "yes" : "no");
    return 0;
}

// Both clocks go on by at least what was slept, and not by much more.
static int advance(struct words words) {
    double real = now(CLOCK_REALTIME), steady = now(CLOCK_MONOTONIC), pause = atof(words.at[0]);
    nap(pause);
    real = now(CLOCK_REALTIME) - real;
    steady = now(CLOCK_MONOTONIC) - steady;
    printf("realtime: %s\n", real >= pause * .9 && real < pause + 5 ? "in step" : "off");
    printf("monotonic: %s\n", steady >= pause && steady < pause + 5 ? "in step" : "off");
    return 0;
}

// Ten thousand looks: never backwards, and not standing still.
static int steady(struct words words) {
    struct timespec first, last, next;
    long back = 0;
    (void)words;
    clock_gettime(CLOCK_MONOTONIC, &first);
    last = first;
    for (int i = 0; i < 10000; i++, last = next) {
        clock_gettime(CLOCK_MONOTONIC, &next);
        back += next.tv_sec < last.tv_sec || (next.tv_sec == last.tv_sec && next.tv_nsec < last.tv_nsec);
    }
    printf("backwards: %ld\nmoved: %s\n", back, last.tv_sec != first.tv_sec || last.tv_nsec != first.tv_nsec ? "yes" : "no");
    return 0;
}

static int resolution(struct words words) {
    static const struct {
        const char *name;
        clockid_t clock;
    } clocks[] = {{"realtime", CLOCK_REALTIME}, {"monotonic", CLOCK_MONOTONIC}};
    (void)words;
    for (size_t i = 0; i < 2; i++) {
        struct timespec step = {0};
        if (clock_getres(clocks[i].clock, &step) != 0) return fail("resolution", clocks[i].name);
        bool fine = step.tv_sec == 0 && step.tv_nsec > 0 && step.tv_nsec <= 1000000;
        printf("%s: %s\n", clocks[i].name, fine ? "a millisecond or finer" : "none or coarse");
    }
    return 0;
}

// A time that has been is no reason to wait.
static int past(struct words words) {
    struct timespec then;
    double began = now(CLOCK_MONOTONIC);
    (void)words;
    clock_gettime(CLOCK_MONOTONIC, &then);
    then.tv_sec = then.tv_sec > 10 ? then.tv_sec - 10 : 0;
    int error = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &then, NULL);
    printf("%s, %s\n", error ? errno_name(error) : "no error", now(CLOCK_MONOTONIC) - began < 2 ? "at once" : "late");
    return 0;
}

static int yields(struct words words) {
    (void)words;
    for (int i = 0; i < 1000; i++)
        if (sched_yield() != 0) return fail("yield", "");
    return puts("yielded") < 0;
}

// Two draws differ, none is all zeros, and a byte of each value turns up in a large one.
static int draw(struct words words) {
    static unsigned char one[256], other[256];
    static long values[256];
    long missing = 0;
    (void)words;
    if (getentropy(one, sizeof one) != 0 || getentropy(other, sizeof other) != 0) return fail("random", "draw");
    printf("differ: %s\n", memcmp(one, other, sizeof one) != 0 ? "yes" : "no");
    for (int i = 0; i < 256; i++) { // 64 KiB in all, by parts of as much as one call may give
        if (getentropy(one, sizeof one) != 0) return fail("random", "draw");
        for (size_t j = 0; j < sizeof one; j++) values[one[j]]++;
    }
    for (int i = 0; i < 256; i++) missing += values[i] == 0;
    printf("values that never came: %ld\n", missing);
    printf("nothing: %s\n", getentropy(one, 0) == 0 ? "no error" : errno_name(errno));
    return 0;
}

const struct verb time_verbs[] = {
    {"sleep", 1, sleep_for}, {"ticks", 2, ticks}, {"date", 0, date}, {"advance", 1, advance}, {"steady", 0, steady},
    {"resolution", 0, resolution}, {"past", 0, past}, {"yield", 0, yields}, {"random", 0, draw},
    {0},
};
