//! multiwasm: one containerd shim that runs WebAssembly containers on Wasmtime, WasmEdge or Wasmer.
//!
//! # Layout
//!
//! In the order in which a container passes through:
//!
//! - [`bootstrap`]: the shim binary's command line; `start`, `delete`
//! - [`server`], [`task`]: the shim server, containerd's calls, events, exits
//! - [`spawner`]: the process beside the server in which containers are born
//! - [`config`], [`options`], [`selection`], [`engines`], [`module`]: what runs on which engine
//! - [`rootfs`]: which file the entrypoint is
//! - [`image`]: OCI Wasm artifacts, whose module is no file of the root file system
//! - [`artifact`]: compiled modules and their cache
//! - [`sandbox`]: the container around the guest, made by libcontainer
//! - [`guest`]: what runs in the container's process
//!
//! Beside it: [`state`], what must be known when a shim is dead; [`process`]; [`log`]; [`causes`], how errors are said; `fault`, what tests break; [`command`], the command `multiwasm` for people;
//! [`install`], what it writes into others' configuration files.

pub mod artifact;
pub mod bootstrap;
pub mod causes;
mod cgroup;
pub mod command;
pub mod config;
pub mod engines;
mod fault;
pub mod guest;
pub mod image;
pub mod install;
pub mod log;
pub mod module;
pub mod options;
pub mod process;
pub mod rootfs;
pub mod sandbox;
pub mod selection;
pub mod server;
pub mod spawner;
pub mod state;
pub mod task;
