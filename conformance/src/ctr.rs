//! Containers through `ctr`, as a user types it.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::command::{CommandError, Input, LIMIT, Output, Process, run};
use crate::guests::{self, LINUX_IMAGE, WASM_IMAGE};
use crate::image::{Image, Platform};
use crate::lab::Lab;
use crate::targets::{ENGINE_ANNOTATION, RUNTIME, Target};

/// containerd's namespace for all that tests make.
pub const NAMESPACE: &str = "conformance";

/// The lab of this process.
///
/// # Panics
/// Outside a lab.
pub fn lab() -> &'static Lab {
    static LAB: LazyLock<Lab> = LazyLock::new(|| Lab::from_env().unwrap_or_else(|error| panic!("{error}")));
    &LAB
}

/// Ends the test with the error, whole, as a person wants to read it.
#[track_caller]
pub(crate) fn must<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}

/// Runs `ctr` with `words`.
#[track_caller]
pub fn ctr(words: &[&str]) -> Output {
    must(run(&lab().ctr(NAMESPACE, words)))
}

/// Imports an image, once in a test process.
#[track_caller]
pub fn import(name: &str, platform: Platform, make: impl FnOnce() -> Image) {
    static DONE: Mutex<Option<HashSet<String>>> = Mutex::new(None);
    let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
    if !done.get_or_insert_default().insert(name.to_owned()) {
        return;
    }
    let folder = must(tempfile::tempdir());
    let archive = folder.path().join("image.tar");
    must(make().write(&archive));
    ctr(&["images", "import", "--platform", &platform.name(), &archive.to_string_lossy()]).expect_code(0);
}

/// A container to be.
#[derive(Debug, Clone)]
pub struct Container {
    id: String,
    runtime: String,
    image: String,
    platform: Platform,
    flags: Vec<String>,
    args: Vec<String>,
    input: Input,
}

impl Container {
    /// The guests' image on `target`, with an id of its own.
    #[track_caller]
    pub fn new(target: Target) -> Self {
        let mut container = Self::of_runtime(target.runtime(), target.platform());
        container.id = format!("{target}-{}", container.id);
        container.args = vec![target.probe().to_owned()];
        match target.engine() {
            Some(engine) => container.annotation(ENGINE_ANNOTATION, engine),
            None => container,
        }
    }

    /// The guests' image on our runtime, without a word of which engine.
    #[track_caller]
    pub fn auto() -> Self {
        Self::of_runtime(RUNTIME, Platform::Wasi)
    }

    /// The guests' image on a runtime by its name.
    #[track_caller]
    pub fn of_runtime(runtime: &str, platform: Platform) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = if platform == Platform::Wasi { WASM_IMAGE } else { LINUX_IMAGE };
        import(name, platform, || must(guests::image(lab(), name, platform)));
        Self {
            id: format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)),
            runtime: runtime.to_owned(),
            image: name.to_owned(),
            platform,
            flags: Vec::new(),
            args: vec!["/probe.wasm".to_owned()],
            input: Input::Nothing,
        }
    }

    /// The container's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Another image, already imported.
    pub fn image(mut self, name: &str, platform: Platform) -> Self {
        self.image = name.to_owned();
        self.platform = platform;
        self
    }

    /// Runs the probe with these arguments.
    pub fn probe<S: AsRef<str>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.truncate(1);
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Runs these words in place of the image's own.
    pub fn args<S: AsRef<str>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        self
    }

    /// A flag of `ctr run` and its value.
    pub fn flag(mut self, name: &str, value: &str) -> Self {
        self.flags.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// A flag of `ctr run` that has no value.
    pub fn switch(mut self, name: &str) -> Self {
        self.flags.push(name.to_owned());
        self
    }

    /// An annotation.
    pub fn annotation(self, key: &str, value: &str) -> Self {
        self.flag("--annotation", &format!("{key}={value}"))
    }

    /// An environment variable, `NAME=VALUE`.
    pub fn env(self, entry: &str) -> Self {
        self.flag("--env", entry)
    }

    /// A folder of this machine inside the container; `option` is `ro` or `rw`.
    pub fn mount(self, from: &Path, to: &str, option: &str) -> Self {
        self.flag("--mount", &format!("type=bind,src={},dst={to},options=rbind:{option}", from.display()))
    }

    /// What it finds on its standard input.
    pub fn input(mut self, input: Input) -> Self {
        self.input = input;
        self
    }

    fn command(&self, attached: &[&str]) -> Vec<String> {
        let platform = self.platform.name();
        let mut words = vec!["run"];
        words.extend(attached);
        words.extend(["--runtime", &self.runtime, "--platform", &platform]);
        words.extend(self.flags.iter().map(String::as_str));
        words.extend([self.image.as_str(), &self.id]);
        words.extend(self.args.iter().map(String::as_str));
        lab().ctr(NAMESPACE, words)
    }

    /// `ctr run --rm`, attached, to its end.
    #[track_caller]
    pub fn run(self) -> Output {
        let running = self.start();
        running.finish()
    }

    /// `ctr run --rm`, attached, while it runs.
    #[track_caller]
    pub fn start(self) -> Running {
        let process = must(Process::start(&self.command(&["--rm"]), self.input.clone()));
        Running { task: Task { id: self.id }, process: Some(process) }
    }

    /// `ctr run --detach` with its streams at /dev/null; fails the test if it can't be started.
    #[track_caller]
    pub fn detach(self) -> Task {
        let task = Task { id: self.id.clone() };
        must(run(&self.command(&["--detach", "--null-io"]))).expect_code(0);
        task
    }
}

