//! The caller's terminal in front of a container's: raw while the container runs, and as it was afterwards.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::sandbox::terminal::{Raw, Terminal, copy_size};

/// Joins the caller's terminal to that of the container's first process `pid` until the process has ended; gives its exit
/// code. Of the signals that are `held`, what would end this process goes to that one.
pub(super) fn follow(pid: Pid, terminal: Terminal, held: SigSet) -> io::Result<u8> {
    let mut signals = held;
    signals.add(Signal::SIGWINCH);
    signals.thread_block()?;
    let signalled = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    fcntl(&terminal.master, FcntlArg::F_SETFL(OFlag::O_RDWR | OFlag::O_NONBLOCK))?;
    let (mut master, mut output) = (File::from(terminal.master), File::from(terminal.output));
    let mut input = Some(File::from(io::stdin().as_fd().try_clone_to_owned()?));
    let _raw = Raw::take();
    copy_size(master.as_fd());
    let mut pending = Vec::new();
    // It may have ended before its signal was waited for.
    let (mut open, mut ended) = (true, take_signal(libc::SIGCHLD, pid, &master)?);
    loop {
        // What the process wrote last is still there when it has ended.
        if let (Some(code), false) = (ended, open) {
            return Ok(code);
        }
        let of_master = if pending.is_empty() { PollFlags::POLLIN } else { PollFlags::POLLIN | PollFlags::POLLOUT };
        let mut ready = vec![PollFd::new(signalled.as_fd(), PollFlags::POLLIN)];
        ready.extend(open.then(|| PollFd::new(master.as_fd(), of_master)));
        // More is read when that is written.
        let reading = input.as_ref().filter(|_| pending.is_empty() && open);
        ready.extend(reading.map(|input| PollFd::new(input.as_fd(), PollFlags::POLLIN)));
        match poll(&mut ready, PollTimeout::NONE) {
            Err(nix::Error::EINTR) => continue,
            other => other?,
        };
        let any = |number: usize| ready.get(number).and_then(PollFd::any).unwrap_or(false);
        let (of_signals, of_master, of_input) = (any(0), open && any(1), any(2));
        drop(ready);
        if of_signals {
            while let Ok(Some(signal)) = signalled.read_signal() {
                ended = ended.or(take_signal(signal.ssi_signo as i32, pid, &master)?);
            }
        }
        if of_input && let Some(from) = &mut input {
            let mut buffer = [0; 4096];
            match from.read(&mut buffer) {
                Ok(length @ 1..) => pending.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A terminal has no end that could be passed on.
                Ok(0) | Err(_) => input = None,
            }
        }
        if of_master {
            open = copy_out(&mut master, &mut output)?;
            copy_in(&mut master, &mut pending);
        }
    }
}

/// Writes what the master has; false when its last process has closed it.
fn copy_out(master: &mut File, output: &mut File) -> io::Result<bool> {
    let mut buffer = [0; 4096];
    loop {
        match master.read(&mut buffer) {
            Ok(length @ 1..) => output.write_all(&buffer[..length])?,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return Ok(false),
        }
    }
}

fn copy_in(master: &mut File, pending: &mut Vec<u8>) {
    match master.write(pending) {
        Ok(written) => drop(pending.drain(..written)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
        Err(_) => pending.clear(),
    }
}

/// Does what a signal is for; gives the exit code of a process that has ended.
fn take_signal(signal: i32, pid: Pid, master: &File) -> io::Result<Option<u8>> {
    match signal {
        libc::SIGCHLD => Ok(match waitpid(pid, Some(WaitPidFlag::WNOHANG))? {
            WaitStatus::Exited(_, code) => Some(code as u8),
            WaitStatus::Signaled(_, signal, _) => Some(128 + signal as u8),
            _ => None,
        }),
        libc::SIGWINCH => {
            copy_size(master.as_fd());
            Ok(None)
        }
        other => {
            // Gone meanwhile: its end is read next.
            let _ = Signal::try_from(other).map(|signal| kill(pid, signal));
            Ok(None)
        }
    }
}
