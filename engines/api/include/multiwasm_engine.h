/*
 * multiwasm_engine.h - the contract between multiwasm and a WebAssembly engine, ABI 1.
 *
 * A plug-in is a shared object, libmultiwasm_<name>.so, that exports one function:
 *
 *     const multiwasm_engine *multiwasm_engine_table(void);
 *
 * It returns a table that stays valid and unchanged for as long as the object is loaded. Only the C types below
 * cross the border; no exception and no panic does. multiwasm calls every function from one thread at a time.
 *
 * How a container passes through a plug-in:
 *
 *     open         once a process, before any container is known
 *     compile      in a process of its own, with limits of its own: bytes in, an artifact file out
 *     load         outside the container, in a process that will fork: no threads may be started
 *     instantiate  inside the container, before its start is confirmed: what can fail, fails here
 *     run          inside the container, once; the process ends after it
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MULTIWASM_ENGINE_H
#define MULTIWASM_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MULTIWASM_ENGINE_ABI 1u
#define MULTIWASM_ENGINE_SYMBOL "multiwasm_engine_table"

/* Bytes that the caller owns, not terminated; text is UTF-8 unless said otherwise. data may be NULL where len is 0. */
typedef struct multiwasm_bytes {
    const uint8_t *data;
    size_t len;
} multiwasm_bytes;

typedef struct multiwasm_list {
    const multiwasm_bytes *items;
    size_t len;
} multiwasm_list;

/* Where the callee puts text of its own: write may be called any number of times, each appends. */
typedef struct multiwasm_sink {
    void *context;
    void (*write)(void *context, const uint8_t *data, size_t len);
} multiwasm_sink;

/* What an engine can do: bits of multiwasm_engine.capabilities. */
#define MULTIWASM_CAN_MODULES    (1ull << 0)  /* core modules */
#define MULTIWASM_CAN_COMPONENTS (1ull << 1)  /* components */
#define MULTIWASM_CAN_PREVIEW1   (1ull << 2)  /* wasi_snapshot_preview1 */
#define MULTIWASM_CAN_PREVIEW2   (1ull << 3)  /* wasi:cli/command */
#define MULTIWASM_CAN_HTTP       (1ull << 4)  /* wasi:http/proxy */
#define MULTIWASM_CAN_SOCKETS    (1ull << 5)  /* WasmEdge's sockets: sock_open and its family in preview 1's module */
#define MULTIWASM_CAN_WASIX      (1ull << 6)  /* wasix_32v1, wasix_64v1 */
#define MULTIWASM_CAN_THREADS    (1ull << 7)  /* threads that a guest starts */
#define MULTIWASM_CAN_AOT        (1ull << 8)  /* compile */
#define MULTIWASM_CAN_FUEL       (1ull << 9)  /* limits on executed instructions */
#define MULTIWASM_NEEDS_AOT      (1ull << 10) /* no quick way from bytes: compile ahead, then load */
#define MULTIWASM_CAN_MEMORY_LIMIT (1ull << 11) /* multiwasm_guest.memory_limit */

/* What a function that can fail returns. */
typedef enum multiwasm_status {
    MULTIWASM_OK = 0,
    MULTIWASM_INVALID = 1,        /* not WebAssembly, or torn */
    MULTIWASM_UNSUPPORTED = 2,    /* WebAssembly, but of a kind or with a feature that this engine lacks */
    MULTIWASM_MISSING_IMPORT = 3, /* the message names the import as module::name */
    MULTIWASM_MISSING_EXPORT = 4, /* the message names the export */
    MULTIWASM_STALE = 5,          /* an artifact of another version, other settings or another CPU: compile again */
    MULTIWASM_LIMIT = 6,          /* a limit that the guest was given is too small for it */
    MULTIWASM_FAILED = 7          /* anything else */
} multiwasm_status;

typedef enum multiwasm_optimize {
    MULTIWASM_OPTIMIZE_SPEED = 0, /* the engine's best code */
    MULTIWASM_OPTIMIZE_QUICK = 1  /* code that is there soon */
} multiwasm_optimize;

typedef struct multiwasm_settings {
    size_t size; /* of this struct, as the caller knows it */
    uint32_t optimize;
    uint32_t reserved; /* 0 */
} multiwasm_settings;

typedef enum multiwasm_form {
    MULTIWASM_FORM_BYTES = 0,   /* WebAssembly, in binary format */
    MULTIWASM_FORM_ARTIFACT = 1 /* what this engine's compile wrote, at a path */
} multiwasm_form;

