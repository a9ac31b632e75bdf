//! A container's stdio on the server's side: what keeps its pipes alive, and stdin with its end.
//!
//! stdout and stderr are containerd's FIFOs themselves: the guest writes into them and no byte passes through the server.
//! The server holds a reading end of each, so that a guest is not killed by a broken pipe while containerd restarts.
//! stdin passes through the server, because only so its end is told apart from a writer who has not come yet.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::sync::Notify;

/// Bytes that one step of stdin takes: a pipe's usual capacity (pipe(7)).
const STEP: usize = 64 << 10;

/// Why stdin can't be had.
#[derive(Debug, thiserror::Error)]
#[error("stdin {path} can't be opened: {source}")]
pub(super) struct StdinError {
    path: PathBuf,
    source: io::Error,
}

/// The server's share of a container's stdio; dropping it closes all.
#[derive(Default)]
pub(super) struct Stdio {
    close_stdin: Option<Arc<Notify>>,
    _keep: Vec<File>,
}

impl Stdio {
    /// Opens `stdin`; gives the end for the container.
    pub(super) fn open(stdin: &str) -> Result<(Self, Option<OwnedFd>), StdinError> {
        if stdin.is_empty() {
            return Ok((Self::default(), None));
        }
        let failed = |source| StdinError { path: stdin.into(), source };
        let from = pipe::OpenOptions::new().open_receiver(stdin).map_err(failed)?;
        let (ours, theirs) = pipe::pipe().map_err(failed)?;
        let theirs = theirs.into_blocking_fd().map_err(failed)?;
        let close = Arc::new(Notify::new());
        tokio::spawn(pump(from, ours, Arc::clone(&close)));
        Ok((Self { close_stdin: Some(close), _keep: Vec::new() }, Some(theirs)))
    }

    /// Keeps reading ends of those outputs that are FIFOs, now that the container has them open.
    pub(super) fn keep(&mut self, outputs: [&str; 2]) {
        let fifo = |path: &&str| Path::new(path).metadata().is_ok_and(|found| found.file_type().is_fifo());
        let open = |path| OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).ok();
        self._keep = outputs.into_iter().filter(fifo).filter_map(open).collect();
    }

    /// No more stdin will come: the container meets its end once it has read what is there.
    pub(super) fn close_stdin(&self) {
        if let Some(close) = &self.close_stdin {
            close.notify_one();
        }
    }
}

/// Copies stdin until its end, until CloseIO, or until the container has closed its own.
async fn pump(from: pipe::Receiver, mut to: pipe::Sender, close: Arc<Notify>) {
    let mut buffer = vec![0; STEP];
    loop {
        // A FIFO that nobody writes to yet reads as ended; it is not ready before the first writer, though.
        let closing = tokio::select! {
            biased;
            ready = from.readable() => { if ready.is_err() { return } false }
            () = close.notified() => true,
        };
        loop {
            match from.try_read(&mut buffer) {
                Ok(0) => return,
                Ok(length) => {
                    if to.write_all(&buffer[..length]).await.is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return,
            }
        }
        if closing {
            return;
        }
    }
}
