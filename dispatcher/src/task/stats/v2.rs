//! Metrics of version 2, from the one folder that a container has there.

use std::path::Path;

use containerd_shim::protos::cgroups_v2::metrics::{
    CPUStat, HugeTlbStat, IOEntry, IOStat, MemoryEvents, MemoryStat, Metrics, PidsStat,
};
use containerd_shim::protos::protobuf::MessageField;

use super::files::{device, huge_pages, keyed, number};
use crate::fault::{self, Fault};

/// What there is of each controller that the folder has.
pub(super) fn metrics(folder: &Path) -> Metrics {
    let limit = Some(number(&folder.join("pids.max"))).filter(|limit| *limit != u64::MAX).unwrap_or(0);
    let io = std::fs::read_to_string(folder.join("io.stat")).unwrap_or_default();
    Metrics {
        pids: MessageField::some(PidsStat {
            current: number(&folder.join("pids.current")),
            limit,
            ..Default::default()
        }),
        cpu: MessageField::some(cpu(folder)),
        memory: MessageField::some(memory(folder)),
        memory_events: MessageField::some(events(folder)),
        io: MessageField::some(IOStat { usage: io.lines().filter_map(disk).collect(), ..Default::default() }),
        hugetlb: huge_pages(folder, "current").into_iter().map(|size| huge(folder, size)).collect(),
        ..Default::default()
    }
}

/// In microseconds.
fn cpu(folder: &Path) -> CPUStat {
    let stat = keyed(&folder.join("cpu.stat"));
    let value = |key: &str| stat.get(key).copied().unwrap_or(0);
    CPUStat {
        usage_usec: value("usage_usec"),
        user_usec: value("user_usec"),
        system_usec: value("system_usec"),
        nr_periods: value("nr_periods"),
        nr_throttled: value("nr_throttled"),
        throttled_usec: value("throttled_usec"),
        nr_bursts: value("nr_bursts"),
        burst_usec: value("burst_usec"),
        ..Default::default()
    }
}

fn memory(folder: &Path) -> MemoryStat {
    let stat = keyed(&folder.join("memory.stat"));
    let value = |key: &str| stat.get(key).copied().unwrap_or(0);
    let read = |what: &str| number(&folder.join(what));
    MemoryStat {
        anon: value("anon"),
        file: value("file"),
        kernel_stack: value("kernel_stack"),
        slab: value("slab"),
        sock: value("sock"),
        shmem: value("shmem"),
        file_mapped: value("file_mapped"),
        file_dirty: value("file_dirty"),
        file_writeback: value("file_writeback"),
        anon_thp: value("anon_thp"),
        inactive_anon: value("inactive_anon"),
        active_anon: value("active_anon"),
        inactive_file: value("inactive_file"),
        active_file: value("active_file"),
        unevictable: value("unevictable"),
        slab_reclaimable: value("slab_reclaimable"),
        slab_unreclaimable: value("slab_unreclaimable"),
        pgfault: value("pgfault"),
        pgmajfault: value("pgmajfault"),
        workingset_refault: value("workingset_refault_anon") + value("workingset_refault_file"),
        workingset_activate: value("workingset_activate_anon") + value("workingset_activate_file"),
        workingset_nodereclaim: value("workingset_nodereclaim"),
        pgrefill: value("pgrefill"),
        pgscan: value("pgscan"),
        pgsteal: value("pgsteal"),
        pgactivate: value("pgactivate"),
        pgdeactivate: value("pgdeactivate"),
        pglazyfree: value("pglazyfree"),
        pglazyfreed: value("pglazyfreed"),
        thp_fault_alloc: value("thp_fault_alloc"),
        thp_collapse_alloc: value("thp_collapse_alloc"),
        usage: read("memory.current"),
        usage_limit: if fault::is(Fault::Stats) { 0 } else { read("memory.max") },
        max_usage: read("memory.peak"),
        swap_usage: read("memory.swap.current"),
        swap_limit: read("memory.swap.max"),
        swap_max_usage: read("memory.swap.peak"),
        ..Default::default()
    }
}

fn events(folder: &Path) -> MemoryEvents {
    let stat = keyed(&folder.join("memory.events"));
    let value = |key: &str| stat.get(key).copied().unwrap_or(0);
    MemoryEvents {
        low: value("low"),
        high: value("high"),
        max: value("max"),
        oom: value("oom"),
        oom_kill: value("oom_kill"),
        oom_group_kill: value("oom_group_kill"),
        ..Default::default()
    }
}

/// `major:minor key=number…` a line.
fn disk(line: &str) -> Option<IOEntry> {
    let (major, minor, rest) = device(line)?;
    let mut entry = IOEntry { major, minor, ..Default::default() };
    for (key, value) in rest.split_whitespace().filter_map(|pair| pair.split_once('=')) {
        let value = value.parse().unwrap_or(0);
        match key {
            "rbytes" => entry.rbytes = value,
            "wbytes" => entry.wbytes = value,
            "rios" => entry.rios = value,
            "wios" => entry.wios = value,
            // Discards have no place in the message.
            _ => {}
        }
    }
    Some(entry)
}

fn huge(folder: &Path, pagesize: String) -> HugeTlbStat {
    let read = |what: &str| number(&folder.join(format!("hugetlb.{pagesize}.{what}")));
    let failcnt = keyed(&folder.join(format!("hugetlb.{pagesize}.events"))).get("max").copied().unwrap_or(0);
    HugeTlbStat { current: read("current"), max: read("max"), failcnt, pagesize, ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_becomes_a_message() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("cpu.stat", "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_throttled 2\n"),
            ("memory.current", "512\n"),
            ("memory.max", "max\n"),
            ("memory.swap.max", "0\n"),
            ("memory.stat", "anon 7\nworkingset_refault_anon 1\nworkingset_refault_file 2\n"),
            ("memory.events", "oom 3\noom_kill 1\n"),
            ("pids.current", "2\n"),
            ("pids.max", "10\n"),
            ("io.stat", "8:0 rbytes=4096 wbytes=512 rios=1 wios=2 dbytes=0 dios=0\n"),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let metrics = metrics(folder.path());
        assert_eq!((metrics.cpu.usage_usec, metrics.cpu.system_usec, metrics.cpu.nr_throttled), (30, 10, 2));
        assert_eq!((metrics.memory.usage, metrics.memory.usage_limit), (512, u64::MAX));
        assert_eq!((metrics.memory.anon, metrics.memory.workingset_refault, metrics.memory.swap_limit), (7, 3, 0));
        assert_eq!((metrics.memory_events.oom, metrics.memory_events.oom_kill), (3, 1));
        assert_eq!((metrics.pids.current, metrics.pids.limit), (2, 10));
        let io = &metrics.io.usage[0];
        assert_eq!((io.major, io.rbytes, io.wbytes, io.rios, io.wios), (8, 4096, 512, 1, 2));
    }
}
