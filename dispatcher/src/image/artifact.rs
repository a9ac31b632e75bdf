//! From an image's target through its index to the manifest, and to the layers that are modules.

use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest};
use serde::de::DeserializeOwned;

use super::Problem;
use super::content::{self, Store};

/// Media types of layers that are a module or component as it is: those of the artifact layout of CNCF's working group, of
/// runwasi before it, and of wasm-to-oci.
const MODULES: [&str; 3] = [
    "application/wasm",
    "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
];

const INDEXES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];

const MANIFESTS: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];

/// Configs that may name an entrypoint. Of all others the arguments that a container was given are all there is.
const CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// What layers of ordinary images begin with.
const LAYERS: [&str; 2] = ["application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs."];

/// Most bytes of an index or a manifest: what registries take.
pub(super) const MAX_JSON: u64 = 4 << 20;

/// Most manifests of an index that are looked for. A pull fetches those of one platform.
const MAX_CANDIDATES: usize = 16;

/// How deep indexes may lie in indexes.
const MAX_DEPTH: usize = 2;

/// A manifest that was read.
#[derive(Debug)]
pub(super) struct Manifest {
    digest: String,
    content: ImageManifest,
}

/// A layer that is a module.
#[derive(Debug)]
pub(super) struct Layer<'a> {
    pub(super) descriptor: &'a Descriptor,
    /// Its title, or its digest where it has none.
    pub(super) name: &'a str,
}

/// Which manifests of an index are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Platforms {
    /// Those for WebAssembly.
    Wasm,
    /// Where there are none, those for this machine: modules are published so as well.
    Native,
}

/// The manifest that `target` is, or that the index leads to which it is.
pub(super) fn manifest(store: &impl Store, target: &Descriptor, platforms: Platforms) -> Result<Manifest, Problem> {
    resolve(store, target, platforms, MAX_DEPTH)
}

fn resolve(store: &impl Store, target: &Descriptor, wanted: Platforms, depth: usize) -> Result<Manifest, Problem> {
    let (media_type, digest) = (target.media_type().as_ref(), target.digest().to_string());
    if MANIFESTS.contains(&media_type) {
        return Ok(Manifest { content: parse(store, "manifest", target)?, digest });
    }
    let malformed = |what, reason| Problem::Malformed { what, digest: digest.clone(), reason };
    if !INDEXES.contains(&media_type) {
        let wanted = [MANIFESTS[0], INDEXES[0]].join(" or ");
        return Err(malformed("target", format!("its media type is {media_type}, wanted {wanted}")));
    }
    if depth == 0 {
        return Err(malformed("index", "an index in an index in an index is not looked into".to_owned()));
    }
    let index: ImageIndex = parse(store, "index", target)?;
    let mut missing = None;
    for candidate in candidates(index.manifests(), wanted).take(MAX_CANDIDATES) {
        match resolve(store, candidate, wanted, depth - 1) {
            Err(problem @ Problem::Missing { .. }) => drop(missing.get_or_insert(problem)),
            resolved => return resolved,
        }
    }
    Err(missing.unwrap_or_else(|| Problem::NoManifest { digest, found: platforms(index.manifests()) }))
}

fn parse<T: DeserializeOwned>(store: &impl Store, what: &'static str, target: &Descriptor) -> Result<T, Problem> {
    let bytes = content::read(store, what, target, MAX_JSON)?;
    let malformed = |reason| Problem::Malformed { what, digest: target.digest().to_string(), reason };
    let text: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
    // One text must not be an index to some and a manifest to others (CVE-2021-41190).
    let said = text.get("mediaType").and_then(|said| said.as_str());
    if let Some(said) = said.filter(|said| *said != target.media_type().as_ref()) {
        return Err(malformed(format!("it says that it is {said}, its descriptor that it is {}", target.media_type())));
    }
    serde_json::from_value(text).map_err(|error| malformed(error.to_string()))
}

