//! Hashes of modules that were read before: hashing 20 MB at each start would cost more than all the rest of it.
//!
//! A file is known again by its device, inode, length and the time of its last change, which the kernel keeps and nobody can
//! set; within this boot, and only if it was noted long enough after that change. Whoever could make two files that are one
//! by these could run his own older module in place of his newer one, and nobody else's.

use std::fs::{DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::record::{Notes, Record};

/// Smaller ones are hashed in less time than a note is read: some 0.1 ms.
pub const WORTH_KNOWING: u64 = 256 << 10;
/// The folder in the cache. Its files are so many at most, one a place.
const FOLDER: &str = "known";
const PLACES: u64 = 4096;

/// By what a module's file is known again.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Of the file system that it really lies on.
    pub device: u64,
    /// As it was when it was opened.
    pub file: Metadata,
}

impl Seen {
    fn notes(&self, boot: &str) -> Notes {
        Notes::on(self.device, &self.file, boot)
    }

    fn place(&self, cache: &Path) -> PathBuf {
        use std::os::unix::fs::MetadataExt;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.device.to_le_bytes()).update(&self.file.ino().to_le_bytes());
        let bytes = *hasher.finalize().as_bytes();
        let number = u64::from_le_bytes(std::array::from_fn(|at| bytes[at])) % PLACES;
        cache.join(FOLDER).join(format!("{number:03x}"))
    }
}

/// The hash of the module's file, if it was noted; `boot` is the kernel's id of this boot.
pub(super) fn hash(cache: &Path, seen: &Seen, boot: &str) -> Option<blake3::Hash> {
    if boot.is_empty() {
        return None;
    }
    let (record, settled) = Record::read(&seen.place(cache))?;
    (settled && record.notes == seen.notes(boot)).then_some(record.checksum)
}

/// Notes the hash. A cache that can't be written to costs the next start the hashing.
pub(super) fn note(cache: &Path, seen: &Seen, boot: &str, hash: blake3::Hash) {
    let written = || -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(cache.join(FOLDER)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let place = seen.place(cache);
        let new = place.with_extension(format!("{}.new", std::process::id()));
        Record { name: String::new(), checksum: hash, notes: seen.notes(boot) }.write(&new, &place, false)
    };
    let _ = written().inspect_err(|error| tracing::debug!("a module's hash is not noted: {error}"));
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_hash_is_known_until_the_file_changes() {
        let (cache, file) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
        fs::write(file.path(), "module").unwrap();
        let past = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
        // The time of the last change can't be set, that of the note can't either: so what is read is not settled yet.
        fs::File::options().write(true).open(file.path()).unwrap().set_modified(past).unwrap();
        let seen = Seen { device: 7, file: fs::metadata(file.path()).unwrap() };
        assert_eq!(hash(cache.path(), &seen, "boot"), None);
        note(cache.path(), &seen, "boot", blake3::hash(b"module"));
        let (record, settled) = Record::read(&seen.place(cache.path())).unwrap();
        assert!(!settled && record.notes == seen.notes("boot") && record.checksum == blake3::hash(b"module"));
        assert_eq!(hash(cache.path(), &seen, "boot"), None);
        assert!(record.notes != seen.notes("another boot"));
        let elsewhere = Seen { device: 8, ..seen };
        assert!(record.notes != elsewhere.notes("boot"));
    }
}
