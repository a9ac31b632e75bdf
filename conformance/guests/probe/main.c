// The guest of most cases: does one thing after the other, named by its arguments, and says what it saw.
//
//   probe VERB WORD... [then VERB WORD...]...
//
// What fails is said on stderr and the next verb runs all the same; the exit code is then 1. Built for wasm32-wasi and,
// from the same source, as a static native program, so that a case can be proved against runc before it is trusted
// with a Wasm engine.
#include "probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifndef __wasi__
#include <signal.h>
#include <unistd.h>
#endif

extern char **environ;

const char *errno_name(int number) {
    static const struct {
        int number;
        const char *name;
    } names[] = {
#define NAME(error) {error, #error}
        NAME(EACCES),  NAME(EAGAIN), NAME(EBADF),  NAME(EBUSY),     NAME(EEXIST),  NAME(EFAULT), NAME(EFBIG),
        NAME(EINTR),   NAME(EINVAL), NAME(EIO),    NAME(EISDIR),    NAME(ELOOP),   NAME(EMFILE), NAME(EMLINK),
        NAME(ENFILE),  NAME(ENODEV), NAME(ENOENT), NAME(ENOMEM),    NAME(ENOSPC),  NAME(ENOSYS), NAME(ENOTDIR),
        NAME(ENOTSUP), NAME(ENOTTY), NAME(ENXIO),  NAME(EOVERFLOW), NAME(EPERM),   NAME(EPIPE),  NAME(EROFS),
        NAME(ESPIPE),  NAME(ETXTBSY), NAME(EXDEV), NAME(ENOTEMPTY), NAME(ENAMETOOLONG),
#ifdef ENOTCAPABLE
        NAME(ENOTCAPABLE),
#endif
#undef NAME
    };
    static char other[32];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].number == number) return names[i].name;
    snprintf(other, sizeof other, "errno %d", number);
    return other;
}

int fail(const char *what, const char *about) {
    int error = errno;
    fflush(stdout);
    fprintf(stderr, "probe: %s %s: %s\n", what, about, errno_name(error));
    return 1;
}

void say(const char *line) {
    fputs(line, stdout);
    fflush(stdout);
}

// All of it, `then` too: nothing may be lost or changed on the way.
static int args(int argc, char **argv) {
    for (int i = 0; i < argc; i++) printf("%s\n", argv[i]);
    return 0;
}

static int env(void) {
    for (char **entry = environ; *entry; entry++) printf("%s\n", *entry);
    return 0;
}

static int one(struct words words) {
    static const struct verb *const parts[] = {stream_verbs, file_verbs, entry_verbs, time_verbs, poll_verbs, end_verbs};
    const char *name = words.at[0];
    if (strcmp(name, "env") == 0) return env();
    for (size_t part = 0; part < sizeof parts / sizeof *parts; part++)
        for (const struct verb *verb = parts[part]; verb->name; verb++)
            if (strcmp(name, verb->name) == 0 && words.count > verb->least)
                return verb->run((struct words){words.count - 1, words.at + 1});
    fprintf(stderr, "probe: no such verb, or too few words: %s\n", name);
    return 64;
}

#ifdef __wasi__
// What `probe.wasm#answer` calls.
__attribute__((export_name("answer"))) void answer(void) { say("answer\n"); }
#else
// The kernel keeps from a pid namespace's first process every signal that it has no handler for.
static void end_by(int signal) { _exit(128 + signal); }
#endif

int main(int argc, char **argv) {
    int result = 0;
#ifndef __wasi__
    signal(SIGTERM, end_by);
    signal(SIGINT, end_by);
    signal(SIGPIPE, SIG_IGN); // a Wasm guest knows no signals: a pipe that nobody reads is an error number
    signal(SIGXFSZ, SIG_IGN);
#endif
    if (argc < 2) return puts("hello from a guest") < 0;
    if (strcmp(argv[1], "args") == 0) return args(argc, argv);
    for (int from = 1, to; from < argc; from = to + 1) {
        for (to = from; to < argc && strcmp(argv[to], "then") != 0; to++) {
        }
        if (to == from) continue;
        int code = one((struct words){to - from, argv + from});
        result = code ? code : result;
    }
    return result;
}
