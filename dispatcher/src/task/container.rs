//! One container: what containerd is told of it, and which step it may take next.

use std::sync::{Mutex, PoisonError};

use containerd_shim::api::Status;
use nix::sys::signal::Signal;
use tokio::sync::watch;

use super::exits::Exit;
use super::stats::MemoryCgroup;
use super::stdio::Stdio;
use crate::state::Process;

/// A container that Create has made.
pub(super) struct Container {
    pub(super) id: String,
    pub(super) bundle: String,
    pub(super) stdin: String,
    pub(super) stdout: String,
    pub(super) stderr: String,
    pub(super) init: Process,
    pub(super) stdio: Stdio,
    /// Its cgroup, looked up when it was made; none if it had ended by then.
    pub(super) memory: Option<MemoryCgroup>,
    /// Set when the kernel has told its exit: its number may be another's from then on.
    reaped: watch::Receiver<Option<Exit>>,
    /// Set when the exit was read and told; see `settled`.
    exited: watch::Sender<Option<Exit>>,
    started: Mutex<bool>,
    /// Held through Start and Delete, and by who tells the exit: so the exit is told after the start.
    pub(super) step: tokio::sync::Mutex<()>,
}

impl Container {
    pub(super) fn new(
        id: String,
        bundle: String,
        paths: [String; 3],
        init: Process,
        stdio: Stdio,
        reaped: watch::Receiver<Option<Exit>>,
    ) -> Self {
        let [stdin, stdout, stderr] = paths;
        let memory = MemoryCgroup::of(init.pid as u32);
        Self {
            id,
            bundle,
            stdin,
            stdout,
            stderr,
            init,
            stdio,
            memory,
            reaped,
            exited: watch::Sender::new(None),
            started: Mutex::new(false),
            step: tokio::sync::Mutex::new(()),
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.init.pid as u32
    }

    /// Whether its exit was not read yet. The thread that reads exits is the one that asks, so the answer holds until it
    /// waits for something.
    pub(super) fn lives(&self) -> bool {
        self.reaped.borrow().is_none()
    }

    /// Waits until the kernel has told its exit.
    pub(super) fn reaped(&self) -> watch::Receiver<Option<Exit>> {
        self.reaped.clone()
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
        *self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_started(&self) {
        *self.started.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }

    pub(super) fn status(&self) -> Status {
        match (self.exit(), self.started()) {
            (Some(_), _) => Status::STOPPED,
            (None, true) => Status::RUNNING,
            (None, false) => Status::CREATED,
        }
    }

    /// Sends a signal by number to the container's first process, and to that alone: its number may be another's once
    /// its exit was read, so there is no signal after that.
    pub(super) fn signal(&self, signal: i32) -> nix::Result<()> {
        if !self.lives() {
            return Err(nix::Error::ESRCH);
        }
        // Signals beyond the names (real-time ones) go the plain way.
        // SAFETY: kill(2) takes any numbers.
        nix::errno::Errno::result(unsafe { libc::kill(self.init.pid, signal) }).map(drop)
    }

    pub(super) fn kill(&self) -> nix::Result<()> {
        self.signal(Signal::SIGKILL as i32)
    }
}
