//! Artifacts: modules compiled ahead of time, and the cache that all containers of a node share.
//!
//! An artifact is machine code that runs outside of any guest's sandbox if it is the wrong one, so this is where trust is
//! made: nobody but root can put a file there, what was altered is found out and compiled again, and the compiler, which
//! reads untrusted modules, runs as nobody in a process that can hand over one file and nothing else.
//!
//! # Layout
//!
//! - [`cache`]: from a [`Key`] to a checked file; one writer at a time
//! - `known`: hashes of modules that were read before
//! - `inventory`: what the cache holds, and keeping it below its limit
//! - `record`: what is known of a cached artifact: its checksum, and when that was last true
//! - [`compile`](mod@compile): compiling under limits, once even where many want the same
//! - `background`: the same for the next start, with nobody waiting; `failed`: what it has to say
//! - `process`: the process that a compiler runs in; `confine`: what it gives up first

mod background;
pub mod cache;
pub mod compile;
mod confine;
mod failed;
mod inventory;
mod known;
mod process;
mod record;

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

#[cfg(doc)]
use multiwasm_engine::ErrorKind;
use multiwasm_engine::loader::LoadedEngine;
use multiwasm_engine::{Source, SourceForm};

pub use background::{Later, NotBegun, compile_later};
pub use cache::{Cache, CacheError};
pub use compile::{CompileError, Limits, compile};
pub use failed::Failure;
pub use inventory::{Entry, Pruned};
pub use known::{Seen, WORTH_KNOWING};

/// What an artifact is found by: the module, the engine, and all that the engine's artifacts depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    module: blake3::Hash,
    digest: blake3::Hash,
    engine: String,
}

impl Key {
    /// The key of `module`, a module's bytes, compiled by `engine` as it was started here.
    pub fn of(module: &[u8], engine: &LoadedEngine) -> Self {
        Self::with_hash(blake3::hash(module), engine)
    }

    /// The key of the module that has this hash.
    fn with_hash(module: blake3::Hash, engine: &LoadedEngine) -> Self {
        Self::new(module, &engine.plugin().description().name, &engine.fingerprint())
    }

    /// The key of the module with this hash, compiled by the engine of this name with this fingerprint.
    pub fn new(module: blake3::Hash, engine: &str, fingerprint: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("multiwasm artifact key 1");
        hasher.update(module.as_bytes());
        for text in [engine, fingerprint] {
            // The length keeps the border between the two: ("ab", "c") is not ("a", "bc").
            hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        }
        Self { module, digest: hasher.finalize(), engine: engine.to_owned() }
    }

    /// Hash of the module alone.
    pub fn module(&self) -> blake3::Hash {
        self.module
    }

    /// The folder of the cache, one of 256.
    fn folder(&self) -> String {
        self.digest.to_hex()[..2].to_owned()
    }

    /// The file's name: `<hex>.<engine>`. The digest covers the engine's name; here it is for people.
    fn file_name(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        format!("{}.{}", self.digest.to_hex(), self.engine.chars().map(plain).collect::<String>())
    }
}

/// A file that an engine can load. Keep it until the engine has done so.
#[derive(Debug)]
pub struct Artifact {
    path: PathBuf,
    /// Where no cache could take it: the sealed memory that `path` leads to through `/proc/self/fd`.
    memory: Option<File>,
}

impl Artifact {
    fn cached(path: PathBuf) -> Self {
        Self { path, memory: None }
    }

    fn in_memory(file: File) -> Self {
        Self { path: format!("/proc/self/fd/{}", file.as_raw_fd()).into(), memory: Some(file) }
    }

    /// Its path, valid in this process and those that it forks.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// It is in the cache, for others to find.
    pub fn is_cached(&self) -> bool {
        self.memory.is_none()
    }
}

/// The artifact of `source`, which is in the form of bytes: from the cache, or compiled now. `seen` is by what the module's
/// file is known again.
///
/// # Errors
/// Those of [`compile()`]. A cache that can't be used is no error, it is logged.
pub fn obtain(
    engine: &LoadedEngine,
    source: &Source<'_>,
    seen: Option<&Seen>,
    cache: Option<&Cache>,
    limits: &Limits,
) -> Result<Artifact, CompileError> {
    let SourceForm::Bytes(bytes) = source.form else {
        return Err(CompileError::AlreadyCompiled { name: source.name.to_owned() });
    };
    let (hash, known) = hash(bytes, seen, cache);
    let key = Key::with_hash(hash, engine);
    if let Some(found) = cache.and_then(|cache| cache.find(&key)) {
        return Ok(found);
    }
    match compile(engine, source, &key, cache, limits) {
        // What was noted is of another file, against all odds.
        Err(CompileError::Changed { .. }) if known => obtain(engine, source, None, cache, limits),
        other => other,
    }
}

/// The key of a module by its `bytes`, and the artifact if the cache has it. `seen` is as in [`obtain`].
pub fn look_up(engine: &LoadedEngine, bytes: &[u8], seen: Option<&Seen>, cache: &Cache) -> (Key, Option<Artifact>) {
    let key = Key::with_hash(hash(bytes, seen, Some(cache)).0, engine);
    let found = cache.find(&key);
    (key, found)
}

/// The hash of a module, and whether it was noted before.
fn hash(bytes: &[u8], seen: Option<&Seen>, cache: Option<&Cache>) -> (blake3::Hash, bool) {
    let noting = cache.zip(seen);
    if let Some(known) = noting.and_then(|(cache, seen)| cache.known(seen)) {
        return (known, true);
    }
    let hash = blake3::hash(bytes);
    if let Some((cache, seen)) = noting {
        cache.note(seen, hash);
    }
    (hash, false)
}

/// As [`obtain`], but compiled in any case: for an artifact that the engine calls [`stale`](ErrorKind::Stale) though it
/// has the right key.
///
/// # Errors
/// Those of [`obtain`].
pub fn renew(
    engine: &LoadedEngine,
    source: &Source<'_>,
    cache: Option<&Cache>,
    limits: &Limits,
) -> Result<Artifact, CompileError> {
    if let (SourceForm::Bytes(bytes), Some(cache)) = (source.form, cache) {
        cache.remove(&Key::of(bytes, engine));
    }
    obtain(engine, source, None, cache, limits)
}

#[cfg(test)]
mod tests;
