//! Why a container can't be made or started; what `docker run` and `kubectl describe` show.

use std::io;
use std::path::PathBuf;

use libcontainer::error::LibcontainerError;
use multiwasm_engine::EngineError;

use crate::artifact::CompileError;
use crate::causes::chain;
use crate::config::ConfigError;
use crate::engines::EnginesError;
use crate::image::ImageError;
use crate::module::ModuleError;
use crate::options::OptionError;
use crate::rootfs::EntryError;
use crate::selection::SelectionError;
use crate::spawner::{Failure, FailureKind};

/// Why a container can't be made or started.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The record's folder is there already.
    #[error("container {id} can't be made: its state folder {path} is left from another; remove that container first")]
    Exists {
        /// The container.
        id: String,
        /// Its folder.
        path: PathBuf,
    },
    /// The record.
    #[error("the state of the container can't be written to {path}: {source}")]
    State {
        /// Its folder.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// One of the mounts that make up the root file system.
    #[error("root file system: {what} can't be mounted on {target}: {reason}")]
    Mount {
        /// Type and source.
        what: String,
        /// Where.
        target: PathBuf,
        /// What the kernel said.
        reason: String,
    },
    /// The bundle's specification.
    #[error("{path}: {reason}")]
    Spec {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Two say different things of a terminal.
    #[error("the process's terminal: {with} has it, {without} does not; both must say the same")]
    Terminal {
        /// Who wants one.
        with: &'static str,
        /// Who does not.
        without: &'static str,
    },
    /// A process that was to be started in a container.
    #[error("exec: {0}")]
    Exec(Box<SandboxError>),
    /// Its specification.
    #[error("its process specification can't be read: {0}")]
    Process(String),
    /// Its file is not there: the words by which Docker knows it.
    #[error("executable file not found in the container: {name}: looked for {}", places.join(", "))]
    NoSuchFile {
        /// As given.
        name: String,
        /// The container's paths that were tried.
        places: Vec<String>,
    },
    /// Its file can't be run: again Docker's words.
    #[error("permission denied: {0}")]
    NotExecutable(Box<SandboxError>),
    /// The container's first process has ended.
    #[error("container {0} is not running")]
    NotRunning(String),
    /// Limits.
    #[error("the container's limits can't be changed: {0}")]
    Limits(String),
    /// The freezer.
    #[error("container {id} can't be {what}: {reason}")]
    Freezer {
        /// The container.
        id: String,
        /// What was asked for.
        what: &'static str,
        /// What the kernel or libcgroups said.
        reason: String,
    },
    /// A pipe or file for stdout or stderr.
    #[error("{path} can't be opened for the container's output: {reason}")]
    Output {
        /// As given.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An annotation.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// The entrypoint.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The entrypoint is not in the root file system, and the container's image can't be asked for it.
    #[error("{entry}; {image}")]
    Nowhere {
        /// What there is in the root file system.
        entry: EntryError,
        /// Why the image was not looked at.
        image: Box<ImageError>,
    },
    /// The image, which is an OCI Wasm artifact.
    #[error(transparent)]
    Image(#[from] Box<ImageError>),
    /// What the entrypoint is.
    #[error("entrypoint {path}: {source}")]
    Module {
        /// In the container.
        path: String,
        /// What is wrong with it.
        source: ModuleError,
    },
    /// A program that nothing can run.
    #[error(
        "entrypoint {path} is neither WebAssembly nor a native program: it begins with {begins}; expected \\0asm, an ELF \
         executable or a script's #!"
    )]
    NotRunnable {
        /// In the container.
        path: String,
        /// Its first bytes.
        begins: String,
    },
    /// A native program that may not be executed.
    #[error(
        "entrypoint {path} is {kind} without permission to execute it: chmod +x it, in an image by COPY --chmod=755"
    )]
    NoExecBit {
        /// In the container.
        path: String,
        /// What it is.
        kind: String,
    },
    /// A namespace that the container is to join.
    #[error("{kind} namespace {path} can't be joined: {source}", path = path.display())]
    Namespace {
        /// Which kind.
        kind: String,
        /// Its file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Native code in place of WebAssembly.
    #[error(
        "entrypoint {path} holds native code ({what}), which is not run from an image; publish the WebAssembly module, or \
         let the node's administrator set allow_native_code = true in the configuration file"
    )]
    NativeCode {
        /// In the container.
        path: String,
        /// Whose.
        what: String,
    },
    /// The choice of an engine.
    #[error(transparent)]
    Selection(#[from] Box<SelectionError>),
    /// The engine's plug-in.
    #[error(transparent)]
    Engines(#[from] EnginesError),
    /// The engine on this module.
    #[error("{file} on {engine}: {source}")]
    Engine {
        /// In the container.
        file: String,
        /// By name.
        engine: String,
        /// In its own words.
        source: EngineError,
    },
    /// Compiling.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// Inside of the new process.
    #[error("{0}")]
    Inside(String),
    /// The new process was gone before it said that it is ready, and before it said why not.
    #[error(
        "the container's first process was killed before it was ready: its module needs more memory than the container \
         may use, or more than a minute to be instantiated: {0}"
    )]
    Died(String),
    /// The sandbox itself.
    #[error("the sandbox can't be made: {}", chain(.0))]
    Sandbox(#[from] LibcontainerError),
    /// Something could not be removed.
    #[error("of container {id} there is still {}; delete it again", left.join(", "))]
    Left {
        /// The container.
        id: String,
        /// What and why.
        left: Vec<String>,
    },
    /// There is none.
    #[error("container {0} not found: it has no sandbox")]
    NotFound(String),
}

impl SandboxError {
    /// For programs.
    fn kind(&self) -> FailureKind {
        use SandboxError as E;
        match self {
            E::Exec(source) | E::NotExecutable(source) => source.kind(),
            E::Exists { .. } => FailureKind::Exists,
            E::NotFound(_)
            | E::NoSuchFile { .. }
            | E::Entry(EntryError::Missing { .. })
            | E::Nowhere { entry: EntryError::Missing { .. }, .. } => FailureKind::NotFound,
            E::Image(image) if image.is_missing() => FailureKind::NotFound,
            E::NotRunning(_) => FailureKind::State,
            E::Spec { .. }
            | E::Option(_)
            | E::Config(_)
            | E::Entry(_)
            | E::Nowhere { .. }
            | E::Image(_)
            | E::Module { .. }
            | E::NotRunnable { .. }
            | E::NoExecBit { .. }
            | E::NativeCode { .. }
            | E::Terminal { .. }
            | E::Process(_)
            | E::Limits(_)
            | E::Selection(_) => FailureKind::Invalid,
            _ => FailureKind::Other,
        }
    }
}

impl From<SandboxError> for Failure {
    fn from(error: SandboxError) -> Self {
        Self::new(error.kind(), chain(&error))
    }
}
