//! The container's ends of its output pipes.

use std::fs::{File, OpenOptions};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::alarm;

use super::SandboxError;

/// How long a FIFO's reader may be late, in seconds.
const READER_SECONDS: u32 = 30;

/// Opens `path` for writing: a FIFO of containerd's, a file (`file:///path`, appended to), or nothing.
///
/// A FIFO's reader may be a moment late; until it is there, this waits, because bytes that are written and closed before
/// a reader comes are lost.
pub(super) fn open_output(path: &str) -> Result<OwnedFd, SandboxError> {
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
    if let Some((scheme, _)) = path.split_once("://") {
        return Err(failed(format!("the scheme {scheme} is not offered: use a FIFO's path or file:///path")));
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
