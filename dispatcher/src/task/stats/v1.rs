//! Metrics of version 1, from each controller's folder.

use std::path::Path;

use containerd_shim::protos::cgroups::metrics::{
    BlkIOEntry, BlkIOStat, CPUStat, CPUUsage, HugetlbStat, MemoryEntry, MemoryOomControl, MemoryStat, Metrics,
    PidsStat, Throttle,
};
use containerd_shim::protos::protobuf::MessageField;

use super::files::{device, huge_pages, keyed, number};
use crate::cgroup::Cgroups;
use crate::fault::{self, Fault};

/// What there is of each controller that the machine has.
pub(super) fn metrics(cgroups: &Cgroups) -> Metrics {
    let mut metrics = Metrics::new();
    let (time, throttling) = (cgroups.v1("cpuacct"), cgroups.v1("cpu"));
    metrics.cpu = MessageField::some(CPUStat {
        usage: time.as_deref().map(cpu_time).into(),
        throttling: throttling.as_deref().map(throttle).into(),
        ..Default::default()
    });
    if let Some(folder) = cgroups.v1("memory") {
        metrics.memory = MessageField::some(memory(&folder));
        let control = keyed(&folder.join("memory.oom_control"));
        let value = |key: &str| control.get(key).copied().unwrap_or(0);
        metrics.memory_oom_control = MessageField::some(MemoryOomControl {
            oom_kill_disable: value("oom_kill_disable"),
            under_oom: value("under_oom"),
            oom_kill: value("oom_kill"),
            ..Default::default()
        });
    }
    if let Some(folder) = cgroups.v1("pids") {
        metrics.pids = MessageField::some(pids(&folder));
    }
    metrics.blkio = cgroups.v1("blkio").as_deref().map(disks).into();
    if let Some(folder) = cgroups.v1("hugetlb") {
        metrics.hugetlb = huge_pages(&folder, "usage_in_bytes").into_iter().map(|size| huge(&folder, size)).collect();
    }
    metrics
}

/// In nanoseconds.
fn cpu_time(folder: &Path) -> CPUUsage {
    let each = std::fs::read_to_string(folder.join("cpuacct.usage_percpu")).unwrap_or_default();
    CPUUsage {
        total: number(&folder.join("cpuacct.usage")),
        user: number(&folder.join("cpuacct.usage_user")),
        kernel: number(&folder.join("cpuacct.usage_sys")),
        per_cpu: each.split_whitespace().filter_map(|number| number.parse().ok()).collect(),
        ..Default::default()
    }
}

fn throttle(folder: &Path) -> Throttle {
    let stat = keyed(&folder.join("cpu.stat"));
    let value = |key: &str| stat.get(key).copied().unwrap_or(0);
    Throttle {
        periods: value("nr_periods"),
        throttled_periods: value("nr_throttled"),
        throttled_time: value("throttled_time"),
        ..Default::default()
    }
}

fn memory(folder: &Path) -> MemoryStat {
    let stat = keyed(&folder.join("memory.stat"));
    let value = |key: &str| stat.get(key).copied().unwrap_or(0);
    let entry = |prefix: &str| {
        let read = |what: &str| number(&folder.join(format!("{prefix}.{what}")));
        MessageField::some(MemoryEntry {
            limit: if fault::is(Fault::Stats) { 0 } else { read("limit_in_bytes") },
            usage: read("usage_in_bytes"),
            max: read("max_usage_in_bytes"),
            failcnt: read("failcnt"),
            ..Default::default()
        })
    };
    MemoryStat {
        cache: value("cache"),
        rss: value("rss"),
        rss_huge: value("rss_huge"),
        mapped_file: value("mapped_file"),
        dirty: value("dirty"),
        writeback: value("writeback"),
        pg_pg_in: value("pgpgin"),
        pg_pg_out: value("pgpgout"),
        pg_fault: value("pgfault"),
        pg_maj_fault: value("pgmajfault"),
        inactive_anon: value("inactive_anon"),
        active_anon: value("active_anon"),
        inactive_file: value("inactive_file"),
        active_file: value("active_file"),
        unevictable: value("unevictable"),
        hierarchical_memory_limit: value("hierarchical_memory_limit"),
        hierarchical_swap_limit: value("hierarchical_memsw_limit"),
        total_cache: value("total_cache"),
        total_rss: value("total_rss"),
        total_rss_huge: value("total_rss_huge"),
        total_mapped_file: value("total_mapped_file"),
        total_dirty: value("total_dirty"),
        total_writeback: value("total_writeback"),
        total_pg_pg_in: value("total_pgpgin"),
        total_pg_pg_out: value("total_pgpgout"),
        total_pg_fault: value("total_pgfault"),
        total_pg_maj_fault: value("total_pgmajfault"),
        total_inactive_anon: value("total_inactive_anon"),
        total_active_anon: value("total_active_anon"),
        total_inactive_file: value("total_inactive_file"),
        total_active_file: value("total_active_file"),
        total_unevictable: value("total_unevictable"),
        usage: entry("memory"),
        swap: entry("memory.memsw"),
        kernel: entry("memory.kmem"),
        kernel_tcp: entry("memory.kmem.tcp"),
        ..Default::default()
    }
}

