//! The namespace of a run: made, and removed with all that is in it.

use std::collections::HashMap;
use std::time::Duration;

use containerd_client::services::v1::containers_client::ContainersClient;
use containerd_client::services::v1::content_client::ContentClient;
use containerd_client::services::v1::images_client::ImagesClient;
use containerd_client::services::v1::leases_client::LeasesClient;
use containerd_client::services::v1::namespaces_client::NamespacesClient;
use containerd_client::services::v1::snapshots::ListSnapshotsRequest;
use containerd_client::services::v1::snapshots::snapshots_client::SnapshotsClient;
use containerd_client::services::v1::{
    CreateNamespaceRequest, CreateRequest, DeleteContentRequest, DeleteImageRequest, DeleteNamespaceRequest,
    DeleteRequest, ListContainersRequest, ListContentRequest, ListImagesRequest, Namespace,
};

use super::images::SNAPSHOTTER;
use super::{ClientError, Containerd, or_there, refused};

/// The lease that holds what a run puts into the stores until images and containers name it.
const LEASE: &str = "run";
/// How often a namespace is looked at that is not empty yet, and how long apart.
const TRIES: usize = 50;
const APART: Duration = Duration::from_millis(100);

impl Containerd {
    /// Makes the namespace, and a lease that holds all that later calls put into the stores.
    ///
    /// # Errors
    /// containerd refuses it.
    pub async fn make_namespace(mut self) -> Result<Self, ClientError> {
        let name = self.namespace().to_owned();
        let request =
            CreateNamespaceRequest { namespace: Some(Namespace { name: name.clone(), labels: HashMap::new() }) };
        let made = NamespacesClient::new(self.channel()).create(self.request(request)).await;
        or_there(made.map_err(refused("Create", &format!("namespace {name}"))))?;
        let request = CreateRequest { id: LEASE.to_owned(), labels: HashMap::new() };
        let leased = LeasesClient::new(self.channel()).create(self.request(request)).await;
        or_there(leased.map_err(refused("Create", "the lease of the run")))?;
        self.lease = Some(LEASE.to_owned());
        Ok(self)
    }

    /// Removes the namespace with all its containers, images, snapshots and content.
    ///
    /// # Errors
    /// Something of it can't be removed.
    pub async fn remove_namespace(mut self) -> Result<(), ClientError> {
        for id in self.containers().await? {
            self.remove(&id).await?;
        }
        let images = ImagesClient::new(self.channel()).list(self.request(ListImagesRequest::default())).await;
        for image in images.map_err(refused("List", "images"))?.into_inner().images {
            let request = DeleteImageRequest { name: image.name.clone(), ..Default::default() };
            let deleted = ImagesClient::new(self.channel()).delete(self.request(request)).await;
            deleted.map_err(refused("Delete", &format!("image {}", image.name)))?;
        }
        self.remove_snapshots().await?;
        let request = DeleteRequest { id: LEASE.to_owned(), sync: false };
        self.lease = None;
        let released = LeasesClient::new(self.channel()).delete(self.request(request)).await;
        gone(released.map_err(refused("Delete", "the lease of the run")))?;
        for digest in self.content().await? {
            let request = DeleteContentRequest { digest: digest.clone() };
            let deleted = ContentClient::new(self.channel()).delete(self.request(request)).await;
            gone(deleted.map_err(refused("Delete", &format!("content {digest}"))))?;
        }
        self.remove_empty_namespace().await
    }

    /// containerd's collector may still be about to remove what the namespace holds.
    async fn remove_empty_namespace(&self) -> Result<(), ClientError> {
        let name = self.namespace().to_owned();
        let mut tries = 0;
        loop {
            let request = DeleteNamespaceRequest { name: name.clone() };
            let deleted = NamespacesClient::new(self.channel()).delete(self.request(request)).await;
            match gone(deleted.map_err(refused("Delete", &format!("namespace {name}")))) {
                Err(_) if tries < TRIES => tokio::time::sleep(APART).await,
                done => return done,
            }
            tries += 1;
        }
    }

    /// The ids of the namespace's containers.
    ///
    /// # Errors
    /// containerd does not answer.
    pub async fn containers(&self) -> Result<Vec<String>, ClientError> {
        let mut client = ContainersClient::new(self.channel());
        let listed = client.list(self.request(ListContainersRequest::default())).await;
        let listed = listed.map_err(refused("List", "containers"))?.into_inner();
        Ok(listed.containers.into_iter().map(|container| container.id).collect())
    }

    async fn content(&self) -> Result<Vec<String>, ClientError> {
        let mut client = ContentClient::new(self.channel());
        let listed = client.list(self.request(ListContentRequest::default())).await;
        let mut pages = listed.map_err(refused("List", "content"))?.into_inner();
        let mut digests = Vec::new();
        while let Some(page) = pages.message().await.map_err(refused("List", "content"))? {
            digests.extend(page.info.into_iter().map(|info| info.digest));
        }
        Ok(digests)
    }

    /// A snapshot with others on it can't be removed: who is nobody's parent goes first.
    async fn remove_snapshots(&self) -> Result<(), ClientError> {
        loop {
            let mut client = SnapshotsClient::new(self.channel());
            let request = ListSnapshotsRequest { snapshotter: SNAPSHOTTER.to_owned(), filters: Vec::new() };
            let listed = client.list(self.request(request)).await;
            let mut pages = listed.map_err(refused("List", "snapshots"))?.into_inner();
            let mut all = Vec::new();
            while let Some(page) = pages.message().await.map_err(refused("List", "snapshots"))? {
                all.extend(page.info);
            }
            let is_leaf = |name: &str| all.iter().all(|other| other.parent != name);
            let leaves: Vec<_> = all.iter().filter(|snapshot| is_leaf(&snapshot.name)).collect();
            if leaves.is_empty() {
                return Ok(());
            }
            for leaf in leaves {
                self.remove_snapshot(&leaf.name).await?;
            }
        }
    }
}

/// What is gone already needs no removing.
fn gone<T>(answer: Result<T, ClientError>) -> Result<(), ClientError> {
    match answer {
        Err(error) if error.is_not_found() => Ok(()),
        other => other.map(drop),
    }
}
