//! Content, images and snapshots.

use std::collections::HashMap;

use containerd_client::services::v1::content_client::ContentClient;
use containerd_client::services::v1::diff_client::DiffClient;
use containerd_client::services::v1::images_client::ImagesClient;
use containerd_client::services::v1::snapshots::snapshots_client::SnapshotsClient;
use containerd_client::services::v1::snapshots::{
    CommitSnapshotRequest, MountsRequest, PrepareSnapshotRequest, RemoveSnapshotRequest, StatSnapshotRequest,
};
use containerd_client::services::v1::{
    ApplyRequest, CreateImageRequest, Image, InfoRequest, WriteAction, WriteContentRequest,
};
use containerd_client::tonic::codegen::tokio_stream;
use containerd_client::types::{Descriptor, Mount};
use sha2::{Digest, Sha256};

use super::{ClientError, Containerd, or_there, refused};

/// The snapshotter that every containerd has, and that its clients take.
pub const SNAPSHOTTER: &str = "overlayfs";
/// Bytes of a blob in one message; containerd takes 16 MiB.
const CHUNK: usize = 1 << 20;

/// A blob's digest, as descriptors have it.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// The name of the snapshot of layers that lie on `parent`, as containerd's clients name it.
fn chain(parent: &str, layer: &str) -> String {
    if parent.is_empty() { layer.to_owned() } else { digest(format!("{parent} {layer}").as_bytes()) }
}

impl Containerd {
    /// Puts a blob into the content store. `refers` are the blobs that it names, which live as long as it does.
    ///
    /// # Errors
    /// containerd refuses it.
    pub async fn push(&self, media_type: &str, blob: &[u8], refers: &[&Descriptor]) -> Result<Descriptor, ClientError> {
        let digest = digest(blob);
        let (size, about) = (blob.len() as i64, format!("{media_type} {digest}"));
        let descriptor =
            Descriptor { media_type: media_type.to_owned(), digest: digest.clone(), size, annotations: HashMap::new() };
        let mut content = ContentClient::new(self.channel());
        if content.info(self.request(InfoRequest { digest: digest.clone() })).await.is_ok() {
            return Ok(descriptor);
        }
        let label = |(at, to): (usize, &&Descriptor)| (format!("containerd.io/gc.ref.content.{at}"), to.digest.clone());
        let labels: HashMap<_, _> = refers.iter().enumerate().map(label).collect();
        let reference = format!("multiwasm-conformance-{digest}");
        let message = |action: WriteAction, offset: usize, data: &[u8]| WriteContentRequest {
            action: action.into(),
            r#ref: reference.clone(),
            total: size,
            expected: digest.clone(),
            offset: offset as i64,
            data: data.to_vec(),
            labels: labels.clone(),
        };
        let chunks = blob.chunks(CHUNK).enumerate();
        let mut messages: Vec<_> = chunks.map(|(at, data)| message(WriteAction::Write, at * CHUNK, data)).collect();
        messages.push(message(WriteAction::Commit, blob.len(), &[]));
        let sent = content.write(self.request(tokio_stream::iter(messages))).await;
        let answers = match sent.map_err(refused("Write", &about)) {
            Ok(answers) => answers,
            Err(error) => return or_there::<()>(Err(error)).map(|()| descriptor),
        };
        let mut answers = answers.into_inner();
        loop {
            match answers.message().await.map_err(refused("Write", &about)) {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(descriptor),
                Err(error) => return or_there::<()>(Err(error)).map(|()| descriptor),
            }
        }
    }

    /// Gives an image a name.
    ///
    /// # Errors
    /// containerd refuses it.
    pub async fn create_image(&self, name: &str, target: Descriptor) -> Result<(), ClientError> {
        let image = Image { name: name.to_owned(), target: Some(target), ..Default::default() };
        let request = CreateImageRequest { image: Some(image), source_date_epoch: None };
        let made = ImagesClient::new(self.channel()).create(self.request(request)).await;
        or_there(made.map_err(refused("Create", &format!("image {name}"))))
    }

