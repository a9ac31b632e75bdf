//! Numbers of a container's cgroup: its processes, its use of resources, whether its memory ran out.
//!
//! Read from the kernel's files as they are, into containerd's messages: the library that containerd-shim has for it leaves
//! out the CPU time and most limits of version 1, and disks of both.

mod files;
mod v1;
mod v2;

use std::io;
use std::path::{Path, PathBuf};

use containerd_shim::protos::protobuf::well_known_types::any::Any;

use super::any::pack;
use crate::cgroup::Cgroups;

/// The types of metrics, by cgroup version (github.com/containerd/cgroups, stats/metrics.proto).
const TYPES: [&str; 2] = ["io.containerd.cgroups.v1.Metrics", "io.containerd.cgroups.v2.Metrics"];

/// The metrics of the container of process `pid`, as the message of the machine's cgroup version.
pub(super) fn metrics(pid: u32) -> containerd_shim::Result<Any> {
    let unread = |source| containerd_shim::Error::IoError { context: format!("cgroups of process {pid}"), err: source };
    let cgroups = Cgroups::of(pid).map_err(unread)?;
    if cgroups.has_v1("memory") || cgroups.has_v1("cpu") {
        return Ok(pack(TYPES[0], &v1::metrics(&cgroups))?);
    }
    let folder = cgroups.v2().ok_or_else(|| unread(io::Error::other("it is in the root cgroup")))?;
    Ok(pack(TYPES[1], &v2::metrics(&folder))?)
}

/// A container's cgroup as far as this file reads it: the folder of the memory controller, which lists processes too.
#[derive(Debug, Clone)]
pub(super) struct MemoryCgroup {
    folder: PathBuf,
    /// Of a scope, which systemd removes with the last process, counts and all: how often the kernel had killed below the slice
    /// when the container was made.
    slice: Option<u64>,
}

impl MemoryCgroup {
    /// The cgroup that `pid` is in now. Ask while it is known to live: a dead process is in the root of each hierarchy, and
    /// its number may become another's.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let folder = Cgroups::of(pid).ok()?.memory()?;
        let scope = folder.extension().is_some_and(|kind| kind == "scope");
        let slice = scope.then(|| folder.parent().and_then(oom_kills)).flatten();
        folder.is_dir().then_some(Self { folder, slice })
    }

    /// All processes in it.
    pub(super) fn processes(&self) -> Vec<u32> {
        let text = std::fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// How often the kernel has killed a process in it for want of memory.
    pub(super) fn oom_kills(&self) -> u64 {
        oom_kills(&self.folder).unwrap_or(0)
    }

    /// Whether it is gone, and the kernel has killed for want of memory below its slice since it was made: version 2 counts
    /// what happens below a folder in that one too.
    pub(super) fn slice_ran_out(&self) -> bool {
        let now = || oom_kills(self.folder.parent()?);
        self.slice.is_some_and(|then| !self.folder.exists() && now() > Some(then))
    }
}

/// `oom_kill` of memory.oom_control (version 1) or memory.events (version 2).
fn oom_kills(folder: &Path) -> Option<u64> {
    let files = ["memory.oom_control", "memory.events"].iter().map(|file| files::keyed(&folder.join(file)));
    files.into_iter().find_map(|keyed| keyed.get("oom_kill").copied())
}

#[cfg(test)]
mod tests {
    use containerd_shim::protos::protobuf::MessageFull;

    use super::*;

    #[test]
    fn types_have_their_names() {
        fn name<M: MessageFull>(_: fn(&Cgroups) -> M) -> String {
            M::descriptor().full_name().to_owned()
        }
        fn name2<M: MessageFull>(_: fn(&std::path::Path) -> M) -> String {
            M::descriptor().full_name().to_owned()
        }
        assert_eq!([name(v1::metrics), name2(v2::metrics)], TYPES);
    }

    #[test]
    fn oom_kills_are_read_from_either_file() {
        for (file, text) in [
            ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
            ("memory.events", "low 0\nhigh 0\nmax 9\noom 3\noom_kill 2\noom_group_kill 0\n"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(file), text).unwrap();
            assert_eq!(oom_kills(folder.path()), Some(2), "{file}");
        }
    }

    #[test]
    fn a_scope_that_is_gone_is_judged_by_its_slice() {
        let slice = tempfile::tempdir().unwrap();
        let killed = |count: u64| {
            std::fs::write(slice.path().join("memory.events"), format!("oom 9\noom_kill {count}\n")).unwrap();
        };
        killed(2);
        let scope = MemoryCgroup { folder: slice.path().join("docker-abc.scope"), slice: Some(2) };
        assert!(!scope.slice_ran_out());
        killed(3);
        assert!(scope.slice_ran_out());
        std::fs::create_dir(&scope.folder).unwrap();
        assert!(!scope.slice_ran_out(), "while it is there, it is asked itself");
        std::fs::remove_dir(&scope.folder).unwrap();
        assert!(!MemoryCgroup { slice: None, ..scope }.slice_ran_out());
    }
}
