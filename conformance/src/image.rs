//! Writes an OCI image archive that `ctr image import` and `docker load` take: one layer, made of given files, for one platform
//! or for several.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use oci_spec::image::{
    Arch, ConfigBuilder, Descriptor, DescriptorBuilder, Digest, History, ImageConfiguration, ImageConfigurationBuilder,
    ImageIndex, ImageIndexBuilder, ImageManifestBuilder, MediaType, Os, PlatformBuilder, RootFsBuilder, SCHEMA_VERSION,
};
use sha2::{Digest as _, Sha256};

/// Why an image could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A file of it can't be read, or the archive not be written.
    #[error("{path}: {cause}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The pieces do not make an image.
    #[error("image {name}: {cause}")]
    Parts {
        /// Its name.
        name: String,
        /// What does not fit.
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What an image runs on, as its configuration says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// `wasi/wasm`.
    Wasi,
    /// `wasi/wasm32`, as Docker's first announcement said it.
    Wasi32,
    /// `linux` and the machine's own architecture.
    Linux,
}

impl Platform {
    /// As `--platform` takes it.
    pub fn name(self) -> String {
        let (os, arch) = self.parts();
        format!("{os}/{arch}")
    }

    fn parts(self) -> (Os, Arch) {
        match self {
            Self::Wasi => (Os::Other("wasi".into()), Arch::Wasm),
            Self::Wasi32 => (Os::Other("wasi".into()), Arch::Other("wasm32".into())),
            Self::Linux => (Os::Linux, Arch::default()),
        }
    }
}

/// What an image's name leads to.
#[derive(Debug)]
enum Kind {
    /// The manifest itself.
    Manifest(Platform),
    /// An index, as buildx makes it: a manifest for each platform, and an attestation beside each.
    Index(Vec<Platform>),
}

/// The media types of an OCI Wasm artifact, whose only layer is a module as it is.
#[derive(Debug, Clone, Copy)]
pub struct Artifact {
    /// Of its config.
    pub config: &'static str,
    /// Of its layer.
    pub layer: &'static str,
}

impl Artifact {
    /// What CNCF's working group defines (tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact).
    pub const WORKING_GROUP: Self = Self { config: "application/vnd.wasm.config.v0+json", layer: "application/wasm" };
    /// What runwasi's builder wrote before that: the config is an ordinary image's.
    pub const RUNWASI: Self = Self {
        config: "application/vnd.oci.image.config.v1+json",
        layer: "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
    };
    /// What wasm-to-oci writes.
    pub const WASM_TO_OCI: Self =
        Self { config: "application/vnd.wasm.config.v1+json", layer: "application/vnd.wasm.content.layer.v1+wasm" };

    /// Its config, where that is no image's.
    fn config_of(&self, module: &[u8]) -> Option<String> {
        match self.config {
            "application/vnd.wasm.config.v0+json" => Some(format!(
                r#"{{"created":"1970-01-01T00:00:00Z","architecture":"wasm","os":"wasip1","layerDigests":["sha256:{}"]}}"#,
                sha256(module)
            )),
            "application/vnd.wasm.config.v1+json" => Some("{}".to_owned()),
            _ => None,
        }
    }
}

/// An image to be.
#[derive(Debug)]
pub struct Image {
    name: String,
    kind: Kind,
    artifact: Option<Artifact>,
    files: Vec<(String, u32, Vec<u8>)>,
    folders: Vec<String>,
    entrypoint: Vec<String>,
    cmd: Vec<String>,
}

impl Image {
    /// An empty image; `name` is complete, with registry and tag.
    pub fn new(name: &str, platform: Platform) -> Self {
        let (files, folders, entrypoint, cmd) = Default::default();
        Self { name: name.into(), kind: Kind::Manifest(platform), artifact: None, files, folders, entrypoint, cmd }
    }

    /// Makes it an index: the same files for each of these platforms, each with an attestation as buildx adds it.
    pub fn index(mut self, platforms: &[Platform]) -> Self {
        self.kind = Kind::Index(platforms.into());
        self
    }