fn pids(folder: &Path) -> PidsStat {
    // containerd's own shim says 0 where there is no limit.
    let limit = Some(number(&folder.join("pids.max"))).filter(|limit| *limit != u64::MAX).unwrap_or(0);
    PidsStat { current: number(&folder.join("pids.current")), limit, ..Default::default() }
}

/// Bytes and operations by disk: what the CFQ scheduler counts where there is one, and what throttling counts otherwise.
fn disks(folder: &Path) -> BlkIOStat {
    let entries = |what: &str| {
        let read = |file: String| std::fs::read_to_string(folder.join(file)).unwrap_or_default();
        let scheduled = operations(&read(format!("blkio.{what}_recursive")));
        if scheduled.is_empty() { operations(&read(format!("blkio.throttle.{what}"))) } else { scheduled }
    };
    BlkIOStat {
        io_service_bytes_recursive: entries("io_service_bytes"),
        io_serviced_recursive: entries("io_serviced"),
        ..Default::default()
    }
}

/// `major:minor operation number` a line.
fn operations(text: &str) -> Vec<BlkIOEntry> {
    let entry = |line: &str| {
        let (major, minor, rest) = device(line)?;
        let (op, value) = rest.split_once(' ')?;
        let (op, value) = (op.to_owned(), value.trim().parse().ok()?);
        Some(BlkIOEntry { op, major, minor, value, ..Default::default() })
    };
    text.lines().filter_map(entry).collect()
}

fn huge(folder: &Path, pagesize: String) -> HugetlbStat {
    let read = |what: &str| number(&folder.join(format!("hugetlb.{pagesize}.{what}")));
    HugetlbStat {
        usage: read("usage_in_bytes"),
        max: read("max_usage_in_bytes"),
        failcnt: read("failcnt"),
        pagesize,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_of_disks_are_read_and_their_sum_is_not() {
        let read = operations("8:0 Read 4096\n8:0 Write 512\n8:0 Total 4608\nTotal 4608\n");
        let pairs: Vec<_> = read.iter().map(|entry| (entry.op.as_str(), entry.value)).collect();
        assert_eq!(pairs, [("Read", 4096), ("Write", 512), ("Total", 4608)]);
        assert_eq!((read[0].major, read[0].minor), (8, 0));
    }

    #[test]
    fn memory_comes_with_its_limits() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("memory.limit_in_bytes", "1024"),
            ("memory.usage_in_bytes", "512"),
            ("memory.memsw.limit_in_bytes", "2048"),
            ("memory.stat", "cache 7\ntotal_inactive_file 3\nhierarchical_memsw_limit 9\n"),
            ("pids.max", "max\n"),
            ("pids.current", "2\n"),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let memory = memory(folder.path());
        assert_eq!((memory.usage.limit, memory.usage.usage, memory.swap.limit), (1024, 512, 2048));
        assert_eq!((memory.cache, memory.total_inactive_file, memory.hierarchical_swap_limit), (7, 3, 9));
        let pids = pids(folder.path());
        assert_eq!((pids.current, pids.limit), (2, 0));
    }
}
