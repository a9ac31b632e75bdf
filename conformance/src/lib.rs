//! What every engine must do: cases, which are data, and the command `multiwasm-conformance` that runs them under a real
//! containerd; and tests in a lab, whose containerd and Docker are driven as a user drives them.
//!
//! # Layout
//!
//! Cases:
//!
//! - [`case`]: a case as data. [`catalog`]: all cases, and the guests that they name.
//! - [`client`]: containerd's gRPC API.
//! - [`runner`]: runs cases on targets, many at once, and compares what is seen with what must be.
//! - [`testsuite`]: the modules of a wasi-testsuite checkout as cases.
//! - [`report`]: what became of the cases, for people and for programs.
//! - [`command_line`]: the command.
//!
//! Tests in a lab:
//!
//! - [`command`]: a command with a bound, and what it printed.
//! - [`lab`]: the containerd and Docker that the tests run against; `scripts/lab` starts them.
//! - [`guests`]: the modules that run in the containers; [`fat`] generates one that is costly to compile.
//! - [`image`]: writes an OCI image archive.
//! - [`targets`]: what a test body runs on: each engine, our shim's native path, and runc.
//! - [`ctr`], [`docker`]: containers through the two command lines; [`cri`]: pods through `crictl`.
//! - [`leaks`]: what is left on the machine after a container.
//!
//! A body is written once, in `tests/`, and run on every target by [`each_engine!`] or [`each_target!`]. runc is among the
//! targets to prove the body itself: one that fails on runc is wrong, whatever an engine does.
//!
//! What drives containers for tests panics where it can't go on, with the command and all that it printed: a step that
//! fails is a test that fails.
#![forbid(unsafe_code)]

pub mod case;
pub mod catalog;
pub mod chaos;
pub mod client;
pub mod command;
pub mod command_line;
pub mod cri;
pub mod ctr;
pub mod docker;
pub mod fat;
pub mod guests;
pub mod image;
pub mod lab;
pub mod leaks;
pub mod prove;
pub mod registry;
pub mod report;
pub mod runner;
pub mod targets;
pub mod testsuite;
