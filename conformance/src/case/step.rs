//! What is done with a container, step by step.

use std::collections::BTreeMap;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::model::{Limits, Stdin};
use super::value::{Signal, User};

/// One step.
#[derive(Debug, Clone)]
pub struct Step {
    /// What is done.
    pub act: Act,
    /// To which exec; none: to the container itself.
    pub exec: Option<String>,
    /// Words that the error must have, where the step must fail.
    pub fails: Option<Vec<String>>,
}

/// What a step does.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Act {
    /// Creates container and task.
    Create {},
    /// Starts the task, or the exec.
    Start {},
    /// Waits until standard output holds a text.
    AwaitStdout {
        /// The text.
        text: String,
    },
    /// Waits until standard error holds a text.
    AwaitStderr {
        /// The text.
        text: String,
    },
    /// Waits until containerd told of an event, `oom` for one.
    AwaitEvent {
        /// What follows `/tasks/` in its topic.
        event: String,
    },
    /// Asks for the state.
    State {
        /// `created`, `running`, `stopped`, `paused`.
        is: String,
    },
    /// Sends a signal.
    Kill {
        /// Which.
        signal: Signal,
        /// To all of the container's processes.
        #[serde(default)]
        all: bool,
    },
    /// Sends SIGKILL to the container's first process, past shim and containerd.
    KillGuest {},
    /// Sends SIGKILL to the shim.
    KillShim {},
    /// Waits for the exit.
    Wait {
        /// So many clients at once, which must all get the same answer.
        #[serde(default = "one")]
        by: usize,
        /// They begin to wait, and the next step does not: the last `wait` gets their answers as well.
        #[serde(default)]
        background: bool,
    },
    /// Deletes the task, or the exec.
    Delete {},
    /// Adds a process, starts it, waits for its end and deletes it.
    Exec(Exec),
    /// Freezes the container.
    Pause {},
    /// Thaws it.
    Resume {},
    /// Changes its limits.
    Update(Limits),
    /// Asks for its metrics.
    Stats {
        /// Figures that must be larger than these.
        #[serde(default)]
        over: BTreeMap<String, u64>,
        /// Figures that must be just these.
        #[serde(default)]
        is: BTreeMap<String, u64>,
        /// Figures that must be smaller than these.
        #[serde(default)]
        under: BTreeMap<String, u64>,
    },
    /// Asks for its metrics until they are so.
    AwaitStats {
        /// Figures that must become larger than these.
        over: BTreeMap<String, u64>,
    },
    /// Looks that it does nothing for a while: no output, no processor time.
    Still {
        /// For so many milliseconds.
        ms: u64,
    },
    /// Waits until there is more standard output than now.
    AwaitMore {},
    /// Waits until nobody holds the streams open any more.
    AwaitClosed {},
    /// Asks for its processes.
    Pids {
        /// How many there must be.
        count: usize,
    },
    /// Writes to standard input.
    WriteStdin {
        /// What.
        text: String,
    },
    /// Ends standard input.
    CloseStdin {},
    /// Changes the terminal's size.
    Resize {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// Writes a file of a mount, from outside.
    WriteFile {
        /// Its path as the container sees it.
        path: String,
        /// What it holds then.
        text: String,
    },
    /// Reads a file of a mount, from outside.
    ReadFile {
        /// Its path as the container sees it.
        path: String,
        /// What it must hold.
        text: String,
    },
    /// Asks for a checkpoint.
    Checkpoint {},
}

