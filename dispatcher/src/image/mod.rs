//! Images: OCI Wasm artifacts, whose module is a layer as it is, which nobody unpacks; and, for the command, images of both
//! kinds by their name.
//!
//! containerd gives a container of such an image an empty root file system, so its module is read from containerd's content
//! store. That is asked only where the root file system does not hold the entrypoint: an ordinary image never pays for it.
//! What an image says is not trusted: sizes are bounded, digests recomputed, media types checked.
//!
//! # Layout
//!
//! - `containerd`: the container's image, and its content, over containerd's gRPC
//! - `content`: content as it must be: not too large, and what its digest says
//! - `artifact`: from an image's target through its index to the manifest and the layers that are modules
//! - `command`: which of them the container's arguments name, and what the guest gets of them
//! - [`named`]: an image by name, in containerd or in a `layout` of files; `unpack`: its layers as a file system, `zstd`: one
//!   way in which they are compressed
//! - `error`: why there is no module
#![forbid(unsafe_code)]

mod artifact;
mod command;
pub(crate) mod containerd;
mod content;
mod error;
mod layout;
pub mod named;
mod unpack;
mod zstd;

use artifact::Platforms;
pub use error::{ImageError, Problem};

use crate::module::{EntryKind, FIRST_BYTES};
use crate::rootfs::entry::MAX_MODULE;
use containerd::Containerd;

/// The container whose image is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// containerd's gRPC address.
    pub address: &'a str,
    /// containerd's namespace.
    pub namespace: &'a str,
    /// The container.
    pub id: &'a str,
}

/// A module that came out of an image.
#[derive(Debug)]
pub struct Module {
    /// The layer's title, or its digest where it has none.
    pub name: String,
    /// The image's name.
    pub image: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The function that `#function` names.
    pub function: Option<String>,
    /// argv, argv\[0\] included.
    pub args: Vec<String>,
}

/// The module of the container that `origin` names, whose `process.args` are `args`; none where its image is an ordinary
/// one.
///
/// Must be called where no async runtime runs; it makes one for itself and leaves no descriptor or thread behind.
///
/// # Errors
/// [`ImageError`].
pub fn find(origin: &Origin<'_>, args: &[String]) -> Result<Option<Module>, ImageError> {
    let containerd = Containerd::connect(origin)?;
    let (image, target) = containerd.image()?;
    let read = || {
        let manifest = artifact::manifest(&containerd, &target, Platforms::Wasm)?;
        let Some(layers) = manifest.modules()? else { return Ok(None) };
        let names: Vec<_> = layers.iter().map(|layer| layer.name).collect();
        let Some(command) = command::of(&names, manifest.has_entrypoint(), args) else {
            return Err(manifest.unclear(&names, args));
        };
        let layer = &layers[command.layer];
        let bytes = content::read(&containerd, "layer", layer.descriptor, MAX_MODULE)?;
        let found = EntryKind::of(&bytes[..bytes.len().min(FIRST_BYTES)]);
        if found != EntryKind::Wasm {
            return Err(Problem::NotWasm { digest: layer.descriptor.digest().to_string(), found });
        }
        let name = layer.name.to_owned();
        Ok(Some((name, bytes, command)))
    };
    match read() {
        Ok(found) => Ok(found.map(|(name, bytes, command)| Module {
            name,
            image,
            bytes,
            function: command.function,
            args: command.args,
        })),
        Err(problem) => Err(ImageError::Unusable { image, problem }),
    }
}
