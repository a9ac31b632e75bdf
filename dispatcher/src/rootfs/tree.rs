//! The file tree that a container will see, read from outside: links and mounts resolve as they will inside.
//!
//! Images are not trusted: `/app.wasm -> /etc/shadow` must be the container's `/etc/shadow`, not the host's. So paths are
//! walked one component at a time, links are followed here and not by the kernel, and each open is bound to one root by
//! `openat2(2)`, which refuses to follow links or to leave that root even where somebody exchanges folders meanwhile.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2, readlinkat};
use nix::sys::stat::{SFlag, fstat};
use oci_spec::runtime::{Mount, Spec};

/// Most links followed for one path: the kernel's own number (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// Why a path of the container can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// There is nothing at this path.
    #[error("not found")]
    Missing,
    /// There will be a file system that is made at the start, and nothing can be read from it now.
    #[error("below the {kind} mount {at}, which has no files before the start", at = at.display())]
    NotYet {
        /// The mount's type.
        kind: String,
        /// Where it will be mounted.
        at: PathBuf,
    },
    /// A folder.
    #[error("a folder, not a file")]
    Folder,
    /// A device, socket or FIFO.
    #[error("a device, socket or FIFO, not a file")]
    Special,
    /// Anything else that the kernel says.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl From<Errno> for LookupError {
    fn from(errno: Errno) -> Self {
        match errno {
            // A file where a folder was expected: the path names nothing.
            Errno::ENOENT | Errno::ENOTDIR => Self::Missing,
            other => Self::Io(other.into()),
        }
    }
}

/// A file that was found.
#[derive(Debug)]
pub struct Found {
    /// Opened for reading; a regular file.
    pub file: File,
    /// Its length in bytes at that time.
    pub len: u64,
    /// It comes from a bind mount, so others may be writing to it.
    pub mounted: bool,
}

/// What is mounted somewhere in the tree.
#[derive(Debug)]
struct Layer {
    /// The container's path, links resolved.
    at: PathBuf,
    /// The host's file or folder; none where the file system is made at the start.
    source: Option<PathBuf>,
    kind: String,
}

/// A rootfs with the mounts of a specification laid over it.
#[derive(Debug)]
pub struct Tree {
    root: OwnedFd,
    layers: Vec<Layer>,
}

impl Tree {
    /// Opens the rootfs and lays the mounts of `spec` over it, in their order. Relative sources of bind mounts start at
    /// `bundle`, as the OCI specification has it.
    ///
    /// # Errors
    /// Where the rootfs can't be opened, or a mount's destination can't be resolved in it.
    pub fn open(bundle: &Path, rootfs: &Path, spec: &Spec) -> io::Result<Self> {
        let root = File::options().read(true).custom_flags(libc::O_DIRECTORY | libc::O_PATH).open(rootfs)?;
        let mut tree = Self { root: root.into(), layers: Vec::new() };
        for mount in spec.mounts().iter().flatten() {
            // A destination that does not exist will be made: the rest of its path is then as written.
            let at = match tree.resolve(mount.destination(), true) {
                Ok((at, _)) => at,
                Err(LookupError::Io(error)) => return Err(error),
                Err(_) => continue,
            };
            let kind = mount.typ().clone().unwrap_or_else(|| "bind".to_owned());
            tree.layers.push(Layer { at, source: bind_source(mount).map(|source| bundle.join(source)), kind });
        }
        Ok(tree)
    }