/// A container that `ctr` may know, removed when dropped.
#[derive(Debug)]
pub struct Task {
    id: String,
}

impl Task {
    /// The container's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its process's pid and state, as `ctr task ls` tells them; none once there is no such task.
    #[track_caller]
    pub fn state(&self) -> Option<(i32, String)> {
        let listed = ctr(&["tasks", "ls"]);
        let out = listed.expect_code(0).out();
        let line = out.lines().find(|line| line.split_whitespace().next() == Some(&self.id))?;
        let mut words = line.split_whitespace().skip(1);
        Some((words.next()?.parse().ok()?, words.next()?.to_owned()))
    }

    /// Its process's pid.
    #[track_caller]
    pub fn pid(&self) -> i32 {
        self.state().unwrap_or_else(|| panic!("{} has no task", self.id)).0
    }

    /// Sends a signal through containerd.
    #[track_caller]
    pub fn kill(&self, signal: Signal) -> Output {
        ctr(&["tasks", "kill", "--signal", signal.as_str(), &self.id])
    }

    /// Deletes the stopped task; panics unless its exit code was `code`.
    #[track_caller]
    pub fn delete(&self, code: i32) {
        let output = ctr(&["tasks", "delete", &self.id]);
        // `ctr` of containerd 1.7 and later only says it, and ends with 0 itself.
        let said = output.err();
        let said = said
            .split("non-zero exit code ")
            .nth(1)
            .and_then(|rest| rest.trim_end().trim_end_matches('"').parse().ok());
        assert!(said.unwrap_or(output.code) == code, "exit code {code} was expected\n{output}");
    }

    /// Waits until the task has stopped, looking every few hundredths of a second, for at most `limit`.
    #[track_caller]
    pub fn await_stopped(&self, limit: Duration) {
        await_true(&format!("{} stops", self.id), limit, || self.state().is_none_or(|(_, state)| state == "STOPPED"));
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        // All of them fail where there is nothing left, which is what is wanted.
        for words in [["tasks", "rm", "--force"], ["containers", "rm", ""]] {
            let words = words.into_iter().filter(|word| !word.is_empty()).chain([self.id.as_str()]);
            let _ = run(&lab().ctr(NAMESPACE, words));
        }
    }
}

/// A container that runs, attached.
pub struct Running {
    /// What containerd calls it.
    pub task: Task,
    process: Option<Process>,
}

impl Running {
    /// Waits until its standard output holds `text`.
    #[track_caller]
    pub fn await_out(self, text: &str) -> Self {
        if let Some(process) = &self.process {
            must(process.await_out(text, LIMIT));
        }
        self
    }

    /// Waits for its end.
    #[track_caller]
    pub fn finish(self) -> Output {
        must(self.finish_within(LIMIT))
    }

    /// Waits for its end for at most `limit`.
    pub fn finish_within(mut self, limit: Duration) -> Result<Output, CommandError> {
        let Some(process) = self.process.take() else { unreachable!("only its end takes the process") };
        process.finish(limit)
    }
}

/// Waits until `holds`, for what gives no event to wait for; panics with `what` after `limit`.
#[track_caller]
pub fn await_true(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + limit;
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
