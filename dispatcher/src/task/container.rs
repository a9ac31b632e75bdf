//! One container: its first process, those that were added, and whether it is paused.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use containerd_shim::api::Status;
use libc::c_int;

use super::exits::Exit;
use super::process::Process;
use super::stats::MemoryCgroup;

/// The status of a process that SIGKILL has ended.
const KILLED: u32 = 128 + libc::SIGKILL as u32;

/// A container that Create has made.
pub(super) struct Container {
    pub(super) id: String,
    pub(super) bundle: String,
    /// Type URL and value, as in [`crate::spawner::Create`].
    pub(super) options: Option<(String, String)>,
    pub(super) init: Arc<Process>,
    /// Its cgroup, looked up when it was made; none if it had ended by then.
    pub(super) memory: Option<MemoryCgroup>,
    /// Its first process is the first of a pid namespace too: with that one the kernel ends all others.
    owns_pids: bool,
    execs: Mutex<HashMap<String, Arc<Process>>>,
    paused: Mutex<bool>,
    /// How often its memory ran out as far as it was told.
    oom_kills: Mutex<u64>,
    /// A client has sent its first process SIGKILL.
    killed: AtomicBool,
    /// Held for reading while a process is started, for writing while all are stopped or let go on: a process that is half
    /// in the container can't be waited for when it stands still.
    pub(super) freezing: tokio::sync::RwLock<()>,
}

impl Container {
    pub(super) fn new(id: String, bundle: String, options: Option<(String, String)>, init: Arc<Process>) -> Self {
        let memory = MemoryCgroup::of(init.pid());
        Self {
            id,
            bundle,
            options,
            owns_pids: is_first(init.pid()),
            init,
            memory,
            execs: Mutex::default(),
            paused: Mutex::new(false),
            oom_kills: Mutex::new(0),
            killed: AtomicBool::new(false),
            freezing: tokio::sync::RwLock::new(()),
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.init.pid()
    }

    /// Ends what its first process has left behind. Only where the kernel does not: a cgroup may be another container's as well.
    pub(super) fn end_left(&self) {
        if !self.owns_pids {
            self.signal_others(libc::SIGKILL);
        }
    }

    /// Sends `signal` to all in the container but its first process, those too that nobody has added.
    pub(super) fn signal_others(&self, signal: c_int) {
        let pids = self.memory.as_ref().map(MemoryCgroup::processes).unwrap_or_default();
        for pid in pids.into_iter().filter(|pid| *pid != self.pid()) {
            // SAFETY: kill(2) takes any numbers; one that has ended meanwhile is no harm.
            unsafe { libc::kill(pid.cast_signed(), signal) };
        }
    }

    fn execs(&self) -> MutexGuard<'_, HashMap<String, Arc<Process>>> {
        // Nothing is left half-done under this lock.
        self.execs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a process that is yet to be started; false if there is one of this id.
    pub(super) fn add(&self, process: Arc<Process>) -> bool {
        match self.execs().entry(process.id.clone()) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(process);
                true
            }
        }
    }

    /// The process that Exec added as `exec_id`.
    pub(super) fn exec(&self, exec_id: &str) -> Option<Arc<Process>> {
        self.execs().get(exec_id).cloned()
    }

    /// All that Exec added.
    pub(super) fn all_execs(&self) -> Vec<Arc<Process>> {
        self.execs().values().cloned().collect()
    }

    pub(super) fn remove_exec(&self, exec_id: &str) -> Option<Arc<Process>> {
        self.execs().remove(exec_id)
    }

    /// Notes that a client ends its first process.
    pub(super) fn is_killed(&self) {
        self.killed.store(true, Ordering::Relaxed);
    }

    /// Whether the kernel has killed for want of memory since this was last asked; `first` is how the first process has ended,
    /// if it has.
    pub(super) fn memory_ran_out(&self, first: Option<&Exit>) -> bool {
        let Some(memory) = &self.memory else { return false };
        let now = memory.oom_kills();
        let counted = {
            let mut told = self.oom_kills.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *told, now) < now
        };
        // What nobody has asked for, and what has happened in the slice meanwhile, is most likely the same.
        let by_nobody = first.is_some_and(|exit| exit.status == KILLED) && !self.killed.load(Ordering::Relaxed);
        counted || (by_nobody && memory.slice_ran_out())
    }

    pub(super) fn paused(&self) -> bool {
        *self.paused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_paused(&self, paused: bool) {
        *self.paused.lock().unwrap_or_else(PoisonError::into_inner) = paused;
    }

    /// The state of one of its processes as containerd is told: one that stands still is paused.
    pub(super) fn status_of(&self, process: &Process) -> Status {
        match process.status() {
            Status::RUNNING if self.paused() => Status::PAUSED,
            other => other,
        }
    }
}

/// Whether `pid` is number 1 in the innermost pid namespace that it is in (proc_pid_status(5), NSpid).
fn is_first(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    numbers.and_then(|numbers| numbers.split_whitespace().last()) == Some("1")
}
