//! The demonstration and the measurements, both in a lab (`scripts/lab`) and through a real containerd.
//!
//! # Layout
//!
//! - [`demo`]: one image on three engines, through `ctr` and `docker`: `make demo`.
//! - [`start`]: Create, Start and exit of a tiny guest, beside runc: `make bench`.
//! - [`events`]: when what happened to a container, by containerd's own events.
//! - [`report`]: tables, medians, and the machine that they are of.
#![forbid(unsafe_code)]

pub mod demo;
pub mod events;
pub mod report;
pub mod start;

use multiwasm_conformance::command::CommandError;
use multiwasm_conformance::image::ImageError;
use multiwasm_conformance::lab::LabError;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// No lab to run in.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// A command failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The image could not be made.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// containerd's socket does not answer.
    #[error("containerd at {socket} can't be reached: {cause}")]
    Connect {
        /// Its socket.
        socket: String,
        /// Why.
        cause: containerd_client::tonic::transport::Error,
    },
    /// containerd refused a call.
    #[error("containerd refused {call} of {container}: {}", .cause.message())]
    Refused {
        /// What was asked.
        call: &'static str,
        /// Of which container.
        container: String,
        /// What it said.
        cause: Box<containerd_client::tonic::Status>,
    },
    /// A container's end did not come, or was not as it must be.
    #[error("container {container}: {what}")]
    Container {
        /// Which.
        container: String,
        /// What is wrong.
        what: String,
    },
    /// Something that is needed has another form than expected.
    #[error("{0}")]
    Unexpected(String),
    /// A file can't be made or read.
    #[error("{what}: {cause}")]
    File {
        /// Which.
        what: String,
        /// Why.
        cause: std::io::Error,
    },
}
