//! One process of a container as containerd knows it: its first, or one that Exec added; and which step it may take next.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use containerd_shim::api::Status;
use nix::sys::signal::Signal;
use tokio::sync::watch;

use super::exits::Exit;
use super::stdio::Stdio;
use crate::fault::{self, Fault};
use crate::spawner::Exec;

/// What containerd is told of a process's stdio: as it was given.
#[derive(Debug, Clone, Default)]
pub(super) struct Paths {
    pub(super) stdin: String,
    pub(super) stdout: String,
    pub(super) stderr: String,
    pub(super) terminal: bool,
}

/// A process of a container.
pub(super) struct Process {
    /// The id by which it is asked for: the container's own for its first process.
    pub(super) id: String,
    pub(super) paths: Paths,
    /// What is to be started; none for a container's first process.
    pub(super) exec: Option<Exec>,
    /// Set when there is a process.
    live: OnceLock<Live>,
    started: Mutex<bool>,
    /// A size that came before there was a terminal.
    size: Mutex<Option<(u16, u16)>>,
    /// Set when the exit was read and told; see `settled`.
    exited: watch::Sender<Option<Exit>>,
    /// Held through Start and Delete, and by who tells the exit: so the exit is told after the start.
    pub(super) step: tokio::sync::Mutex<()>,
}

/// What there is once the kernel has a process.
struct Live {
    pid: i32,
    stdio: Stdio,
    /// Set when the kernel has told its exit: its number may be another's from then on.
    reaped: watch::Receiver<Option<Exit>>,
}

impl Process {
    /// A process that is yet to be made.
    pub(super) fn new(id: String, paths: Paths, exec: Option<Exec>) -> Self {
        Self {
            id,
            paths,
            exec,
            live: OnceLock::new(),
            started: Mutex::new(false),
            size: Mutex::new(None),
            exited: watch::Sender::new(None),
            step: tokio::sync::Mutex::new(()),
        }
    }

    /// The kernel has it now.
    pub(super) fn set_live(&self, pid: i32, stdio: Stdio, reaped: watch::Receiver<Option<Exit>>) {
        if let Some((width, height)) = lock(&self.size).take() {
            // It begins at the size that it has, and is told again when that changes.
            let _ = stdio.resize(width, height);
        }
        if self.live.set(Live { pid, stdio, reaped }).is_err() {
            tracing::error!("process {} was made twice", self.id);
        }
    }

    /// Its number; 0 while there is none.
    pub(super) fn pid(&self) -> u32 {
        self.live.get().map_or(0, |live| live.pid as u32)
    }

    /// Whether there is a process whose exit was not read yet. The thread that reads exits is the one that asks, so the
    /// answer holds until it waits for something.
    pub(super) fn lives(&self) -> bool {
        self.live.get().is_some_and(|live| live.reaped.borrow().is_none())
    }

    /// Waits until the kernel has told its exit; for ever where there is no process.
    pub(super) async fn reaped(&self) -> Option<Exit> {
        let mut reaped = self.live.get()?.reaped.clone();
        let exit = reaped.wait_for(Option::is_some).await.map(|exit| *exit);
        exit.ok().flatten()
    }

    pub(super) fn stdio(&self) -> Option<&Stdio> {
        self.live.get().map(|live| &live.stdio)
    }

    pub(super) fn exit(&self) -> Option<Exit> {
        *self.exited.borrow()
    }

    /// Marks the exit as told.
    pub(super) fn set_exit(&self, exit: Exit) {
        self.exited.send_replace(Some(exit));
    }

    /// Waits until the exit was told.
    pub(super) async fn settled(&self) -> Exit {
        let mut exited = self.exited.subscribe();
        loop {
            if let Some(exit) = *exited.borrow_and_update() {
                return exit;
            }
            if exited.changed().await.is_err() {
                // The sender is a part of `self`, so this can't come; if it does, nothing better is known.
                std::future::pending::<()>().await;
            }
        }
    }

    pub(super) fn started(&self) -> bool {
        *lock(&self.started)
    }

    pub(super) fn set_started(&self) {
        *lock(&self.started) = true;
    }

    pub(super) fn status(&self) -> Status {
        match (self.exit(), self.started()) {
            (Some(_), _) => Status::STOPPED,
            (None, true) => Status::RUNNING,
            (None, false) => Status::CREATED,
        }
    }

    /// Tells its terminal the size in characters, now or when there is one.
    pub(super) fn resize(&self, width: u16, height: u16) -> std::io::Result<()> {
        match self.live.get() {
            _ if fault::is(Fault::TerminalSize) => Ok(()),
            Some(live) => live.stdio.resize(width, height),
            None => {
                *lock(&self.size) = Some((width, height));
                Ok(())
            }
        }
    }

    /// Sends a signal by number to this process, and to it alone: its number may be another's once its exit was read, so
    /// there is no signal after that.
    pub(super) fn signal(&self, signal: i32) -> nix::Result<()> {
        if !self.lives() {
            return Err(nix::Error::ESRCH);
        }
        if fault::is(Fault::Terminate) && signal == libc::SIGTERM {
            return Ok(());
        }
        // Signals beyond the names (real-time ones) go the plain way.
        // SAFETY: kill(2) takes any numbers.
        nix::errno::Errno::result(unsafe { libc::kill(self.pid() as i32, signal) }).map(drop)
    }

    pub(super) fn kill(&self) -> nix::Result<()> {
        self.signal(Signal::SIGKILL as i32)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is left half-done under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
