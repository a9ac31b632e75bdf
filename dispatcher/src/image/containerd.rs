//! The container's image, and its content, over containerd's gRPC.

use std::fmt::Display;
use std::io::{self, Cursor, Read};
use std::path::Path;
use std::time::Duration;

use containerd_client::Client;
use containerd_client::services::v1::{GetContainerRequest, GetImageRequest, ReadContentRequest, ReadContentResponse};
use containerd_client::tonic::metadata::{Ascii, MetadataValue};
use containerd_client::tonic::{Code, Request, Status, Streaming};
use oci_spec::image::{Descriptor, Digest, MediaType};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::content::Store;
use super::{ImageError, Origin};
use crate::causes::chain;

/// How long containerd may take for an answer, or for the next part of one. It waits for this shim meanwhile, so an answer
/// that does not come must not be waited for.
const ANSWER: Duration = Duration::from_secs(30);

/// A connection to containerd, driven by the caller's thread alone.
pub(super) struct Containerd<'a> {
    origin: &'a Origin<'a>,
    namespace: MetadataValue<Ascii>,
    client: Client,
    runtime: Runtime,
}

impl<'a> Containerd<'a> {
    /// Connects.
    pub(super) fn connect(origin: &'a Origin<'a>) -> Result<Self, ImageError> {
        let failed = |reason: &dyn Display| unanswered(origin, reason);
        let namespace = origin.namespace.parse().map_err(|error| failed(&error))?;
        let path = origin.address.strip_prefix("unix://").unwrap_or(origin.address);
        let (runtime, client) = connect(Path::new(path), ANSWER).map_err(|reason| failed(&reason))?;
        Ok(Self { origin, namespace, client, runtime })
    }

    /// The name of the container's image, and what it stands for.
    pub(super) fn image(&self) -> Result<(String, Descriptor), ImageError> {
        let Origin { namespace, id, .. } = *self.origin;
        let none = || ImageError::NoImage { id: id.to_owned(), namespace: namespace.to_owned() };
        let request = self.request(GetContainerRequest { id: id.to_owned() });
        let found = self.ask(async { self.client.containers().get(request).await })?;
        let image = found.and_then(|found| found.into_inner().container).map(|container| container.image);
        let image = image.filter(|image| !image.is_empty()).ok_or_else(none)?;

        let gone = || ImageError::Gone { image: image.clone(), id: id.to_owned(), namespace: namespace.to_owned() };
        let target = self.named(&image)?.ok_or_else(gone)?;
        Ok((image, target))
    }

    /// What the image of this name stands for; none where there is no such image.
    pub(super) fn named(&self, image: &str) -> Result<Option<Descriptor>, ImageError> {
        let request = self.request(GetImageRequest { name: image.to_owned() });
        let found = self.ask(async { self.client.images().get(request).await })?;
        let Some(target) = found.and_then(|found| found.into_inner().image?.target) else { return Ok(None) };
        let digest = Digest::try_from(target.digest.as_str());
        let digest = digest.map_err(|error| unanswered(self.origin, &format_args!("image {image}: {error}")))?;
        let size = u64::try_from(target.size).unwrap_or_default();
        Ok(Some(Descriptor::new(MediaType::from(target.media_type.as_str()), size, digest)))
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("containerd-namespace", self.namespace.clone());
        request
    }

    /// Waits for an answer; none where containerd has no such thing.
    fn ask<T>(&self, call: impl Future<Output = Result<T, Status>>) -> Result<Option<T>, ImageError> {
        match self.runtime.block_on(async { timeout(ANSWER, call).await }) {
            Ok(Ok(answer)) => Ok(Some(answer)),
            Ok(Err(status)) if status.code() == Code::NotFound => Ok(None),
            Ok(Err(status)) => Err(unanswered(self.origin, &status.message())),
            Err(_) => Err(unanswered(self.origin, &late(ANSWER))),
        }
    }
}

/// A connection to the containerd that listens at `address`, and what drives it, by the caller's thread alone.
///
/// # Errors
/// Why there is none, with all causes.
pub(crate) fn connect(address: &Path, patience: Duration) -> Result<(Runtime, Client), String> {
    let runtime = Builder::new_current_thread().enable_io().enable_time().build().map_err(|error| error.to_string())?;
    let connected = runtime.block_on(async { timeout(patience, Client::from_path(address)).await });
    let client = connected.map_err(|_| late(patience))?.map_err(|error| chain(&error))?;
    Ok((runtime, client))
}

/// The reason, where there was no answer.
pub(crate) fn late(patience: Duration) -> String {
    format!("no answer for {} s", patience.as_secs())
}

fn unanswered(origin: &Origin<'_>, reason: &dyn Display) -> ImageError {
    ImageError::Containerd { address: origin.address.to_owned(), reason: reason.to_string() }
}

impl Store for Containerd<'_> {
    fn place(&self) -> String {
        "containerd's content store".to_owned()
    }

    fn open(&self, digest: &str) -> Result<Option<Box<dyn Read + '_>>, String> {
        let request = self.request(ReadContentRequest { digest: digest.to_owned(), offset: 0, size: 0 });
        let mut parts = Parts { runtime: &self.runtime, stream: None, part: Cursor::default() };
        let mut client = self.client.content();
        // That there is none is said with the answer, or with its first part.
        let begun = self.runtime.block_on(async { timeout(ANSWER, client.read(request)).await });
        let begun = begun.map_err(|_| late(ANSWER))?.and_then(|answer| {
            parts.stream = Some(answer.into_inner());
            parts.next()
        });
        match begun {
            Ok(_) => Ok(Some(Box::new(parts))),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(status.message().to_owned()),
        }
    }
}

/// Content as containerd sends it, in parts.
struct Parts<'a> {
    runtime: &'a Runtime,
    /// None at the end.
    stream: Option<Streaming<ReadContentResponse>>,
    part: Cursor<Vec<u8>>,
}

impl Parts<'_> {
    /// Waits for the next part; false at the end.
    fn next(&mut self) -> Result<bool, Status> {
        let Some(stream) = &mut self.stream else { return Ok(false) };
        let part = self.runtime.block_on(async { timeout(ANSWER, stream.message()).await });
        let part = part.map_err(|_| Status::deadline_exceeded(late(ANSWER)))??;
        match part {
            Some(part) => self.part = Cursor::new(part.data),
            None => self.stream = None,
        }
        Ok(self.stream.is_some())
    }
}

impl Read for Parts<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.part.read(buffer)?;
            // A part may be empty.
            if read > 0 || buffer.is_empty() || !self.next().map_err(|status| io::Error::other(status.message()))? {
                return Ok(read);
            }
        }
    }
}
