//! Removing all that there is of a container, from whatever state it was left in.

use std::path::Path;
use std::time::{Duration, Instant};

use libcgroups::common::{
    AnyCgroupManager, CgroupConfig, CgroupManager, CreateCgroupSetupError, FreezerState, create_cgroup_manager,
};
use libcontainer::container::Container;
use nix::unistd::{Pid, getsid};

use super::SandboxError;
use super::rootfs_mount::unmount_all;
use crate::cgroup::Folders;
use crate::fault::{self, Fault};
use crate::process::Process;
use crate::spawner::Failure;
use crate::state::{Record, State};

/// How long killed processes may take to go: they do at once, unless the machine is overloaded or the kernel has them in a
/// wait that nothing interrupts, and then it is no use to wait longer.
const KILL_WAIT: Duration = Duration::from_secs(5);

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
    let own = std::process::id() as i32;
    let mut end = |process: Process| {
        self::end(process);
        if process.runs() {
            left.push(format!("process {}, which does not end", process.pid));
        }
    };
    // Who is still making it would go on behind our back.
    record.maker.filter(|maker| maker.pid != own && maker.runs()).into_iter().for_each(&mut end);
    match record.init {
        Some(init) if init.runs() => {
            thaw(record);
            end(init);
        }
        Some(_) => {}
        None => record.maker.map(orphans).into_iter().flatten().for_each(&mut end),
    }
    if !fault::is(Fault::Cgroup) {
        remove_sandbox(state, record);
    }
    let cgroup = record.cgroup.as_ref().filter(|_| !fault::is(Fault::Cgroup));
    if let Some(Err(error)) = cgroup.map(|cgroup| remove_cgroup(cgroup, record)) {
        left.push(error);
    }
    if let Some(Err(error)) = record.rootfs.as_ref().map(|rootfs| unmount_all(rootfs)) {
        left.push(error);
    }
    if left.is_empty() { removed(state) } else { Err(SandboxError::Left { id: record.id.clone(), left }) }
}

pub(super) fn removed(state: &State) -> Result<(), SandboxError> {
    if fault::is(Fault::State) {
        return Ok(());
    }
    state.remove().map_err(|source| SandboxError::State { path: state.folder().to_owned(), source })
}

/// Kills a process and waits until it has ended, but not for ever.
pub(crate) fn end(process: Process) {
    process.end(KILL_WAIT);
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

/// What a maker that has died had begun: processes of its session that have not become the container's yet. Those that have
/// are in the container's cgroup.
fn orphans(maker: Process) -> Vec<Process> {
    // A number that is a session's is nobody's new one (alloc_pid in the kernel's pid.c): where it is, the session is gone.
    if Process::find(maker.pid).is_some_and(|now| now != maker) {
        return Vec::new();
    }
    let own = std::fs::read_link("/proc/self/exe").ok();
    let numbers = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let members = numbers.filter(|pid| {
        *pid != maker.pid && getsid(Some(Pid::from_raw(*pid))).is_ok_and(|sid| sid.as_raw() == maker.pid)
    });
    let ours = members.filter(|pid| std::fs::read_link(format!("/proc/{pid}/exe")).ok() == own);
    ours.filter_map(Process::find).filter(Process::runs).collect()
}

/// Lets a paused container go on, as a frozen process is not even killed (version 1's freezer).
fn thaw(record: &Record) {
    if let Some(Ok(manager)) = record.cgroup.as_ref().map(|cgroup| cgroup_manager(cgroup, record)) {
        let _ = manager.freeze(FreezerState::Thawed).inspect_err(|error| tracing::warn!("{}: {error}", record.id));
    }
}

fn cgroup_manager(cgroup: &Path, record: &Record) -> Result<AnyCgroupManager, CreateCgroupSetupError> {
    create_cgroup_manager(CgroupConfig {
        cgroup_path: cgroup.to_owned(),
        systemd_cgroup: record.systemd,
        container_name: record.id.clone(),
    })
}

/// Kills who is in the cgroup and removes it.
fn remove_cgroup(cgroup: &Path, record: &Record) -> Result<(), String> {
    let named = |error: &dyn std::fmt::Display| format!("cgroup {}: {error}", cgroup.display());
    if let Some(folders) = Folders::of(cgroup).filter(|_| !record.systemd) {
        return folders.remove(KILL_WAIT).map_err(|error| named(&error));
    }
    let manager = cgroup_manager(cgroup, record).map_err(|error| named(&error))?;
    let deadline = Instant::now() + KILL_WAIT;
    // systemd's own way is to ask processes to end, and not to wait. A scope without any goes by itself, in a moment.
    let mut refused = None;
    while let Ok(members) = manager.get_all_pids() {
        if Instant::now() > deadline {
            let reason = refused.map_or_else(|| named(&"it does not go away"), |error| named(&error));
            return Err(format!("{reason} (processes in it: {members:?})"));
        }
        if members.is_empty() {
            // Who has ended is still in it for a moment.
            refused = manager.remove().err();
            std::thread::sleep(Duration::from_millis(1));
        }
        members.into_iter().filter_map(|pid| Process::find(pid.as_raw())).for_each(end);
    }
    Ok(())
}
