//! The log: lines to containerd's own, through the pipe that it opens in the bundle.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, OnceLock};

use tracing::Level;

/// The pipe's descriptor, once there is one.
static DESCRIPTOR: OnceLock<RawFd> = OnceLock::new();

/// The descriptor that log lines go to, where it is containerd's pipe: no guest may keep that.
pub(crate) fn descriptor() -> Option<RawFd> {
    DESCRIPTOR.get().copied()
}

/// Logs to the pipe `log` of the bundle; nowhere if containerd does not read it.
///
/// Never blocks: where containerd is gone or slow, lines are lost, the container is not held up.
pub fn to_containerd(bundle: &Path, debug: bool) {
    let pipe = pipe(bundle);
    if let Some(pipe) = &pipe {
        let _ = DESCRIPTOR.set(pipe.as_raw_fd());
    }
    start(Mutex::new(Pipe(pipe)), if debug { Level::DEBUG } else { Level::INFO });
}

/// Goes on in the pipe of another container's bundle, where nobody reads the present one any more: containerd does so no
/// longer than the container is there that it made the pipe for, and a shim may have others.
pub(crate) fn go_on(bundle: &Path) {
    let Some(descriptor) = descriptor() else { return };
    let mut ended = libc::pollfd { fd: descriptor, events: 0, revents: 0 };
    // A pipe without readers is an error for its writer (poll(2)).
    // SAFETY: one valid pollfd.
    if unsafe { libc::poll(&raw mut ended, 1, 0) } < 1 || ended.revents & libc::POLLERR == 0 {
        return;
    }
    let Some(pipe) = pipe(bundle) else { return };
    // SAFETY: both descriptors are open. What the first one was is replaced at once, and whoever writes to it sees one of both.
    unsafe { libc::dup3(pipe.as_raw_fd(), descriptor, libc::O_CLOEXEC) };
}

fn pipe(bundle: &Path) -> Option<File> {
    OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(bundle.join("log")).ok()
}

/// Logs to stderr, for people at a terminal.
pub fn to_stderr(debug: bool) {
    let level = if debug { Level::DEBUG } else { Level::ERROR };
    start(Mutex::new(io::stderr()), level);
}

/// Logs that a step of a start is done, where containerd's own level is debug: the times between them show where a start's
/// time goes (`multiwasm-bench steps`). Otherwise it costs a comparison.
pub(crate) fn step(name: &'static str) {
    tracing::debug!("step: {name}");
}

fn start<W: Write + Send + 'static>(writer: Mutex<W>, level: Level) {
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(level)
        .with_target(false)
        .with_writer(writer)
        .finish();
    // A second call has lost against the first, which is as good.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

struct Pipe(Option<File>);

impl Write for Pipe {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(pipe) = &mut self.0 {
            // Full or closed: see above.
            let _ = pipe.write(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
