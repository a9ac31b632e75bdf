//! The sandbox: a container from its bundle to a first process that waits at the gate, and its removal.
//!
//! # Layout
//!
//! - [`preset`](Preset): what the shim knows before any container: configuration, alias, engines loaded early
//! - `plan`: from bundle to plan: which file, which engine, compiled, checked
//! - `rootfs_mount`: the root file system
//! - `spec`: the specification as we run it; `check`: whether the host has what it names
//! - `executor`: what libcontainer calls inside of the new process
//! - `stdio`: the container's ends of its pipes; `logger`: a program that takes its output
//! - `direct`: the short way into a container, for ordinary guests
//! - `create`, `teardown`: all of it in order, and back; `abandoned`: what nobody watches any more
//! - `exec`, `join`, `newcomer`: a further process in a container that runs
//! - `terminal`: pseudo terminals
//! - `limits`: pausing, other limits

mod abandoned;
mod check;
mod code;
mod create;
mod direct;
mod error;
mod exec;
mod executor;
mod join;
mod limits;
mod logger;
mod newcomer;
mod plan;
mod preset;
mod program;
mod rootfs_mount;
mod spec;
mod stdio;
mod teardown;
pub mod terminal;

pub use abandoned::remove_abandoned;
pub use create::{Made, create, open_gate, start};
pub use error::SandboxError;
pub use exec::{exec, settle_exec};
pub use limits::{freeze, update};
pub use plan::{Chosen, choose_and_load};
pub use preset::Preset;
pub(crate) use teardown::end;
pub use teardown::remove;
pub use terminal::Terminal;
