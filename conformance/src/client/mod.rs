//! A client of containerd, as far as cases need one: everything goes through containerd's own gRPC API.
//!
//! # Layout
//!
//! - [`images`]: content, images, snapshots. containerd itself unpacks.
//! - [`tasks`]: containers, tasks and their processes.
//! - [`events`]: one subscription, read by container.
//! - [`metrics`]: figures of a task by name, of both cgroup versions.
//! - [`namespace`]: the namespace of a run: made, and removed with all that is in it.

pub mod events;
pub mod images;
pub mod metrics;
pub mod namespace;
pub mod tasks;

use std::path::{Path, PathBuf};

use containerd_client::tonic::metadata::MetadataValue;
use containerd_client::tonic::transport::{Channel, Error};
use containerd_client::tonic::{Code, Request, Status};

/// Why containerd did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Its socket does not answer.
    #[error(
        "containerd at {} can't be reached: {}: name its socket by --containerd or CONTAINERD_ADDRESS, and run as root",
        address.display(), root_cause(cause)
    )]
    Connect {
        /// Its socket.
        address: PathBuf,
        /// Why.
        cause: Error,
    },
    /// A call was answered with an error.
    #[error("{call} of {about}: {}", status.message())]
    Call {
        /// What was asked.
        call: &'static str,
        /// Of what.
        about: String,
        /// The answer.
        status: Box<Status>,
    },
    /// An answer has another form than it must.
    #[error("{call} of {about}: {reason}")]
    Answer {
        /// What was asked.
        call: &'static str,
        /// Of what.
        about: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl ClientError {
    /// What containerd says, without what was asked.
    pub fn message(&self) -> String {
        match self {
            Self::Call { status, .. } => status.message().to_owned(),
            other => other.to_string(),
        }
    }

    /// Whether the thing is not there.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(Code::NotFound)
    }

    fn code(&self) -> Option<Code> {
        match self {
            Self::Call { status, .. } => Some(status.code()),
            _ => None,
        }
    }
}

/// The innermost cause, which is the one that says something.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// A connection, and the namespace that all calls are of. Clones share the connection.
#[derive(Debug, Clone)]
pub struct Containerd {
    channel: Channel,
    namespace: String,
    /// Holds content and snapshots that no image names yet.
    lease: Option<String>,
}

impl Containerd {
    /// Connects to the socket `address`; calls are of `namespace`, which need not exist yet.
    ///
    /// # Errors
    /// Nobody listens there.
    pub async fn connect(address: &Path, namespace: &str) -> Result<Self, ClientError> {
        // As clients of Docker and gRPC write it.
        let address = address.to_str().and_then(|text| text.strip_prefix("unix://")).map_or(address, Path::new);
        let channel = containerd_client::connect(address);
        let channel = channel.await.map_err(|cause| ClientError::Connect { address: address.to_owned(), cause })?;
        Ok(Self { channel, namespace: namespace.to_owned(), lease: None })
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// containerd's version, as it says it.
    ///
    /// # Errors
    /// containerd does not answer.
    pub async fn version(&self) -> Result<String, ClientError> {
        let mut client = containerd_client::services::v1::version_client::VersionClient::new(self.channel());
        let version = client.version(self.request(())).await.map_err(refused("Version", "containerd"))?.into_inner();
        let short = version.version.split(['~', '+', '-']).next().unwrap_or_default();
        Ok(short.trim_start_matches('v').to_owned())
    }

    fn channel(&self) -> Channel {
        self.channel.clone()
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let value = |text: &str| MetadataValue::try_from(text).expect("names of namespaces and leases are plain ASCII");
        request.metadata_mut().insert("containerd-namespace", value(&self.namespace));
        if let Some(lease) = &self.lease {
            request.metadata_mut().insert("containerd-lease", value(lease));
        }
        request
    }
}

/// An answer that is an error, with what was asked.
fn refused(call: &'static str, about: &str) -> impl FnOnce(Status) -> ClientError {
    let about = about.to_owned();
    move |status| ClientError::Call { call, about, status: Box::new(status) }
}

/// The answer, or nothing where the thing is there already.
fn or_there<T>(answer: Result<T, ClientError>) -> Result<(), ClientError> {
    match answer {
        Err(error) if error.code() == Some(Code::AlreadyExists) => Ok(()),
        other => other.map(drop),
    }
}
