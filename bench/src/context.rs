//! What all parts share: containerd in a namespace of the run, and the images that were put into it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use containerd_client::types::Descriptor;
use multiwasm_conformance::client::Containerd;
use multiwasm_conformance::client::images::digest;
use multiwasm_conformance::lab::Lab;
use multiwasm_conformance::runner::image::{Image, architecture};
use multiwasm_conformance::runner::layer::Layer;
use serde_json::json;

use crate::BenchError;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// containerd, in a namespace of the run.
pub struct Context {
    /// The lab.
    pub lab: Lab,
    /// containerd.
    pub containerd: Containerd,
    /// Annotations of every Wasm container, beside the engine's.
    pub annotations: Vec<(String, String)>,
    /// The configuration that our runtime is given by its options (TOML); empty: the node's own holds.
    pub config: String,
    /// A folder for pipes and programs.
    folder: tempfile::TempDir,
    next: AtomicU64,
}

/// A file of an image: its path, its mode, what it holds.
pub type File<'a> = (&'a str, u32, &'a [u8]);

impl Context {
    /// Connects, and makes the namespace.
    ///
    /// # Errors
    /// containerd does not answer or refuses it.
    pub async fn new(lab: &Lab, annotations: &[(String, String)], config: &str) -> Result<Self, BenchError> {
        let namespace = format!("bench-{}", std::process::id());
        let containerd = Containerd::connect(&lab.containerd, &namespace).await?.make_namespace().await?;
        let folder = tempfile::tempdir().map_err(BenchError::file("a temporary folder"))?;
        Ok(Self {
            lab: lab.clone(),
            containerd,
            annotations: annotations.to_vec(),
            config: config.to_owned(),
            folder,
            next: AtomicU64::new(0),
        })
    }

    /// Removes the namespace with all that is in it.
    ///
    /// # Errors
    /// Something does not go away.
    pub async fn end(self) -> Result<(), BenchError> {
        Ok(self.containerd.remove_namespace().await?)
    }

    /// A name that no other container of the run has.
    pub fn fresh_name(&self, target: &str) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        format!("{}-{number}", target.chars().map(plain).collect::<String>().trim_matches('-'))
    }

    /// The folder for pipes and programs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A file of the host's with these bytes.
    ///
    /// # Errors
    /// It can't be written.
    pub fn on_host(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, BenchError> {
        let path = self.folder().join(name);
        std::fs::write(&path, bytes).map_err(BenchError::file(&path.display().to_string()))?;
        Ok(path)
    }

    /// Puts an image into containerd that has these files, and `/data` to write to.
    ///
    /// # Errors
    /// containerd refuses it.
    pub async fn image(&self, native: bool, files: &[File<'_>]) -> Result<Image, BenchError> {
        let layer = layer(files).map_err(BenchError::file("an image's layer"))?;
        let diff = digest(&layer);
        let (os, architecture) = if native { ("linux", architecture()) } else { ("wasi", "wasm") };
        let config = json!({
            "os": os, "architecture": architecture, "config": { "WorkingDir": "/" },
            "rootfs": { "type": "layers", "diff_ids": [diff] },
        });
        let containerd = &self.containerd;
        let layer = containerd.push(LAYER, &layer, &[]).await?;
        let config = containerd.push(CONFIG, config.to_string().as_bytes(), &[]).await?;
        let row = |blob: &Descriptor| json!({ "mediaType": blob.media_type, "digest": blob.digest, "size": blob.size });
        let manifest =
            json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": row(&config), "layers": [row(&layer)] });
        let manifest = containerd.push(MANIFEST, manifest.to_string().as_bytes(), &[&config, &layer]).await?;
        let name = format!("bench.invalid/guest:{}", &manifest.digest["sha256:".len()..][..16]);
        containerd.create_image(&name, manifest).await?;
        Ok(Image { name, snapshot: containerd.unpack(&[layer]).await? })
    }
}

fn layer(files: &[File<'_>]) -> std::io::Result<Vec<u8>> {
    let mut layer = Layer::default();
    layer.folder("/data", 0o1777)?;
    let mut made = HashMap::new();
    for (path, mode, content) in files {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        if !folder.is_empty() && made.insert(folder, ()).is_none() {
            layer.folder(folder, 0o755)?;
        }
        layer.file(path, *mode, content)?;
    }
    layer.finish()
}
