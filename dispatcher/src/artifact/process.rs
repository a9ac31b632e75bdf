//! The process that a compiler runs in, from its birth to its report: made, watched, and ended with all that it started.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Instant;

use multiwasm_engine::{EngineError, ErrorKind};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg, socketpair,
};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid, pipe2, read};

use super::compile::Limits;
use super::confine::{ConfineError, Workplace, confine};
use crate::process::pidfd_open;

/// Most bytes of a message in a report.
const MAX_MESSAGE: usize = 16 << 10;
/// Most bytes kept of what the engine printed: the last ones.
const MAX_OUTPUT: usize = 4 << 10;

/// Statuses of a report besides [`ErrorKind`]'s.
const DONE: u32 = 0;
const NOT_CONFINED: u32 = u32::MAX;

/// How a confined process ended.
#[derive(Debug)]
pub(super) enum End {
    /// It handed over this file: a regular one, not empty. Who wrote it may still do so.
    Done(File),
    /// The engine's error.
    Failed(EngineError),
    /// It could not be confined, so nothing was run.
    NotConfined(io::Error),
    /// It was killed at its deadline.
    TimedOut,
    /// It ended by a signal.
    Killed(Signal),
    /// It ended without a report.
    Exited(i32),
}

/// How it ended, and the end of what it printed.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) end: End,
    pub(super) output: String,
}

/// Runs `prepare` in a new process, then confines it and runs `work` there, with the path of a file to make; waits for its
/// end, and for that of all that it started.
pub(super) fn run_confined(
    limits: &Limits,
    prepare: impl FnOnce() -> Result<(), EngineError>,
    work: impl FnOnce(&Path) -> Result<(), EngineError>,
) -> io::Result<Ended> {
    let deadline = Instant::now() + limits.timeout;
    let workplace = Workplace::new()?;
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    let (output, printed) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    // Where the process writes, it must be able to wait: an engine can't be expected to handle EAGAIN.
    fcntl(&printed, FcntlArg::F_SETFL(OFlag::empty()))?;
    let parent = getpid();
    // SAFETY: callers of `compile` have one thread, so the child may do whatever its parent may.
    match unsafe { fork() }? {
        ForkResult::Child => {
            let report = catch_unwind(AssertUnwindSafe(|| {
                prepare()?;
                let folder = confine(limits, &workplace, parent, &theirs, &printed)?;
                let artifact = folder.join("artifact");
                work(&artifact)?;
                File::open(&artifact).map_err(|error| failed(format!("it wrote no artifact: {error}")))
            }));
            send(&theirs, report.unwrap_or_else(|_| Err(failed("it panicked".to_owned()))));
            // SAFETY: ends the process at once: no destructor of the parent's may run here, nor an engine's.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            drop((theirs, printed));
            let child = Child { pid: child, ours, output };
            child.wait(deadline)
        }
    }
}

/// An error of the process, as it is reported.
struct Report {
    status: u32,
    message: String,
}

impl From<EngineError> for Report {
    fn from(error: EngineError) -> Self {
        Self { status: error.kind as u32, message: error.message }
    }
}

impl From<ConfineError> for Report {
    fn from(error: ConfineError) -> Self {
        Self { status: NOT_CONFINED, message: error.to_string() }
    }
}

fn failed(message: String) -> Report {
    EngineError::failed(message).into()
}

/// Sends a report, with the artifact where there is one. A parent that is gone needs none.
fn send(to: &OwnedFd, report: Result<File, Report>) {
    let (status, message) = match &report {
        Ok(_) => (DONE, ""),
        Err(report) => (report.status, report.message.as_str()),
    };
    let message = &message.as_bytes()[..message.len().min(MAX_MESSAGE)];
    let status = status.to_le_bytes();
    let fds: Vec<RawFd> = report.iter().map(AsRawFd::as_raw_fd).collect();
    let control = [ControlMessage::ScmRights(&fds)];
    let control = if fds.is_empty() { &[][..] } else { &control[..] };
    let parts = [IoSlice::new(&status), IoSlice::new(message)];
    let _ = sendmsg::<()>(to.as_raw_fd(), &parts, control, MsgFlags::MSG_NOSIGNAL, None);
}

