//! Cases as data: which guest, how it is run, what must be seen. conformance/cases/README.md tells the format.
//!
//! # Layout
//!
//! - [`model`]: a case and the container that it describes; [`node`]: what is around it; [`step`]: what is done; [`expect`]: what must be seen.
//! - [`mod@file`]: a file of cases, read with errors that name file, case and key; [`check`]: what types can't say.
//! - [`value`]: the small forms that values take: sizes, signals, users.

pub mod check;
pub mod expect;
pub mod file;
pub mod model;
pub mod node;
pub mod step;
pub mod value;

pub use expect::Expect;
pub use file::{Area, CaseError};
pub use model::Case;
pub use step::{Act, Step};
