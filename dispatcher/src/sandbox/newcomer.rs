//! What a process does to itself in a container, step by step, until it is the guest or the program: one that joins, and the
//! first one on the short way.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs::File;
use std::io::{PipeWriter, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;

use libcontainer::syscall::Syscall;
use libcontainer::syscall::syscall::create_syscall;
use libcontainer::workload::Executor;
use libcontainer::workload::default::DefaultExecutor;
use libcontainer::{apparmor, capabilities, seccomp, utils};
use nix::errno::Errno;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, chdir, setgroups, setresgid, setresuid, setsid};
use oci_spec::runtime::{LinuxSeccomp, Process};

use super::executor::instantiate;
use super::program;
use super::stdio::Stdio;
use super::terminal;
use crate::causes::chain;
use crate::guest::{self, Guest};
use crate::log;

/// What a new process says when all that can fail on its way has gone well.
pub(super) const READY: u8 = b'+';

/// A process on its way into a container.
pub(super) struct Newcomer {
    /// A module; none for a native program.
    pub(super) guest: Option<Guest>,
    pub(super) process: Process,
    /// The container's own filter.
    pub(super) seccomp: Option<LinuxSeccomp>,
    pub(super) stdio: Option<Stdio>,
    /// Whether `stdio` is a terminal, for this process to lead.
    pub(super) terminal: bool,
    /// Descriptors of the shim that a guest must not have.
    pub(super) taken: Vec<RawFd>,
}

impl Newcomer {
    /// Takes all steps, says [`READY`], and is the process from then on. It must have one thread and lead nothing.
    ///
    /// `enter` brings it into the container's namespaces and root; `wait` is what a guest does between being ready and
    /// running, with nobody left to tell of an error.
    pub(super) fn go(
        mut self,
        enter: impl FnOnce() -> Result<(), String>,
        null: File,
        report: &mut Option<PipeWriter>,
        wait: impl FnOnce() -> Result<(), String>,
    ) -> Result<Infallible, String> {
        let syscall = create_syscall();
        setsid().map_err(|error| format!("a session can't be made: {error}"))?;
        // Until it is done, who is in the container already must not look into this process.
        // SAFETY: takes numbers.
        unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
        self.set_up_stdio(&null)?;
        if let (None, Some(profile)) = (&self.guest, self.process.apparmor_profile()) {
            // Through /proc, which the container need not have.
            apparmor::apply_profile(profile).map_err(|error| format!("AppArmor profile: {}", chain(&error)))?;
        }
        enter()?;
        log::step("init: entered");
        self.settle_user(&*syscall)?;
        self.settle_rights(&*syscall)?;
        guest::set_name(self.process.args().as_deref().unwrap_or_default());
        match self.guest.take() {
            Some(guest) => {
                log::step("init: user and rights");
                let ready = instantiate(guest, &self.taken, &null)?;
                drop(null);
                say_ready(report)?;
                // Nothing is executed that would close it, and the worker waits for its end.
                drop(report.take());
                wait()?;
                let code = ready.run();
                // SAFETY: as at the end of a container's first process: the kernel takes everything back.
                unsafe { libc::_exit(code) }
            }
            None => self.execute(report),
        }
    }

    fn set_up_stdio(&mut self, null: &File) -> Result<(), String> {
        let stdio = self.stdio.take();
        let stdin = stdio.as_ref().and_then(|stdio| stdio.stdin.as_ref());
        let outputs = stdio.as_ref().map(|stdio| [&stdio.stdout, &stdio.stderr]);
        for (number, end) in (0..).zip(std::iter::once(stdin).chain(outputs.into_iter().flatten().map(Some))) {
            let end = end.map_or(null.as_raw_fd(), AsRawFd::as_raw_fd);
            // SAFETY: a system call on numbers; these three are this process's own stdio.
            if unsafe { libc::dup2(end, number) } < 0 {
                return Err(format!("stdio can't be set up: {}", std::io::Error::last_os_error()));
            }
        }
        if self.terminal {
            terminal::take_control().map_err(|error| format!("the terminal can't be controlled: {error}"))?;
        }
        Ok(())
    }

