//! The spawner: the process in which containers are born.
//!
//! The shim server has an async runtime and must stay alive whatever happens, so it never forks. Beside it stands a
//! process with one thread and no runtime, forked before the server's began, that has loaded the engine meanwhile. For
//! each piece of work it forks a worker, which does it in plain sequential code, answers, and ends. A container's first
//! process is the worker's child and, when the worker ends, becomes the server's, which is its subreaper.

mod client;
mod message;
mod process;

pub use client::{Done, Spawner, SpawnerError};
pub use message::{Create, Exec, Failure, FailureKind, Mount, Work};
pub use process::fork_spawner;
