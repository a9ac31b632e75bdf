//! What one run measured: pure data, written as JSON and read again by `compare` and `report`.
//!
//! A report is a list of [`Series`]: all values of one row (`create`, `sieve`, …) on one target, one value a round. Medians,
//! ranges and ratios are not in it, since they follow from the values.

use multiwasm_conformance::report::{Engine, Timestamp};
use serde::{Deserialize, Serialize};

/// The schema that [`Report::schema`] names. It changes when a reader of the old one would read the new one wrongly.
pub const SCHEMA: u32 = 1;

/// Everything that one run measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The version of this format; a reader that does not know it should say so and stop.
    pub schema: u32,
    /// When the report was written.
    pub made: Timestamp,
    /// The version of the project that was measured.
    pub version: String,
    /// The words of the command that made it; of several, a line each.
    pub command: String,
    /// What it ran on.
    pub machine: Machine,
    /// What was compared, the reference first.
    pub targets: Vec<String>,
    /// The rows, in the order in which they were measured.
    pub series: Vec<Series>,
    /// What could not be measured, and why.
    pub notes: Vec<String>,
}

/// The machine, the kernel, and the programs that were measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// Processors that the run could use.
    pub cores: usize,
    /// Memory, in MiB.
    pub memory: u64,
    /// The kernel's release, as `uname -r` prints it.
    pub kernel: String,
    /// The version of the cgroups that limit containers: 1 or 2.
    pub cgroup: u8,
    /// containerd's version.
    pub containerd: String,
    /// runc's version; empty where there is none.
    pub runc: String,
    /// The engines that were installed.
    pub engines: Vec<Engine>,
    /// How many processes ran or wanted to, over the minute before the run: above the number of cores the figures are loose.
    pub load_before: f64,
    /// The same over the last minute of the run, the run itself included.
    pub load_after: f64,
}

/// A part of the benchmark: a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The phases of a start.
    Start,
    /// First and second start of small and large modules.
    Sizes,
    /// Containers a second, one and several at a time.
    Throughput,
    /// What idle containers weigh.
    Memory,
    /// Where the time goes inside the shim.
    Steps,
    /// Guest code, in a container, without one, and native.
    Compute,
    /// Standard output and files in a container.
    Io,
}

impl Part {
    /// All, in the order in which they are measured.
    pub const ALL: [Self; 7] =
        [Self::Start, Self::Sizes, Self::Throughput, Self::Memory, Self::Steps, Self::Compute, Self::Io];

    /// What the command line calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Sizes => "sizes",
            Self::Throughput => "throughput",
            Self::Memory => "memory",
            Self::Steps => "steps",
            Self::Compute => "compute",
            Self::Io => "io",
        }
    }

    /// What its figures are, for people.
    pub fn about(self) -> &'static str {
        match self {
            Self::Start => {
                "One container of a tiny guest (Wasm: a module that returns; native: a static busybox's true), by single calls \
                 of containerd's API. record: snapshot and container record; create, start: the calls of the task service; \
                 run: from Start's answer to Wait's; delete: task, record and snapshot. events: between the times that containerd's \
                 events say, whoever calls."
            }
            Self::Sizes => {
                "Create, Start and exit of modules by size. first: nothing of this module is in any cache; again, later: the two \
                 starts after it, with the best code compiled. All but the given files end at once and print nothing; \
                 native targets have the tiny guest alone. The tiny module's second start is set against the reference, \
                 all else against that."
            }
            Self::Throughput => "Whole lives of tiny containers, record to removed, so many at a time.",
            Self::Memory => {
                "So many idle containers: the processes of the containers and their shims, as smaps_rollup and stat show \
                 them, for one container. one shim: one for all of them, by `group = \"node\"`; else one each. tenth, last create: the medians of the calls Create of the 6th to the 15th, and of the last ten."
            }
            Self::Steps => {
                "Times between the lines `step: NAME` that the shim logs at containerd's level debug, containers one after the \
                 other. A row is the time that ended with that step; since the call: how long after the snapshot was asked \
                 for the step came. Several processes work at once."
            }
            Self::Compute => {
                "One piece of work of each kernel, timed inside the guest: a value is the fastest of eight batches. In a container, \
                 set against the same engine alone, in its own default settings and with nothing of multiwasm; that, and a native \
                 program in runc, against the native program. WasmEdge also interpreted, as it does on its own."
            }
            Self::Io => {
                "64 KiB at a time, timed inside the guest: to standard output, to and from a file of the container's root \
                 file system, and opening and closing that file."
            }
        }
    }
}

