//! Joining a running container: its namespaces, its cgroup, its root.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use libc::c_int;

use super::SandboxError;
use crate::cgroup::Cgroups;
use crate::process::Process;

/// linux/sched.h; the crate libc has not got it.
const CLONE_NEWTIME: c_int = 0x80;

/// Namespaces by their names in /proc/pid/ns, in the order in which they are joined. A user namespace comes last: until then
/// this is root, who may join all the others. The mount namespace is late so that little is opened in the container.
const NAMESPACES: [(&str, c_int); 7] = [
    ("ipc", libc::CLONE_NEWIPC),
    ("uts", libc::CLONE_NEWUTS),
    ("net", libc::CLONE_NEWNET),
    ("cgroup", libc::CLONE_NEWCGROUP),
    ("time", CLONE_NEWTIME),
    ("mnt", libc::CLONE_NEWNS),
    ("user", libc::CLONE_NEWUSER),
];

/// A running container, held by its first process.
pub(super) struct Place {
    init: Process,
    namespaces: Vec<(&'static str, c_int, File)>,
    pid_namespace: Option<File>,
    cgroups: Cgroups,
}

impl Place {
    /// The place of `init`.
    ///
    /// # Errors
    /// Where it has ended.
    pub(super) fn of(container: &str, init: Process) -> Result<Self, SandboxError> {
        let found = Self::find(init);
        // What was opened is that process's only if it is still there.
        if !init.runs() {
            return Err(SandboxError::NotRunning(container.to_owned()));
        }
        found.map_err(|error| SandboxError::Inside(format!("the container's namespaces can't be opened: {error}")))
    }

    fn find(init: Process) -> io::Result<Self> {
        let mut namespaces = Vec::new();
        for (name, flag) in NAMESPACES {
            namespaces.extend(other_namespace(init.pid, name)?.map(|file| (name, flag, file)));
        }
        let pid_namespace = other_namespace(init.pid, "pid")?;
        Ok(Self { init, namespaces, pid_namespace, cgroups: Cgroups::of(init.pid as u32)? })
    }

    /// The container's root as it sees it, with all its mounts: a link that the kernel resolves for this process.
    pub(super) fn root(&self) -> PathBuf {
        format!("/proc/{}/root", self.init.pid).into()
    }

    /// Lets the processes that this one forks from now on be in the container's pid namespace.
    pub(super) fn enter_pid_namespace(&self) -> io::Result<()> {
        self.pid_namespace.as_ref().map_or(Ok(()), |file| setns(file, libc::CLONE_NEWPID))
    }

    /// Puts the process `pid` into the container's cgroup.
    pub(super) fn adopt(&self, pid: i32) -> Result<(), SandboxError> {
        self.cgroups.adopt(pid as u32).map_err(|(path, error)| {
            SandboxError::Inside(format!("the process can't join the container's cgroup {}: {error}", path.display()))
        })
    }

    /// Moves this process, which must have one thread, into all other namespaces. Its root and working directory are the
    /// container's then.
    pub(super) fn enter(self) -> Result<(), String> {
        for (name, flag, file) in self.namespaces {
            setns(&file, flag).map_err(|error| format!("namespace {name} can't be joined: {error}"))?;
        }
        Ok(())
    }
}

/// The namespace `name` of `pid`, where it is not this process's own, or the kernel has no such.
fn other_namespace(pid: i32, name: &str) -> io::Result<Option<File>> {
    let file = match File::open(format!("/proc/{pid}/ns/{name}")) {
        Err(error)
            if error.kind() == io::ErrorKind::NotFound && !PathBuf::from(format!("/proc/self/ns/{name}")).exists() =>
        {
            return Ok(None);
        }
        other => other?,
    };
    let (theirs, own) = (file.metadata()?, std::fs::metadata(format!("/proc/self/ns/{name}"))?);
    Ok(((theirs.dev(), theirs.ino()) != (own.dev(), own.ino())).then_some(file))
}

fn setns(file: &File, flag: c_int) -> io::Result<()> {
    // SAFETY: a system call on numbers; the descriptor is open.
    if unsafe { libc::setns(file.as_raw_fd(), flag) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
