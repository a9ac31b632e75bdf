//! The container's root as it is being made: paths in it, which an image may have filled with links to anywhere, are looked
//! up by the kernel as if it were `/` already (openat2(2), `RESOLVE_IN_ROOT`).

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use libcontainer::syscall::Syscall;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat, openat2};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{fchdir, pivot_root};

use super::mounts;

/// Any permissions that the process's mask leaves.
const FOLDER: Mode = Mode::from_bits_truncate(0o755);

/// A root that is mounted for itself.
pub(super) struct Root {
    top: OwnedFd,
}

impl Root {
    /// Makes `path` a mount of its own in this process's mount namespace, from which nothing gets out any more.
    pub(super) fn take(path: &Path, syscall: &dyn Syscall) -> Result<Self, String> {
        let failed = |error: Errno| format!("root file system {}: {}", path.display(), error.desc());
        let none = None::<&Path>;
        mount(none, "/", none, MsFlags::MS_SLAVE | MsFlags::MS_REC, none).map_err(failed)?;
        // Private, as pivot_root(2) wants its parent to be: the copy's own parent is the mount that `path` lies on.
        let tree = mounts::copy(path, true, syscall)?;
        mounts::set(
            tree.as_fd(),
            &mounts::Attributes { propagation: libc::MS_PRIVATE, ..Default::default() },
            true,
            syscall,
        )?;
        let place = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC | OFlag::O_DIRECTORY, Mode::empty()).map_err(failed)?;
        mounts::attach(tree.as_fd(), place.as_fd(), syscall)?;
        let top = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC | OFlag::O_DIRECTORY, Mode::empty()).map_err(failed)?;
        Ok(Self { top })
    }

    /// What is at `path`, all links followed inside of the root.
    pub(super) fn find(&self, path: &Path) -> nix::Result<OwnedFd> {
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        openat2(&self.top, path, how)
    }

    /// The folder at `path`; what of it is missing is made.
    pub(super) fn make_folder(&self, path: &Path) -> Result<OwnedFd, String> {
        let failed = |error: Errno| format!("{} in the container: {}", path.display(), error.desc());
        match self.find(path) {
            Err(Errno::ENOENT) => {}
            other => return other.map_err(failed),
        }
        let mut at = self.find(Path::new("/")).map_err(failed)?;
        let mut so_far = PathBuf::from("/");
        for part in path.components() {
            let Component::Normal(name) = part else { continue };
            so_far.push(name);
            at = match self.find(&so_far) {
                Err(Errno::ENOENT) => {
                    match mkdirat(&at, name, FOLDER) {
                        // Somebody else's, or a link that leads nowhere: the next line tells.
                        Ok(()) | Err(Errno::EEXIST) => {}
                        Err(error) => return Err(failed(error)),
                    }
                    self.find(&so_far)
                }
                other => other,
            }
            .map_err(failed)?;
        }
        Ok(at)
    }

    /// The file at `path`; an empty one is made where there is none.
    pub(super) fn make_file(&self, path: &Path) -> Result<OwnedFd, String> {
        let failed = |error: Errno| format!("{} in the container: {}", path.display(), error.desc());
        match self.find(path) {
            Err(Errno::ENOENT) => {}
            other => return other.map_err(failed),
        }
        let folder = self.make_folder(path.parent().unwrap_or(Path::new("/")))?;
        let name = path.file_name().unwrap_or(OsStr::new("."));
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_WRONLY;
        openat(&folder, name, flags, Mode::from_bits_truncate(0o644)).map_err(failed)?;
        self.find(path).map_err(failed)
    }

    /// Makes it this process's `/`, and takes the host's away.
    pub(super) fn enter(self, read_only: bool, syscall: &dyn Syscall) -> Result<(), String> {
        let failed = |error: Errno| format!("the container's root can't be entered: {}", error.desc());
        fchdir(&self.top).map_err(failed)?;
        // The old root comes to lie over the new one and is taken off from there (pivot_root(2), notes).
        pivot_root(".", ".").map_err(failed)?;
        umount2(".", MntFlags::MNT_DETACH).map_err(failed)?;
        nix::unistd::chdir("/").map_err(failed)?;
        if read_only {
            let attributes = mounts::Attributes { set: mounts::READ_ONLY, ..Default::default() };
            mounts::set(self.find_new_top()?.as_fd(), &attributes, false, syscall)?;
        }
        Ok(())
    }

    fn find_new_top(&self) -> Result<OwnedFd, String> {
        let flags = OFlag::O_PATH | OFlag::O_CLOEXEC | OFlag::O_DIRECTORY;
        open("/", flags, Mode::empty()).map_err(|error| format!("the container's root: {}", error.desc()))
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.top.as_fd()
    }
}

impl AsRawFd for Root {
    fn as_raw_fd(&self) -> i32 {
        self.top.as_raw_fd()
    }
}