    /// Working directory, groups, user, limits.
    fn settle_user(&self, syscall: &dyn Syscall) -> Result<(), String> {
        let process = &self.process;
        if process.no_new_privileges() == Some(true) {
            // SAFETY: takes numbers.
            Errno::result(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })
                .map_err(|error| format!("no_new_privileges can't be set: {}", error.desc()))?;
        }
        let cwd = process.cwd();
        let entered = chdir(cwd);
        for limit in process.rlimits().iter().flatten() {
            let set = syscall.set_rlimit(limit);
            set.map_err(|error| format!("limit {:?} can't be set: {}", limit.typ(), chain(&error)))?;
        }
        let user = process.user();
        let groups: Vec<_> = user.additional_gids().iter().flatten().copied().map(Gid::from_raw).collect();
        match setgroups(&groups) {
            // A user namespace may forbid it; then there are none but those it maps.
            Err(Errno::EPERM) if groups.is_empty() => {}
            other => other.map_err(|error| format!("supplementary groups can't be set: {error}"))?,
        }
        let (uid, gid) = (user.uid(), user.gid());
        set_id(Uid::from_raw(uid), Gid::from_raw(gid))
            .map_err(|error| format!("user {uid}:{gid} can't be set: {error}"))?;
        // They are lost with root's number, and needed for the rest.
        capabilities::reset_effective(syscall)
            .map_err(|error| format!("capabilities can't be kept for a moment: {}", chain(&error)))?;
        if let Some(mask) = user.umask() {
            umask(Mode::from_bits_truncate(mask));
        }
        // Where root may not go (a file system of the user's own), the user may.
        let entered = entered.or_else(|_| chdir(cwd));
        entered.map_err(|error| format!("working directory {}: {}", cwd.display(), error.desc()))?;
        // A descriptor of the host's that a working directory led through would be outside of the root, which the kernel
        // shows by a path that does not begin there (getcwd(2)).
        let inside = nix::unistd::getcwd().is_ok_and(|path| path.is_absolute());
        if inside { Ok(()) } else { Err(format!("working directory {} is outside of the container", cwd.display())) }
    }

    /// Capabilities and the filter of system calls. Without no_new_privs the filter needs a capability, so it comes first.
    fn settle_rights(&self, syscall: &dyn Syscall) -> Result<(), String> {
        let filter_last = self.process.no_new_privileges() == Some(true);
        let filter = || match &self.seccomp {
            Some(filter) if seccomp::is_notify(filter) => {
                Err("the container's seccomp filter notifies a listener, which is not offered for further processes"
                    .into())
            }
            Some(filter) => {
                seccomp::initialize_seccomp(filter).map(drop).map_err(|error| format!("seccomp: {}", chain(&error)))
            }
            None => Ok(()),
        };
        if !filter_last {
            filter()?;
        }
        if let Some(wanted) = self.process.capabilities() {
            let dropped = capabilities::drop_privileges(wanted, syscall);
            dropped.map_err(|error| format!("capabilities can't be set: {}", chain(&error)))?;
        }
        if filter_last { filter() } else { Ok(()) }
    }

    /// Becomes the native program; the report's end is closed by that.
    fn execute(&self, report: &mut Option<PipeWriter>) -> Result<Infallible, String> {
        let arguments = program::arguments(self.process.args().as_deref().unwrap_or_default())?;
        DefaultExecutor {}.setup_envs(self.environment()).map_err(|error| chain(&error))?;
        close_at_exec();
        guest::restore_for_native().map_err(|error| format!("signals can't be restored: {error}"))?;
        say_ready(report)?;
        Err(program::execute(&arguments).message)
    }

    fn environment(&self) -> HashMap<String, String> {
        let mut variables = utils::parse_env(self.process.env().as_deref().unwrap_or_default());
        if !variables.contains_key("HOME") {
            let home = utils::get_user_home(self.process.user().uid());
            let home = home.unwrap_or_else(|| Path::new("/").to_owned());
            variables.insert("HOME".to_owned(), home.display().to_string());
        }
        variables
    }
}

/// Becomes this user for good, with the capabilities it may still have.
fn set_id(uid: Uid, gid: Gid) -> nix::Result<()> {
    let keep = |on: libc::c_ulong| {
        // SAFETY: takes numbers.
        Errno::result(unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, on, 0, 0, 0) }).map(drop)
    };
    keep(1)?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    keep(0)
}

fn say_ready(report: &mut Option<PipeWriter>) -> Result<(), String> {
    report
        .iter_mut()
        .try_for_each(|report| report.write_all(&[READY]))
        .map_err(|error| format!("the worker process is gone: {error}"))
}

/// Nothing of the shim's stays open in the program.
fn close_at_exec() {
    // SAFETY: a system call on numbers. A kernel without it (before 5.11) leaves what was opened so, which is all of ours.
    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}
