/*
 * A small engine in C, built by the tests against the header alone: what it is given it writes to the guest's stdout,
 * and it ends as its module's bytes say. A test defines TINY_* to make it wrong in one way.
 */
#include "multiwasm_engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef TINY_ABI
#define TINY_ABI MULTIWASM_ENGINE_ABI
#endif
#ifndef TINY_SIZE
#define TINY_SIZE sizeof(multiwasm_engine)
#endif
#ifndef TINY_RUN
#define TINY_RUN tiny_run
#endif

struct engine {
    uint32_t optimize;
};

struct text {
    char *data;
    size_t len;
};

struct instance {
    struct text module;
    int32_t in, out;
};

static void say(multiwasm_sink sink, const char *words) {
    sink.write(sink.context, (const uint8_t *)words, strlen(words));
}

static struct text copy(multiwasm_bytes bytes) {
    struct text text = {malloc(bytes.len + 1), bytes.len};
    if (bytes.len != 0) memcpy(text.data, bytes.data, bytes.len);
    text.data[bytes.len] = 0;
    return text;
}

static uint32_t tiny_open(const multiwasm_settings *settings, void **engine, multiwasm_sink error) {
    if (settings->size != sizeof(multiwasm_settings)) {
        say(error, "settings of another size");
        return MULTIWASM_FAILED;
    }
    struct engine *opened = malloc(sizeof *opened);
    opened->optimize = settings->optimize;
    *engine = opened;
    return MULTIWASM_OK;
}

static void tiny_fingerprint(void *engine, multiwasm_sink text) {
    /* In two pieces: each write appends. */
    say(text, "tiny 1.2.3 ");
    say(text, ((struct engine *)engine)->optimize == MULTIWASM_OPTIMIZE_QUICK ? "quick" : "speed");
}

static uint32_t tiny_prepare_compile(void *engine, multiwasm_sink error) {
    (void)engine;
    (void)error;
    return MULTIWASM_OK;
}

static uint32_t tiny_compile(void *engine, const multiwasm_source *source, multiwasm_bytes path, multiwasm_sink error) {
    (void)engine;
    struct text name = copy(path);
    FILE *file = fopen(name.data, "wx");
    free(name.data);
    if (file == NULL) {
        say(error, "the artifact can't be written");
        return MULTIWASM_FAILED;
    }
    fwrite(source->bytes.data, 1, source->bytes.len, file);
    return fclose(file) == 0 ? MULTIWASM_OK : MULTIWASM_FAILED;
}

static uint32_t tiny_load(void *engine, const multiwasm_source *source, void **module, multiwasm_sink error) {
    (void)engine;
    if (source->size != sizeof(multiwasm_source)) {
        say(error, "a source of another size");
        return MULTIWASM_FAILED;
    }
    if (source->function.len != 0) {
        struct text name = copy(source->name), function = copy(source->function);
        char words[256];
        snprintf(words, sizeof words, "%s exports no function %s", name.data, function.data);
        say(error, words);
        free(name.data);
        free(function.data);
        return MULTIWASM_MISSING_EXPORT;
    }
    struct text *loaded = malloc(sizeof *loaded);
    if (source->form == MULTIWASM_FORM_ARTIFACT) {
        struct text path = copy(source->artifact);
        FILE *file = fopen(path.data, "r");
        free(path.data);
        if (file == NULL) {
            free(loaded);
            say(error, "no such artifact");
            return MULTIWASM_STALE;
        }
        char content[256];
        multiwasm_bytes bytes = {(uint8_t *)content, fread(content, 1, sizeof content, file)};
        fclose(file);
        *loaded = copy(bytes);
    } else {
        *loaded = copy(source->bytes);
    }
    *module = loaded;
    return MULTIWASM_OK;
}

static uint32_t tiny_instantiate(void *engine, void *module, const multiwasm_guest *guest, void **instance,
                                 multiwasm_sink error) {
    (void)engine;
    if (guest->size != sizeof(multiwasm_guest)) {
        say(error, "a guest of another size");
        return MULTIWASM_FAILED;
    }
    struct instance *made = malloc(sizeof *made);
    made->module = *(struct text *)module;
    made->in = guest->stdin_fd;
    made->out = guest->stdout_fd;
    free(module);
    dprintf(made->out, "module %s\n", made->module.data);
    for (size_t i = 0; i < guest->args.len; i++)
        dprintf(made->out, "arg %.*s\n", (int)guest->args.items[i].len, guest->args.items[i].data);
    for (size_t i = 0; i < guest->env.len; i++)
        dprintf(made->out, "env %.*s\n", (int)guest->env.items[i].len, guest->env.items[i].data);
    for (size_t i = 0; i < guest->preopens_len; i++) {
        const multiwasm_preopen *at = &guest->preopens[i];
        dprintf(made->out, "preopen %.*s=%.*s%s\n", (int)at->guest.len, at->guest.data, (int)at->host.len, at->host.data,
                at->flags & MULTIWASM_PREOPEN_READ_ONLY ? " read-only" : "");
    }
    dprintf(made->out, "cwd %.*s\nmemory %llu\n", (int)guest->cwd.len, guest->cwd.data,
            (unsigned long long)guest->memory_limit);
    dprintf(guest->stderr_fd, "instantiated\n");
    *instance = made;
    return MULTIWASM_OK;
}

static void tiny_run(void *engine, void *instance, multiwasm_outcome *outcome, multiwasm_sink message) {
    (void)engine;
    struct instance *running = instance;
    char input[64];
    ssize_t n = read(running->in, input, sizeof input);
    dprintf(running->out, "stdin %.*s\n", (int)n, input);
    const char *words = running->module.data;
    if (strncmp(words, "exit ", 5) == 0) {
        outcome->end = MULTIWASM_EXITED;
        outcome->code = atoi(words + 5);
    } else if (strcmp(words, "trap") == 0) {
        outcome->end = MULTIWASM_TRAPPED;
        outcome->code = MULTIWASM_TRAP_ARITHMETIC;
        say(message, "integer divide by zero");
        say(message, "\n  0: main");
    } else {
        outcome->end = MULTIWASM_BROKE;
        say(message, "out of ideas");
    }
    free(running->module.data);
    free(running);
}

static void tiny_drop_module(void *engine, void *module) {
    (void)engine;
    free(((struct text *)module)->data);
    free(module);
}

static void tiny_close(void *engine) { free(engine); }

#ifndef TINY_NO_SYMBOL
const multiwasm_engine *multiwasm_engine_table(void) {
    static const multiwasm_engine table = {
        .abi = TINY_ABI,
        .size = TINY_SIZE,
        .name = {(const uint8_t *)"tiny", 4},
        .version = {(const uint8_t *)"1.2.3", 5},
        .capabilities = MULTIWASM_CAN_MODULES | MULTIWASM_CAN_AOT | MULTIWASM_CAN_MEMORY_LIMIT,
        .open = tiny_open,
        .fingerprint = tiny_fingerprint,
        .prepare_compile = tiny_prepare_compile,
        .compile = tiny_compile,
        .load = tiny_load,
        .instantiate = tiny_instantiate,
        .run = TINY_RUN,
        .drop_module = tiny_drop_module,
        .close = tiny_close,
    };
    return &table;
}
#endif
