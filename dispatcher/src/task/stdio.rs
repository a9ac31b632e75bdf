//! A process's stdio on the server's side: what keeps its pipes alive, stdin with its end, and a terminal's outer side.
//!
//! stdout and stderr are containerd's FIFOs themselves: the guest writes into them and no byte passes through the server.
//! The server holds a reading end of each, so that a guest is not killed by a broken pipe while containerd restarts.
//! stdin passes through the server, because only so its end is told apart from a writer who has not come yet.
//! What passes through a terminal passes through the server both ways: the kernel has nothing that would join it to a FIFO.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tokio::io::AsyncWriteExt;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use super::process::Paths;
use crate::fault::{self, Fault};
use crate::sandbox::terminal::{Terminal, resize};

/// Bytes that one step takes: a pipe's usual capacity (pipe(7)).
const STEP: usize = 64 << 10;

/// Why stdin can't be had.
#[derive(Debug, thiserror::Error)]
#[error("stdin {path} can't be opened: {source}")]
pub(super) struct StdinError {
    path: PathBuf,
    source: io::Error,
}

/// The server's share of a process's stdio; dropping it closes all.
#[derive(Default)]
pub(super) struct Stdio {
    close_stdin: Arc<Notify>,
    /// stdin, until there is a terminal that it goes to.
    stdin: Option<pipe::Receiver>,
    console: Option<Arc<Console>>,
    /// Closed when all output of the terminal is where it goes.
    copied: Option<watch::Receiver<()>>,
    tasks: Vec<AbortHandle>,
    _keep: Vec<File>,
}

/// The master of a process's terminal.
struct Console(AsyncFd<File>);

impl Stdio {
    /// Opens stdin; gives the end for the process, where that is no terminal.
    pub(super) fn open(paths: &Paths) -> Result<(Self, Option<OwnedFd>), StdinError> {
        let mut stdio = Self::default();
        if paths.stdin.is_empty() {
            return Ok((stdio, None));
        }
        let failed = |source| StdinError { path: paths.stdin.clone().into(), source };
        let from = pipe::OpenOptions::new().open_receiver(&paths.stdin).map_err(failed)?;
        if paths.terminal {
            stdio.stdin = Some(from);
            return Ok((stdio, None));
        }
        let (ours, theirs) = pipe::pipe().map_err(failed)?;
        let theirs = theirs.into_blocking_fd().map_err(failed)?;
        if fault::is(Fault::StdinEnd) {
            std::mem::forget(ours.as_fd().try_clone_to_owned());
        }
        stdio.spawn(pump(from, Input::Pipe(ours), Arc::clone(&stdio.close_stdin)));
        Ok((stdio, Some(theirs)))
    }

    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.push(tokio::spawn(task).abort_handle());
    }

    /// Takes up the rest, now that the process has its own ends open: its terminal, and reading ends of those outputs that
    /// are FIFOs.
    ///
    /// # Errors
    /// What the runtime says of the terminal.
    pub(super) fn complete(&mut self, paths: &Paths, terminal: Option<Terminal>) -> io::Result<()> {
        let fifo = |path: &&String| Path::new(path.as_str()).metadata().is_ok_and(|found| found.file_type().is_fifo());
        let open = |path| OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).ok();
        self._keep = [&paths.stdout, &paths.stderr].into_iter().filter(fifo).filter_map(open).collect();
        let Some(Terminal { master, output }) = terminal else { return Ok(()) };
        let console = Arc::new(Console::new(master)?);
        let (copying, copied) = watch::channel(());
        self.spawn(copy_out(Arc::clone(&console), Output::new(output)?, copying));
        if let Some(from) = self.stdin.take() {
            self.spawn(pump(from, Input::Console(Arc::clone(&console)), Arc::clone(&self.close_stdin)));
        }
        self.console = Some(console);
        self.copied = Some(copied);
        Ok(())
    }

    /// No more stdin will come: the process meets its end once it has read what is there. A terminal has no end: as with
    /// runc its process is not told, or one that was left would end too.
    pub(super) fn close_stdin(&self) {
        self.close_stdin.notify_one();
    }

    /// Tells the terminal its size.
    ///
    /// # Errors
    /// Where there is none, and what the kernel says.
    pub(super) fn resize(&self, width: u16, height: u16) -> io::Result<()> {
        let console = self.console.as_ref().ok_or_else(|| io::Error::other("it has no terminal"))?;
        resize(console.0.get_ref().as_fd(), width, height)
    }

    /// Copies nothing more.
    pub(super) fn cut(&self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }

    /// Waits until all that the terminal's processes have written is where it goes.
    pub(super) async fn copied(&self) {
        if let Some(mut copied) = self.copied.clone() {
            // An error is the closing that is waited for.
            let _ = copied.changed().await;
        }
    }
}

impl Drop for Stdio {
    fn drop(&mut self) {
        self.cut();
    }
}

impl Console {
    fn new(master: OwnedFd) -> io::Result<Self> {
        fcntl(&master, FcntlArg::F_SETFL(OFlag::O_RDWR | OFlag::O_NONBLOCK))?;
        // SAFETY: `as_raw_fd` of a `File` is always the same, open descriptor.
        let registered = unsafe { AsyncFd::register(File::from(master)) };
        registered.map(Self).map_err(io::Error::from)
    }

    /// Reads what its processes have written; an error when the last of them has closed it.
    async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Ok(read) = self.0.readable().await?.try_io(|file| file.get_ref().read(buffer)) {
                return read;
            }
        }
    }

    async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if let Ok(written) = self.0.writable().await?.try_io(|file| file.get_ref().write(bytes)) {
                bytes = &bytes[written?..];
            }
        }
        Ok(())
    }
}

/// Where a terminal's output goes.
enum Output {
    Fifo(pipe::Sender),
    /// A file, or nowhere: neither blocks.
    File(File),
}

impl Output {
    fn new(descriptor: OwnedFd) -> io::Result<Self> {
        let file = File::from(descriptor);
        if file.metadata()?.file_type().is_fifo() {
            pipe::Sender::from_file(file).map(Self::Fifo)
        } else {
            Ok(Self::File(file))
        }
    }

    async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Fifo(sender) => sender.write_all(bytes).await,
            Self::File(file) => file.write_all(bytes),
        }
    }
}

/// Copies a terminal's output until its last process has closed it; `_done` is closed then.
async fn copy_out(console: Arc<Console>, mut output: Output, _done: watch::Sender<()>) {
    let mut buffer = vec![0; STEP];
    let mut lost = false;
    if fault::is(Fault::TerminalOutput) {
        tokio::time::sleep(fault::LATE).await;
    }
    while let Ok(length @ 1..) = console.read(&mut buffer).await {
        // Where it can't be written any more (a full disk), it is still read: who writes must not wait for ever.
        let written = if lost { Ok(()) } else { output.write_all(&buffer[..length]).await };
        if let Err(error) = written {
            tracing::warn!("a terminal's output is lost from here on: {error}");
            lost = true;
        }
    }
}

/// Where stdin goes.
enum Input {
    Pipe(pipe::Sender),
    Console(Arc<Console>),
}

impl Input {
    async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Pipe(sender) => sender.write_all(bytes).await,
            Self::Console(console) => console.write_all(bytes).await,
        }
    }
}

/// Copies stdin until its end, until CloseIO, or until the container has closed its own.
async fn pump(from: pipe::Receiver, mut to: Input, close: Arc<Notify>) {
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
