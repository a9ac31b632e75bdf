//! Exits: reads the status of each child that ends, and keeps it for who asks later.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use nix::sys::signal::kill;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use tokio::sync::watch;

use crate::fault::{self, Fault};

/// How and when a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// 0 to 255, or 128 and the number of the signal that ended it.
    pub status: u32,
    /// When its status was read.
    pub at: SystemTime,
}

/// The exits of this process's children, adopted ones included.
///
/// A container may end before Create has learnt its pid, so exits of unknown processes are kept too: they are few, being
/// the first processes of containers and what those orphan.
#[derive(Default)]
pub struct Exits(Mutex<HashMap<i32, watch::Sender<Option<Exit>>>>);

impl Exits {
    /// The exit of `pid`: there already or to come.
    pub fn watch(&self, pid: i32) -> watch::Receiver<Option<Exit>> {
        let mut exits = self.lock();
        // A number that is in use, by a zombie too, is not that of the process whose exit was read once.
        if kill(Pid::from_raw(pid), None).is_ok() {
            exits.remove(&pid);
        }
        exits.entry(pid).or_insert_with(|| watch::Sender::new(None)).subscribe()
    }

    /// Nobody will ask for `pid` again; its number may come back.
    pub fn forget(&self, pid: i32) {
        self.lock().remove(&pid);
    }

    /// Reads the status of all children that have ended by now.
    pub fn reap(&self) {
        while let Ok(status) = waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG) {
            let (pid, status) = match status {
                WaitStatus::Exited(pid, code) => (pid, code as u32 & 0xff),
                WaitStatus::Signaled(pid, signal, _) => (pid, 128 + signal as u32),
                _ => break,
            };
            let status = match status {
                1..=128 if fault::is(Fault::ExitCode) => 0,
                129.. if fault::is(Fault::SignalCode) => status - 128,
                _ => status,
            };
            tracing::debug!("process {pid} ended with {status}");
            let exit = Exit { status, at: SystemTime::now() };
            let mut exits = self.lock();
            exits.entry(pid.as_raw()).or_insert_with(|| watch::Sender::new(None)).send_replace(Some(exit));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<i32, watch::Sender<Option<Exit>>>> {
        // Nothing is left half-done under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
