//! Reports of the conformance cases.
//!
//! # Layout
//!
//! - [`model`]: what a report holds.

pub mod model;

pub use model::{Area, Cell, Containerd, Engine, Failure, Outcome, Report, Run, Target, Timestamp};
