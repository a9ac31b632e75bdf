//! A descriptor of the host as a file of the guest: read and written where the guest's thread is, without a buffer.

use std::fs::{File, FileTimes};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wasmer_wasix::virtual_fs::{AsyncRead, AsyncSeek, AsyncWrite, FsError, ReadBuf, VirtualFile};

use crate::errors::{error_of, note};
use crate::host_fs::nanoseconds;

/// An open file.
#[derive(Debug)]
pub(crate) struct HostFile {
    file: Arc<File>,
    /// Where a directory has it; stdio has no such place.
    path: Option<PathBuf>,
    /// 0, 1 or 2 for stdio.
    stdio: Option<u32>,
    position: u64,
    readable: Watch,
    writable: Watch,
}

impl HostFile {
    /// The file that was opened at `path`.
    pub(crate) fn new(file: File, path: PathBuf) -> Self {
        Self::from_parts(file, Some(path), None)
    }

    /// The guest's descriptor `number`, on a duplicate of `fd`.
    pub(crate) fn stdio(number: u32, fd: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self::from_parts(fd.try_clone_to_owned()?.into(), None, Some(number)))
    }

    fn from_parts(file: File, path: Option<PathBuf>, stdio: Option<u32>) -> Self {
        let (readable, writable) = (Watch::new(libc::POLLIN), Watch::new(libc::POLLOUT));
        Self { file: Arc::new(file), path, stdio, position: 0, readable, writable }
    }

    fn time(&self, of: impl FnOnce(&std::fs::Metadata) -> io::Result<SystemTime>) -> u64 {
        nanoseconds(self.file.metadata().and_then(|metadata| of(&metadata)))
    }

    /// Repeats `call` until it is neither interrupted nor, on a descriptor that someone made non-blocking, told to wait.
    fn blocking<R>(&self, events: i16, mut call: impl FnMut(&File) -> io::Result<R>) -> io::Result<R> {
        loop {
            match call(&self.file) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready(&self.file, events, -1)?;
                }
                other => return other,
            }
        }
    }
}

impl AsyncRead for HostFile {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let into = buf.initialize_unfilled();
        let read = self.blocking(libc::POLLIN, |mut file| file.read(into));
        Poll::Ready(read.map(|length| buf.advance(length)))
    }
}

impl AsyncWrite for HostFile {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.blocking(libc::POLLOUT, |mut file| file.write(bytes)).inspect_err(note))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncSeek for HostFile {
    fn start_seek(mut self: Pin<&mut Self>, to: SeekFrom) -> io::Result<()> {
        self.position = (&*self.file).seek(to)?;
        Ok(())
    }

    fn poll_complete(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Poll::Ready(Ok(self.position))
    }
}

impl VirtualFile for HostFile {
    fn last_accessed(&self) -> u64 {
        self.time(std::fs::Metadata::accessed)
    }

    fn last_modified(&self) -> u64 {
        self.time(std::fs::Metadata::modified)
    }

    fn created_time(&self) -> u64 {
        self.time(std::fs::Metadata::created)
    }

    fn set_times(&mut self, accessed: Option<u64>, modified: Option<u64>) -> Result<(), FsError> {
        let time = |nanoseconds| UNIX_EPOCH + Duration::from_nanos(nanoseconds);
        let mut times = FileTimes::new();
        times = accessed.map_or(times, |nanoseconds| times.set_accessed(time(nanoseconds)));
        times = modified.map_or(times, |nanoseconds| times.set_modified(time(nanoseconds)));
        self.file.set_times(times).map_err(error_of)
    }

    fn size(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }

    fn set_len(&mut self, length: u64) -> Result<(), FsError> {
        self.file.set_len(length).map_err(error_of)
    }

    fn unlink(&mut self) -> Result<(), FsError> {
        let path = self.path.as_ref().ok_or(FsError::InvalidInput)?;
        std::fs::remove_file(path).map_err(error_of)
    }

    fn get_special_fd(&self) -> Option<u32> {
        self.stdio
    }

    fn poll_read_ready(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if !self.readable.is_ready(&self.file, context.waker())? {
            return Poll::Pending;
        }
        let mut available: libc::c_int = 0;
        // SAFETY: FIONREAD writes one int; the descriptor is open for as long as `self`.
        let answered = unsafe { libc::ioctl(self.file.as_raw_fd(), libc::FIONREAD, &mut available) } == 0;
        // A descriptor that can't count is readable all the same. 0 means the end.
        Poll::Ready(Ok(if answered { usize::try_from(available).unwrap_or(0) } else { 1 }))
    }

    fn poll_write_ready(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if !self.writable.is_ready(&self.file, context.waker())? {
            return Poll::Pending;
        }
        Poll::Ready(Ok(libc::PIPE_BUF))
    }
}

/// Somebody who waits for one event of a descriptor. A thread waits for him, from the first time that he has to.
#[derive(Debug)]
struct Watch {
    events: i16,
    /// Whom to wake; none where no thread is waiting.
    waiting: Arc<Mutex<Option<Waker>>>,
}

impl Watch {
    fn new(events: i16) -> Self {
        Self { events, waiting: Arc::default() }
    }

    /// Whether the event is there. If not, `waker` is woken when it is.
    fn is_ready(&self, file: &Arc<File>, waker: &Waker) -> io::Result<bool> {
        if ready(file, self.events, 0)? {
            return Ok(true);
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.replace(waker.clone()).is_some() {
            return Ok(false);
        }
        let (file, events, whom) = (file.clone(), self.events, self.waiting.clone());
        let watcher = std::thread::Builder::new().name("stdio".into()).stack_size(64 << 10);
        let started = watcher.spawn(move || {
            // An error wakes, too: the guest asks again and is told of it.
            let _ = ready(&file, events, -1);
            if let Some(waker) = whom.lock().unwrap_or_else(PoisonError::into_inner).take() {
                waker.wake();
            }
        });
        if let Err(error) = started {
            *waiting = None;
            return Err(error);
        }
        Ok(false)
    }
}

/// Whether one of `events` is there within `timeout` milliseconds (-1: for ever). Hang-ups and errors count, as a call
/// will not block on them.
fn ready(file: &File, events: i16, timeout: libc::c_int) -> io::Result<bool> {
    let mut poll = libc::pollfd { fd: file.as_raw_fd(), events, revents: 0 };
    loop {
        // SAFETY: one valid pollfd, and the descriptor is open for as long as `file`.
        match unsafe { libc::poll(&mut poll, 1, timeout) } {
            -1 => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
            count => return Ok(count > 0),
        }
    }
}
