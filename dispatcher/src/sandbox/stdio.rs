//! A process's own ends of its pipes.

use std::fs::{File, OpenOptions};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::{SFlag, fstat, major};
use nix::unistd::{Uid, alarm, fchown};

use super::{SandboxError, logger};

/// How long a FIFO's reader may be late, in seconds.
const READER_SECONDS: u32 = 30;

/// Devices that are pseudo terminals' ends (Linux' devices.txt).
const TERMINAL: u64 = 136;

/// What a process finds as its stdio.
pub(super) struct Stdio {
    /// None: nothing to read.
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

impl Stdio {
    /// Opens the outputs of a process of the name `id`.
    pub(super) fn open(
        stdin: Option<OwnedFd>,
        (stdout, stderr): (&str, &str),
        (namespace, id): (&str, &str),
    ) -> Result<Self, SandboxError> {
        if stdout.starts_with(logger::SCHEME) {
            // One program takes both, as with runc's shim, which does not look at the other address then.
            let (stdout, stderr) = logger::start(stdout, namespace, id)?;
            return Ok(Self { stdin, stdout, stderr });
        }
        Ok(Self { stdin, stdout: open_output(stdout, (namespace, id))?, stderr: open_output(stderr, (namespace, id))? })
    }

    /// A terminal for all three.
    pub(super) fn of_terminal(slave: OwnedFd) -> Result<Self, SandboxError> {
        let copy = || {
            let copied = slave.try_clone();
            copied.map_err(|error| SandboxError::Inside(format!("the terminal's descriptor can't be copied: {error}")))
        };
        Ok(Self { stdin: Some(copy()?), stdout: copy()?, stderr: slave })
    }

    /// Gives pipes and terminals to the process's user, who may open them again by `/dev/stdout`, as images do with their
    /// logs.
    pub(super) fn give_to(&self, user: u32) {
        self.stdin.iter().chain([&self.stdout, &self.stderr]).for_each(|descriptor| give(user, descriptor));
    }
}

/// Gives a pipe or a terminal to `user`.
pub(super) fn give(user: u32, descriptor: &OwnedFd) {
    let theirs = fstat(descriptor).is_ok_and(|found| {
        let kind = SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits());
        kind == SFlag::S_IFIFO || kind == SFlag::S_IFCHR && major(found.st_rdev) == TERMINAL
    });
    if theirs {
        // Where it can't be, the descriptor itself still works.
        let _ = fchown(descriptor, Some(Uid::from_raw(user)), None);
    }
}

/// Opens `path` for writing, for a process of the name `id`: a FIFO of containerd's, a file (`file:///path`, appended to), a program
/// (`binary:///path`), or nothing.
///
/// A FIFO's reader may be a moment late; until it is there, this waits, because bytes that are written and closed before
/// a reader comes are lost.
pub(super) fn open_output(path: &str, (namespace, id): (&str, &str)) -> Result<OwnedFd, SandboxError> {
    let failed = |reason: String| SandboxError::Output { path: path.to_owned(), reason };
    if path.is_empty() {
        let null = OpenOptions::new().write(true).open("/dev/null");
        return null.map(Into::into).map_err(|error| failed(error.to_string()));
    }
    if let Some(number) = path.strip_prefix("/proc/self/fd/") {
        // The very descriptor: opened again, a file would be written from its start.
        let number: u16 = number.parse().map_err(|_| failed("no descriptor".to_owned()))?;
        // SAFETY: only borrowed for the call, which fails where it is not open.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number.into()) };
        return descriptor.try_clone_to_owned().map_err(|error| failed(error.to_string()));
    }
    if let Some(file) = path.strip_prefix("file://") {
        let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(file);
        return opened.map(Into::into).map_err(|error| failed(error.to_string()));
    }
    if path.starts_with(logger::SCHEME) {
        return logger::start(path, namespace, id).map(|(output, _)| output);
    }
    if let Some((scheme, _)) = path.split_once("://") {
        return Err(failed(format!(
            "the scheme {scheme} is not offered: use a FIFO's path, file:///path or binary:///path"
        )));
    }
    open_fifo(path).map(Into::into).map_err(|error| failed(error.to_string()))
}

fn open_fifo(path: &str) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true);
    match options.clone().custom_flags(libc::O_NONBLOCK).open(path) {
        Ok(file) => {
            // A guest's write waits for a slow reader, as in a pipe between programs.
            fcntl(&file, FcntlArg::F_SETFL(OFlag::O_WRONLY))?;
            Ok(file)
        }
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => {
            // Whoever asked for the container may be dead by now. The signal ends this process, and the spawner cleans up.
            alarm::set(READER_SECONDS);
            let opened = options.open(path);
            alarm::cancel();
            opened
        }
        Err(error) => Err(error),
    }
}
