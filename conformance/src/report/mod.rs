//! What became of the cases, for people and for programs.
//!
//! # Layout
//!
//! - [`model`]: what a report holds.
//! - [`merge`]: several runs as one report.
//! - [`count`]: the numbers of the matrix.
//! - [`json`], [`markdown`], [`junit`], [`html`]: the forms that a report is written in. JSON is the whole of it, and the
//!   one that is read back.

pub mod count;
pub mod html;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod merge;
pub mod model;

#[cfg(test)]
mod documentation;
#[cfg(test)]
mod sample;

pub use model::{Area, Cell, Containerd, Engine, Failure, Outcome, Report, Run, Target, Timestamp};
