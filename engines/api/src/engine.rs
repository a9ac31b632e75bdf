//! What an engine is in Rust: the trait [`Engine`] and the types that it meets.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::path::Path;

/// A WebAssembly engine. [`crate::export_engine!`] makes a plug-in of it.
///
/// The steps come in this order, and each says in which process it runs, because that decides what it may do:
///
/// 1. [`open`](Engine::open): once a process, before any container is known. No threads may be started.
/// 2. [`compile`](Engine::compile): in a process of its own. Threads are welcome.
/// 3. [`load`](Engine::load): outside of the container, in a process that forks afterwards. No threads may be started.
/// 4. [`instantiate`](Engine::instantiate): inside the container, before Create is answered. Whatever can fail should fail
///    by then; paths are the container's.
/// 5. [`run`](Engine::run): inside the container, once.
pub trait Engine: Sized {
    /// A module that was checked and is ready to be instantiated.
    type Module;
    /// An instance that waits for [`Engine::run`].
    type Instance;

    /// Who this is. Called before anything else; should be cheap.
    fn describe() -> Description;

    /// Makes the engine ready for [`Engine::compile`] and [`Engine::load`].
    ///
    /// # Errors
    /// Where the engine can't be had on this machine with these settings.
    fn open(settings: &Settings) -> Result<Self, EngineError>;

    /// All that artifacts depend on besides the module itself: engine version, settings, CPU features.
    fn fingerprint(&self) -> String;

    /// Loads what only [`Engine::compile`] needs, in the process that will compile and while that may still open the host's
    /// files. An engine that has all of it anyway leaves this as it is.
    ///
    /// # Errors
    /// Where something is missing.
    fn prepare_compile(&self) -> Result<(), EngineError> {
        Ok(())
    }

    /// Compiles `source`, which is in the form of bytes, and writes the artifact to `artifact`, which does not exist yet.
    ///
    /// # Errors
    /// Where the module is not valid, has features that this engine lacks, or the file can't be written.
    fn compile(&self, source: &Source<'_>, artifact: &Path) -> Result<(), EngineError>;

    /// Reads `source`, checks that all its imports are offered and that the function to call is exported.
    ///
    /// # Errors
    /// [`ErrorKind::MissingImport`], [`ErrorKind::MissingExport`], [`ErrorKind::Stale`] and what else is wrong with it.
    fn load(&self, source: &Source<'_>) -> Result<Self::Module, EngineError>;

    /// Prepares the guest's world (arguments, environment, preopens, stdio) and instantiates the module in it.
    ///
    /// # Errors
    /// Where a preopen can't be opened or a limit is too small.
    fn instantiate(&self, module: Self::Module, guest: &Guest<'_>) -> Result<Self::Instance, EngineError>;

    /// Runs the guest to its end.
    fn run(&self, instance: Self::Instance) -> Outcome;
}

/// Name, version and capabilities of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Lower case, as in an annotation.
    pub name: String,
    /// Of the engine itself, as its own command prints it.
    pub version: String,
    /// What it can do.
    pub capabilities: Capabilities,
}

/// A set of capabilities; the bits are those of `MULTIWASM_CAN_*` in the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// Core modules.
    pub const MODULES: Self = Self(1 << 0);
    /// Components.
    pub const COMPONENTS: Self = Self(1 << 1);
    /// `wasi_snapshot_preview1`.
    pub const PREVIEW1: Self = Self(1 << 2);
    /// `wasi:cli/command`.
    pub const PREVIEW2: Self = Self(1 << 3);
    /// `wasi:http/proxy`.
    pub const HTTP: Self = Self(1 << 4);
    /// WasmEdge's sockets: `sock_open` and its family in preview 1's module.
    pub const SOCKETS: Self = Self(1 << 5);
    /// `wasix_32v1` and `wasix_64v1`.
    pub const WASIX: Self = Self(1 << 6);
    /// Threads that a guest starts.
    pub const THREADS: Self = Self(1 << 7);
    /// [`Engine::compile`].
    pub const AOT: Self = Self(1 << 8);
    /// Limits on executed instructions.
    pub const FUEL: Self = Self(1 << 9);
    /// There is no quick way from bytes, as an interpreter has: [`Engine::load`] would compile all of them in place, so
    /// modules are better compiled ahead.
    pub const NEEDS_AOT: Self = Self(1 << 10);
    /// [`Guest::memory_limit`].
    pub const MEMORY_LIMIT: Self = Self(1 << 11);

    /// Every capability with the name that people read.
    pub const NAMES: &'static [(Self, &'static str)] = &[
        (Self::MODULES, "modules"),
        (Self::COMPONENTS, "components"),
        (Self::PREVIEW1, "preview1"),
        (Self::PREVIEW2, "preview2"),
        (Self::HTTP, "http"),
        (Self::SOCKETS, "sockets"),
        (Self::WASIX, "wasix"),
        (Self::THREADS, "threads"),
        (Self::AOT, "aot"),
        (Self::FUEL, "fuel"),
        (Self::NEEDS_AOT, "needs-aot"),
        (Self::MEMORY_LIMIT, "memory-limit"),
    ];

    /// Whether all of `other` is in this set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// This set and `other` together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = Self::NAMES.iter().filter(|(bit, _)| self.has(*bit)).map(|(_, name)| *name);
        if let Some(first) = names.next() {
            f.write_str(first)?;
        }
        names.try_for_each(|name| write!(f, " {name}"))
    }
}