/// What the values of a series are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// MiB.
    MiB,
    /// MiB a second.
    MiBPerSecond,
    /// Containers a second.
    ContainersPerSecond,
    /// A number of things.
    Count,
}

impl Unit {
    /// As tables show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::Microseconds => "µs",
            Self::MiB => "MiB",
            Self::MiBPerSecond => "MiB/s",
            Self::ContainersPerSecond => "containers/s",
            Self::Count => "",
        }
    }

    /// Whether more is better.
    pub fn more_is_better(self) -> bool {
        matches!(self, Self::MiBPerSecond | Self::ContainersPerSecond)
    }
}

/// A series of the same part, by its names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// Its target.
    pub target: String,
    /// Its row.
    pub row: String,
}

/// All values of one row on one target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// The part that it is of.
    pub part: Part,
    /// The row: what was measured.
    pub row: String,
    /// On what.
    pub target: String,
    /// The series of the same part that its ratio is against; none: this one is the reference.
    pub against: Option<Reference>,
    /// The unit of the values.
    pub unit: Unit,
    /// The values, one a round, in the order in which they were measured.
    pub values: Vec<f64>,
}

impl Report {
    /// This report with what another has besides: a part that both have stays as it is here.
    pub fn with(mut self, other: Self) -> Self {
        let here = self.parts();
        self.series.extend(other.series.into_iter().filter(|series| !here.contains(&series.part)));
        for note in other.notes {
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
        for target in other.targets {
            if !self.targets.contains(&target) {
                self.targets.push(target);
            }
        }
        self.command = format!("{}\n{}", self.command, other.command);
        self
    }

    /// The series of a row on a target.
    pub fn find(&self, part: Part, row: &str, target: &str) -> Option<&Series> {
        self.series.iter().find(|series| series.part == part && series.row == row && series.target == target)
    }

    /// The series that the ratio of `series` is against, where there is one.
    pub fn reference(&self, series: &Series) -> Option<&Series> {
        series.against.as_ref().and_then(|against| self.find(series.part, &against.row, &against.target))
    }

    /// The reference that all ratios of `series` lead to in the end: runc, or the native program. None for that one itself.
    pub fn root(&self, series: &Series) -> Option<&Series> {
        // No report of ours leads in circles; the bound is for one that somebody edited.
        let next = |series: &&Series| self.reference(series);
        std::iter::successors(self.reference(series), next).take(self.series.len()).last()
    }

    /// The parts that have rows, in order.
    pub fn parts(&self) -> Vec<Part> {
        Part::ALL.into_iter().filter(|part| self.series.iter().any(|series| series.part == *part)).collect()
    }

    /// The rows of a part with their units, in the order in which they were measured.
    pub fn rows(&self, part: Part) -> Vec<(&str, Unit)> {
        let mut rows: Vec<(&str, Unit)> = Vec::new();
        for series in self.series.iter().filter(|series| series.part == part) {
            if !rows.iter().any(|(row, _)| *row == series.row) {
                rows.push((&series.row, series.unit));
            }
        }
        rows
    }

    /// The targets of a part, in the order in which they were measured.
    pub fn columns(&self, part: Part) -> Vec<&str> {
        let mut columns: Vec<&str> = Vec::new();
        for series in self.series.iter().filter(|series| series.part == part) {
            if !columns.contains(&series.target.as_str()) {
                columns.push(&series.target);
            }
        }
        columns
    }
}
