//! Numbers of a container's cgroup: its processes, its use of resources, whether its memory ran out.
//!
//! Read from the kernel's files as they are, into containerd's messages: the library that containerd-shim has for it leaves
//! out the CPU time and most limits of version 1, and disks of both.

mod files;
mod v1;
mod v2;

use std::io;
use std::path::PathBuf;

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
pub(super) struct MemoryCgroup(PathBuf);

impl MemoryCgroup {
    /// The cgroup that `pid` is in now. Ask while it is known to live: a dead process is in the root of each hierarchy, and
    /// its number may become another's.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let folder = Cgroups::of(pid).ok()?.memory()?;
        folder.is_dir().then_some(Self(folder))
    }

    /// All processes in it.
    pub(super) fn processes(&self) -> Vec<u32> {
        let text = std::fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// How often the kernel has killed a process in it for want of memory: `oom_kill` of memory.oom_control (version 1) or
    /// memory.events (version 2).
    pub(super) fn oom_kills(&self) -> u64 {
        let files = ["memory.oom_control", "memory.events"].iter().map(|file| files::keyed(&self.0.join(file)));
        files.into_iter().find_map(|keyed| keyed.get("oom_kill").copied()).unwrap_or(0)
    }
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
            assert_eq!(MemoryCgroup(folder.path().to_owned()).oom_kills(), 2, "{file}");
        }
    }
}
