//! A directory of the host as a file system of the guest, read-only where it is told so.
//!
//! Paths are resolved above, in wasmer-wasix, component by component and with every symbolic link followed inside of
//! the guest's own tree; what arrives here has no link left in it, and none is followed.

use std::fs::{self, OpenOptions as HostOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::pin::Pin;
use std::time::{SystemTime, UNIX_EPOCH};

use wasmer_wasix::virtual_fs::{
    DirEntry, FileOpener, FileSystem, FileType, FsError, Metadata, OpenOptions, OpenOptionsConfig, ReadDir, Result,
    VirtualFile,
};

use crate::errors::{self, error_of};
use crate::host_file::HostFile;

/// A directory that a guest may use.
#[derive(Debug)]
pub(crate) struct HostFs {
    root: PathBuf,
    read_only: bool,
}

impl HostFs {
    /// The directory `root`; the guest may change nothing in it where it is `read_only`.
    pub(crate) fn new(root: &Path, read_only: bool) -> Self {
        Self { root: root.to_owned(), read_only }
    }

    /// Where the host has what the guest calls `path`. Nothing leads out of the root.
    fn path(&self, path: &Path) -> PathBuf {
        let mut inside = Vec::new();
        for component in path.components() {
            match component {
                Component::Normal(name) => inside.push(name),
                Component::ParentDir => _ = inside.pop(),
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            }
        }
        let mut path = self.root.clone();
        path.extend(inside);
        path
    }

    /// As [`HostFs::path`], for something that is about to change.
    fn changing(&self, path: &Path) -> Result<PathBuf> {
        if self.read_only {
            return Err(FsError::PermissionDenied);
        }
        let host = self.path(path);
        if host == self.root { Err(FsError::PermissionDenied) } else { Ok(host) }
    }
}

impl FileSystem for HostFs {
    fn readlink(&self, path: &Path) -> Result<PathBuf> {
        fs::read_link(self.path(path)).map_err(error_of)
    }

    fn read_dir(&self, path: &Path) -> Result<ReadDir> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.path(path)).map_err(error_of)? {
            let entry = entry.map_err(error_of)?;
            // One that went away meanwhile is not there.
            let Ok(metadata) = entry.metadata() else { continue };
            entries.push(DirEntry { path: path.join(entry.file_name()), metadata: Ok(described(metadata)) });
        }
        Ok(ReadDir::new(entries))
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        fs::create_dir(self.changing(path)?).map_err(error_of)
    }

    fn create_symlink(&self, content: &Path, path: &Path) -> Result<()> {
        std::os::unix::fs::symlink(content, self.changing(path)?).map_err(error_of)
    }

    fn hard_link(&self, source: &Path, target: &Path) -> Result<()> {
        fs::hard_link(self.changing(source)?, self.changing(target)?).map_err(|error| match error_of(error) {
            // wasmer-wasix would make a link that lives in memory alone.
            FsError::Unsupported => FsError::PermissionDenied,
            other => other,
        })
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        fs::remove_dir(self.changing(path)?).map_err(error_of)
    }

    fn rename<'a>(&'a self, from: &'a Path, to: &'a Path) -> Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>> {
        Box::pin(async move { fs::rename(self.changing(from)?, self.changing(to)?).map_err(error_of) })
    }

    fn metadata(&self, path: &Path) -> Result<Metadata> {
        fs::metadata(self.path(path)).map(described).map_err(error_of)
    }

    fn symlink_metadata(&self, path: &Path) -> Result<Metadata> {
        fs::symlink_metadata(self.path(path)).map(described).map_err(error_of)
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        fs::remove_file(self.changing(path)?).map_err(error_of)
    }

    fn new_open_options(&self) -> OpenOptions<'_> {
        OpenOptions::new(self)
    }
}

impl FileOpener for HostFs {
    fn open(&self, path: &Path, wanted: &OpenOptionsConfig) -> Result<Box<dyn VirtualFile + Send + Sync + 'static>> {
        // Who asks for neither has had the right to write taken away above.
        let neither = !wanted.read && !wanted.write;
        if self.read_only && (wanted.would_mutate() || neither) {
            return Err(FsError::PermissionDenied);
        }
        let host = self.path(path);
        let mut options = HostOptions::new();
        options
            .read(wanted.read || neither)
            .write(wanted.write)
            // With truncate there is nothing to append to, and the two are refused together.
            .append(wanted.append && !wanted.truncate)
            .truncate(wanted.truncate)
            .create(wanted.create)
            .create_new(wanted.create_new)
            .custom_flags(libc::O_NOFOLLOW);
        let file = match options.open(&host) {
            // wasmer-wasix asks for write access whenever the directory's rights allow it, for a mere read too. Where
            // nothing but that stands in the way, the file opens for reading, and a write fails when it comes.
            Err(error) if wanted.read && may_be_read(wanted, &error) => {
                let opened = options.write(false).open(&host).map_err(|_| error_of(error))?;
                errors::forget();
                opened
            }
            opened => opened.map_err(error_of)?,
        };
        Ok(Box::new(HostFile::new(file, host)))
    }
}

fn may_be_read(wanted: &OpenOptionsConfig, error: &io::Error) -> bool {
    let changes = wanted.append || wanted.truncate || wanted.create || wanted.create_new;
    wanted.write
        && !changes
        && matches!(error.raw_os_error(), Some(libc::EROFS | libc::EACCES | libc::EPERM | libc::ETXTBSY))
}

fn described(metadata: fs::Metadata) -> Metadata {
    let kind = metadata.file_type();
    Metadata {
        ft: FileType {
            dir: kind.is_dir(),
            file: kind.is_file(),
            symlink: kind.is_symlink(),
            char_device: kind.is_char_device(),
            block_device: kind.is_block_device(),
            socket: kind.is_socket(),
            fifo: kind.is_fifo(),
        },
        accessed: nanoseconds(metadata.accessed()),
        created: nanoseconds(metadata.created()),
        modified: nanoseconds(metadata.modified()),
        len: metadata.len(),
    }
}

/// A time of the host as the guest reads it. One that the host does not know is the epoch.
pub(crate) fn nanoseconds(time: io::Result<SystemTime>) -> u64 {
    let since = time.unwrap_or(UNIX_EPOCH).duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
