//! Why a container can't be made or started; what `docker run` and `kubectl describe` show.

use std::io;
use std::path::PathBuf;

use libcontainer::error::LibcontainerError;
use multiwasm_engine::EngineError;

use crate::artifact::CompileError;
use crate::causes::chain;
use crate::config::ConfigError;
use crate::engines::EnginesError;
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

impl From<SandboxError> for Failure {
    fn from(error: SandboxError) -> Self {
        use SandboxError as E;
        let kind = match &error {
            E::Exists { .. } => FailureKind::Exists,
            E::NotFound(_) | E::Entry(EntryError::Missing { .. }) => FailureKind::NotFound,
            E::Spec { .. }
            | E::Option(_)
            | E::Config(_)
            | E::Entry(_)
            | E::Module { .. }
            | E::NotRunnable { .. }
            | E::NativeCode { .. }
            | E::Selection(_) => FailureKind::Invalid,
            _ => FailureKind::Other,
        };
        Self::new(kind, chain(&error))
    }
}
