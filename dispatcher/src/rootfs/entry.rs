//! The file that a container's entrypoint names.
//!
//! `process.args[0]` is looked up as a shell would, and then as images of WebAssembly need it: `entrypoint: ["app.wasm"]`
//! without any PATH is common there. `app.wasm#function` names a function to call, unless a file of just that name exists.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Deref;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use memmap2::{Mmap, MmapOptions};
use oci_spec::runtime::{Process, Spec};

use super::backing;
use super::tree::{Found, LookupError, Tree};
use crate::artifact::{Seen, WORTH_KNOWING};

/// Most bytes of a module: what the WebAssembly JavaScript Interface gives as limit of its implementations, 1 GiB.
pub const MAX_MODULE: u64 = 1 << 30;

/// Why there is no entrypoint that could be run.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// `process.args` is empty.
    #[error(
        "the container has no entrypoint: name a command in the image or when running it (process.args of config.json)"
    )]
    NoArgs,
    /// The rootfs, or a mount's destination in it, can't be read.
    #[error("rootfs {path} can't be read: {source}", path = path.display())]
    Rootfs {
        /// The host's path of the rootfs.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Nothing has this name in any of the places.
    // Docker ends with 127 where it reads the kernel's words (moby's daemon/errors.go).
    #[error("entrypoint {name} not found in the container: no such file or directory: looked for {}", places.join(", "))]
    Missing {
        /// As in `process.args`.
        name: String,
        /// The container's paths that were tried, with a remark where there is one.
        places: Vec<String>,
    },
    /// There is something, but no file that can be read.
    #[error("entrypoint {path} in the container can't be run: {source}")]
    Unusable {
        /// The container's path.
        path: String,
        /// What is wrong with it.
        source: LookupError,
    },
    /// Its bytes can't be read.
    #[error("entrypoint {path} can't be read: {source}")]
    Unreadable {
        /// The container's path.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// Larger than [`MAX_MODULE`].
    #[error("entrypoint {path} has {len} bytes, a WebAssembly module may have {MAX_MODULE}")]
    TooLarge {
        /// The container's path.
        path: String,
        /// Its length in bytes.
        len: u64,
    },
}

impl EntryError {
    /// Whether this only says that the root file system does not hold the entrypoint, so that it may be elsewhere.
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::NoArgs | Self::Missing { .. } | Self::Unusable { source: LookupError::Folder, .. })
    }
}

/// An entrypoint that was found.
#[derive(Debug)]
pub struct Entry {
    /// The container's absolute path, links not resolved.
    pub path: String,
    /// The file, opened for reading.
    pub file: File,
    /// The function that `#function` names.
    pub function: Option<String>,
    /// The file's length in bytes when it was opened.
    pub len: u64,
    /// It comes from a bind mount.
    mounted: bool,
    /// The root file system that it was found in.
    rootfs: PathBuf,
}

impl Entry {
    /// Finds the file that `process.args[0]` of `spec` names in `rootfs`, a folder of the host, without ever leaving the
    /// rootfs and the sources of the specification's bind mounts. Relative sources of those start at `bundle`.
    ///
    /// # Errors
    /// [`EntryError`]; of some [`EntryError::is_absence`] says that the rootfs does not hold it.
    pub fn find(bundle: &Path, rootfs: &Path, spec: &Spec) -> Result<Self, EntryError> {
        let process = spec.process().as_ref().ok_or(EntryError::NoArgs)?;
        let name = process.args().iter().flatten().next().filter(|name| !name.is_empty()).ok_or(EntryError::NoArgs)?;
        let tree = Tree::open(bundle, rootfs, spec)
            .map_err(|source| EntryError::Rootfs { path: rootfs.to_owned(), source })?;
        let mut tried = Vec::new();
        let mut culprit = None;
        for (file, function) in readings(name) {
            for path in places(file, process) {
                match tree.open_file(Path::new(&path)) {
                    Ok(Found { file, len, mounted }) => {
                        let function = function.filter(|name| !name.is_empty()).map(str::to_owned);
                        return Ok(Self { path, file, function, len, mounted, rootfs: rootfs.to_owned() });
                    }
                    Err(LookupError::Missing) => tried.push(path),
                    Err(remark @ LookupError::NotYet { .. }) => tried.push(format!("{path} ({remark})")),
                    Err(source) => {
                        culprit.get_or_insert(EntryError::Unusable { path, source });
                    }
                }
            }
        }
        Err(culprit.unwrap_or(EntryError::Missing { name: name.clone(), places: tried }))
    }