    /// Unpacks layers, which are tar archives in the content store, on each other; gives the snapshot of them all.
    ///
    /// # Errors
    /// containerd can't unpack one.
    pub async fn unpack(&self, layers: &[Descriptor]) -> Result<String, ClientError> {
        let mut parent = String::new();
        for layer in layers {
            let name = chain(&parent, &layer.digest);
            if !self.has_snapshot(&name).await? {
                self.unpack_one(layer, &name, &parent).await?;
            }
            parent = name;
        }
        Ok(parent)
    }

    async fn unpack_one(&self, layer: &Descriptor, name: &str, parent: &str) -> Result<(), ClientError> {
        // Two may unpack the same layer at once: each under its own key, and one of them commits.
        let key = format!("unpack-{}-{name}", unique());
        let mounts = self.prepare(&key, parent).await?;
        let request = ApplyRequest { diff: Some(layer.clone()), mounts, payloads: HashMap::new(), sync_fs: false };
        let applied = DiffClient::new(self.channel()).apply(self.request(request)).await;
        let applied = applied.map_err(refused("Apply", &format!("layer {}", layer.digest)));
        let commit = async {
            applied?;
            let request = CommitSnapshotRequest {
                snapshotter: SNAPSHOTTER.to_owned(),
                name: name.to_owned(),
                key: key.clone(),
                labels: HashMap::new(),
            };
            let committed = SnapshotsClient::new(self.channel()).commit(self.request(request)).await;
            committed.map_err(refused("Commit", &format!("snapshot {name}")))
        };
        let committed = commit.await;
        if committed.is_err() {
            self.remove_snapshot(&key).await?;
        }
        or_there(committed)
    }

    async fn has_snapshot(&self, name: &str) -> Result<bool, ClientError> {
        let request = StatSnapshotRequest { snapshotter: SNAPSHOTTER.to_owned(), key: name.to_owned() };
        let stat = SnapshotsClient::new(self.channel()).stat(self.request(request)).await;
        match stat.map_err(refused("Stat", &format!("snapshot {name}"))) {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes a snapshot to write to on `parent`; on nothing where that is empty.
    ///
    /// # Errors
    /// containerd refuses it.
    pub async fn prepare(&self, key: &str, parent: &str) -> Result<Vec<Mount>, ClientError> {
        let request = PrepareSnapshotRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            key: key.to_owned(),
            parent: parent.to_owned(),
            labels: HashMap::new(),
        };
        let prepared = SnapshotsClient::new(self.channel()).prepare(self.request(request)).await;
        Ok(prepared.map_err(refused("Prepare", &format!("snapshot {key}")))?.into_inner().mounts)
    }

    /// What the snapshot that was made under `key` is mounted from.
    ///
    /// # Errors
    /// containerd refuses it.
    pub async fn mounts(&self, key: &str) -> Result<Vec<Mount>, ClientError> {
        let request = MountsRequest { snapshotter: SNAPSHOTTER.to_owned(), key: key.to_owned() };
        let mounts = SnapshotsClient::new(self.channel()).mounts(self.request(request)).await;
        Ok(mounts.map_err(refused("Mounts", &format!("snapshot {key}")))?.into_inner().mounts)
    }

    /// Removes a snapshot; one that is gone is removed.
    ///
    /// # Errors
    /// containerd refuses it.
    pub async fn remove_snapshot(&self, key: &str) -> Result<(), ClientError> {
        let request = RemoveSnapshotRequest { snapshotter: SNAPSHOTTER.to_owned(), key: key.to_owned() };
        let removed = SnapshotsClient::new(self.channel()).remove(self.request(request)).await;
        match removed.map_err(refused("Remove", &format!("snapshot {key}"))) {
            Err(error) if error.is_not_found() => Ok(()),
            other => other.map(drop),
        }
    }
}

/// A number that no other call of this process gets.
fn unique() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}
