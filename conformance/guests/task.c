// A guest that does what a task of several processes does, and what one at a terminal does: `task VERB WORD...`.
//
// A module can't fork and knows no window: there it says so. As a native program it does both.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifndef __wasi__
#include <errno.h>
#include <signal.h>
#include <sys/ioctl.h>
#endif

// Numbered lines, more than a terminal's buffer holds.
static int many_lines(int count) {
    for (int i = 0; i < count; i++) printf("line %d\n", i);
    return fflush(stdout) == 0 ? 0 : 1;
}

#ifdef __wasi__
static int fork_some(int count, int stay) { return (void)count, (void)stay, puts("no processes"), 64; }
static int leave(int count, int code) { return (void)count, (void)code, puts("no processes"), 64; }
static int size(void) { return puts("no window"), 64; }
#else
static void end_by(int signal) { _exit(128 + signal); }

// Forks processes that do nothing; gives how many there came to be.
static int fork_up_to(int count) {
    for (int i = 0; i < count; i++) {
        pid_t child = fork();
        if (child < 0) return i;
        if (child == 0) {
            for (;;) pause();
        }
    }
    return count;
}

static int fork_some(int count, int stay) {
    int forked = fork_up_to(count);
    int error = errno;
    printf("forked %d\n", forked);
    fflush(stdout);
    if (forked < count) return fprintf(stderr, "task: fork: %s\n", strerror(error)), 1;
    while (stay) pause();
    return 0;
}

// Ends before those whom it forked.
static int leave(int count, int code) {
    printf("left %d behind\n", fork_up_to(count));
    return code;
}

static void on_resize(int signal) { (void)signal; }

// The terminal's size, and again each time that it is told of another.
static int size(void) {
    sigset_t resize, before;
    struct sigaction action = {.sa_handler = on_resize};
    struct winsize window;
    // Told only while it waits: no change falls between a look and the wait.
    sigemptyset(&resize);
    sigaddset(&resize, SIGWINCH);
    sigprocmask(SIG_BLOCK, &resize, &before);
    sigaction(SIGWINCH, &action, NULL);
    for (;;) {
        if (ioctl(0, TIOCGWINSZ, &window) != 0) return perror("task: size"), 1;
        printf("%dx%d\n", window.ws_col, window.ws_row);
        fflush(stdout);
        sigsuspend(&before);
    }
}
#endif

int main(int argc, char **argv) {
    const char *verb = argc > 1 ? argv[1] : "";
#ifndef __wasi__
    signal(SIGTERM, end_by);
    signal(SIGINT, end_by);
#endif
    if (strcmp(verb, "size") == 0) return size();
    if (argc > 2 && strcmp(verb, "many-lines") == 0) return many_lines(atoi(argv[2]));
    if (argc > 2 && strcmp(verb, "fork") == 0) return fork_some(atoi(argv[2]), argc > 3);
    if (argc > 3 && strcmp(verb, "leave") == 0) return leave(atoi(argv[2]), atoi(argv[3]));
    fprintf(stderr, "task: no such verb, or too few words: %s\n", verb);
    return 64;
}
