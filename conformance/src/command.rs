//! A command with a bound: started in a process group of its own, killed when it takes too long, all it printed kept.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, io, thread};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// How long a command may take that nothing else is said of. A sound one takes a tenth of a second; on a machine that
/// compiles at the same time it takes seconds.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Why a command gave no output to look at.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It could not be started.
    #[error("can't start `{command}`: {cause}")]
    Start {
        /// The command as typed.
        command: String,
        /// Why.
        cause: io::Error,
    },
    /// It ran longer than it may, and was killed.
    #[error("`{command}` did not {wanted} within {limit:?}\n{printed}")]
    TooLong {
        /// The command as typed.
        command: String,
        /// What was waited for.
        wanted: String,
        /// The bound.
        limit: Duration,
        /// All it had printed.
        printed: String,
    },
    /// It ended before it printed what was waited for.
    #[error("`{command}` ended and never printed {wanted:?}\n{printed}")]
    EndedBefore {
        /// The command as typed.
        command: String,
        /// The text that did not come.
        wanted: String,
        /// All it had printed.
        printed: String,
    },
    /// It ended with another code than zero.
    #[error("{0}")]
    Failed(Box<Output>),
}

/// What a command left behind.
#[derive(Debug, Clone)]
pub struct Output {
    /// The command as typed.
    pub command: String,
    /// Its exit code; 128 and the signal's number if a signal ended it.
    pub code: i32,
    /// All of its standard output.
    pub stdout: Vec<u8>,
    /// All of its standard error.
    pub stderr: Vec<u8>,
    /// From its start to its end.
    pub took: Duration,
}

impl Output {
    /// Standard output as text.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// This output if the code is zero, else an error that shows it.
    pub fn success(self) -> Result<Self, CommandError> {
        if self.code == 0 { Ok(self) } else { Err(CommandError::Failed(Box::new(self))) }
    }

    /// Panics with all that was printed unless the exit code is `code`.
    #[track_caller]
    pub fn expect_code(&self, code: i32) -> &Self {
        assert!(self.code == code, "exit code {code} was expected\n{self}");
        self
    }

    /// Panics with all that was printed unless standard output is `text`.
    #[track_caller]
    pub fn expect_out(&self, text: &str) -> &Self {
        assert!(self.out() == text, "standard output {text:?} was expected\n{self}");
        self
    }

    /// Panics unless each of `parts` is somewhere in standard error.
    #[track_caller]
    pub fn expect_err(&self, parts: &[&str]) -> &Self {
        let text = self.err();
        for part in parts {
            assert!(text.contains(part), "standard error without {part:?}\n{self}");
        }
        self
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "`{}` ended with {} after {:?}", self.command, self.code, self.took)?;
        write!(f, "{}", printed(&self.stdout, &self.stderr))
    }
}

/// Standard output and error for a person: marked, and cut where they are long.
fn printed(stdout: &[u8], stderr: &[u8]) -> String {
    let mut text = String::new();
    for (name, bytes) in [("stdout", stdout), ("stderr", stderr)] {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]);
        text.push_str(&format!("--- {name}, {} bytes\n{}\n", bytes.len(), shown.trim_end()));
    }
    text
}

/// Runs `command` with nothing on its standard input, for at most [`LIMIT`].
pub fn run<S: AsRef<OsStr>>(command: &[S]) -> Result<Output, CommandError> {
    Process::start(command, Input::Nothing)?.finish(LIMIT)
}

/// What a command finds on its standard input.
#[derive(Debug, Clone)]
pub enum Input {
    /// Its end, at once.
    Nothing,
    /// These bytes, then its end.
    Bytes(Vec<u8>),
    /// Nothing yet, and no end: it stays open for as long as the process runs.
    Open,
}

/// What is known of a process so far.
#[derive(Default)]
struct Seen {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    open_pipes: usize,
    end: Option<(io::Result<ExitStatus>, Instant)>,
}

impl Seen {
    fn ended(&self) -> bool {
        self.end.is_some() && self.open_pipes == 0
    }
}

type Shared = Arc<(Mutex<Seen>, Condvar)>;

/// A command that runs.
pub struct Process {
    command: String,
    pid: Pid,
    began: Instant,
    seen: Shared,
}

