//! The guest's standard streams on the descriptors that it was given: unbuffered, and without threads.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal as _, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

/// Most that one read takes, in bytes: what a pipe holds by default on Linux.
const READ_MOST: usize = 64 << 10;
/// Most that a guest may offer in one write, in bytes; the descriptor blocks, so this only bounds the copy.
const WRITE_MOST: usize = 1 << 20;

fn owned(fd: BorrowedFd<'_>) -> io::Result<Arc<File>> {
    Ok(Arc::new(fd.try_clone_to_owned()?.into()))
}

fn failed(error: io::Error) -> StreamError {
    StreamError::LastOperationFailed(error.into())
}

/// Whether `fd` has come to `events` (or its end, or an error) within `timeout`.
fn is_ready(fd: &File, events: PollFlags, timeout: PollTimeout) -> bool {
    let mut polled = [PollFd::new(fd.as_fd(), events)];
    // What can't be polled is tried: the read or write itself then says what is wrong.
    poll(&mut polled, timeout).map_or(true, |ready| ready > 0)
}

fn waiter(file: &Arc<File>) -> Option<AsyncFd<Arc<File>>> {
    // SAFETY: the descriptor is the file's for as long as the file is there, and the waiter has a share in the file.
    unsafe { AsyncFd::register_with_interest(file.clone(), Interest::READABLE) }.ok()
}

/// The guest's standard input.
#[derive(Clone)]
pub(crate) struct Input {
    file: Arc<File>,
    /// Made when a guest first waits; none where the kernel has no waiting (files are always ready).
    waiter: Arc<OnceLock<Option<AsyncFd<Arc<File>>>>>,
}

impl Input {
    pub(crate) fn new(fd: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self { file: owned(fd)?, waiter: Arc::default() })
    }

    fn is_ready(&self) -> bool {
        is_ready(&self.file, PollFlags::POLLIN, PollTimeout::ZERO)
    }
}

impl IsTerminal for Input {
    fn is_terminal(&self) -> bool {
        self.file.is_terminal()
    }
}

impl StdinStream for Input {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        if self.is_ready() {
            return;
        }
        let Some(waiter) = self.waiter.get_or_init(|| waiter(&self.file)).as_ref() else {
            return;
        };
        // The kernel tells of changes alone, and others may read the same pipe: what it told is asked again.
        while let Ok(mut told) = waiter.readable().await {
            if self.is_ready() {
                return;
            }
            told.clear_ready();
        }
    }
}

impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size == 0 || !self.is_ready() {
            return Ok(Bytes::new());
        }
        let mut bytes = BytesMut::zeroed(size.min(READ_MOST));
        match (&*self.file).read(&mut bytes) {
            Ok(0) => Err(StreamError::Closed),
            Ok(n) => {
                bytes.truncate(n);
                Ok(bytes.freeze())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(Bytes::new()),
            Err(error) => Err(failed(error)),
        }
    }
}

impl AsyncRead for Input {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let n = (&*self.file).read(buf.initialize_unfilled())?;
        buf.advance(n);
        Poll::Ready(Ok(()))
    }
}

/// The guest's standard output or error. A write is done when it returns: nothing is left to flush.
#[derive(Clone)]
pub(crate) struct Output {
    file: Arc<File>,
}

impl Output {
    pub(crate) fn new(fd: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self { file: owned(fd)? })
    }

    /// Writes all of `bytes`, also where somebody made the descriptor non-blocking for everybody who has it.
    fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match (&*self.file).write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    is_ready(&self.file, PollFlags::POLLOUT, PollTimeout::NONE);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        self.file.is_terminal()
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.write_all(&bytes).map_err(failed)
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_MOST)
    }
}

impl AsyncWrite for Output {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.write_all(bytes).map(|()| bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
