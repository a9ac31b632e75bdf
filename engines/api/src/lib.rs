//! The contract between multiwasm's dispatcher and its WebAssembly engines.
//!
//! An engine is a shared object that exports one table of C functions; `include/multiwasm_engine.h` is that table for C,
//! [`abi`] the same for Rust. Nobody writes against the table by hand in Rust: an engine implements the trait
//! [`Engine`] and names its type in [`export_engine!`], the dispatcher opens a plug-in with `loader::Plugin` (feature
//! `loader`).
//!
//! # Layout
//!
//! - [`abi`]: the C types, one to one as in the header
//! - [`engine`]: the trait, and the types that an engine meets
//! - [`export`]: from trait to table; no panic crosses
//! - [`start`]: keeps a module's start function from running too early, for engines that can't
//! - `loader`: from a file to a checked table, and safe methods on it

pub mod abi;
pub mod engine;
pub mod export;
#[cfg(feature = "loader")]
pub mod loader;
pub mod start;

pub use engine::{
    Capabilities, Description, Engine, EngineError, ErrorKind, Guest, Optimize, Outcome, Preopen, Settings, Source,
    SourceForm, Trap,
};
