//! What the server and the spawner say to each other: one JSON text a packet.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A piece of work, numbered so that answers find back.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) number: u64,
    pub(super) work: Work,
}

/// The answer to the request of the same number. Descriptors may come with it: a terminal's master and its output.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Reply {
    pub(super) number: u64,
    /// The pid that a Create or an Exec gives; 0 for the rest.
    pub(super) result: Result<i32, Failure>,
}

/// What a worker does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Work {
    /// Makes a container up to the gate that Start opens.
    Create(Box<Create>),
    /// Opens the gate.
    Start {
        /// containerd's namespace.
        namespace: String,
        /// The container's id.
        id: String,
    },
    /// Starts a further process in a container that runs.
    Exec(Box<Exec>),
    /// Stops all processes of a container where they are, or lets them go on.
    Freeze {
        /// containerd's namespace.
        namespace: String,
        /// The container's id.
        id: String,
        /// Whether they shall stand still.
        frozen: bool,
    },
    /// Sets other limits for a container.
    Update {
        /// containerd's namespace.
        namespace: String,
        /// The container's id.
        id: String,
        /// `LinuxResources` of the OCI specification, as JSON.
        resources: String,
    },
    /// Ends the Create of a container that is under way; no error if there is none.
    Cancel {
        /// containerd's namespace.
        namespace: String,
        /// The container's id.
        id: String,
    },
    /// Removes all that there is of a container.
    Delete {
        /// containerd's namespace.
        namespace: String,
        /// The container's id.
        id: String,
    },
}

/// A container to be made.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Create {
    /// containerd's namespace.
    pub namespace: String,
    /// The container's id.
    pub id: String,
    /// containerd's folder, which holds config.json.
    pub bundle: PathBuf,
    /// What makes up the root file system; empty where the caller has mounted it.
    pub mounts: Vec<Mount>,
    /// Where stdout goes: a FIFO or `file://` path; empty for nowhere. stdin comes as a descriptor with the message.
    pub stdout: String,
    /// Where stderr goes; nowhere of its own with a terminal.
    pub stderr: String,
    /// Whether the process gets a terminal, whose master goes back with the answer.
    pub terminal: bool,
    /// Runtime options of this container: type URL, and the value in hexadecimal, as JSON has no bytes.
    pub options: Option<(String, String)>,
}

/// A process to be started in a container.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Exec {
    /// containerd's namespace.
    pub namespace: String,
    /// The container's id.
    pub id: String,
    /// The process's own id.
    pub exec_id: String,
    /// `process` of the OCI specification, as JSON.
    pub process: String,
    /// Where stdout goes, as in [`Create`].
    pub stdout: String,
    /// Where stderr goes.
    pub stderr: String,
    /// Whether the process gets a terminal.
    pub terminal: bool,
    /// The runtime options that the container was made with.
    pub options: Option<(String, String)>,
}

/// One mount of a root file system, as containerd describes it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Mount {
    /// File system type.
    pub kind: String,
    /// Device or folder.
    pub source: String,
    /// Below the root file system; empty for its top.
    pub target: String,
    /// Flags and data.
    pub options: Vec<String>,
}

/// Why a piece of work failed.
#[derive(Debug, Clone, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct Failure {
    /// For programs.
    pub kind: FailureKind,
    /// For people, causes included.
    pub message: String,
}

impl Failure {
    /// Most bytes of a message. An image can put any name into one, and it has to pass through packets and headers on its
    /// way to the user.
    const LONGEST: usize = 8 << 10;

    /// A failure; a message that is too long is cut.
    pub fn new(kind: FailureKind, mut message: String) -> Self {
        if message.len() > Self::LONGEST {
            message.truncate(message.floor_char_boundary(Self::LONGEST));
            message.push_str(" …");
        }
        Self { kind, message }
    }
}

/// Kinds of failure that containerd tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// What was given is wrong.
    Invalid,
    /// There is no such thing.
    NotFound,
    /// There is one already.
    Exists,
    /// What is there is not in the state for it.
    State,
    /// The rest.
    Other,
}
