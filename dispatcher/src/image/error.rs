//! Why an image gives no module.

use std::io;
use std::path::PathBuf;

use crate::module::EntryKind;

/// Why a container's image gives no module.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// containerd can't be asked.
    #[error("containerd at {address} can't be asked for the image: {reason}")]
    Containerd {
        /// The socket.
        address: String,
        /// What went wrong.
        reason: String,
    },
    /// containerd does not know the container, or the container has no image.
    #[error(
        "containerd has no image on record for container {id} of namespace {namespace} (Docker 28 records one where it \
         uses the containerd image store, Docker 26 never does)"
    )]
    NoImage {
        /// The container.
        id: String,
        /// containerd's namespace.
        namespace: String,
    },
    /// The image has been removed.
    #[error("image {image} of container {id} is not in namespace {namespace} of containerd any more: pull it again")]
    Gone {
        /// By name.
        image: String,
        /// The container.
        id: String,
        /// containerd's namespace.
        namespace: String,
    },
    /// containerd has no such image.
    #[error(
        "there is no file {image}, and no image of this name in namespace {namespace} of containerd at {address}: pull it, \
         name another --namespace (Docker's is moby, Kubernetes' k8s.io), or give the path of an OCI image layout"
    )]
    NotFound {
        /// As it was named.
        image: String,
        /// containerd's namespace.
        namespace: String,
        /// containerd's socket.
        address: String,
    },
    /// It can't be known whether there is such an image.
    #[error("there is no file {image}, and {source}")]
    NoFile {
        /// As it was named.
        image: String,
        /// Why.
        source: Box<Self>,
    },
    /// A layout that does not lead to an image.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// Its files can't be put anywhere.
    #[error("image {image} can't be unpacked: {source}")]
    Unpack {
        /// As it was named.
        image: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// Its config names no command, and none was given.
    #[error("image {image} names no entrypoint: give its command after --")]
    NoCommand {
        /// As it was named.
        image: String,
    },
    /// Its config's user is not in its files.
    #[error("image {image} runs as {user}, which its /etc/passwd and /etc/group don't know")]
    NoUser {
        /// As it was named.
        image: String,
        /// As in its config.
        user: String,
    },
    /// It is there.
    #[error("image {image}: {problem}")]
    Unusable {
        /// By name.
        image: String,
        /// What is wrong with it.
        problem: Problem,
    },
}

impl ImageError {
    /// Whether it is the image itself that gives no module, rather than that none was looked at.
    pub fn is_about_content(&self) -> bool {
        matches!(self, Self::Unusable { .. })
    }

    /// Whether a part of the image is not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Unusable { problem: Problem::Missing { .. }, .. })
    }
}

/// Why an OCI image layout does not lead to an image.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// It can't be read.
    #[error("image layout {path} can't be read: {source}", path = path.display())]
    Unreadable {
        /// The folder or archive.
        path: PathBuf,
        /// What the kernel, or the reader of its index, said.
        source: io::Error,
    },
    /// An archive of something else.
    #[error(
        "{path} is no OCI image layout, it has no file oci-layout (`docker save` writes one since Docker 25)",
        path = path.display()
    )]
    NoLayout {
        /// The archive.
        path: PathBuf,
    },
    /// No image of this name.
    #[error("image layout {path} has no image {name}, it has: {names}", path = path.display())]
    NoSuchImage {
        /// The folder or archive.
        path: PathBuf,
        /// What was asked for.
        name: String,
        /// What there is.
        names: String,
    },
    /// Not just one image.
    #[error("image layout {path} has not just one image: name one of its images as {path}:NAME, it has: {names}", path = path.display())]
    Several {
        /// The folder or archive.
        path: PathBuf,
        /// What there is.
        names: String,
    },
}

/// What is wrong with an image; `what` is index, manifest or layer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The content store has not got it.
    #[error("{what} {digest} is not in {place}: pull the image again, for platform wasi/wasm")]
    Missing {
        /// A part of the image.
        what: &'static str,
        /// Its digest.
        digest: String,
        /// What was looked into.
        place: String,
    },
    /// The content store does not hand it over.
    #[error("{what} {digest} can't be read from {place}: {reason}")]
    Unreadable {
        /// A part of the image.
        what: &'static str,
        /// Its digest.
        digest: String,
        /// What has it.
        place: String,
        /// What went wrong.
        reason: String,
    },
    /// It is too large.
    #[error("{what} {digest} has {len} bytes, at most {most} are read")]
    TooLarge {
        /// A part of the image.
        what: &'static str,
        /// Its digest.
        digest: String,
        /// Bytes by its descriptor.
        len: u64,
        /// The limit.
        most: u64,
    },
    /// A digest of another kind.
    #[error(
        "{what} {digest} has no sha256 digest, and no other is checked here: publish the image with sha256 digests"
    )]
    Algorithm {
        /// A part of the image.
        what: &'static str,
        /// Its digest.
        digest: String,
    },
    /// Not the bytes that the descriptor means.
    #[error("{what} {digest} is damaged: {found}; remove the image and pull it again")]
    Damaged {
        /// A part of the image.
        what: &'static str,
        /// Its digest.
        digest: String,
        /// How it differs.
        found: String,
    },
    /// Not what the image specification asks for.
    #[error("{what} {digest} can't be read: {reason}")]
    Malformed {
        /// A part of the image.
        what: &'static str,
        /// Its digest.
        digest: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No manifest for WebAssembly.
    #[error(
        "index {digest} has no manifest for WebAssembly: wanted platform wasi/wasm, wasi/wasm32, wasip1/wasm or \
         wasip2/wasm, found {found}"
    )]
    NoManifest {
        /// The index.
        digest: String,
        /// The platforms that it has.
        found: String,
    },
    /// No layer that is a module.
    #[error(
        "manifest {digest} has no WebAssembly layer: wanted media type {wanted}, found {found} with config {config}; \
         publish the module as a layer of one of these types, or in an ordinary image"
    )]
    NoModule {
        /// The manifest.
        digest: String,
        /// The media types that are taken.
        wanted: String,
        /// Those that there are.
        found: String,
        /// The config's.
        config: String,
    },
    /// A layer that is not what its media type says.
    #[error("layer {digest} is no WebAssembly module or component, though it says so: it is {found}")]
    NotWasm {
        /// The layer.
        digest: String,
        /// What it is.
        found: EntryKind,
    },
    /// Many modules, and which one is meant is not said.
    #[error(
        "manifest {digest} has several WebAssembly layers ({layers}), and the entrypoint {asked:?} names none or more than \
         one of them: give one of these names as entrypoint"
    )]
    Unclear {
        /// The manifest.
        digest: String,
        /// Their names.
        layers: String,
        /// `process.args[0]`.
        asked: String,
    },
}
