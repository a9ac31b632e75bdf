//! The modules of a wasi-testsuite checkout, as cases: each a container on each engine.
//!
//! # Layout
//!
//! - [`mod@format`]: what lies in a checkout, a module and the file beside it that says how it is run.
//! - [`cases`]: a case of each module. [`expectations`]: which of them an engine itself fails, with evidence.
//! - [`alone`]: a module on the engine's own command, without us; [`evidence`]: what that says of the cells of a run.

pub mod alone;
pub mod cases;
pub mod evidence;
pub mod expectations;
pub mod format;
