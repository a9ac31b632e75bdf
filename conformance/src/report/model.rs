//! What a report holds: pure data, in the words of the cases. docs/conformance-report.md and the JSON schema come from
//! the comments here.

use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The schema that [`Report::schema`] names. It changes when a reader of the old one would read the new one wrongly.
pub const SCHEMA: u32 = 1;

/// The outcome of the cases, from one run or from several: a run is of one containerd.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The version of this format; a reader that does not know it should say so and stop.
    pub schema: u32,
    /// When the report was written.
    pub made: Timestamp,
    /// The version of the project that was tested.
    pub version: String,
    /// The runs, oldest containerd first.
    pub runs: Vec<Run>,
}

/// One run of the cases: one containerd on one machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The containerd that ran the containers.
    pub containerd: Containerd,
    /// The kernel's release, as `uname -r` prints it.
    pub kernel: String,
    /// The version of the cgroups that limited the containers: 1 or 2.
    pub cgroup: u8,
    /// The machine's architecture, as `uname -m` prints it.
    pub architecture: String,
    /// The engines that were installed.
    pub engines: Vec<Engine>,
    /// What the cases ran on, in the order of the columns.
    pub targets: Vec<Target>,
    /// What the cases are about, in the order of the rows.
    pub areas: Vec<Area>,
    /// When the run began.
    pub started: Timestamp,
    /// How long the run took.
    pub seconds: f64,
    /// One for each case and target: also those that were not run, with the reason.
    pub cells: Vec<Cell>,
}

/// A containerd. Its address is left out: it says nothing to whoever reads the report elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Containerd {
    /// As containerd says it, for example `1.7.24`.
    pub version: String,
}

/// An engine that was installed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// For example `wasmtime`.
    pub name: String,
    /// As the engine says it.
    pub version: String,
}

/// What cases run on: an engine, the shim's native path, or another runtime.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The column's heading, for example `wasmtime`, `native` or `runc`.
    pub name: String,
    /// The runtime that containerd is given, for example `io.containerd.multiwasm.v1`.
    pub runtime: String,
    /// The engine that is asked for, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
}

/// A group of cases: one file of conformance/cases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Area {
    /// For example `stdio`.
    pub name: String,
    /// What its cases are about, in one line.
    pub about: String,
}

/// One case on one target.
// No `deny_unknown_fields`: serde has none beside `flatten`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cell {
    /// The case's area.
    pub area: String,
    /// The case's name in its area.
    pub case: String,
    /// What the case shows, in one line.
    pub about: String,
    /// Where the rule comes from: an address, or the rule's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The name of the target.
    pub target: String,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How long it took, its image and the search for leaks included; 0 where it was not run.
    pub milliseconds: u64,
    /// The command that runs this cell alone.
    pub command: String,
}

/// How a case ended on a target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// All that the case wants was seen.
    Passed,
    /// Something else was seen than the case wants.
    Failed {
        /// What was wanted and what was seen.
        failure: Failure,
    },
    /// The engine does otherwise than the others, in the way that the case says; it would be a failure if it ceased to.
    ExpectedDifference {
        /// Why it does otherwise, with a reference.
        because: String,
    },
    /// The target lacks what the case is about.
    NotOffered {
        /// What it lacks.
        reason: String,
    },
    /// The case was not run.
    NotRun {
        /// What kept it from running.
        reason: String,
    },
}

/// What a failed case wanted, and what was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// The step or the expectation that failed, for example `create` or `expect.stdout`.
    pub step: String,
    /// What the case wants there.
    pub expected: String,
    /// What was seen there. It may hold what a guest printed: never take it for anything but text.
    pub seen: String,
    /// What the shim and containerd logged of the container meanwhile.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub log: String,
    /// What the container left behind: processes, mounts, cgroups, sockets, state, network namespaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leaks: Vec<String>,
}

/// A point in time; text as RFC 3339 has it, in UTC, with seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("format" = "date-time"))]
pub struct Timestamp(SystemTime);

impl Timestamp {
    /// This second.
    pub fn now() -> Self {
        Self::from(SystemTime::now())
    }
}

impl From<SystemTime> for Timestamp {
    /// The second that `time` is in.
    fn from(time: SystemTime) -> Self {
        let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        humantime::format_rfc3339_seconds(self.0).fmt(f)
    }
}

impl From<Timestamp> for String {
    fn from(time: Timestamp) -> Self {
        time.to_string()
    }
}

impl TryFrom<String> for Timestamp {
    type Error = humantime::TimestampError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        humantime::parse_rfc3339(&text).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_reads_what_it_wrote() {
        let text = "2026-02-28T23:59:59Z";
        let time = Timestamp::try_from(text.to_owned()).unwrap();
        assert_eq!(time.to_string(), text);
        assert!(Timestamp::try_from("28.2.2026".to_owned()).is_err());
        assert_eq!(Timestamp::try_from(Timestamp::now().to_string()).unwrap().to_string().len(), text.len());
    }
}
