//! The cache: a folder of root's, `<two digits>/<digest>.<engine>`, with a record (`….sum`) beside each artifact.
//!
//! An artifact without a record, or the other way round, is not there: whatever a crash leaves behind is one of those.
//! Readers take no lock. Writers lock their folder (`flock(2)` on it), which leaves no file behind and ends with its
//! holder, however that dies; whatever ends in `.new` while one holds the lock is a dead writer's and is swept away.
//! A reader marks use by the record's access time, at most once an hour: that is what eviction can go by.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::futimens;
use nix::sys::time::TimeSpec;

use super::known::{self, Seen};
use super::record::{Notes, Record, SETTLED, in_a_line};
use super::{Artifact, Key};

/// Where the cache is where nothing else is configured.
pub const DEFAULT_DIR: &str = "/var/cache/multiwasm";

/// How exactly the time of last use is kept.
const USE_GRAIN: Duration = Duration::from_secs(3600);

/// Why the cache can't be used. No container needs to fail for it: it can be compiled for.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The folder can't be made or opened.
    #[error("compile cache {path} can't be used: {source}", path = path.display())]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Others could put code into it.
    #[error(
        "compile cache {path} is not used: others may change it (found owner {owner}, mode {mode:04o}; wanted owner \
         {wanted} and no write permission for group and others): chown {wanted} {path} && chmod go-w {path}",
        path = path.display()
    )]
    Unsafe {
        /// The folder.
        path: PathBuf,
        /// Its owner's uid.
        owner: u32,
        /// Its permission bits.
        mode: u32,
        /// The uid that should own it: that of this process.
        wanted: u32,
    },
    /// An artifact can't be put in.
    #[error("compile cache: {path} can't be written: {source}", path = path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Bytes of an artifact whose compiler took seconds, beside which one wait is nothing: without it the next start would read and
/// hash all of them.
const LARGE: u64 = 16 << 20;

/// An opened cache.
#[derive(Debug)]
pub struct Cache {
    dir: PathBuf,
    boot: String,
}

/// The right to write to one of a cache's folders, for as long as it is held.
#[derive(Debug)]
pub struct Lock {
    folder: Flock<File>,
}