/// A confined process, seen from its parent.
struct Child {
    pid: Pid,
    ours: OwnedFd,
    output: OwnedFd,
}

impl Child {
    /// Waits for its end; kills it at `deadline`, and whatever it started in any case.
    fn wait(self, deadline: Instant) -> io::Result<Ended> {
        let mut output = Vec::new();
        let timed_out = self.watch(deadline, &mut output);
        // Not reaped yet, so its number is still its own.
        if !matches!(timed_out, Ok(false)) {
            let _ = kill(self.pid, Signal::SIGKILL);
        }
        let _ = killpg(self.pid, Signal::SIGKILL);
        let status = waitpid(self.pid, None)?;
        let timed_out = timed_out?;
        self.drain(&mut output);
        let end = match status {
            _ if timed_out => End::TimedOut,
            WaitStatus::Signaled(_, signal, _) => End::Killed(signal),
            WaitStatus::Exited(_, code) => self.received()?.unwrap_or(End::Exited(code)),
            _ => End::Exited(-1),
        };
        Ok(Ended { end, output: String::from_utf8_lossy(&output).trim().to_owned() })
    }

    /// Collects its output until it has ended; says whether it is the deadline that came first.
    fn watch(&self, deadline: Instant, output: &mut Vec<u8>) -> io::Result<bool> {
        let pidfd = pidfd_open(self.pid)?;
        let mut printing = true;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut fds = vec![PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
            if printing {
                fds.push(PollFd::new(self.output.as_fd(), PollFlags::POLLIN));
            }
            // A millisecond more: less than one left must not become none.
            let timeout = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
            match poll(&mut fds, timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            if fds[0].any() == Some(true) {
                return Ok(false);
            }
            if left.is_zero() {
                return Ok(true);
            }
            printing = printing && self.drain(output);
        }
    }

    /// Reads what is there of its output and keeps the end of it; false once there can't be more.
    fn drain(&self, output: &mut Vec<u8>) -> bool {
        let mut buffer = [0; MAX_OUTPUT];
        // Not for ever: one that prints all the time must not keep us from looking at the clock.
        for _ in 0..16 {
            match read(&self.output, &mut buffer) {
                Ok(0) => return false,
                Ok(read) => {
                    output.extend_from_slice(&buffer[..read]);
                    output.drain(..output.len().saturating_sub(MAX_OUTPUT));
                }
                Err(_) => return true,
            }
        }
        true
    }

    /// Its report, if it sent one that can be understood.
    fn received(&self) -> io::Result<Option<End>> {
        let mut bytes = vec![0; size_of::<u32>() + MAX_MESSAGE];
        let mut control = nix::cmsg_space!(RawFd);
        let (len, files) = {
            let mut parts = [IoSliceMut::new(&mut bytes)];
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
            let message = match recvmsg::<()>(self.ours.as_raw_fd(), &mut parts, Some(&mut control), flags) {
                Ok(message) => message,
                Err(Errno::EAGAIN) => return Ok(None),
                Err(errno) => return Err(errno.into()),
            };
            (message.bytes, received_files(message.cmsgs()?))
        };
        let Some((status, message)) = bytes[..len].split_first_chunk() else { return Ok(None) };
        let message = String::from_utf8_lossy(message).into_owned();
        Ok(Some(match (u32::from_le_bytes(*status), files.into_iter().next()) {
            (DONE, Some(file)) if is_artifact(&file) => End::Done(file),
            (DONE, _) => End::Failed(EngineError::failed("its artifact is empty")),
            (NOT_CONFINED, _) => End::NotConfined(io::Error::other(message)),
            (status, _) => End::Failed(EngineError::new(ErrorKind::from_status(status), message)),
        }))
    }
}

fn received_files(messages: impl Iterator<Item = ControlMessageOwned>) -> Vec<File> {
    let numbers = messages.flat_map(|message| match message {
        ControlMessageOwned::ScmRights(numbers) => numbers,
        _ => Vec::new(),
    });
    // SAFETY: the kernel has just made these descriptors for us, and nobody else knows them.
    numbers.map(|number| unsafe { File::from_raw_fd(number) }).collect()
}

fn is_artifact(file: &File) -> bool {
    file.metadata().is_ok_and(|found| found.is_file() && found.len() > 0)
}
