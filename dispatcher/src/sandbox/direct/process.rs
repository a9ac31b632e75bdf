//! The container's first process on the short way: from the fork to the gate, and through it.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use libcontainer::syscall::Syscall;
use libcontainer::syscall::syscall::create_syscall;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, mkfifo};
use oci_spec::runtime::Spec;

use super::fork::fork_into;
use super::root::Root;
use super::{Direct, devices, namespaces};
use crate::log;
use crate::sandbox::SandboxError;
use crate::sandbox::newcomer::{Newcomer, READY};

/// Makes the container's first process and gives its pid: it waits at the gate, a FIFO at `gate`, which Start opens.
///
/// `outside` are descriptors of the worker alone: the new process closes its copies. The caller must have one thread, and forks nothing else after: its own children are in the container's pid namespace.
pub(in crate::sandbox) fn make(
    id: &str,
    direct: &Direct,
    spec: &Spec,
    newcomer: Newcomer,
    outside: Vec<RawFd>,
    gate: &Path,
) -> Result<i32, SandboxError> {
    let failed = |what: &str, error: io::Error| SandboxError::Inside(format!("{what}: {error}"));
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    if !direct.cgroup.admits() {
        direct.cgroup.make(resources).map_err(SandboxError::Inside)?;
        log::step("worker: cgroup made");
    }
    mkfifo(gate, Mode::S_IRUSR | Mode::S_IWUSR).map_err(|error| failed("the gate can't be made", error.into()))?;
    // For writing as well: then it is never at its end, and opening it waits for nobody.
    let waiting = File::options().read(true).write(true).open(gate);
    let waiting = waiting.map_err(|error| failed("the gate can't be opened", error))?;
    let (said, report) = io::pipe().map_err(|error| failed("a pipe can't be made", error))?;
    let admission = direct.cgroup.admits().then(io::pipe).transpose();
    let (admission, admit) = admission.map_err(|error| failed("a pipe can't be made", error))?.unzip();
    namespaces::prepare_pids(spec).map_err(SandboxError::Inside)?;
    let cgroup = direct.cgroup.to_fork_into();
    // SAFETY: a worker has one thread.
    let forked = unsafe { fork_into(cgroup.as_ref()) };
    let (forked, is_inside) = forked.map_err(|error| failed("a process can't be forked", error.into()))?;
    let ForkResult::Parent { child } = forked else {
        drop(cgroup);
        let outside = outside.into_iter().chain([said.as_raw_fd()]).chain(admit.map(IntoRawFd::into_raw_fd));
        become_it(direct, spec, newcomer, outside, Doors { admission, is_inside, gate: waiting }, report)
    };
    drop((report, waiting, admission, cgroup));
    if let Some(mut admit) = admit {
        direct.cgroup.admit(child, id, resources).map_err(|error| {
            end(child);
            SandboxError::Inside(error)
        })?;
        log::step("worker: scope made");
        // Of a process that has ended since, `hear` tells.
        let _ = admit.write_all(&[0]);
    }
    hear(said, child)
}

/// What the new process waits at.
struct Doors {
    /// Until it is in a cgroup that another puts it into.
    admission: Option<PipeReader>,
    /// It was made in its cgroup.
    is_inside: bool,
    /// Until Start.
    gate: File,
}

fn end(child: Pid) {
    // Our child and not reaped, so the number is its own.
    let _ = kill(child, Signal::SIGKILL);
    let _ = waitpid(child, None);
}

/// Waits for what the new process says of itself.
fn hear(mut said: PipeReader, child: Pid) -> Result<i32, SandboxError> {
    let mut answer = Vec::new();
    let heard = said.read_to_end(&mut answer);
    if heard.is_ok() && answer == [READY] {
        return Ok(child.as_raw());
    }
    end(child);
    heard.map_err(|error| SandboxError::Inside(format!("the container's process can't be heard: {error}")))?;
    let told = answer.strip_prefix(&[READY]).unwrap_or(&answer);
    match String::from_utf8_lossy(told).into_owned() {
        nothing if nothing.is_empty() => Err(SandboxError::Died("it ended without a word".to_owned())),
        told => Err(SandboxError::Inside(told)),
    }
}