    /// Makes it an artifact: its only file is its layer.
    pub fn artifact(mut self, artifact: Artifact) -> Self {
        self.artifact = Some(artifact);
        self
    }

    /// Adds `content` at the absolute path `to` with these permissions.
    pub fn bytes(mut self, to: &str, mode: u32, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((to.into(), mode, content.into()));
        self
    }

    /// Adds a copy of the file `from` at the absolute path `to` with these permissions.
    pub fn file(self, to: &str, mode: u32, from: &Path) -> Result<Self, ImageError> {
        let content = std::fs::read(from).map_err(|cause| ImageError::File { path: from.into(), cause })?;
        Ok(self.bytes(to, mode, content))
    }

    /// Adds an empty folder that all may write to.
    pub fn folder(mut self, path: &str) -> Self {
        self.folders.push(path.into());
        self
    }

    /// What always starts.
    pub fn entrypoint(mut self, words: &[&str]) -> Self {
        self.entrypoint = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// What starts, or follows the entrypoint, unless the user says otherwise.
    pub fn cmd(mut self, words: &[&str]) -> Self {
        self.cmd = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Writes the files of the layer into a folder.
    pub fn unpack(&self, into: &Path) -> Result<(), ImageError> {
        let layer = self.layer().and_then(|layer| tar::Archive::new(layer.as_slice()).unpack(into));
        layer.map_err(|cause| ImageError::File { path: into.into(), cause })
    }

    /// Writes the archive.
    pub fn write(&self, to: &Path) -> Result<(), ImageError> {
        let file = File::create(to).map_err(|cause| ImageError::File { path: to.into(), cause })?;
        self.write_to(file).map_err(|cause| ImageError::Parts { name: self.name.clone(), cause })
    }

    fn write_to(&self, file: File) -> Result<(), Failure> {
        let mut archive = Archive(tar::Builder::new(file));
        let layer = self.layer()?;
        let mut root = match &self.kind {
            Kind::Manifest(platform) => self.manifest(*platform, &layer, &mut archive)?,
            Kind::Index(platforms) => {
                let mut manifests = Vec::new();
                for platform in platforms {
                    let manifest = self.manifest(*platform, &layer, &mut archive)?;
                    let attestation = attestation(&manifest, &mut archive)?;
                    manifests.extend([manifest, attestation]);
                }
                archive.blob(MediaType::ImageIndex, index(manifests)?.to_string()?.as_bytes())?
            }
        };
        // containerd and Docker take the name from the first, everyone else the tag from the second.
        let tag = self.name.rsplit(':').next().unwrap_or("latest");
        let names = [("io.containerd.image.name", self.name.as_str()), ("org.opencontainers.image.ref.name", tag)];
        root.set_annotations(Some(annotations(names)));
        archive.append("index.json", 0o644, index(vec![root])?.to_string()?.as_bytes())?;
        archive.append("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        archive.0.into_inner()?.flush()?;
        Ok(())
    }

    /// Appends the image for one platform.
    fn manifest(&self, platform: Platform, layer: &[u8], archive: &mut Archive<File>) -> Result<Descriptor, Failure> {
        let mut config = self.config(platform, layer)?.to_string()?;
        let mut types = (MediaType::ImageConfig, MediaType::ImageLayer);
        if let Some(artifact) = self.artifact {
            types = (MediaType::Other(artifact.config.into()), MediaType::Other(artifact.layer.into()));
            config = artifact.config_of(layer).unwrap_or(config);
        }
        let layer = archive.blob(types.1, layer)?;
        let config = archive.blob(types.0, config.as_bytes())?;
        let mut manifest = archive.manifest(config, layer)?;
        let (os, arch) = platform.parts();
        manifest.set_platform(Some(PlatformBuilder::default().os(os).architecture(arch).build()?));
        Ok(manifest)
    }

    fn layer(&self) -> io::Result<Vec<u8>> {
        if let (Some(_), [(_, _, module)]) = (self.artifact, self.files.as_slice()) {
            return Ok(module.clone());
        }
        let mut layer = Archive(tar::Builder::new(Vec::new()));
        for folder in &self.folders {
            let mut header = header(tar::EntryType::Directory, 0o1777, 0);
            layer.0.append_data(&mut header, relative(folder), io::empty())?;
        }
        for (path, mode, content) in &self.files {
            layer.append(relative(path), *mode, content)?;
        }
        layer.0.into_inner()
    }

    fn config(&self, platform: Platform, layer: &[u8]) -> oci_spec::Result<ImageConfiguration> {
        let (os, arch) = platform.parts();
        let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let run = ConfigBuilder::default()
            .entrypoint(self.entrypoint.clone())
            .cmd(self.cmd.clone())
            .env([path.to_owned()])
            .working_dir("/")
            .build()?;
        // A module is no layer that could be unpacked.
        let layers: Vec<_> = self.artifact.is_none().then(|| format!("sha256:{}", sha256(layer))).into_iter().collect();
        ImageConfigurationBuilder::default()
            .os(os)
            .architecture(arch)
            .config(run)
            .rootfs(RootFsBuilder::default().typ("layers").diff_ids(layers).build()?)
            .history(Vec::<History>::new())
            .build()
    }
}

/// What buildx says of a manifest, in a manifest of its own for no platform at all
/// (docs.docker.com/build/metadata/attestations/attestation-storage).
fn attestation(of: &Descriptor, archive: &mut Archive<File>) -> Result<Descriptor, Failure> {
    let statement = archive.blob(MediaType::Other("application/vnd.in-toto+json".into()), b"{}")?;
    let config = r#"{"architecture":"unknown","os":"unknown","config":{},"rootfs":{"type":"layers","diff_ids":[]}}"#;
    let config = archive.blob(MediaType::ImageConfig, config.as_bytes())?;
    let mut manifest = archive.manifest(config, statement)?;
    let unknown = || "unknown".to_owned();
    let platform = PlatformBuilder::default().os(Os::Other(unknown())).architecture(Arch::Other(unknown())).build()?;
    manifest.set_platform(Some(platform));
    let digest = of.digest().to_string();
    let pairs = [("vnd.docker.reference.type", "attestation-manifest"), ("vnd.docker.reference.digest", &digest)];
    manifest.set_annotations(Some(annotations(pairs)));
    Ok(manifest)
}

fn index(manifests: Vec<Descriptor>) -> oci_spec::Result<ImageIndex> {
    let index = ImageIndexBuilder::default().schema_version(SCHEMA_VERSION).media_type(MediaType::ImageIndex);
    index.manifests(manifests).build()
}

fn annotations<const N: usize>(pairs: [(&str, &str); N]) -> HashMap<String, String> {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// A tar archive whose entries say nothing of who made them or when.
struct Archive<W: Write>(tar::Builder<W>);

impl<W: Write> Archive<W> {
    fn append(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        let mut header = header(tar::EntryType::Regular, mode, content.len() as u64);
        self.0.append_data(&mut header, path, content)
    }

    /// Appends a blob under its digest.
    fn blob(&mut self, kind: MediaType, content: &[u8]) -> Result<Descriptor, Failure> {
        let digest = sha256(content);
        self.append(&format!("blobs/sha256/{digest}"), 0o644, content)?;
        let digest: Digest = format!("sha256:{digest}").parse()?;
        Ok(DescriptorBuilder::default().media_type(kind).size(content.len() as u64).digest(digest).build()?)
    }

    /// Appends the manifest of one layer.
    fn manifest(&mut self, config: Descriptor, layer: Descriptor) -> Result<Descriptor, Failure> {
        let manifest = ImageManifestBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(MediaType::ImageManifest)
            .config(config)
            .layers([layer])
            .build()?;
        self.blob(MediaType::ImageManifest, manifest.to_string()?.as_bytes())
    }
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header
}

fn relative(path: &str) -> &str {
    path.trim_start_matches('/')
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
