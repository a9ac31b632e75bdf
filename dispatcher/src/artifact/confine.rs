//! What the process that compiles gives up before it sees a module.
//!
//! Modules are not trusted, and compilers are large. So the process has: its own session, mount, network and IPC
//! namespaces; one private folder, in memory, that is gone with it; no other descriptor than the one to report by;
//! nobody's uid, no capability and no way to get any; limits on memory, CPU time and file size; a low priority, and the
//! first place when the node runs out of memory. It dies with its parent. Without root, where nothing of that can be
//! had but limits and priority, it has a temporary folder instead.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{
    Gid, Pid, SysconfVar, Uid, dup2_stderr, dup2_stdin, dup2_stdout, getppid, mkdtemp, setgroups, setresgid, setresuid,
    setsid, sysconf,
};

use super::compile::Limits;

/// The uid and gid that the kernel gives to what it can't map, nobody's everywhere.
const NOBODY: u32 = 65534;
/// Where the private folder is mounted: a folder that every system has.
const PRIVATE_FOLDER: &str = "/tmp";
/// Yields to everything of default priority.
const NICENESS: i32 = 10;
/// The least that a group of processes can have.
const LOWEST: &str = "19";
/// Between -1000 (never) and 1000 (first): before any container of a default setting.
const OOM_SCORE: &str = "1000";
/// Seconds of CPU time between the signal that says "enough" and the one that can't be caught.
const CPU_GRACE: u64 = 5;

/// A step that failed; nothing may be compiled then.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {source}")]
pub(super) struct ConfineError {
    step: &'static str,
    source: io::Error,
}

/// Names the step of an error.
fn at<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> ConfineError {
    move |error| ConfineError { step, source: error.into() }
}

/// A folder to work in where no private one can be mounted, that is for callers who are not root.
pub(super) struct Workplace(Option<PathBuf>);

impl Workplace {
    pub(super) fn new() -> io::Result<Self> {
        if Uid::effective().is_root() {
            return Ok(Self(None));
        }
        Ok(Self(Some(mkdtemp(&std::env::temp_dir().join("multiwasm-XXXXXX"))?)))
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        if let Some(folder) = &self.0 {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// Confines this process; gives the folder that it may write to.
pub(super) fn confine(
    limits: &Limits,
    workplace: &Workplace,
    parent: Pid,
    report: &OwnedFd,
    printed: &OwnedFd,
) -> Result<PathBuf, ConfineError> {
    // SAFETY: takes three numbers; a refusal leaves the priority as it is.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
    new_session().map_err(at("new session"))?;
    SigSet::empty().thread_set_mask().map_err(at("signal mask"))?;
    close_all_but(report, printed).map_err(at("descriptors"))?;
    lower_limits(limits).map_err(at("limits"))?;
    // Raising one's own score needs no privilege, but /proc, which a bare sandbox may lack.
    let _ = fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    let folder = match &workplace.0 {
        Some(folder) => folder.clone(),
        None => {
            private_folder(limits).map_err(at("private folder"))?;
            become_nobody().map_err(at("uid"))?;
            PathBuf::from(PRIVATE_FOLDER)
        }
    };
    std::env::set_current_dir(&folder).map_err(at("working directory"))?;
    prctl::set_no_new_privs().map_err(at("no_new_privs"))?;
    prctl::set_dumpable(false).map_err(at("dumpable"))?;
    // After the change of uid, which clears it. A parent that died before is seen by its absence.
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(at("death signal"))?;
    if getppid() != parent {
        return Err(at("parent")(Errno::ESRCH));
    }
    Ok(folder)
}

/// Begins a session; an idle process's has idle priority as a whole: where the kernel groups processes by sessions ("The autogroup
/// feature" in sched(7)), a process's own priority counts among those of its session alone. For one that a start waits for that is
/// right: it yields to its container's like, and has its share beside others.
pub(super) fn new_session() -> nix::Result<()> {
    setsid()?;
    // SAFETY: takes and gives a number; about this process, it does not fail.
    if unsafe { libc::sched_getscheduler(0) } == libc::SCHED_IDLE {
        // A kernel without such groups has no such file.
        let _ = fs::write("/proc/self/autogroup", LOWEST);
    }
    Ok(())
}

/// Leaves stdin (empty), stdout and stderr (what is printed), and the descriptor to report by.
fn close_all_but(report: &OwnedFd, printed: &OwnedFd) -> io::Result<()> {
    let null = File::options().read(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(printed)?;
    dup2_stderr(printed)?;
    close_above_stdio(report.as_raw_fd())?;
    // Closed already, with all the rest.
    std::mem::forget(null);
    Ok(())
}

/// Closes all descriptors but stdio and `keep`. No owner of one of them may be dropped from then on.
pub(super) fn close_above_stdio(keep: RawFd) -> io::Result<()> {
    close_range(3, keep - 1)?;
    close_range(keep + 1, RawFd::MAX)
}

/// Closes all descriptors from `first` to `last`.
fn close_range(first: RawFd, last: RawFd) -> io::Result<()> {
    if first > last {
        return Ok(());
    }
    // SAFETY: closes numbers; the process ends without dropping any owner of one of them.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if closed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn lower_limits(limits: &Limits) -> io::Result<()> {
    // The data limit counts private memory that can be written, so neither mapped files nor the address space that
    // allocators and threads reserve count. What this process has from its parent is not the compiler's.
    let data = limits.memory.saturating_add(inherited_data().unwrap_or(0));
    let cpu = limits.cpu_seconds.max(1);
    for (resource, soft, hard) in [
        (Resource::RLIMIT_DATA, data, data),
        (Resource::RLIMIT_FSIZE, limits.memory, limits.memory),
        (Resource::RLIMIT_CPU, cpu, cpu.saturating_add(CPU_GRACE)),
        (Resource::RLIMIT_CORE, 0, 0),
    ] {
        let (_, most) = getrlimit(resource)?;
        setrlimit(resource, soft.min(most), hard.min(most))?;
    }
    Ok(())
}

/// Bytes of private writable memory of this process: the sixth number of statm(5) counts their pages.
fn inherited_data() -> Option<u64> {
    let pages: u64 = fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(5)?.parse().ok()?;
    let page = sysconf(SysconfVar::PAGE_SIZE).ok()??;
    Some(pages * page as u64)
}

/// Mounts a folder that this process alone sees, and whose content is gone with it.
fn private_folder(limits: &Limits) -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC)?;
    // Slave: what others unmount is unmounted here too, so that a long compile holds no container's mounts.
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SLAVE, None::<&str>)?;
    let options = format!("mode=0700,uid={NOBODY},gid={NOBODY},size={}", limits.memory);
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("multiwasm"), PRIVATE_FOLDER, Some("tmpfs"), flags, Some(options.as_str()))
}

/// Gives up root, and with it all capabilities.
fn become_nobody() -> nix::Result<()> {
    let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    setgroups(&[])?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)
}