impl Cache {
    /// Opens the cache at `dir`, and makes the folder where there is none.
    ///
    /// # Errors
    /// [`CacheError::Unusable`], or [`CacheError::Unsafe`] where somebody else could have put an artifact into it.
    pub fn open(dir: &Path) -> Result<Self, CacheError> {
        let unusable = |source| CacheError::Unusable { path: dir.to_owned(), source };
        let found = match dir.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(unusable)?;
                dir.metadata()
            }
            found => found,
        };
        let found = found.map_err(unusable)?;
        if !found.is_dir() {
            return Err(unusable(io::ErrorKind::NotADirectory.into()));
        }
        let (owner, mode, wanted) = (found.uid(), found.mode() & 0o7777, nix::unistd::geteuid().as_raw());
        if owner != wanted || mode & 0o022 != 0 {
            return Err(CacheError::Unsafe { path: dir.to_owned(), owner, mode, wanted });
        }
        // Without an id nothing is believed across calls: each use hashes.
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Ok(Self { dir: dir.to_owned(), boot: boot.trim().to_owned() })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The hash of a module's file that was noted.
    pub(super) fn known(&self, seen: &Seen) -> Option<blake3::Hash> {
        known::hash(&self.dir, seen, &self.boot)
    }

    /// Notes the hash of a module's file.
    pub(super) fn note(&self, seen: &Seen, hash: blake3::Hash) {
        known::note(&self.dir, seen, &self.boot, hash);
    }

    /// The artifact of `key`, checked. One that is torn or altered is removed, logged, and not found.
    pub fn find(&self, key: &Key) -> Option<Artifact> {
        let path = self.path(key);
        let file = File::options().read(true).custom_flags(libc::O_NOFOLLOW).open(&path).ok()?;
        let notes = Notes::of(&file.metadata().ok()?, &self.boot);
        match Record::read(&beside(&path, ".sum")) {
            Some((record, settled)) if settled && !self.boot.is_empty() && record.notes == notes => {}
            Some((record, _)) if checksum(&file).is_ok_and(|found| found == record.checksum) => {
                // Fails on a read-only cache: then each use hashes, which is slower and as safe. Not worth a wait for
                // the disk either: a record torn by a crash costs one compile.
                let new = beside(&path, &format!(".sum.{}.new", std::process::id()));
                let _ = Record { notes, ..record }.write(&new, &beside(&path, ".sum"), false);
            }
            _ => {
                tracing::warn!(artifact = %path.display(), "cached artifact is torn or was altered: it is compiled again");
                self.remove(key);
                return None;
            }
        }
        mark_use(&beside(&path, ".sum"));
        Some(Artifact::cached(path))
    }

    /// Waits until nobody else compiles for the folder of `key`. The wait ends with the other's limits at the latest.
    ///
    /// # Errors
    /// [`CacheError::Unwritable`].
    pub fn lock(&self, key: &Key) -> Result<Lock, CacheError> {
        self.lock_how(key, FlockArg::LockExclusive)
    }

    /// Copies the artifact of `key`, whose module is called `name`, from a file into the cache: whole, on the disk, and seen by
    /// all at once.
    ///
    /// It is a copy because whoever wrote the file may still have it open for writing.
    ///
    /// # Errors
    /// [`CacheError::Unwritable`]; nothing is left behind then.
    pub fn store(&self, lock: &Lock, key: &Key, name: &str, from: &File) -> Result<Artifact, CacheError> {
        let path = self.path(key);
        let new = beside(&path, ".new");
        self.sweep(key);
        let written = write_whole(from, &new).and_then(|(file, checksum)| {
            fs::rename(&new, &path)?;
            // A rename changes the ctime, so the notes are taken after it.
            let notes = Notes::of(&file.metadata()?, &self.boot);
            let record = Record { name: in_a_line(name), checksum, notes };
            let write = || record.write(&beside(&path, ".sum.new"), &beside(&path, ".sum"), true);
            write()?;
            if record.notes.length() >= LARGE {
                // The same record, believed now. The kernel's clock for files lags by a tick at most, which is half of SETTLED.
                // Nobody else had the file open for writing while its notes were taken: it is our own copy, of mode 0600.
                std::thread::sleep(SETTLED * 3 / 2);
                write()?;
            }
            self.forget_failure(key);
            lock.folder.sync_all()
        });
        written.map_err(|source| {
            for left in [&new, &path] {
                let _ = fs::remove_file(left);
            }
            CacheError::Unwritable { path: path.clone(), source }
        })?;
        Ok(Artifact::cached(path))
    }

    /// Removes the artifact of `key`, unless a writer is at work there, who will replace it.
    pub fn remove(&self, key: &Key) {
        if let Ok(_lock) = self.lock_how(key, FlockArg::LockExclusiveNonblock) {
            let path = self.path(key);
            let _ = fs::remove_file(&path);
            let _ = fs::remove_file(beside(&path, ".sum"));
        }
    }

    pub(super) fn path(&self, key: &Key) -> PathBuf {
        self.dir.join(key.folder()).join(key.file_name())
    }

    fn lock_how(&self, key: &Key, how: FlockArg) -> Result<Lock, CacheError> {
        let path = self.dir.join(key.folder());
        let open = || match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Somebody else may have been faster.
                let _ = DirBuilder::new().mode(0o700).create(&path);
                File::open(&path)
            }
            opened => opened,
        };
        let lock = open().and_then(|folder| Flock::lock(folder, how).map_err(|(_, errno)| errno.into()));
        lock.map(|folder| Lock { folder }).map_err(|source| CacheError::Unwritable { path: path.clone(), source })
    }

    /// Removes what dead writers left in the folder of `key`. A reader's new record may go too, and is written next time.
    fn sweep(&self, key: &Key) {
        let entries = fs::read_dir(self.dir.join(key.folder())).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_name().as_encoded_bytes().ends_with(b".new")) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The path with something added to the file's name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Checksum of a file's content. One thread: callers fork, and must not have more.
pub(super) fn checksum(file: &File) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    each_block(file, |block| {
        hasher.update(block);
        Ok(())
    })?;
    Ok(hasher.finalize())
}

/// Copies `from` to a new file at `to`, onto the disk; gives that file and the checksum of what was written.
fn write_whole(from: &File, to: &Path) -> io::Result<(File, blake3::Hash)> {
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(to)?;
    let mut hasher = blake3::Hasher::new();
    each_block(from, |block| {
        hasher.update(block);
        file.write_all(block)
    })?;
    file.sync_all()?;
    Ok((file, hasher.finalize()))
}

/// Calls `with` for each block of a file, from its start, wherever its offset is.
pub(super) fn each_block(file: &File, mut with: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    // Large enough for the hash's widest vectors and few calls, small enough to stay in a core's own cache.
    let mut buffer = vec![0; 128 << 10];
    let mut at = 0;
    loop {
        match file.read_at(&mut buffer, at) {
            Ok(0) => return Ok(()),
            Ok(read) => {
                with(&buffer[..read])?;
                at += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Sets the access time of a record to now, unless it is recent. A read-only cache stays as it is.
fn mark_use(record: &Path) {
    let recent = |last: SystemTime| last.elapsed().is_ok_and(|ago| ago < USE_GRAIN);
    if record.metadata().and_then(|found| found.accessed()).is_ok_and(recent) {
        return;
    }
    if let Ok(file) = File::open(record) {
        let _ = futimens(&file, &TimeSpec::UTIME_NOW, &TimeSpec::UTIME_OMIT);
    }
}