    /// Whether anybody at all may execute it.
    pub fn is_executable(&self) -> bool {
        self.file.metadata().is_ok_and(|found| found.permissions().mode() & 0o111 != 0)
    }

    /// The first `len` bytes, fewer where the file is shorter: enough to tell a module from a native program, which need
    /// not be read any further.
    ///
    /// # Errors
    /// [`EntryError::Unreadable`].
    pub fn first_bytes(&self, len: usize) -> Result<Vec<u8>, EntryError> {
        self.copy(len as u64).map_err(|source| EntryError::Unreadable { path: self.path.clone(), source })
    }

    /// The module's bytes.
    ///
    /// A file of the rootfs is mapped, so that looking at a few of its sections costs a few pages. A file behind a bind
    /// mount is copied: whoever shares it may truncate it, and reading a mapping past the end kills the reader.
    /// A rootfs may be shared as well, if seldom, so never trust that two looks at a mapping see the same:
    /// [`crate::artifact`] copies what it compiles.
    ///
    /// # Errors
    /// [`EntryError::Unreadable`], [`EntryError::TooLarge`].
    pub fn map(&self) -> Result<Content, EntryError> {
        let unreadable = |source| EntryError::Unreadable { path: self.path.clone(), source };
        if self.len > MAX_MODULE {
            return Err(EntryError::TooLarge { path: self.path.clone(), len: self.len });
        }
        if self.mounted || self.len == 0 {
            return self.copy(self.len).map(Content::Copied).map_err(unreadable);
        }
        // SAFETY: the mapping is private and read-only, and made for a file of the rootfs of a container that does not
        // run yet; should another container share that rootfs and write to it, what is read is wrong bytes, which all
        // readers of modules must take anyway.
        let map = unsafe { MmapOptions::new().len(self.len as usize).map(&self.file) }.map_err(unreadable)?;
        Ok(Content::Mapped(map, self.seen()))
    }

    /// By what the file is known again, where that is worth it.
    fn seen(&self) -> Option<Seen> {
        let file = self.file.metadata().ok().filter(|file| file.len() >= WORTH_KNOWING)?;
        Some(Seen { device: backing::device(&self.rootfs, &file)?, file })
    }

    /// Reads the file from its start, `len` bytes at most.
    fn copy(&self, len: u64) -> io::Result<Vec<u8>> {
        struct FromStart<'a>(&'a File, u64);
        impl Read for FromStart<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let read = self.0.read_at(buffer, self.1)?;
                self.1 += read as u64;
                Ok(read)
            }
        }

        let mut bytes = Vec::with_capacity(len as usize);
        FromStart(&self.file, 0).take(len).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// A module's bytes, however they came.
#[derive(Debug)]
pub enum Content {
    /// Mapped from a file, and by what that is known again.
    Mapped(Mmap, Option<Seen>),
    /// Copied from a file.
    Copied(Vec<u8>),
}

impl Deref for Content {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map, _) => map,
            Self::Copied(bytes) => bytes,
        }
    }
}

impl Content {
    /// By what the file is known again, where it is one.
    pub fn seen(&self) -> Option<&Seen> {
        match self {
            Self::Mapped(_, seen) => seen.as_ref(),
            Self::Copied(_) => None,
        }
    }
}

/// File and function that `name` may mean, the longest file first: functions have `#` in their names more often
/// (`wasi:cli/run@0.2.0#run`), but only a look can tell.
pub(crate) fn readings(name: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let split = name.rmatch_indices('#').map(|(at, _)| (&name[..at], Some(&name[at + 1..])));
    std::iter::once((name, None)).chain(split).filter(|(file, _)| !file.is_empty())
}

/// The absolute paths at which `file` is looked for, in order, each once.
fn places(file: &str, process: &Process) -> Vec<String> {
    let cwd = Path::new("/").join(process.cwd());
    let mut folders = Vec::new();
    if !file.contains('/') {
        let path = process.env().iter().flatten().rev().find_map(|variable| variable.strip_prefix("PATH="));
        folders.extend(path.into_iter().flat_map(|path| path.split(':')).map(|folder| cwd.join(folder)));
        folders.push(cwd);
        folders.push(PathBuf::from("/"));
    } else {
        folders.push(cwd);
    }
    let mut places = Vec::new();
    for folder in folders {
        let place = folder.join(file).to_string_lossy().into_owned();
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

#[cfg(test)]
mod tests;
