//! The demonstration and the measurements, both in a lab (`scripts/lab`) and through a real containerd.
//!
//! # Layout
//!
//! The demonstration:
//!
//! - [`demo`]: one image on three engines, through `ctr` and `docker`: `make demo`.
//! - [`events`]: when what happened to a container, by containerd's own events.
//!
//! The benchmark, `make bench`:
//!
//! - [`command_line`]: the command. [`targets`]: what it compares.
//! - [`run`]: which parts on which targets; [`rounds`]: every target once a round, in turn; [`progress`]: how far it is.
//! - [`parts`]: the questions, one a file.
//! - [`context`]: containerd and images; [`container`]: one container's life, timed; [`guests`]: what runs in it.
//! - [`model`]: what was measured; [`machine`]: on what; [`stats`]: medians, ranges, and what is noise;
//!   [`means`]: what many rows say together.
//! - [`tables`], [`json`], [`markdown`], [`html`] and [`drawings`] with [`plots`]: a report for people and for programs. [`compare`]: two reports.
#![forbid(unsafe_code)]

pub mod alone;
pub mod colours;
pub mod command_line;
pub mod compare;
pub mod container;
pub mod context;
pub mod demo;
pub mod drawings;
pub mod events;
pub mod guests;
pub mod html;
pub mod json;
pub mod machine;
pub mod markdown;
pub mod markup;
pub mod means;
pub mod model;
pub mod parts;
pub mod plots;
pub mod progress;
pub mod rounds;
pub mod run;
#[cfg(test)]
mod sample;
pub mod stats;
pub mod tables;
pub mod targets;

use multiwasm_conformance::client::ClientError;
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
    /// containerd did not do what it was asked.
    #[error(transparent)]
    Client(#[from] ClientError),
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
    /// A plot can't be drawn.
    #[error("the plot of {part}: {reason}")]
    Plot {
        /// Of which part.
        part: &'static str,
        /// What the library says.
        reason: String,
    },
    /// A file can't be made or read.
    #[error("{what}: {cause}")]
    File {
        /// Which.
        what: String,
        /// Why.
        cause: std::io::Error,
    },
}

impl BenchError {
    /// What an input or output error of `what` becomes.
    pub(crate) fn file(what: &str) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.to_owned();
        move |cause| Self::File { what, cause }
    }
}
