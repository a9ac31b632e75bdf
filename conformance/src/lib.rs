//! What the conformance tests stand on: a lab's containerd and Docker, driven as a user drives them.
//!
//! # Layout
//!
//! - [`command`]: a command with a bound, and what it printed.
//! - [`lab`]: the containerd and Docker that the tests run against; `scripts/lab` starts them.
//! - [`guests`]: the modules that run in the containers; [`fat`] generates one that is costly to compile.
//! - [`image`]: writes an OCI image archive.
//! - [`targets`]: what a test body runs on: each engine, our shim's native path, and runc.
//! - [`ctr`], [`docker`]: containers through the two command lines.
//! - [`refused`]: containers that must not come to life, and what the user reads.
//! - [`leaks`]: what is left on the machine after a container.
//! - [`report`]: what became of the cases, for people and for programs.
//!
//! A body is written once, in `tests/`, and run on every target by [`each_engine!`] or [`each_target!`]. runc is among the
//! targets to prove the body itself: one that fails on runc is wrong, whatever an engine does.
//!
//! What drives containers for tests panics where it can't go on, with the command and all that it printed: a step that
//! fails is a test that fails.
#![forbid(unsafe_code)]

pub mod case;
pub mod catalog;
pub mod client;
pub mod command;
pub mod command_line;
pub mod ctr;
pub mod docker;
pub mod fat;
pub mod guests;
pub mod image;
pub mod lab;
pub mod leaks;
pub mod refused;
pub mod report;
pub mod runner;
pub mod targets;