typedef struct multiwasm_source {
    size_t size;
    uint32_t form;
    uint32_t component;        /* 1: a component, 0: a core module */
    multiwasm_bytes name;      /* what people call the module: its path in the image */
    multiwasm_bytes bytes;     /* FORM_BYTES: the module; valid until load returns */
    multiwasm_bytes artifact;  /* FORM_ARTIFACT: path of a file that does not change while it is mapped */
    multiwasm_bytes function;  /* the export that run shall call; empty: _start, or the command's run */
} multiwasm_source;

#define MULTIWASM_PREOPEN_READ_ONLY 1u

typedef struct multiwasm_preopen {
    multiwasm_bytes guest; /* the path that the guest sees */
    multiwasm_bytes host;  /* the path here and now */
    uint32_t flags;
    uint32_t reserved; /* 0 */
} multiwasm_preopen;

typedef struct multiwasm_guest {
    size_t size;
    multiwasm_list args; /* argv, argv[0] included */
    multiwasm_list env;  /* KEY=VALUE each */
    multiwasm_bytes cwd; /* absolute; for engines that know a working directory */
    const multiwasm_preopen *preopens; /* in the order that the guest shall meet them, from descriptor 3 on */
    size_t preopens_len;
    int32_t stdin_fd, stdout_fd, stderr_fd; /* lent, not given */
    uint32_t reserved;                      /* 0 */
    uint64_t memory_limit; /* most bytes that a linear memory may grow to; 0: the engine's own limit */
} multiwasm_guest;

typedef enum multiwasm_end {
    MULTIWASM_EXITED = 0,  /* code: what the guest gave proc_exit or exit, 0 where it just returned */
    MULTIWASM_TRAPPED = 1, /* code: a multiwasm_trap; the message sink has the engine's words and backtrace */
    MULTIWASM_BROKE = 2    /* the engine failed; the message sink says how */
} multiwasm_end;

typedef enum multiwasm_trap {
    MULTIWASM_TRAP_OTHER = 0,
    MULTIWASM_TRAP_UNREACHABLE = 1,
    MULTIWASM_TRAP_MEMORY = 2,         /* access outside of a linear memory */
    MULTIWASM_TRAP_TABLE = 3,          /* access outside of a table, null or wrongly typed function */
    MULTIWASM_TRAP_ARITHMETIC = 4,     /* division by zero, integer overflow, invalid conversion */
    MULTIWASM_TRAP_STACK = 5,          /* call stack exhausted */
    MULTIWASM_TRAP_EXCEPTION = 6,      /* an exception that nobody caught */
    MULTIWASM_TRAP_INTERRUPTED = 7     /* fuel, deadline, cancellation */
} multiwasm_trap;

typedef struct multiwasm_outcome {
    size_t size;
    uint32_t end;
    int32_t code;
} multiwasm_outcome;

typedef struct multiwasm_engine {
    uint32_t abi;  /* MULTIWASM_ENGINE_ABI; read before anything else */
    uint32_t size; /* sizeof(multiwasm_engine) */
    multiwasm_bytes name;    /* lower case, as in an annotation */
    multiwasm_bytes version; /* of the engine itself, as its own command prints it */
    uint64_t capabilities;

    uint32_t (*open)(const multiwasm_settings *settings, void **engine, multiwasm_sink error);
    /* All that artifacts depend on besides the module: version, settings, CPU features. Goes into cache keys. */
    void (*fingerprint)(void *engine, multiwasm_sink text);
    /* Loads what only compile needs, in the process that will compile and while that may still open the host's files. */
    uint32_t (*prepare_compile)(void *engine, multiwasm_sink error);
    /* Writes an artifact to the path, which does not exist yet. */
    uint32_t (*compile)(void *engine, const multiwasm_source *source, multiwasm_bytes path, multiwasm_sink error);
    /* Imports and the function to call are checked here. The module is consumed by instantiate or by drop_module. */
    uint32_t (*load)(void *engine, const multiwasm_source *source, void **module, multiwasm_sink error);
    uint32_t (*instantiate)(void *engine, void *module, const multiwasm_guest *guest, void **instance,
                            multiwasm_sink error);
    /* Consumes the instance. The sink gets the message of a trap or failure. */
    void (*run)(void *engine, void *instance, multiwasm_outcome *outcome, multiwasm_sink message);
    void (*drop_module)(void *engine, void *module);
    void (*close)(void *engine);
} multiwasm_engine;

const multiwasm_engine *multiwasm_engine_table(void);

#ifdef __cplusplus
}
#endif
#endif
