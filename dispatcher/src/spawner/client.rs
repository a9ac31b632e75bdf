//! The server's end: sends work, hands answers to those who wait for them.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::socket::{ControlMessage, MsgFlags, Shutdown, sendmsg, shutdown};
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

use super::message::{Failure, FailureKind, Reply, Request, Work};
use super::process::{LONGEST_MESSAGE, receive};
use crate::sandbox::Terminal;

/// Why a piece of work has no answer, or a bad one.
#[derive(Debug, thiserror::Error)]
pub enum SpawnerError {
    /// The worker said so.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The spawner, or the worker, is gone.
    #[error("the spawner process is gone, so this shim can't make containers any more: {0}")]
    Gone(String),
}

/// What a worker has done.
#[derive(Debug)]
pub struct Done {
    /// The process that it made; 0 where it made none.
    pub pid: i32,
    /// The process's terminal.
    pub terminal: Option<Terminal>,
}

type Waiting = HashMap<u64, oneshot::Sender<(Reply, Option<Terminal>)>>;

/// A connection to the spawner.
pub struct Spawner {
    socket: AsyncFd<OwnedFd>,
    next: AtomicU64,
    /// Those who wait; none once the spawner is gone.
    waiting: Mutex<Option<Waiting>>,
}

impl Spawner {
    /// Takes over the server's end of the socket pair, which must not block.
    ///
    /// # Errors
    /// What the runtime says.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        let waiting = Mutex::new(Some(HashMap::new()));
        // SAFETY: `as_raw_fd` of an `OwnedFd` is always the same, open descriptor.
        let socket = unsafe { AsyncFd::register(socket) }.map_err(io::Error::from)?;
        Ok(Self { socket, next: AtomicU64::new(1), waiting })
    }

    /// Has `work` done; `stdin` goes with it.
    ///
    /// # Errors
    /// [`SpawnerError`].
    pub async fn call(&self, work: Work, stdin: Option<BorrowedFd<'_>>) -> Result<Done, SpawnerError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let message = serde_json::to_vec(&Request { number, work }).map_err(|e| SpawnerError::Gone(e.to_string()))?;
        if message.len() > LONGEST_MESSAGE {
            let text = format!("a request of {} bytes is too long, wanted at most {LONGEST_MESSAGE}", message.len());
            return Err(Failure::new(FailureKind::Invalid, text).into());
        }
        let (sender, answer) = oneshot::channel();
        match self.lock().as_mut() {
            Some(waiting) => drop(waiting.insert(number, sender)),
            None => return Err(SpawnerError::Gone("it has closed its end".to_owned())),
        }
        if let Err(error) = self.send(&message, stdin).await {
            self.lock().as_mut().map(|waiting| waiting.remove(&number));
            return Err(SpawnerError::Gone(error.to_string()));
        }
        let (reply, terminal) =
            answer.await.map_err(|_| SpawnerError::Gone("it ended before it answered".to_owned()))?;
        Ok(Done { pid: reply.result?, terminal })
    }

    /// Hands out answers until the spawner is gone; then all who wait are told.
    pub async fn receive(&self) {
        let mut buffer = vec![0; LONGEST_MESSAGE];
        loop {
            let received = self.io(true, |fd| Ok(receive(fd, &mut buffer)?)).await;
            let Ok((length @ 1.., descriptors)) = received else { break };
            match serde_json::from_slice::<Reply>(&buffer[..length]) {
                Ok(reply) => {
                    let terminal = match <[OwnedFd; 2]>::try_from(descriptors) {
                        Ok([master, output]) => Some(Terminal { master, output }),
                        Err(_) => None,
                    };
                    let sender = self.lock().as_mut().and_then(|waiting| waiting.remove(&reply.number));
                    // Who asked may have given up.
                    let _ = sender.map(|sender| sender.send((reply, terminal)));
                }
                Err(error) => tracing::error!("the spawner's answer can't be read: {error}"),
            }
        }
        *self.lock() = None;
        tracing::error!("the spawner process is gone");
    }

    /// The spawner has died. What it and its workers have said is still handed out; the end comes behind that, which
    /// processes that a worker has left behind, and that hold its end of the line, would otherwise hold back.
    pub fn died(&self) {
        // Closed already is as good.
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Both);
    }

    async fn send(&self, message: &[u8], stdin: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let descriptors: Vec<RawFd> = stdin.iter().map(AsRawFd::as_raw_fd).collect();
        let control: &[ControlMessage<'_>] =
            if descriptors.is_empty() { &[] } else { &[ControlMessage::ScmRights(&descriptors)] };
        let parts = [io::IoSlice::new(message)];
        self.io(false, |fd| Ok(sendmsg::<()>(fd, &parts, control, MsgFlags::MSG_NOSIGNAL, None)?)).await.map(drop)
    }

    async fn io<R>(&self, read: bool, mut step: impl FnMut(RawFd) -> io::Result<R>) -> io::Result<R> {
        loop {
            let mut ready = if read { self.socket.readable().await? } else { self.socket.writable().await? };
            if let Ok(done) = ready.try_io(|socket| step(socket.as_raw_fd())) {
                return done;
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Waiting>> {
        // A poisoned map is still a map: nothing is left half-done under this lock.
        self.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
