//! How Wasmtime is configured and why, and what artifacts depend on.

use std::hash::{DefaultHasher, Hash, Hasher};

use multiwasm_engine::{EngineError, Optimize, Settings};
use wasmtime::{Config, OptLevel, Strategy, WasmBacktraceDetails};

/// Wasmtime's version, from the lock file that this crate was built with.
pub(crate) const VERSION: &str = env!("WASMTIME_VERSION");

/// Stack that a guest may use, in bytes: twice Wasmtime's default, as programs that recurse deeply (interpreters,
/// parsers) were written for the megabytes of a native stack. Pages are taken when they are touched.
const GUEST_STACK: usize = 1 << 20;
/// The whole stack of the fibre that a guest runs on: the guest's, and as much for the host functions that it calls.
const FIBER_STACK: usize = 2 * GUEST_STACK;

/// On how many threads a module is compiled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// Where the process forks afterwards.
    One,
    /// Where it does nothing else.
    Many,
}

/// Wasmtime's compilers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compiler {
    /// One pass over the code; some ten times as fast as Cranelift, for code that is some times slower. It does not know all
    /// of WebAssembly.
    Winch,
    /// The optimising one, which for quick code does not optimise.
    Cranelift,
}

impl Compiler {
    /// Those for these settings, in the order in which they are tried.
    pub(crate) fn all(settings: &Settings) -> &'static [Self] {
        match settings.optimize {
            Optimize::Speed => &[Self::Cranelift],
            Optimize::Quick => &[Self::Winch, Self::Cranelift],
        }
    }
}

/// An engine for these settings.
pub(crate) fn engine(
    settings: &Settings,
    compiler: Compiler,
    threads: Threads,
) -> Result<wasmtime::Engine, EngineError> {
    let mut config = Config::new();
    config
        .strategy(match compiler {
            Compiler::Winch => Strategy::Winch,
            Compiler::Cranelift => Strategy::Cranelift,
        })
        .cranelift_opt_level(match settings.optimize {
            Optimize::Speed => OptLevel::Speed,
            Optimize::Quick => OptLevel::None,
        })
        .parallel_compilation(threads == Threads::Many)
        .max_wasm_stack(GUEST_STACK)
        .async_stack_size(FIBER_STACK)
        // File and line in a trap's backtrace where a module brings debug information, whatever the environment says.
        .wasm_backtrace_details(WasmBacktraceDetails::Enable)
        // For native debuggers alone; traps are walked by frame pointers. Registering it reads all of it at each load.
        .native_unwind_info(false);
    // Kept as Wasmtime has them: 4 GiB of address space reserved for each memory, so that the guest's accesses need no
    // bounds checks (it costs a mapping, no memory), and memories initialised by mapping the artifact copy-on-write.
    wasmtime::Engine::new(&config).map_err(|error| EngineError::failed(format_args!("wasmtime: {error:#}")))
}

/// What artifacts depend on: version, settings and CPU features; Wasmtime hashes all of them but the optimisation level.
pub(crate) fn fingerprint(engine: &wasmtime::Engine, settings: &Settings) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let optimize = match settings.optimize {
        Optimize::Speed => "speed",
        Optimize::Quick => "quick",
    };
    // The number says what this crate does to a module before Wasmtime sees it (see `multiwasm_engine::start`); raised when that changes.
    format!("wasmtime {VERSION} {:016x} {optimize} 2", hasher.finish())
}
