// Waiting for what is first: a clock, or something to read or to write.
#include "probe.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static double steady(void) {
    struct timespec at = {0};
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

// What `fd` is ready for within so many milliseconds: the event's name, or `nothing`.
static int ready(int fd, short wanted, int limit) {
    struct pollfd one = {.fd = fd, .events = wanted};
    int count = poll(&one, 1, limit);
    if (count < 0) return fail("poll", "it");
    // A writer that is gone is told as a hang-up by some and as something to read (the end) by others.
    printf("%s\n", count == 0                         ? "nothing"
                   : one.revents & (POLLERR | POLLNVAL) ? "error"
                   : one.revents & POLLOUT              ? "writable"
                   : one.revents & (POLLIN | POLLHUP)   ? "readable"
                                                        : "something else");
    return 0;
}

static int stdin_within(struct words words) {
    say("polling\n");
    return ready(0, POLLIN, atoi(words.at[0]));
}

static int stdout_within(struct words words) { return ready(1, POLLOUT, atoi(words.at[0])); }

static int file_within(struct words words) {
    int fd = open(words.at[0], O_RDWR);
    if (fd < 0) return fail("poll-file", words.at[0]);
    return ready(fd, POLLIN, atoi(words.at[1])) || ready(fd, POLLOUT, atoi(words.at[1]));
}

// Nothing but a clock: it ends after its time, and not before.
static int clock_alone(struct words words) {
    double limit = atof(words.at[0]), began = steady();
    int count = poll(NULL, 0, (int)(limit * 1000));
    double took = steady() - began;
    if (count < 0) return fail("poll", "a clock");
    printf("%d ready, %s\n", count, took < limit ? "too early" : took > limit + 5 ? "too late" : "in time");
    return 0;
}

// Standard input that stays silent and standard output that is ready: the one that is ready is told, at once.
static int both(struct words words) {
    struct pollfd two[2] = {{.fd = 0, .events = POLLIN}, {.fd = 1, .events = POLLOUT}};
    double began = steady();
    int count = poll(two, 2, atoi(words.at[0]));
    if (count < 0) return fail("poll", "both");
    printf("%d ready, stdin %s, stdout %s, %s\n", count, two[0].revents ? "ready" : "silent",
           two[1].revents & POLLOUT ? "ready" : "not ready", steady() - began < 2 ? "at once" : "late");
    return 0;
}

// Reads without waiting: a silent stream answers that there is nothing yet.
static int unblocked(struct words words) {
    char c;
    (void)words;
    if (fcntl(0, F_SETFL, O_NONBLOCK) != 0) return fail("fcntl", "stdin");
    ssize_t n = read(0, &c, 1);
    return printf("%s\n", n > 0 ? "a byte" : n == 0 ? "the end" : errno_name(errno)) < 0;
}

const struct verb poll_verbs[] = {
    {"poll-stdin", 1, stdin_within}, {"poll-stdout", 1, stdout_within}, {"poll-file", 2, file_within},
    {"poll-clock", 1, clock_alone},  {"poll-both", 1, both},            {"unblocked", 0, unblocked},
    {0},
};
