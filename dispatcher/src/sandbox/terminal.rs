//! Pseudo terminals: made for a container's process, sized, and handed to who copies.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::sys::stat::{SFlag, fstat, major, minor};
use nix::sys::statfs::{FsType, fstatfs};

use super::SandboxError;

/// File system of pseudo terminals (linux/magic.h).
const DEVPTS: FsType = FsType(0x1cd1);
/// The device that makes them (Linux' devices.txt).
const PTMX: (u64, u64) = (5, 2);

/// The outer side of a container's terminal.
#[derive(Debug)]
pub struct Terminal {
    /// The pseudo terminal's master.
    pub master: OwnedFd,
    /// Where its output goes.
    pub output: OwnedFd,
}

/// Both ends of a new pseudo terminal.
pub(super) struct Pair {
    pub(super) master: OwnedFd,
    /// The process's own end.
    pub(super) slave: OwnedFd,
}

impl Pair {
    /// A new one of the devpts below `root`, a container's, where that has one: there, it has a name by which programs can
    /// open it again. Otherwise one of the host's, which the container knows by its descriptors alone.
    pub(super) fn open(root: Option<&Path>) -> Result<Self, SandboxError> {
        let failed = |error: io::Error| SandboxError::Inside(format!("a terminal can't be made: {error}"));
        let master = match root.and_then(container_ptmx) {
            Some(master) => master,
            None => {
                File::options().read(true).write(true).custom_flags(libc::O_NOCTTY).open("/dev/ptmx").map_err(failed)?
            }
        };
        Self::of(master.into()).map_err(failed)
    }

    fn of(master: OwnedFd) -> io::Result<Self> {
        let unlocked: libc::c_int = 0;
        // SAFETY: the request takes a pointer to an int, which is valid for the call.
        if unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let slave = slave(master.as_fd())?;
        Ok(Self { master, slave })
    }
}

/// The other end of `master`.
pub(super) fn slave(master: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the request takes flags by value and gives a new descriptor.
    let slave = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) };
    // SAFETY: the kernel has just made it for us.
    if slave < 0 { Err(io::Error::last_os_error()) } else { Ok(unsafe { OwnedFd::from_raw_fd(slave) }) }
}

/// A new master from the container's own devpts. What is there is the container's to change, so it is looked at.
fn container_ptmx(root: &Path) -> Option<File> {
    let root = File::options().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(root).ok()?;
    let open = |flags: OFlag| {
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
        openat2(&root, "dev/pts/ptmx", how).ok()
    };
    let is_ptmx = |fd: &OwnedFd| {
        let device = fstat(fd).is_ok_and(|found| {
            let kind = SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits());
            kind == SFlag::S_IFCHR && (major(found.st_rdev), minor(found.st_rdev)) == PTMX
        });
        device && fstatfs(fd).is_ok_and(|found| found.filesystem_type() == DEVPTS)
    };
    // Opening another device may do things, so it is looked at before, and again in case somebody exchanged it.
    open(OFlag::O_PATH).filter(is_ptmx)?;
    open(OFlag::O_RDWR | OFlag::O_NOCTTY).filter(is_ptmx).map(File::from)
}

/// Tells the terminal its size in characters; a program on it gets SIGWINCH.
///
/// # Errors
/// What the kernel says.
pub fn resize(master: BorrowedFd<'_>, width: u16, height: u16) -> io::Result<()> {
    let size = libc::winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the request takes a pointer to a winsize, which is valid for the call.
    let done = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes the terminal on this process's stdin its controlling one, so that ctrl-c reaches it as SIGINT. The process must
/// lead its session.
pub(super) fn take_control() -> io::Result<()> {
    // SAFETY: the request takes a number.
    let done = unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The socket on which libcontainer hands over the master of a terminal that it made.
pub(super) struct ConsoleSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ConsoleSocket {
    /// Listens in `folder`.
    pub(super) fn listen(folder: &Path) -> io::Result<Self> {
        let path = folder.join("console");
        // Bound by a short way: a socket's path has room for 107 bytes, and ids may be long.
        let folder = File::options().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(folder)?;
        let listener = UnixListener::bind(format!("/proc/self/fd/{}/console", folder.as_raw_fd()))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The master, once libcontainer has made the container: it was sent by then.
    pub(super) fn receive(self) -> io::Result<OwnedFd> {
        let (stream, _) = self.listener.accept()?;
        let _ = std::fs::remove_file(&self.path);
        let mut buffer = [0; 256];
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let mut control = nix::cmsg_space!([RawFd; 1]);
        let message = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::MSG_CMSG_CLOEXEC)?;
        let descriptor = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::ScmRights(descriptors) => descriptors.first().copied(),
            _ => None,
        });
        // SAFETY: the kernel has just made it for us.
        descriptor.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).ok_or_else(|| io::Error::other("no descriptor came"))
    }
}

/// The caller's terminal, raw as long as this lives.
pub struct Raw(Option<libc::termios>);

impl Raw {
    /// Takes the terminal on stdin; without one there is nothing to take.
    pub fn take() -> Self {
        let mut found = MaybeUninit::uninit();
        // SAFETY: fills the structure, or fails.
        if unsafe { libc::tcgetattr(0, found.as_mut_ptr()) } != 0 {
            return Self(None);
        }
        // SAFETY: it was filled.
        let before: libc::termios = unsafe { found.assume_init() };
        let mut raw = before;
        // SAFETY: both take a valid structure.
        unsafe {
            libc::cfmakeraw(&raw mut raw);
            libc::tcsetattr(0, libc::TCSANOW, &raw const raw);
        }
        Self(Some(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // SAFETY: a valid structure.
            unsafe { libc::tcsetattr(0, libc::TCSADRAIN, before) };
        }
    }
}

/// Gives a container's terminal the size of the caller's, where stdin is one.
pub fn copy_size(master: BorrowedFd<'_>) {
    let mut size = MaybeUninit::<libc::winsize>::uninit();
    // SAFETY: fills the structure, or fails.
    if unsafe { libc::ioctl(0, libc::TIOCGWINSZ, size.as_mut_ptr()) } == 0 {
        // SAFETY: it was filled.
        let size = unsafe { size.assume_init() };
        let _ = resize(master, size.ws_col, size.ws_row);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn what_one_end_writes_the_other_reads_and_the_size_is_kept() {
        let pair = Pair::open(None).unwrap();
        resize(pair.master.as_fd(), 100, 30).unwrap();
        let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the request fills the structure.
        assert_eq!(unsafe { libc::ioctl(pair.slave.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) }, 0);
        assert_eq!((size.ws_col, size.ws_row), (100, 30));
        let (mut master, mut slave) = (File::from(pair.master), File::from(pair.slave));
        slave.write_all(b"a\n").unwrap();
        let mut read = [0; 3];
        master.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"a\r\n");
        drop(slave);
        assert_eq!(master.read(&mut read).unwrap_err().raw_os_error(), Some(libc::EIO));
    }

    #[test]
    fn a_root_without_devpts_has_none() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("dev/pts")).unwrap();
        std::fs::write(root.path().join("dev/pts/ptmx"), "").unwrap();
        assert!(container_ptmx(root.path()).is_none());
        assert!(container_ptmx(Path::new("/")).is_some());
    }
}
