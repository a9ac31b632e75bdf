/*
 * The smallest engine in C: it says a guest's arguments instead of running it (docs/engine-authors.md).
 *
 *     cc -shared -fPIC -Wall -I engines/api/include -o libmultiwasm_parrot.so engines/api/examples/parrot.c
 */
#include "multiwasm_engine.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What it says, and where. */
struct instance {
    int32_t out;
    size_t len;
    char text[];
};

static void say(multiwasm_sink sink, const char *words) {
    sink.write(sink.context, (const uint8_t *)words, strlen(words));
}

static uint32_t parrot_open(const multiwasm_settings *settings, void **engine, multiwasm_sink error) {
    (void)settings, (void)error;
    static char opened;
    *engine = &opened;
    return MULTIWASM_OK;
}

static void parrot_fingerprint(void *engine, multiwasm_sink text) {
    (void)engine;
    say(text, "parrot 0.1.0");
}

static uint32_t parrot_prepare_compile(void *engine, multiwasm_sink error) {
    (void)engine, (void)error;
    return MULTIWASM_OK;
}

/* Never called, as MULTIWASM_CAN_AOT is not said; the table has no empty place all the same. */
static uint32_t parrot_compile(void *engine, const multiwasm_source *source, multiwasm_bytes path, multiwasm_sink error) {
    (void)engine, (void)source, (void)path;
    say(error, "a parrot compiles nothing");
    return MULTIWASM_UNSUPPORTED;
}

/* Outside of the container: no threads. source->bytes is valid until this returns. */
static uint32_t parrot_load(void *engine, const multiwasm_source *source, void **module, multiwasm_sink error) {
    (void)engine;
    if (source->component) {
        say(error, "components are not for parrots");
        return MULTIWASM_UNSUPPORTED;
    }
    static char loaded;
    *module = &loaded;
    return MULTIWASM_OK;
}

/* Inside of the container: the guest's strings are valid until this returns, its descriptors until it has run. */
static uint32_t parrot_instantiate(void *engine, void *module, const multiwasm_guest *guest, void **instance,
                                   multiwasm_sink error) {
    (void)engine, (void)module;
    size_t len = 0;
    for (size_t i = 0; i < guest->args.len; i++) len += guest->args.items[i].len + 1;
    struct instance *made = malloc(sizeof *made + len);
    if (made == NULL) {
        say(error, "no memory for the arguments");
        return MULTIWASM_FAILED;
    }
    made->out = guest->stdout_fd;
    made->len = 0;
    for (size_t i = 0; i < guest->args.len; i++) {
        memcpy(made->text + made->len, guest->args.items[i].data, guest->args.items[i].len);
        made->len += guest->args.items[i].len;
        made->text[made->len++] = '\n';
    }
    *instance = made;
    return MULTIWASM_OK;
}

static void parrot_run(void *engine, void *instance, multiwasm_outcome *outcome, multiwasm_sink message) {
    (void)engine;
    struct instance *parrot = instance;
    if (write(parrot->out, parrot->text, parrot->len) == (ssize_t)parrot->len) {
        outcome->end = MULTIWASM_EXITED;
        outcome->code = 0;
    } else {
        outcome->end = MULTIWASM_BROKE;
        say(message, "nobody listens");
    }
    free(parrot);
}

static void parrot_drop_module(void *engine, void *module) { (void)engine, (void)module; }

static void parrot_close(void *engine) { (void)engine; }

const multiwasm_engine *multiwasm_engine_table(void) {
    static const multiwasm_engine table = {
        .abi = MULTIWASM_ENGINE_ABI,
        .size = sizeof(multiwasm_engine),
        .name = {(const uint8_t *)"parrot", 6},
        .version = {(const uint8_t *)"0.1.0", 5},
        .capabilities = MULTIWASM_CAN_MODULES | MULTIWASM_CAN_PREVIEW1,
        .open = parrot_open,
        .fingerprint = parrot_fingerprint,
        .prepare_compile = parrot_prepare_compile,
        .compile = parrot_compile,
        .load = parrot_load,
        .instantiate = parrot_instantiate,
        .run = parrot_run,
        .drop_module = parrot_drop_module,
        .close = parrot_close,
    };
    return &table;
}
