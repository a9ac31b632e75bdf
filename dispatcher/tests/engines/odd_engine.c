/*
 * odd_engine.c - an engine for tests of the compile process: what it does is what the module says.
 *
 * The module's first word is the order. Artifacts are text: what the compiler saw of its surroundings.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#define _GNU_SOURCE
#include "multiwasm_engine.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define TEXT(literal) { (const uint8_t *)(literal), sizeof(literal) - 1 }

static uint32_t say(multiwasm_sink error, uint32_t status, const char *text)
{
    error.write(error.context, (const uint8_t *)text, strlen(text));
    return status;
}

/* Everything that a confined process should not have, in numbers. */
static void look_around(FILE *artifact)
{
    int open_descriptors = 0, others = 0;
    for (int fd = 3; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) != -1)
            open_descriptors++;
    struct if_nameindex *interfaces = if_nameindex();
    for (struct if_nameindex *i = interfaces; i && i->if_index; i++)
        others += strcmp(i->if_name, "lo") != 0;
    fprintf(artifact, "uid %d gid %d groups %d descriptors %d interfaces %d no-new-privileges %d shadow %d session %d\n",
            (int)getuid(), (int)getegid(), getgroups(0, NULL), open_descriptors, others,
            prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), open("/etc/shadow", O_RDONLY) >= 0, getsid(0) == getpid());
    fprintf(artifact, "idle %d", sched_getscheduler(0) == SCHED_IDLE);
    char group[100] = "";
    FILE *autogroup = fopen("/proc/self/autogroup", "r");
    if (autogroup && fgets(group, sizeof(group), autogroup))
        fprintf(artifact, " group%s", strchr(group, ' '));
    fprintf(artifact, "\n");
}

static void use_all_memory(void)
{
    for (;;) {
        size_t size = 1 << 20;
        char *memory = malloc(size);
        if (!memory) {
            fprintf(stderr, "memory allocation of %zu bytes failed\n", size);
            abort();
        }
        memset(memory, 1, size);
    }
}

static uint32_t odd_prepare_compile(void *engine, multiwasm_sink error)
{
    (void)engine;
    (void)error;
    return MULTIWASM_OK;
}

static uint32_t odd_compile(void *engine, const multiwasm_source *source, multiwasm_bytes path, multiwasm_sink error)
{
    char order[32] = "", name[256] = "";
    volatile int *volatile nowhere = NULL;
    (void)engine;
    memcpy(order, source->bytes.data, source->bytes.len < 31 ? source->bytes.len : 31);
    order[strcspn(order, " ")] = 0;
    memcpy(name, path.data, path.len < 255 ? path.len : 255);

    if (!strcmp(order, "refuse"))
        return say(error, MULTIWASM_INVALID, "not to my taste");
    if (!strcmp(order, "nothing"))
        return MULTIWASM_OK;
    if (!strcmp(order, "memory"))
        use_all_memory();
    if (!strcmp(order, "crash")) {
        fprintf(stderr, "about to fall\n");
        *nowhere = 1;
    }
    if (!strcmp(order, "spin"))
        for (;;)
            __asm__ volatile("");
    if (!strcmp(order, "print"))
        for (;;)
            puts("on and on");
    if (!strcmp(order, "hang"))
        for (;;)
            pause();

    FILE *artifact = fopen(name, "wx");
    if (!artifact)
        return say(error, MULTIWASM_FAILED, strerror(errno));
    if (!strcmp(order, "large"))
        for (int i = 0; i < 1 << 20; i++)
            fwrite(name, 1, sizeof name, artifact);
    if (!strcmp(order, "look"))
        look_around(artifact);
    if (!strcmp(order, "child")) {
        pid_t child = fork();
        if (child == 0)
            for (;;)
                pause();
        fprintf(artifact, "%d", (int)child);
    }
    fprintf(artifact, "%d compiled %.*s", (int)getpid(), (int)source->bytes.len, (const char *)source->bytes.data);
    fclose(artifact);
    return MULTIWASM_OK;
}

static uint32_t odd_open(const multiwasm_settings *settings, void **engine, multiwasm_sink error)
{
    (void)settings, (void)error;
    *engine = NULL;
    return MULTIWASM_OK;
}

static void odd_fingerprint(void *engine, multiwasm_sink text)
{
    (void)engine;
    say(text, 0, "odd 1");
}

static uint32_t odd_load(void *engine, const multiwasm_source *source, void **module, multiwasm_sink error)
{
    (void)engine, (void)source, (void)module;
    return say(error, MULTIWASM_UNSUPPORTED, "this engine compiles only");
}

static uint32_t odd_instantiate(void *engine, void *module, const multiwasm_guest *guest, void **instance,
                                multiwasm_sink error)
{
    (void)engine, (void)module, (void)guest, (void)instance;
    return say(error, MULTIWASM_UNSUPPORTED, "this engine compiles only");
}

static void odd_run(void *engine, void *instance, multiwasm_outcome *outcome, multiwasm_sink message)
{
    (void)engine, (void)instance, (void)message;
    outcome->end = MULTIWASM_BROKE;
}

static void odd_drop_module(void *engine, void *module) { (void)engine, (void)module; }
static void odd_close(void *engine) { (void)engine; }

const multiwasm_engine *multiwasm_engine_table(void)
{
    static const multiwasm_engine table = {
        .abi = MULTIWASM_ENGINE_ABI,
        .size = sizeof(multiwasm_engine),
        .name = TEXT("odd"),
        .version = TEXT("1"),
        .capabilities = MULTIWASM_CAN_MODULES | MULTIWASM_CAN_AOT | MULTIWASM_NEEDS_AOT,
        .open = odd_open,
        .fingerprint = odd_fingerprint,
        .prepare_compile = odd_prepare_compile,
        .compile = odd_compile,
        .load = odd_load,
        .instantiate = odd_instantiate,
        .run = odd_run,
        .drop_module = odd_drop_module,
        .close = odd_close,
    };
    return &table;
}
