//! What the cache holds: listed, checked, and kept below its limit by taking out what was not used for longest.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::fcntl::{Flock, FlockArg};

use super::cache::{Cache, beside, checksum};
use super::record::Record;

/// An artifact of the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The file.
    pub path: PathBuf,
    /// What its module was called where it was met first.
    pub module: String,
    /// Whose it is.
    pub engine: String,
    /// Bytes of the file.
    pub length: u64,
    /// When a container last took it, to the hour.
    pub used: SystemTime,
}

/// What was taken out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// How many artifacts.
    pub artifacts: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl Cache {
    /// All artifacts, the one that was used last first. What comes or goes meanwhile may be missing.
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries: Vec<_> = self.files().filter_map(entry).collect();
        entries.sort_by(|a, b| b.used.cmp(&a.used).then_with(|| a.path.cmp(&b.path)));
        entries
    }

    /// All files of the folders that artifacts are in.
    pub(super) fn files(&self) -> impl Iterator<Item = PathBuf> {
        let folders = fs::read_dir(self.dir()).into_iter().flatten().flatten().map(|entry| entry.path());
        let of_artifacts = |folder: &PathBuf| {
            folder
                .file_name()
                .is_some_and(|name| name.len() == 2 && name.as_encoded_bytes().iter().all(u8::is_ascii_hexdigit))
        };
        let files =
            folders.filter(of_artifacts).flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
        files.map(|file| file.path())
    }

    /// Whether the artifact is whole and as it was written, by reading all of it.
    ///
    /// # Errors
    /// It can't be read.
    pub fn verify(&self, entry: &Entry) -> io::Result<bool> {
        let Some((record, _)) = Record::read(&beside(&entry.path, ".sum")) else { return Ok(false) };
        match File::open(&entry.path) {
            // Taken out meanwhile: nothing of it can be wrong.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            file => Ok(checksum(&file?)? == record.checksum),
        }
    }

    /// Takes out what was not used for `unused`, and then, the least recently used first, what is above `limit` bytes. A
    /// container that runs keeps what it has mapped.
    ///
    /// # Errors
    /// A file can't be removed.
    pub fn prune(&self, limit: u64, unused: Option<Duration>) -> io::Result<Pruned> {
        self.forget_failures();
        let (now, mut kept, mut pruned) = (SystemTime::now(), 0u64, Pruned::default());
        for entry in self.entries() {
            let old = unused.is_some_and(|unused| now.duration_since(entry.used).is_ok_and(|ago| ago >= unused));
            kept = kept.saturating_add(entry.length);
            if (old || kept > limit) && self.take_out(&entry)? {
                kept -= entry.length;
                pruned.artifacts += 1;
                pruned.bytes += entry.length;
            }
        }
        Ok(pruned)
    }

    /// Removes an artifact, unless a writer is at work in its folder: whether it is gone.
    ///
    /// # Errors
    /// It can't be removed.
    pub fn take_out(&self, entry: &Entry) -> io::Result<bool> {
        let Some(folder) = entry.path.parent() else { return Ok(false) };
        let Ok(_lock) = Flock::lock(File::open(folder)?, FlockArg::LockExclusiveNonblock) else { return Ok(false) };
        match fs::remove_file(&entry.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let _ = fs::remove_file(beside(&entry.path, ".sum"));
        Ok(true)
    }
}

/// The artifact at `path`, if it is one: `<64 digits>.<engine>`.
fn entry(path: PathBuf) -> Option<Entry> {
    let (digest, engine) = path.file_name()?.to_str()?.split_once('.')?;
    if digest.len() != blake3::OUT_LEN * 2 || engine.contains('.') {
        return None;
    }
    let engine = engine.to_owned();
    let found = path.symlink_metadata().ok().filter(fs::Metadata::is_file)?;
    let used = last_use(&path).unwrap_or(SystemTime::UNIX_EPOCH);
    let module = Record::read(&beside(&path, ".sum")).map(|(record, _)| record.name).unwrap_or_default();
    Some(Entry { module, engine, length: found.len(), used, path })
}

fn last_use(path: &Path) -> Option<SystemTime> {
    beside(path, ".sum").metadata().ok()?.accessed().ok()
}
