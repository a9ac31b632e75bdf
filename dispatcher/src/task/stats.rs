//! Numbers of a container's cgroup: its processes, its use of resources, whether its memory ran out.

use std::path::{Path, PathBuf};

use containerd_shim::cgroup::{collect_metrics, collect_metrics_v2, get_cgroup};
use containerd_shim::protos::cgroups::metrics::Metrics;
use containerd_shim::protos::protobuf::well_known_types::any::Any;
use containerd_shim::util::convert_to_any;

use crate::cgroup::Cgroups;

/// The container's metrics, as the message of the machine's cgroup version.
pub(super) fn metrics(pid: u32) -> containerd_shim::Result<Any> {
    let cgroup = get_cgroup(pid)?;
    if cgroup.v2() {
        convert_to_any(Box::new(collect_metrics_v2(&cgroup)?))
    } else {
        let mut metrics = collect_metrics(&cgroup)?;
        complete(&mut metrics, pid);
        convert_to_any(Box::new(metrics))
    }
}

/// Adds what the library leaves out for version 1: CPU time, which another controller has there, and the limits of memory.
fn complete(metrics: &mut Metrics, pid: u32) {
    let Ok(cgroups) = Cgroups::of(pid) else { return };
    if let Some(folder) = cgroups.v1("cpuacct") {
        let usage = metrics.cpu.mut_or_insert_default().usage.mut_or_insert_default();
        usage.total = number(&folder.join("cpuacct.usage"));
        usage.user = number(&folder.join("cpuacct.usage_user"));
        usage.kernel = number(&folder.join("cpuacct.usage_sys"));
        let each = std::fs::read_to_string(folder.join("cpuacct.usage_percpu")).unwrap_or_default();
        usage.per_cpu = each.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    }
    if let Some(folder) = cgroups.v1("memory") {
        let memory = metrics.memory.mut_or_insert_default();
        for (entry, prefix) in [(&mut memory.usage, "memory"), (&mut memory.swap, "memory.memsw")] {
            let entry = entry.mut_or_insert_default();
            let read = |what| number(&folder.join(format!("{prefix}.{what}")));
            (entry.usage, entry.max) = (read("usage_in_bytes"), read("max_usage_in_bytes"));
            (entry.limit, entry.failcnt) = (read("limit_in_bytes"), read("failcnt"));
        }
        let stat = std::fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
        let value = |key: &str| {
            let line = stat.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
            line.and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        (memory.cache, memory.rss, memory.mapped_file) = (value("cache"), value("rss"), value("mapped_file"));
        (memory.inactive_file, memory.total_inactive_file) = (value("inactive_file"), value("total_inactive_file"));
        (memory.active_file, memory.total_rss) = (value("active_file"), value("total_rss"));
        (memory.pg_fault, memory.pg_maj_fault) = (value("pgfault"), value("pgmajfault"));
        memory.hierarchical_memory_limit = value("hierarchical_memory_limit");
    }
}

/// The number in a file; 0 where there is none, as containerd's own shim has it.
fn number(file: &Path) -> u64 {
    std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
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
        ["memory.oom_control", "memory.events"]
            .iter()
            .filter_map(|file| std::fs::read_to_string(self.0.join(file)).ok())
            .find_map(|text| text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()))
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