impl Process {
    /// Starts `command`, its program first.
    pub fn start<S: AsRef<OsStr>>(command: &[S], input: Input) -> Result<Self, CommandError> {
        let words: Vec<OsString> = command.iter().map(|word| word.as_ref().to_owned()).collect();
        let typed = words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        let stdin = if matches!(input, Input::Nothing) { Stdio::null() } else { Stdio::piped() };
        let began = Instant::now();
        let mut child = Command::new(words.first().map_or_else(OsString::new, Clone::clone))
            .args(words.iter().skip(1))
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|cause| CommandError::Start { command: typed.clone(), cause })?;
        let seen = Shared::default();
        collect(&seen, child.stdout.take(), |seen| &mut seen.stdout);
        collect(&seen, child.stderr.take(), |seen| &mut seen.stderr);
        let pid = Pid::from_raw(child.id().cast_signed());
        watch(&seen, child, input);
        Ok(Self { command: typed, pid, began, seen })
    }

    /// Waits until standard output holds `text`.
    pub fn await_out(&self, text: &str, limit: Duration) -> Result<(), CommandError> {
        let has = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        let seen = self.wait(limit, |seen| has(&seen.stdout) || seen.ended());
        if has(&seen.stdout) {
            return Ok(());
        }
        if seen.ended() {
            return Err(CommandError::EndedBefore {
                command: self.command.clone(),
                wanted: text.to_owned(),
                printed: printed(&seen.stdout, &seen.stderr),
            });
        }
        drop(seen);
        Err(self.too_long(&format!("print {text:?}"), limit))
    }

    /// Sends `signal` to this process alone.
    pub fn signal(&self, signal: Signal) {
        if self.lock().end.is_none() {
            // One that ended in between is no error: its exit tells.
            let _ = kill(self.pid, signal);
        }
    }

    /// Waits until it has ended and its output is closed by all that held it; kills it if that takes longer than `limit`.
    pub fn finish(self, limit: Duration) -> Result<Output, CommandError> {
        let mut seen = self.wait(limit, Seen::ended);
        if !seen.ended() {
            let wanted = if seen.end.is_some() { "have its output closed (another process holds it)" } else { "end" };
            drop(seen);
            return Err(self.too_long(wanted, limit));
        }
        let (stdout, stderr) = (std::mem::take(&mut seen.stdout), std::mem::take(&mut seen.stderr));
        let Some((status, at)) = seen.end.take() else { unreachable!("it has ended, as was just asked") };
        drop(seen);
        let command = self.command.clone();
        let status = status.map_err(|cause| CommandError::Start { command: command.clone(), cause })?;
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        Ok(Output { command, code, stdout, stderr, took: at - self.began })
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `done`, or for `limit`.
    fn wait(&self, limit: Duration, done: impl Fn(&Seen) -> bool) -> MutexGuard<'_, Seen> {
        let waited = self.seen.1.wait_timeout_while(self.lock(), limit, |seen| !done(seen));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn too_long(&self, wanted: &str, limit: Duration) -> CommandError {
        let _ = killpg(self.pid, Signal::SIGKILL);
        let seen = self.wait(Duration::from_secs(5), Seen::ended);
        let printed = printed(&seen.stdout, &seen.stderr);
        CommandError::TooLong { command: self.command.clone(), wanted: wanted.to_owned(), limit, printed }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.lock().end.is_none() {
            let _ = killpg(self.pid, Signal::SIGKILL);
        }
    }
}

/// Copies a pipe into its place in what is seen, until its end.
fn collect(seen: &Shared, pipe: Option<impl Read + Send + 'static>, place: fn(&mut Seen) -> &mut Vec<u8>) {
    let Some(mut pipe) = pipe else { return };
    let shared = Arc::clone(seen);
    let change = move |act: &mut dyn FnMut(&mut Seen)| {
        act(&mut shared.0.lock().unwrap_or_else(PoisonError::into_inner));
        shared.1.notify_all();
    };
    change(&mut |seen| seen.open_pipes += 1);
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(n @ 1..) = pipe.read(&mut buffer) {
            change(&mut |seen| place(seen).extend_from_slice(&buffer[..n]));
        }
        change(&mut |seen| seen.open_pipes -= 1);
    });
}

/// Feeds the process and waits for its end.
fn watch(seen: &Shared, mut child: Child, input: Input) {
    let seen = Arc::clone(seen);
    thread::spawn(move || {
        let pipe = child.stdin.take();
        let held = match (input, pipe) {
            (Input::Bytes(bytes), Some(mut pipe)) => {
                // Who does not read its input to the end breaks the pipe, and may.
                thread::spawn(move || pipe.write_all(&bytes));
                None
            }
            (_, pipe) => pipe,
        };
        let status = child.wait();
        drop(held);
        seen.0.lock().unwrap_or_else(PoisonError::into_inner).end = Some((status, Instant::now()));
        seen.1.notify_all();
    });
}
