//! Figures of a task by name, from the messages of both cgroup versions.

use std::collections::BTreeMap;

use containerd_shim_protos::cgroups::metrics::Metrics as Version1;
use containerd_shim_protos::cgroups_v2::metrics::Metrics as Version2;
use containerd_shim_protos::protobuf::Message;
use prost_types::Any;

/// The figures of a task; one that its message lacks is not there. Times are nanoseconds, sizes bytes.
///
/// # Errors
/// The message is of neither cgroup version, or is broken.
pub fn figures(message: &Any) -> Result<BTreeMap<&'static str, u64>, String> {
    let broken = |error: containerd_shim_protos::protobuf::Error| format!("{}: {error}", message.type_url);
    if message.type_url.ends_with("io.containerd.cgroups.v1.Metrics") {
        Version1::parse_from_bytes(&message.value).map(|metrics| version_1(&metrics)).map_err(broken)
    } else if message.type_url.ends_with("io.containerd.cgroups.v2.Metrics") {
        Version2::parse_from_bytes(&message.value).map(|metrics| version_2(&metrics)).map_err(broken)
    } else {
        Err(format!("metrics of an unknown type {:?}", message.type_url))
    }
}

fn version_1(metrics: &Version1) -> BTreeMap<&'static str, u64> {
    let mut figures = BTreeMap::new();
    if let Some(memory) = metrics.memory.as_ref().and_then(|memory| memory.usage.as_ref()) {
        figures.extend([("memory.usage", memory.usage), ("memory.limit", memory.limit), ("memory.max", memory.max)]);
    }
    if let Some(memory) = metrics.memory.as_ref() {
        figures.extend([("memory.rss", memory.rss), ("memory.cache", memory.cache)]);
    }
    if let Some(cpu) = metrics.cpu.as_ref().and_then(|cpu| cpu.usage.as_ref()) {
        figures.extend([("cpu.total", cpu.total), ("cpu.user", cpu.user), ("cpu.kernel", cpu.kernel)]);
    }
    if let Some(throttling) = metrics.cpu.as_ref().and_then(|cpu| cpu.throttling.as_ref()) {
        figures.insert("cpu.throttled", throttling.throttled_time);
        figures.insert("cpu.periods", throttling.periods);
    }
    if let Some(pids) = metrics.pids.as_ref() {
        figures.extend([("pids.current", pids.current), ("pids.limit", pids.limit)]);
    }
    if let Some(io) = metrics.blkio.as_ref() {
        let sum = |op: &str| {
            let of_op = io.io_service_bytes_recursive.iter().filter(|entry| entry.op.eq_ignore_ascii_case(op));
            of_op.map(|entry| entry.value).sum()
        };
        figures.extend([("io.read", sum("read")), ("io.written", sum("write"))]);
    }
    figures
}

fn version_2(metrics: &Version2) -> BTreeMap<&'static str, u64> {
    let mut figures = BTreeMap::new();
    if let Some(memory) = metrics.memory.as_ref() {
        figures.extend([("memory.usage", memory.usage), ("memory.limit", memory.usage_limit)]);
        figures.extend([("memory.rss", memory.anon), ("memory.cache", memory.file)]);
    }
    if let Some(cpu) = metrics.cpu.as_ref() {
        let (total, user, kernel) = (cpu.usage_usec * 1000, cpu.user_usec * 1000, cpu.system_usec * 1000);
        figures.extend([("cpu.total", total), ("cpu.user", user), ("cpu.kernel", kernel)]);
        figures.extend([("cpu.throttled", cpu.throttled_usec * 1000), ("cpu.periods", cpu.nr_periods)]);
    }
    if let Some(pids) = metrics.pids.as_ref() {
        figures.extend([("pids.current", pids.current), ("pids.limit", pids.limit)]);
    }
    if let Some(io) = metrics.io.as_ref() {
        figures.insert("io.read", io.usage.iter().map(|entry| entry.rbytes).sum());
        figures.insert("io.written", io.usage.iter().map(|entry| entry.wbytes).sum());
    }
    figures
}
