//! A fork that begins in a cgroup of version 2.
//!
//! Whoever moves into a cgroup waits, after a quiet moment, for a grace period of the kernel's (`cgroup_procs_write_start` in
//! kernel/cgroup/cgroup.c): some 10 ms. Whoever is made in it does not (clone3(2), `CLONE_INTO_CGROUP`, Linux 5.7).

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::unistd::{ForkResult, Pid, fork};

/// linux/sched.h; the constant of the libc crate is of a type too small for it (libc issue 3584).
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Forks into the cgroup whose folder is open as `cgroup`, where there is one and the kernel lets it: the answer says whether
/// the child is there already.
///
/// # Safety
/// The caller has one thread.
pub(super) unsafe fn fork_into(cgroup: Option<&File>) -> nix::Result<(ForkResult, bool)> {
    let Some(cgroup) = cgroup else {
        // SAFETY: the caller's promise.
        return unsafe { fork() }.map(|forked| (forked, false));
    };
    let arguments = libc::clone_args {
        flags: CLONE_INTO_CGROUP,
        exit_signal: libc::SIGCHLD as u64,
        cgroup: cgroup.as_raw_fd() as u64,
        pidfd: 0,
        child_tid: 0,
        parent_tid: 0,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
    };
    // SAFETY: the arguments are valid and ask for a copy of this process, as fork(2) makes it. What the C library does besides
    // is for the locks of other threads, of which there are none (the caller's promise), and its note of the thread's id, which
    // stays the parent's: nobody here asks the C library for it.
    let answer = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of_val(&arguments)) };
    match answer {
        0 => Ok((ForkResult::Child, true)),
        -1 => {
            // An older kernel, a filter that does not know the call, a cgroup that takes no process in this way: the usual way has
            // the words for what is really wrong.
            tracing::debug!("no fork into the cgroup: {}", io::Error::last_os_error());
            // SAFETY: the caller's promise.
            unsafe { fork() }.map(|forked| (forked, false))
        }
        child => i32::try_from(child).map_err(|_| Errno::EOVERFLOW).map(|child| {
            let child = Pid::from_raw(child);
            (ForkResult::Parent { child }, true)
        }),
    }
}
