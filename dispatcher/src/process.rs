//! Processes by number and start time, and waiting for the end of one that is not our child.

use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// A process, and no later one that got its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its start, in clock ticks since boot (proc(5), stat, field 22).
    pub started: u64,
}

impl Process {
    /// The process that has this number now.
    pub fn find(pid: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the name in parentheses and may hold anything; the third follows the last of them.
        let started = stat.rsplit_once(") ")?.1.split(' ').nth(22 - 3)?.parse().ok()?;
        Some(Self { pid, started })
    }

    /// Whether it still runs.
    pub fn runs(&self) -> bool {
        // The state is the third field; Z and X are ended ones (proc(5)).
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        let ended = stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']));
        !ended && self.exists()
    }

    /// Whether it is still there (a zombie is).
    pub fn exists(&self) -> bool {
        Self::find(self.pid) == Some(*self)
    }

    /// Waits until it has ended, but not for longer than `limit`; it need not be a child of ours.
    pub fn await_end(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let descriptor = match pidfd_open(Pid::from_raw(self.pid)) {
            Ok(descriptor) => descriptor,
            Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => return,
            Err(_) => {
                // No descriptor to be had: it is looked at from time to time.
                while self.runs() && Instant::now() < deadline {
                    std::thread::sleep(Duration::from_millis(1));
                }
                return;
            }
        };
        if !self.exists() {
            return;
        }
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            // A millisecond more: less than one left must not become none.
            let left = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
            // It is readable when all of its threads have ended (pidfd_open(2)), and by then their files are closed.
            match poll(&mut [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)], left) {
                Err(Errno::EINTR) => {}
                _ => return,
            }
        }
    }

    /// Kills it and waits until it has ended, but not for longer than `limit`.
    pub fn end(&self, limit: Duration) {
        if !self.exists() {
            return;
        }
        // It may have gone since that was looked at, but its number is not used again so soon.
        let _ = kill(Pid::from_raw(self.pid), Signal::SIGKILL);
        self.await_end(limit);
    }
}

/// A descriptor of a process, readable once it has ended.
///
/// # Errors
/// `ESRCH` where there is none of this number, and what else the kernel says.
pub fn pidfd_open(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: takes two numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_itself_and_nobody_else() {
        let own = Process::find(std::process::id() as i32).unwrap();
        assert!(own.exists());
        assert!(!Process { started: own.started + 1, ..own }.exists());
    }

    #[test]
    fn the_end_of_a_process_is_waited_for() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let process = Process::find(child.id() as i32).unwrap();
        let before = Instant::now();
        process.await_end(Duration::from_millis(20));
        assert!(process.runs() && before.elapsed() >= Duration::from_millis(20));
        process.end(Duration::from_secs(60));
        assert!(!process.runs());
        child.wait().unwrap();
        // Nobody is waited for in its place.
        process.await_end(Duration::from_secs(60));
        assert!(before.elapsed() < Duration::from_secs(60));
    }
}
