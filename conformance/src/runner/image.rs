//! The image of a case, made once for all cases and targets that want the same, and put in through containerd's API.

use std::collections::HashMap;
use std::sync::Arc;

use containerd_client::types::Descriptor;
use serde_json::{Value, json};

use super::layer::{Guests, Layer, Own};
use super::target::Target;
use super::twin::{TwinError, Twins};
use crate::case::Case;
use crate::case::model::ImageKind;
use crate::catalog::Catalog;
use crate::client::images::digest;
use crate::client::{ClientError, Containerd};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// containerd refuses a piece.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// It needs a native twin.
    #[error(transparent)]
    Twin(#[from] TwinError),
    /// Its files make no layer.
    #[error("the image's layer: {0}")]
    Layer(#[from] std::io::Error),
}

/// An image that containerd has.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its name.
    pub name: String,
    /// The snapshot of its layers; empty where it has none that can be unpacked.
    pub snapshot: String,
}

/// The images of a run.
pub struct Images {
    containerd: Containerd,
    catalog: Arc<Catalog>,
    twins: Twins,
    /// Held while one is made: of two that push the same blob one is refused.
    made: tokio::sync::Mutex<Made>,
}

#[derive(Default)]
struct Made {
    /// By the digest of the manifest or index.
    images: HashMap<String, Image>,
    /// The layers of guests, by their path in them.
    guests: HashMap<String, Blob>,
}

impl Guests for Images {
    fn module(&self, name: &str) -> Vec<u8> {
        self.catalog.guest(name).wasm.clone()
    }

    fn twin(&self, name: &str) -> Result<Vec<u8>, String> {
        let twin = self.twins.of(self.catalog.guest(name), &self.catalog);
        twin.map(|program| program.to_vec()).map_err(|error| error.to_string())
    }
}

/// Where the guest lies in the image.
pub fn guest_path(case: &Case, target: &Target) -> String {
    if target.native { format!("/{}", case.guest) } else { format!("/{}.wasm", case.guest) }
}

impl Images {
    /// None yet.
    pub fn new(containerd: Containerd, catalog: Arc<Catalog>) -> Self {
        Self { containerd, catalog, twins: Twins::default(), made: tokio::sync::Mutex::default() }
    }

    /// The image of a case on a target.
    ///
    /// # Errors
    /// It can't be made.
    pub async fn of(&self, case: &Case, target: &Target) -> Result<Image, ImageError> {
        let own = if target.native { format!("linux/{}", architecture()) } else { "wasi/wasm".to_owned() };
        let platform = case.platform.as_deref().unwrap_or(&own);
        let mut made = self.made.lock().await;
        match &case.image {
            ImageKind::Layers {} => {
                let layers = self.layers(&mut made, case, target)?;
                let (manifest, blobs) = ordinary(platform, &layers);
                self.put(&mut made, manifest, blobs, &layers).await
            }
            ImageKind::Artifact { config, layer, titles, text, index, lacks } => {
                let module = || self.catalog.guest(&case.guest).wasm.clone();
                let module = Blob::new(layer, text.as_ref().map_or_else(module, |text| text.clone().into_bytes()));
                let own = [format!("{}.wasm", case.guest)];
                let (manifest, mut blobs) = artifact(config, module, if titles.is_empty() { &own } else { titles });
                let lacks_manifest = lacks.as_deref() == Some("manifest");
                if lacks.as_deref() == Some("layer") {
                    blobs.retain(|blob| blob.media_type != *layer);
                }
                let Some(platform) = index else { return self.put(&mut made, manifest, blobs, &[]).await };
                let others = ["linux/s390x", "unknown/unknown"];
                let (decoy, more) = ordinary(others[0], &[]);
                blobs.extend(more);
                let mut rows: Vec<_> = others.iter().map(|other| with_platform(&decoy, other)).collect();
                rows.push(with_platform(&manifest, platform));
                let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": rows });
                let mut index = Blob::new(INDEX, index.to_string().into_bytes());
                index.refers = vec![decoy.descriptor(), manifest.descriptor()];
                blobs.push(decoy);
                blobs.extend((!lacks_manifest).then_some(manifest));
                self.put(&mut made, index, blobs, &[]).await
            }
            ImageKind::Index {} => {
                let layers = self.layers(&mut made, case, target)?;
                // Of another platform first: who takes the first one without looking takes the wrong one.
                let other = if platform.starts_with("wasi/") { "linux/s390x" } else { "wasi/wasm" };
                let (decoy, mut blobs) = ordinary(other, &[]);
                let (manifest, more) = ordinary(platform, &layers);
                blobs.extend(more);
                let rows = json!([with_platform(&decoy, other), with_platform(&manifest, platform)]);
                let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": rows });
                let refers = vec![decoy.descriptor(), manifest.descriptor()];
                blobs.extend([decoy, manifest]);
                let mut index = Blob::new(INDEX, index.to_string().into_bytes());
                index.refers = refers;
                self.put(&mut made, index, blobs, &layers).await
            }
        }
    }