/// How much an engine may spend on good code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Optimize {
    /// The engine's best code.
    #[default]
    Speed,
    /// Code that is there soon.
    Quick,
}

/// What an engine is opened with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settings {
    /// How much an engine may spend on good code.
    pub optimize: Optimize,
}

/// A module or component, and what to call in it.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// What people call it: its path in the image.
    pub name: &'a str,
    /// Bytes or artifact.
    pub form: SourceForm<'a>,
    /// A component, not a core module.
    pub component: bool,
    /// The export that [`Engine::run`] shall call; none: `_start`, or the command's `run`.
    pub function: Option<&'a str>,
}

/// In which form a module is there.
#[derive(Debug, Clone, Copy)]
pub enum SourceForm<'a> {
    /// WebAssembly in binary format, valid until the call returns.
    Bytes(&'a [u8]),
    /// A file that [`Engine::compile`] wrote; it does not change while it is mapped.
    Artifact(&'a Path),
}

/// A directory that a guest may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preopen<'a> {
    /// The path that the guest sees.
    pub guest: &'a str,
    /// The path here and now.
    pub host: &'a Path,
    /// The guest may not change anything below it.
    pub read_only: bool,
}

/// The world that a guest gets.
#[derive(Debug, Clone, Copy)]
pub struct Guest<'a> {
    /// argv, argv\[0\] included.
    pub args: &'a [String],
    /// `KEY=VALUE` each.
    pub env: &'a [String],
    /// Absolute; for engines that know a working directory.
    pub cwd: &'a str,
    /// In the order that the guest shall meet them, from descriptor 3 on.
    pub preopens: &'a [Preopen<'a>],
    /// Lent for as long as the guest runs.
    pub stdin: BorrowedFd<'a>,
    /// Lent for as long as the guest runs.
    pub stdout: BorrowedFd<'a>,
    /// Lent for as long as the guest runs.
    pub stderr: BorrowedFd<'a>,
    /// Most bytes that a linear memory may grow to; none: the engine's own limit.
    pub memory_limit: Option<u64>,
}

/// How a guest ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It returned (0) or called `proc_exit` or `exit` with this code.
    Exited(i32),
    /// It trapped; the engine's words and, where it has one, its backtrace.
    Trapped(Trap, String),
    /// The engine failed.
    Failed(String),
}

/// Kinds of traps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Trap {
    /// None of the others.
    Other = 0,
    /// The instruction `unreachable`.
    Unreachable = 1,
    /// Access outside of a linear memory.
    Memory = 2,
    /// Access outside of a table, a null or wrongly typed function.
    Table = 3,
    /// Division by zero, integer overflow, invalid conversion.
    Arithmetic = 4,
    /// Call stack exhausted.
    Stack = 5,
    /// An exception that nobody caught.
    Exception = 6,
    /// Fuel, deadline, cancellation.
    Interrupted = 7,
}

impl Trap {
    /// The trap of a code of the contract; unknown ones are [`Trap::Other`].
    pub fn from_code(code: i32) -> Self {
        match code {
            1 => Self::Unreachable,
            2 => Self::Memory,
            3 => Self::Table,
            4 => Self::Arithmetic,
            5 => Self::Stack,
            6 => Self::Exception,
            7 => Self::Interrupted,
            _ => Self::Other,
        }
    }
}

/// Why an engine could not do a step. The message is one that a person can act on: lower case, no full stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EngineError {
    /// What went wrong, for programs.
    pub kind: ErrorKind,
    /// What went wrong, for people.
    pub message: String,
}

impl EngineError {
    /// An error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string() }
    }

    /// An error of no special kind.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Failed, message)
    }
}

/// Kinds of [`EngineError`]; the numbers are those of `multiwasm_status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum ErrorKind {
    /// Not WebAssembly, or torn.
    Invalid = 1,
    /// WebAssembly, but of a kind or with a feature that this engine lacks.
    Unsupported = 2,
    /// The message names the import as `module::name`.
    MissingImport = 3,
    /// The message names the export.
    MissingExport = 4,
    /// An artifact of another version, other settings or another CPU: compile again.
    Stale = 5,
    /// A limit that the guest was given is too small for it.
    Limit = 6,
    /// Anything else.
    Failed = 7,
}

impl ErrorKind {
    /// The kind of a status of the contract; unknown ones are [`ErrorKind::Failed`].
    pub fn from_status(status: u32) -> Self {
        match status {
            1 => Self::Invalid,
            2 => Self::Unsupported,
            3 => Self::MissingImport,
            4 => Self::MissingExport,
            5 => Self::Stale,
            6 => Self::Limit,
            _ => Self::Failed,
        }
    }
}
