//! The machine that figures are of, and what ran on it.

use std::fmt;
use std::fs;

use multiwasm_conformance::command::run;
use multiwasm_conformance::lab::Lab;
use multiwasm_conformance::runner::machine::{cgroup, engines, kernel};

use crate::model::Machine;

impl Machine {
    /// This machine, with what the lab has.
    pub fn of(lab: &Lab) -> Self {
        let field = |path: &str, name: &str| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.trim_start_matches(['\t', ' ', ':']).to_owned()
        };
        let kib: u64 =
            field("/proc/meminfo", "MemTotal").split(' ').next().and_then(|kib| kib.parse().ok()).unwrap_or_default();
        let runc = run(&["runc", "--version"]).map(|told| told.out()).unwrap_or_default();
        let first = runc.lines().next().unwrap_or_default();
        Self {
            processor: field("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            memory: kib >> 10,
            kernel: kernel(),
            cgroup: cgroup(),
            containerd: lab.containerd_version().unwrap_or_else(|error| error.to_string()),
            runc: first.trim_start_matches("runc version ").to_owned(),
            engines: engines(),
            load_before: load(),
            load_after: 0.0,
        }
    }
}

/// How many processes ran or wanted to, over the last minute.
pub fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default()
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processor, cores, memory, kernel, cgroup, containerd, runc, engines, load_before, load_after } =
            self;
        write!(f, "{processor}, {cores} cores, {} GiB, Linux {kernel}, cgroup v{cgroup}; ", memory.div_ceil(1 << 10))?;
        write!(f, "containerd {containerd}, runc {runc}")?;
        for engine in engines {
            write!(f, ", {} {}", engine.name, engine.version)?;
        }
        write!(f, "; load {load_before}")?;
        if *load_after > 0.0 { write!(f, " before, {load_after} at the end") } else { Ok(()) }
    }
}