    /// The guest's layer, which many cases share, and above it the files of this one.
    fn layers(&self, made: &mut Made, case: &Case, target: &Target) -> Result<Vec<Blob>, ImageError> {
        let path = guest_path(case, target);
        let base = match made.guests.get(&path) {
            Some(base) => base.clone(),
            None => made.guests.entry(path).or_insert(self.base(case, target)?).clone(),
        };
        let mut layers = vec![base];
        let own = Own { guest: &case.guest, native: target.native };
        for files in [&case.files].into_iter().chain(&case.layers).filter(|files| !files.is_empty()) {
            let mut layer = Layer::default();
            for (path, file) in files {
                layer.add(path, file, own, self)?;
            }
            layers.push(Blob::new(LAYER, layer.finish()?));
        }
        Ok(layers)
    }

    fn base(&self, case: &Case, target: &Target) -> Result<Blob, ImageError> {
        let guest = self.catalog.guest(&case.guest);
        let mut base = Layer::default();
        base.folder("/tmp", 0o1777)?;
        if target.native {
            base.file(&guest_path(case, target), 0o755, &self.twins.of(guest, &self.catalog)?)?;
        } else {
            base.file(&guest_path(case, target), 0o644, &guest.wasm)?;
        }
        Ok(Blob::new(LAYER, base.finish()?))
    }

    async fn put(&self, made: &mut Made, top: Blob, blobs: Vec<Blob>, layers: &[Blob]) -> Result<Image, ImageError> {
        let key = top.digest.clone();
        if let Some(image) = made.images.get(&key) {
            return Ok(image.clone());
        }
        for blob in layers.iter().chain(&blobs).chain([&top]) {
            let refers: Vec<_> = blob.refers.iter().collect();
            self.containerd.push(&blob.media_type, &blob.bytes, &refers).await?;
        }
        let name = format!("conformance.invalid/case:{}", &key["sha256:".len()..][..16]);
        self.containerd.create_image(&name, top.descriptor()).await?;
        let layers: Vec<_> = layers.iter().map(Blob::descriptor).collect();
        let image = Image { name, snapshot: self.containerd.unpack(&layers).await? };
        made.images.insert(key, image.clone());
        Ok(image)
    }
}

/// A blob to be.
#[derive(Clone)]
struct Blob {
    media_type: String,
    bytes: Arc<Vec<u8>>,
    digest: String,
    /// What it names.
    refers: Vec<Descriptor>,
}

impl Blob {
    fn new(media_type: &str, bytes: Vec<u8>) -> Self {
        let digest = digest(&bytes);
        Self { media_type: media_type.to_owned(), bytes: Arc::new(bytes), digest, refers: Vec::new() }
    }

    fn descriptor(&self) -> Descriptor {
        Descriptor {
            media_type: self.media_type.clone(),
            digest: self.digest.clone(),
            size: self.bytes.len() as i64,
            annotations: HashMap::new(),
        }
    }

    fn json(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest, "size": self.bytes.len() })
    }
}

/// The manifest of an ordinary image, and what it names beside the layers.
fn ordinary(platform: &str, layers: &[Blob]) -> (Blob, Vec<Blob>) {
    let (os, architecture) = platform.split_once('/').unwrap_or((platform, ""));
    // The layers are no more packed than their digests say.
    let diffs: Vec<_> = layers.iter().map(|layer| &layer.digest).collect();
    let config = json!({
        "os": os, "architecture": architecture,
        "config": { "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], "WorkingDir": "/" },
        "rootfs": { "type": "layers", "diff_ids": diffs },
    });
    let config = Blob::new(CONFIG, config.to_string().into_bytes());
    (manifest(&config, layers.iter().map(Blob::json).collect(), layers), vec![config])
}

/// The manifest of an artifact whose layers are the module, each under one of these titles.
fn artifact(config: &str, module: Blob, titles: &[String]) -> (Blob, Vec<Blob>) {
    let digests = vec![digest(&module.bytes); titles.len()];
    let content = json!({ "os": "wasip1", "architecture": "wasm", "layerDigests": digests });
    let config = Blob::new(config, content.to_string().into_bytes());
    let row = |title: &String| {
        let mut row = module.json();
        row["annotations"] = json!({ "org.opencontainers.image.title": title });
        row
    };
    let manifest = manifest(&config, titles.iter().map(row).collect(), std::slice::from_ref(&module));
    (manifest, vec![config, module])
}

fn manifest(config: &Blob, rows: Vec<Value>, layers: &[Blob]) -> Blob {
    let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config.json(), "layers": rows });
    let refers = [config].into_iter().chain(layers).map(Blob::descriptor).collect();
    Blob { refers, ..Blob::new(MANIFEST, manifest.to_string().into_bytes()) }
}

fn with_platform(manifest: &Blob, platform: &str) -> Value {
    let (os, architecture) = platform.split_once('/').unwrap_or((platform, ""));
    let mut row = manifest.json();
    row["platform"] = json!({ "os": os, "architecture": architecture });
    row
}

/// This machine's architecture, as images call it.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