    /// Opens the regular file that the container calls `path`, which is absolute.
    ///
    /// # Errors
    /// [`LookupError`].
    pub fn open_file(&self, path: &Path) -> Result<Found, LookupError> {
        let (path, kind) = self.resolve(path, false)?;
        // Looked at before it is opened: opening a device or a FIFO may do things.
        is_regular(kind)?;
        let reading = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let (fd, mounted) = self.open_resolved(&path, reading)?;
        // And after: it may have been exchanged.
        let stat = fstat(&fd)?;
        is_regular(SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()))?;
        Ok(Found { file: fd.into(), len: u64::try_from(stat.st_size).unwrap_or(0), mounted })
    }

    /// `path` without links, `.` and `..`, and the kind of file that is there. With `lenient`, whatever is missing
    /// resolves to itself.
    fn resolve(&self, path: &Path, lenient: bool) -> Result<(PathBuf, SFlag), LookupError> {
        let mut pending = parts(path);
        let mut here = PathBuf::from("/");
        let mut kind = SFlag::S_IFDIR;
        let mut links = 0;
        while let Some(part) = pending.pop_front() {
            if part == ".." {
                here.pop();
                kind = SFlag::S_IFDIR;
                continue;
            }
            let next = here.join(part);
            let fd = match self.open_resolved(&next, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC) {
                Ok((fd, _)) => fd,
                Err(LookupError::Missing | LookupError::NotYet { .. }) if lenient => {
                    here = next;
                    continue;
                }
                Err(error) => return Err(error),
            };
            kind = SFlag::from_bits_truncate(fstat(&fd)?.st_mode & SFlag::S_IFMT.bits());
            if kind != SFlag::S_IFLNK {
                here = next;
                continue;
            }
            links += 1;
            if links > MAX_LINKS {
                return Err(Errno::ELOOP.into());
            }
            let target = PathBuf::from(readlinkat(&fd, "")?);
            if target.is_absolute() {
                here = PathBuf::from("/");
            }
            for part in parts(&target).into_iter().rev() {
                pending.push_front(part);
            }
        }
        Ok((here, kind))
    }

    /// Opens a path that has no links but perhaps the last component, and says whether a bind mount holds it.
    fn open_resolved(&self, path: &Path, flags: OFlag) -> Result<(OwnedFd, bool), LookupError> {
        // Of the mounts at or above a path, the one made last is seen: it covers those before it.
        let Some(layer) = self.layers.iter().rev().find(|layer| path.starts_with(&layer.at)) else {
            return Ok((open_beneath(&self.root, path.strip_prefix("/").unwrap_or(path), flags)?, false));
        };
        let Some(source) = &layer.source else {
            return Err(LookupError::NotYet { kind: layer.kind.clone(), at: layer.at.clone() });
        };
        // The source's own path is the host's: the host's links count there.
        let open_source = |flags: OFlag| {
            let file = File::options().read(true).custom_flags(flags.bits()).open(source);
            file.map(OwnedFd::from).map_err(|error| missing_or(error, source))
        };
        let rest = path.strip_prefix(&layer.at).unwrap_or(Path::new(""));
        let fd = if rest.as_os_str().is_empty() {
            open_source(flags - OFlag::O_NOFOLLOW)?
        } else {
            open_beneath(&open_source(OFlag::O_PATH)?, rest, flags)?
        };
        Ok((fd, true))
    }
}

/// Opens `path` below `root`. The kernel holds to it: no link is followed, nothing above `root` is reached.
fn open_beneath(root: &OwnedFd, path: &Path, flags: OFlag) -> Result<OwnedFd, LookupError> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
    openat2(root, path, how).map_err(|errno| match errno {
        Errno::ENOSYS => io::Error::other("opening files in a rootfs safely needs openat2, Linux 5.6 or later").into(),
        errno => errno.into(),
    })
}

fn missing_or(error: io::Error, source: &Path) -> LookupError {
    io::Error::new(error.kind(), format!("source {} of the bind mount: {error}", source.display())).into()
}

fn is_regular(kind: SFlag) -> Result<(), LookupError> {
    match kind {
        SFlag::S_IFREG => Ok(()),
        SFlag::S_IFDIR => Err(LookupError::Folder),
        _ => Err(LookupError::Special),
    }
}

/// The source of a bind mount; none for mounts of other types.
fn bind_source(mount: &Mount) -> Option<&Path> {
    let bind = |option: &String| option == "bind" || option == "rbind";
    let is_bind = mount.typ().as_deref() == Some("bind") || mount.options().iter().flatten().any(bind);
    mount.source().as_deref().filter(|_| is_bind)
}

/// The components that move a walk.
fn parts(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}
