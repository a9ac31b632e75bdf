//! What programs that start containers must know of multiwasm, in their configuration files: put in, and taken out again.
//!
//! Each of them is text in, text out: comments, order and all that is not ours stay as they are. Writing the file is `file`'s
//! alone: whole or not at all, with what was there before beside it.
//!
//! # Layout
//!
//! - [`docker`]: Docker's `daemon.json`
//! - [`containerd`]: `config.toml`, for Kubernetes' runtime handlers
//! - [`imports`]: the files that it imports
//! - [`k3s`]: the template that K3s and RKE2 make containerd's configuration of
//! - [`mod@file`]: a file's change: shown, written, undone
#![forbid(unsafe_code)]

pub mod containerd;
pub mod docker;
pub mod file;
pub mod imports;
pub mod k3s;

/// The name that users give: Docker's `--runtime`, a RuntimeClass' handler.
pub const NAME: &str = "multiwasm";

/// The engines that have a name of their own beside it.
pub const ALIASES: [&str; 3] = ["wasmtime", "wasmedge", "wasmer"];

/// The name by which containerd finds the shim: `io.containerd.NAME.v1` is `containerd-shim-NAME-v1`.
pub fn runtime_type(name: &str) -> String {
    format!("io.containerd.{name}.v1")
}

/// A configuration's new text, and what its owner should know beside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The text.
    pub text: String,
    /// Remarks, a line each.
    pub notes: Vec<String>,
}

/// Why a configuration can't be changed. It stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not what its program would take either.
    #[error("it can't be read: {0}; mend it first")]
    Unreadable(String),
    /// There is something else under a name that is ours.
    #[error("{key} is {found}, wanted {wanted}: rename or remove it")]
    Taken {
        /// Where.
        key: String,
        /// What is there.
        found: String,
        /// What should be.
        wanted: String,
    },
    /// A format of another time.
    #[error("its version is {found} (1 where none is said), known are 2 to 4: {cure}", cure = cure(*found))]
    Version {
        /// The version.
        found: i64,
    },
    /// What is to be taken out is what containers get that name nothing.
    #[error("{key} is {name}, which would be there no more: name another there first, \"runc\" for one")]
    Default {
        /// Where.
        key: String,
        /// What it names.
        name: String,
    },
}

/// What to do about a version that is not known. containerd reads all that are older than its own.
fn cure(version: i64) -> &'static str {
    if version < 2 {
        "`containerd config migrate` of containerd 2 writes it anew; with containerd 1, say `version = 2` first if there is nothing \
         else in it but disabled_plugins, or begin with what `containerd config default` writes"
    } else {
        "take a newer release of multiwasm, or write the file in version 4, which newer releases of containerd read too"
    }
}