/// The new process's life.
fn become_it(
    direct: &Direct,
    spec: &Spec,
    newcomer: Newcomer,
    outside: impl Iterator<Item = RawFd>,
    doors: Doors,
    report: PipeWriter,
) -> ! {
    for descriptor in outside {
        let _ = nix::unistd::close(descriptor);
    }
    let mut report = Some(report);
    // A panic must not unwind into the worker's own code.
    let done = catch_unwind(AssertUnwindSafe(|| go(direct, spec, newcomer, doors, &mut report)));
    let message = match done {
        Ok(Err(message)) => message,
        Ok(Ok(never)) => match never {},
        Err(_) => "the container's process panicked".to_owned(),
    };
    // The worker reads until the end; if it is gone, there is nobody to tell.
    let _ = report.map(|mut report| report.write_all(message.as_bytes()));
    // SAFETY: ends this process without the exit handlers of the server's program, which are not ours.
    unsafe { libc::_exit(126) }
}

fn go(
    direct: &Direct,
    spec: &Spec,
    newcomer: Newcomer,
    Doors { admission, is_inside, mut gate }: Doors,
    report: &mut Option<PipeWriter>,
) -> Result<Infallible, String> {
    // First of all: what is in the cgroup is found and ended, whatever becomes of the worker.
    if let Some(mut admission) = admission {
        admission.read_exact(&mut [0]).map_err(|_| "nobody is left to put the process into its cgroup".to_owned())?;
    }
    if !is_inside {
        direct.cgroup.enter()?;
    }
    log::step("init: cgroup entered");
    let null = File::options().read(true).write(true).open("/dev/null").map_err(|e| format!("/dev/null: {e}"))?;
    let enter = || enter(direct, spec, &*create_syscall());
    let wait = || gate.read_exact(&mut [0]).map_err(|error| format!("the gate is gone: {error}"));
    newcomer.go(enter, null, report, wait)
}

fn enter(direct: &Direct, spec: &Spec, syscall: &dyn Syscall) -> Result<(), String> {
    namespaces::enter(spec)?;
    namespaces::settle(spec, syscall)?;
    log::step("init: namespaces");
    if let Some(score) = spec.process().as_ref().and_then(|process| process.oom_score_adj()) {
        std::fs::write("/proc/self/oom_score_adj", score.to_string())
            .map_err(|error| format!("oom_score_adj {score}: {error}"))?;
    }
    let top = spec.root().as_ref().ok_or_else(|| "the specification has no root".to_owned())?;
    let root = Root::take(top.path(), syscall)?;
    log::step("init: root taken");
    direct.mounts.iter().try_for_each(|mount| mount.make(&root, syscall))?;
    log::step("init: mounted");
    devices::make(&root, spec)?;
    log::step("init: devices");
    root.enter(top.readonly() == Some(true), syscall)
}

/// Opens the gate at `gate`: whether there was one that was closed.
///
/// # Errors
/// What the kernel says; a process that waits no more is `ENXIO`.
pub(in crate::sandbox) fn open_gate(gate: &Path) -> io::Result<bool> {
    let opened = File::options().write(true).custom_flags(libc::O_NONBLOCK).open(gate);
    match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?.write_all(b"g")?,
    }
    // It is opened once.
    std::fs::remove_file(gate).map(|()| true)
}

/// Where the gate of a container is.
pub(in crate::sandbox) fn gate(folder: &Path) -> PathBuf {
    folder.join("gate")
}

/// A process that is gone has no gate any more.
pub(in crate::sandbox) fn nobody_waits(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::ENXIO as i32)
}
