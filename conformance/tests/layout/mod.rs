//! An OCI image layout that a test writes, and the command that it is given to.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use multiwasm_conformance::command::{Output, run};
use multiwasm_conformance::ctr::{NAMESPACE, lab};
use multiwasm_conformance::guests;
use oci_spec::image::{Descriptor, DescriptorBuilder, Digest, ImageIndexBuilder, ImageManifestBuilder, MediaType};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use sha2::{Digest as _, Sha256};

/// Runs the command with this folder as its cache and for what it unpacks.
pub(crate) fn multiwasm(cache: &Path, words: &[&str]) -> Output {
    run(&line(cache, words)).unwrap_or_else(|error| panic!("{error}"))
}

/// Starts it, in a session of its own, in a shell that prints its number, and ends when it has written a guest's greeting to `said`.
pub(crate) fn multiwasm_behind(cache: &Path, said: &Path, words: &[&str]) -> Output {
    let said = said.display();
    let script = format!(
        r#"setsid "$@" </dev/null >{said} 2>&1 & echo $!; until grep -q hello {said}; do kill -0 $! || exit 1; sleep 0.1; done"#
    );
    let shell = ["sh", "-c", &script, "sh"].map(str::to_owned);
    run(&[&shell[..], &line(cache, words)].concat()).unwrap_or_else(|error| panic!("{error}"))
}

fn line(cache: &Path, words: &[&str]) -> Vec<String> {
    let lab = lab();
    let temporary = cache.join("temporary");
    fs::create_dir_all(&temporary).unwrap();
    let mut command = vec![
        "env".to_owned(),
        format!("MULTIWASM_ENGINE_PATH={}", lab.engines.display()),
        format!("MULTIWASM_CACHE_PATH={}", cache.display()),
        format!("TMPDIR={}", temporary.display()),
        format!("CONTAINERD_ADDRESS={}", lab.containerd.display()),
        format!("CONTAINERD_NAMESPACE={NAMESPACE}"),
        "multiwasm".to_owned(),
    ];
    command.extend(words.iter().map(|word| (*word).to_owned()));
    command
}

/// A layout that grows, with the guests' module.
pub(crate) struct Layout(tempfile::TempDir);

/// A layer's entries: a path with its content, or `-> TARGET` for a link.
pub(crate) type Entries<'a> = &'a [(&'a str, &'a [u8])];

impl Layout {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("blobs/sha256")).unwrap();
        fs::write(folder.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self(folder)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.0.path()
    }

    /// Its folder as people name it.
    pub(crate) fn path(&self) -> String {
        self.folder().display().to_string()
    }

    pub(crate) fn blob(&self, media_type: &str, bytes: &[u8]) -> Descriptor {
        let hex = hex::encode(Sha256::digest(bytes));
        fs::write(self.folder().join("blobs/sha256").join(&hex), bytes).unwrap();
        let digest = Digest::try_from(format!("sha256:{hex}")).unwrap();
        Descriptor::new(MediaType::from(media_type), bytes.len() as u64, digest)
    }

    /// Makes an image of these layers the layout's only one.
    pub(crate) fn image(&self, config: Descriptor, layers: Vec<Descriptor>) {
        let manifest = ImageManifestBuilder::default()
            .schema_version(2u32)
            .media_type(MediaType::ImageManifest)
            .config(config)
            .layers(layers)
            .build();
        let manifest =
            self.blob("application/vnd.oci.image.manifest.v1+json", manifest.unwrap().to_string().unwrap().as_bytes());
        let names = HashMap::from([("org.opencontainers.image.ref.name".to_owned(), "one".to_owned())]);
        let named = DescriptorBuilder::default()
            .media_type(manifest.media_type().clone())
            .digest(manifest.digest().clone())
            .size(manifest.size())
            .annotations(names);
        let index = ImageIndexBuilder::default().schema_version(2u32).manifests([named.build().unwrap()]).build();
        fs::write(self.folder().join("index.json"), index.unwrap().to_string().unwrap()).unwrap();
    }

    /// The config of an ordinary image that runs the probe.
    pub(crate) fn config(&self, config: &str) -> Descriptor {
        let config = format!(
            r#"{{"architecture":"wasm","os":"wasi","rootfs":{{"type":"layers","diff_ids":[]}},"config":{{"Entrypoint":["/probe.wasm"]{config}}}}}"#
        );
        self.blob("application/vnd.oci.image.config.v1+json", config.as_bytes())
    }

    pub(crate) fn layer(&self, compression: &str, entries: Entries<'_>) -> Descriptor {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o755);
            match content.strip_prefix(b"-> ") {
                Some(target) => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_size(0);
                    archive.append_link(&mut header, path, String::from_utf8_lossy(target).as_ref()).unwrap();
                }
                None => {
                    header.set_size(content.len() as u64);
                    archive.append_data(&mut header, path, *content).unwrap();
                }
            }
        }
        let archive = archive.into_inner().unwrap();
        let bytes = match compression {
            "+gzip" => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(&archive).unwrap();
                encoder.finish().unwrap()
            }
            "+zstd" => compress_to_vec(archive.as_slice(), CompressionLevel::Fastest),
            _ => archive,
        };
        self.blob(&format!("application/vnd.oci.image.layer.v1.tar{compression}"), &bytes)
    }

    pub(crate) fn probe(&self) -> Descriptor {
        self.layer("+gzip", &[("probe.wasm", &guests::read("probe.wasm"))])
    }
}