/// A further process in the container.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exec {
    /// Its id.
    pub id: String,
    /// What runs.
    pub args: Vec<String>,
    /// Its exit code; none: 0.
    #[serde(default)]
    pub exit: Option<u32>,
    /// Its standard output, exactly.
    #[serde(default)]
    pub stdout: Option<String>,
    /// Words of its standard output.
    #[serde(default)]
    pub stdout_has: Vec<String>,
    /// Its standard error, exactly.
    #[serde(default)]
    pub stderr: Option<String>,
    /// Words of its standard error.
    #[serde(default)]
    pub stderr_has: Vec<String>,
    /// What it finds on standard input.
    #[serde(default)]
    pub stdin: Option<Stdin>,
    /// Its variables; none: the container's.
    #[serde(default)]
    pub env: Option<Vec<String>>,
    /// Its working directory; none: the container's.
    #[serde(default)]
    pub cwd: Option<String>,
    /// Who it runs as; none: as the container.
    #[serde(default)]
    pub user: Option<User>,
    /// A terminal in place of streams.
    #[serde(default)]
    pub terminal: bool,
    /// Only adds and starts it: further steps name it.
    #[serde(default)]
    pub background: bool,
    /// Only adds it: a `start` that names it starts it.
    #[serde(default)]
    pub held: bool,
}

fn one() -> usize {
    1
}

impl Step {
    /// The steps of a case that says nothing of them.
    pub fn usual() -> Vec<Self> {
        let acts = [Act::Create {}, Act::Start {}, Act::Wait { by: 1, background: false }, Act::Delete {}];
        acts.into_iter().map(|act| Self { act, exec: None, fails: None }).collect()
    }

    /// The word that a case calls it by.
    pub fn name(&self) -> &'static str {
        match self.act {
            Act::Create {} => "create",
            Act::Start {} => "start",
            Act::AwaitStdout { .. } => "await-stdout",
            Act::AwaitStderr { .. } => "await-stderr",
            Act::AwaitEvent { .. } => "await-event",
            Act::State { .. } => "state",
            Act::Kill { .. } => "kill",
            Act::KillGuest {} => "kill-guest",
            Act::KillShim {} => "kill-shim",
            Act::Wait { .. } => "wait",
            Act::Delete {} => "delete",
            Act::Exec(_) => "exec",
            Act::Pause {} => "pause",
            Act::Resume {} => "resume",
            Act::Update(_) => "update",
            Act::Stats { .. } => "stats",
            Act::AwaitStats { .. } => "await-stats",
            Act::Still { .. } => "still",
            Act::AwaitMore {} => "await-more",
            Act::AwaitClosed {} => "await-closed",
            Act::Pids { .. } => "pids",
            Act::WriteStdin { .. } => "write-stdin",
            Act::CloseStdin {} => "close-stdin",
            Act::Resize { .. } => "resize",
            Act::WriteFile { .. } => "write-file",
            Act::ReadFile { .. } => "read-file",
            Act::Checkpoint {} => "checkpoint",
        }
    }

    /// Whether it may name an exec.
    pub fn may_name_exec(&self) -> bool {
        matches!(
            self.act,
            Act::Start {}
                | Act::AwaitStdout { .. }
                | Act::AwaitStderr { .. }
                | Act::State { .. }
                | Act::Kill { .. }
                | Act::Wait { .. }
                | Act::Delete {}
                | Act::Resize { .. }
                | Act::WriteStdin { .. }
                | Act::CloseStdin {}
        )
    }
}

impl<'de> Deserialize<'de> for Step {
    // serde has no `deny_unknown_fields` beside `flatten`, so what every step may have is taken out first.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut table = toml::Table::deserialize(from)?;
        let verb = match table.get("do") {
            Some(verb) => verb.to_string(),
            None => return Err(D::Error::custom("a step has no `do`")),
        };
        let of_verb = |error: toml::de::Error| D::Error::custom(format!("step {verb}: {}", error.message()));
        let exec = table.remove("exec").map(toml::Value::try_into).transpose().map_err(of_verb)?;
        let fails = table.remove("fails").map(toml::Value::try_into).transpose().map_err(of_verb)?;
        let act = toml::Value::Table(table).try_into().map_err(of_verb)?;
        Ok(Self { act, exec, fails })
    }
}
