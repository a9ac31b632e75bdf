//! Removing all that there is of a container, from whatever state it was left in.

use std::path::Path;
use std::time::{Duration, Instant};

use libcgroups::common::{CgroupConfig, CgroupManager, create_cgroup_manager};
use libcontainer::container::Container;

use super::SandboxError;
use super::rootfs_mount::unmount_all;
use crate::spawner::Failure;
use crate::state::{Process, Record, State};

/// How long killed processes may take to go: they do at once, unless the kernel has them in a wait that nothing
/// interrupts, and then it is no use to wait longer.
const KILL_WAIT: Duration = Duration::from_secs(2);

/// Removes container `id`: its processes, cgroup, mounts and state. That something is gone already is no error.
///
/// # Errors
/// What is still there and why; the record stays with it, so that the next call tries again.
pub fn remove(namespace: &str, id: &str) -> Result<(), Failure> {
    let state = State::of(namespace, id);
    match state.read() {
        Some(record) => teardown(&state, &record).map_err(Into::into),
        None => removed(&state).map_err(Into::into),
    }
}

/// As [`remove`], by a record that the caller holds. Each step tries its best: one that fails must not keep the next from
/// cleaning.
pub(super) fn teardown(state: &State, record: &Record) -> Result<(), SandboxError> {
    let mut left = Vec::new();
    // Who is still making it would go on behind our back.
    let own = std::process::id() as i32;
    let others = [record.maker.filter(|maker| maker.pid != own), record.init];
    for process in others.into_iter().flatten().filter(Process::runs) {
        kill(process);
        if process.runs() {
            left.push(format!("process {}, which does not end", process.pid));
        }
    }
    remove_sandbox(state, record);
    if let Some(Err(error)) = record.cgroup.as_ref().map(|cgroup| remove_cgroup(cgroup, record)) {
        left.push(error);
    }
    if let Some(Err(error)) = record.rootfs.as_ref().map(|rootfs| unmount_all(rootfs)) {
        left.push(error);
    }
    if left.is_empty() { removed(state) } else { Err(SandboxError::Left { id: record.id.clone(), left }) }
}

fn removed(state: &State) -> Result<(), SandboxError> {
    state.remove().map_err(|source| SandboxError::State { path: state.folder().to_owned(), source })
}

fn kill(init: Process) {
    // SAFETY: kill(2) takes any number; that it is still the same process was just looked at.
    unsafe { libc::kill(init.pid, libc::SIGKILL) };
    let deadline = Instant::now() + KILL_WAIT;
    // A process that is not our child can't be waited for, but its descriptor becomes readable (pidfd_open(2)).
    // SAFETY: a system call without pointers.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, init.pid, 0) } as libc::c_int;
    if descriptor >= 0 {
        let mut poll = libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 };
        let left = deadline.saturating_duration_since(Instant::now()).as_millis() as libc::c_int;
        // SAFETY: one valid pollfd; the descriptor is ours to close.
        unsafe {
            libc::poll(&raw mut poll, 1, left);
            libc::close(descriptor);
        }
    }
}

/// libcontainer's own removal: the cgroup, the hooks behind it, its folder.
fn remove_sandbox(state: &State, record: &Record) {
    let folder = state.sandbox_root().join(&record.id);
    if !folder.exists() {
        return;
    }
    match Container::load(folder) {
        Ok(mut container) => {
            if let Err(error) = container.delete(true) {
                tracing::warn!("sandbox of {} can't be removed as usual: {error}", record.id);
            }
        }
        Err(error) => tracing::debug!("sandbox of {} was never finished: {error}", record.id),
    }
}

fn remove_cgroup(cgroup: &Path, record: &Record) -> Result<(), String> {
    let named = |error: &dyn std::fmt::Display| format!("cgroup {}: {error}", cgroup.display());
    let manager = create_cgroup_manager(CgroupConfig {
        cgroup_path: cgroup.to_owned(),
        systemd_cgroup: record.systemd,
        container_name: record.id.clone(),
    });
    match manager {
        Ok(manager) => manager.remove().map_err(|error| named(&error)),
        Err(error) => Err(named(&error)),
    }
}
