//! The sandbox: a container from its bundle to a first process that waits at the gate, and its removal.
//!
//! # Layout
//!
//! - [`preset`](Preset): what the shim knows before any container: configuration, alias, engines loaded early
//! - `plan`: from bundle to plan: which file, which engine, compiled, checked
//! - `rootfs_mount`: the root file system
//! - `spec`: the specification as we run it
//! - `executor`: what libcontainer calls inside of the new process
//! - `stdio`: the container's ends of its pipes
//! - `create`, `teardown`: all of it in order, and back

mod create;
mod error;
mod executor;
mod plan;
mod preset;
mod rootfs_mount;
mod spec;
mod stdio;
mod teardown;

pub use create::{create, start};
pub use error::SandboxError;
pub use plan::{Chosen, choose_and_load};
pub use preset::Preset;
pub use teardown::remove;
