//! What runs in a container's process, and in that of `multiwasm run`: a module becomes an instance in the guest's world,
//! waits, runs, and its end becomes an exit code.

mod preopens;
mod signals;
mod title;

use std::io::Write;
use std::os::fd::AsFd;

use multiwasm_engine::loader::{LoadedInstance, LoadedModule};
use multiwasm_engine::{EngineError, Guest as Lent, Outcome, Preopen};

pub use preopens::{Directory, of_container};
pub use signals::end_on_signals;
pub(crate) use signals::restore_for_native;
pub(crate) use title::{set_command_line, set_name};

/// What a guest that trapped, or an engine that failed, exits with: 128 + SIGABRT, as a native program that aborts.
const ABORTED: i32 = 134;

/// A module and the world that it shall run in.
pub struct Guest {
    /// Read and checked by its engine.
    pub module: LoadedModule,
    /// How people know it.
    pub name: String,
    /// argv, argv\[0\] included.
    pub args: Vec<String>,
    /// `KEY=VALUE` each.
    pub env: Vec<String>,
    /// Where relative paths start.
    pub cwd: String,
    /// Most bytes of a linear memory.
    pub memory_limit: Option<u64>,
}

/// A guest that is ready to run.
pub struct Ready {
    name: String,
    instance: LoadedInstance<'static>,
}

impl Guest {
    /// Instantiates the module on this process's own stdio, with `directories` for its file system.
    ///
    /// # Errors
    /// What the engine says.
    pub fn enter(self, directories: Vec<Directory>) -> Result<Ready, EngineError> {
        // Leaked, all of it: a process has one guest and ends with it, and the guest has its world until then.
        let directories: &'static [Directory] = directories.leak();
        let preopens: Vec<_> = directories
            .iter()
            .map(|directory| Preopen { guest: &directory.guest, host: &directory.host, read_only: directory.read_only })
            .collect();
        let stdin: &'static _ = Box::leak(Box::new(std::io::stdin()));
        let stdout: &'static _ = Box::leak(Box::new(std::io::stdout()));
        let stderr: &'static _ = Box::leak(Box::new(std::io::stderr()));
        let instance = self.module.instantiate(&Lent {
            args: self.args.leak(),
            env: self.env.leak(),
            cwd: self.cwd.leak(),
            preopens: preopens.leak(),
            stdin: stdin.as_fd(),
            stdout: stdout.as_fd(),
            stderr: stderr.as_fd(),
            memory_limit: self.memory_limit,
        })?;
        Ok(Ready { name: self.name, instance })
    }
}

impl Ready {
    /// Runs the guest and gives the exit code; what an engine has to say of a bad end goes to stderr.
    pub fn run(self) -> i32 {
        match self.instance.run() {
            // The kernel keeps the low eight bits (exit(3)).
            Outcome::Exited(code) => code & 0xff,
            Outcome::Trapped(_, message) => {
                complain(&self.name, "trapped", &message);
                ABORTED
            }
            Outcome::Failed(message) => {
                complain(&self.name, "the engine failed", &message);
                ABORTED
            }
        }
    }
}

fn complain(name: &str, end: &str, message: &str) {
    // One write: lines of others who share this pipe don't get in between. Nobody may be listening.
    let _ = std::io::stderr().write_all(format!("multiwasm: {name}: {end}: {}\n", message.trim_end()).as_bytes());
}