/// Those that may be for WebAssembly, the likeliest first.
fn candidates(manifests: &[Descriptor], wanted: Platforms) -> impl Iterator<Item = &Descriptor> {
    let mut ranked: Vec<_> =
        manifests.iter().filter_map(|manifest| Some((rank(manifest, wanted)?, manifest))).collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, manifest)| manifest)
}

fn rank(manifest: &Descriptor, wanted: Platforms) -> Option<u8> {
    let Some(platform) = manifest.platform() else {
        // Tools for artifacts often name none; what an attestation is about stands in its annotations.
        let attests = |key: &String| key == "vnd.docker.reference.type";
        return (!manifest.annotations().iter().flatten().any(|(key, _)| attests(key))).then_some(2);
    };
    match (platform.os().to_string().as_str(), platform.architecture().to_string().as_str()) {
        ("wasi", "wasm") => Some(0),
        ("wasi" | "wasip1" | "wasip2", "wasm" | "wasm32") => Some(1),
        ("linux", architecture) if wanted == Platforms::Native && architecture == native_architecture() => Some(3),
        _ => None,
    }
}

/// This machine's architecture as images name it.
fn native_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn platforms(manifests: &[Descriptor]) -> String {
    let platform = |manifest: &Descriptor| match manifest.platform() {
        Some(platform) => format!("{}/{}", platform.os(), platform.architecture()),
        None => "none".to_owned(),
    };
    listed(manifests.iter().map(platform))
}

/// For a message: each once, in order.
fn listed(texts: impl Iterator<Item = String>) -> String {
    let mut seen = Vec::new();
    for text in texts {
        if !seen.contains(&text) {
            seen.push(text);
        }
    }
    if seen.is_empty() { "none".to_owned() } else { seen.join(", ") }
}

impl Manifest {
    /// The layers that are modules; none for an ordinary image.
    pub(super) fn modules(&self) -> Result<Option<Vec<Layer<'_>>>, Problem> {
        let is_module = |layer: &&Descriptor| MODULES.contains(&layer.media_type().as_ref());
        let modules: Vec<_> = self.content.layers().iter().filter(is_module).map(Layer::of).collect();
        if !modules.is_empty() {
            return Ok(Some(modules));
        }
        let types = || self.content.layers().iter().map(|layer| layer.media_type().to_string());
        if self.has_entrypoint() && types().all(|found| LAYERS.iter().any(|prefix| found.starts_with(prefix))) {
            return Ok(None);
        }
        Err(Problem::NoModule {
            digest: self.digest.clone(),
            wanted: MODULES.join(", "),
            found: listed(types()),
            config: self.content.config().media_type().to_string(),
        })
    }

    /// Its config, where that is of an ordinary image's kind.
    pub(super) fn config(&self, store: &impl Store) -> Result<ImageConfiguration, Problem> {
        parse(store, "config", self.content.config())
    }

    /// Its layers, the lowest first.
    pub(super) fn layers(&self) -> &[Descriptor] {
        self.content.layers()
    }

    /// Whether its config is of a kind that may name an entrypoint.
    pub(super) fn has_entrypoint(&self) -> bool {
        CONFIGS.contains(&self.content.config().media_type().as_ref())
    }

    /// That `args` name none of these layers.
    pub(super) fn unclear(&self, layers: &[&str], args: &[String]) -> Problem {
        Problem::Unclear {
            digest: self.digest.clone(),
            layers: layers.join(", "),
            asked: args.first().cloned().unwrap_or_default(),
        }
    }
}

impl<'a> Layer<'a> {
    fn of(descriptor: &'a Descriptor) -> Self {
        let title = descriptor.annotations().as_ref().and_then(|all| all.get("org.opencontainers.image.title"));
        // It becomes an argument, and stands in messages.
        let title = title.filter(|title| !title.is_empty() && !title.contains(char::is_control));
        Self { descriptor, name: title.map_or(descriptor.digest().as_ref(), String::as_str) }
    }
}

#[cfg(test)]
mod tests;
