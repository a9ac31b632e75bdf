//! The parts of the benchmark: each answers one question.
//!
//! # Layout
//!
//! - [`start`]: the phases of a start. [`sizes`]: first and second start of small and large modules.
//! - [`throughput`]: containers a second. [`memory`]: what idle containers weigh; [`processes`] finds and weighs them.
//! - [`steps`]: where the time goes inside the shim.
//! - [`compute`]: guest code, in a container and without one. [`io`]: standard output and files.

pub mod compute;
pub mod io;
pub mod memory;
pub mod processes;
pub mod sizes;
pub mod start;
pub mod steps;
pub mod throughput;
