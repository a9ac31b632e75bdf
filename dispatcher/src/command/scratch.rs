//! A temporary folder that is locked for as long as its process, or one that it has forked, lives: what a killed one has left
//! is told by that, and removed by the next.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};

/// What all such folders' names begin with.
const PREFIX: &str = "multiwasm-image-";

/// A folder of this process's own, removed when dropped.
pub(super) struct Scratch {
    folder: tempfile::TempDir,
    _lock: Flock<File>,
}

impl Scratch {
    /// Makes one, and removes those that nobody has any more.
    pub(super) fn new() -> io::Result<Self> {
        Self::below(&std::env::temp_dir())
    }

    fn below(parent: &Path) -> io::Result<Self> {
        sweep(parent);
        loop {
            let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
            // Another process may have taken it for an abandoned one, before it was locked.
            if let Some(lock) = lock(folder.path())
                && folder.path().exists()
            {
                return Ok(Self { folder, _lock: lock });
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

fn lock(folder: &Path) -> Option<Flock<File>> {
    Flock::lock(File::open(folder).ok()?, FlockArg::LockExclusiveNonblock).ok()
}

/// Whatever can't be removed stays; whoever needs the room finds it by its name.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let ours = |found: &fs::Metadata| found.is_dir() && found.uid() == nix::unistd::geteuid().as_raw();
        let named = entry.file_name().to_string_lossy().starts_with(PREFIX);
        // Others may write here too; what is not ours is not touched, and no link is followed.
        if named
            && entry.metadata().is_ok_and(|found| ours(&found))
            && let Some(_lock) = lock(&entry.path())
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_has_is_swept() {
        let parent = tempfile::tempdir().unwrap();
        let left = parent.path().join("multiwasm-image-left");
        fs::create_dir_all(left.join("rootfs")).unwrap();
        let other = parent.path().join("other");
        fs::create_dir(&other).unwrap();
        let first = Scratch::below(parent.path()).unwrap();
        assert!(!left.exists() && other.exists());
        let second = Scratch::below(parent.path()).unwrap();
        assert!(first.path().exists() && second.path().exists());
        let path = first.path().to_owned();
        drop(first);
        assert!(!path.exists());
    }
}
