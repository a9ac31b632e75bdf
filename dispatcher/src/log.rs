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
    let pipe = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(bundle.join("log")).ok();
    if let Some(pipe) = &pipe {
        let _ = DESCRIPTOR.set(pipe.as_raw_fd());
    }
    start(Mutex::new(Pipe(pipe)), if debug { Level::DEBUG } else { Level::INFO });
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
