//! Containers through `docker`, as a user types it.

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::command::{Input, LIMIT, Output, Process, run};
use crate::ctr::{lab, must};
use crate::guests::{self, LINUX_IMAGE, WASM_IMAGE};
use crate::image::Platform;
use crate::targets::{ENGINE_ANNOTATION, Target};

/// Runs `docker` with `words`.
#[track_caller]
pub fn docker<S: AsRef<str>>(words: &[S]) -> Output {
    must(run(&command(words)))
}

#[track_caller]
fn command<S: AsRef<str>>(words: &[S]) -> Vec<String> {
    lab().docker(words).unwrap_or_else(|| panic!("the lab of {} has no Docker", lab().suite))
}

/// Loads both images of the guests, once in a test process.
#[track_caller]
fn load() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        must(guests::each_archive(lab(), |_, _, archive| {
            docker(&["load", "--input", &archive.to_string_lossy()]).expect_code(0);
        }));
    });
}

/// A container to be.
#[derive(Debug, Clone)]
pub struct Container {
    name: String,
    target: Target,
    flags: Vec<String>,
    args: Vec<String>,
    input: Input,
}

impl Container {
    /// The guests' image on `target`, with a name of its own.
    #[track_caller]
    pub fn new(target: Target) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        load();
        let name = format!("{target}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let container =
            Self { name, target, flags: Vec::new(), args: vec![target.probe().into()], input: Input::Nothing };
        match target.engine() {
            Some(engine) => container.flag(&format!("--annotation={ENGINE_ANNOTATION}={engine}")),
            None => container,
        }
    }

    /// The guests' image on our runtime, without a word of which engine.
    #[track_caller]
    pub fn auto() -> Self {
        let mut container = Self::new(Target::Wasmtime);
        container.flags.clear();
        container
    }

    /// A flag of `docker run`.
    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
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

    /// What it finds on its standard input.
    pub fn input(mut self, input: Input) -> Self {
        self.input = input;
        self
    }

    fn command(&self, verb: &str) -> Vec<String> {
        let platform = self.target.platform().name();
        let mut words: Vec<String> =
            ["run", verb, "--name", &self.name, "--platform", &platform].map(Into::into).into();
        // Docker calls it runc and has its own way to it.
        if self.target != Target::Runc {
            words.push(format!("--runtime={}", self.target.runtime()));
        }
        if !matches!(self.input, Input::Nothing) {
            words.push("--interactive".into());
        }
        words.extend(self.flags.iter().cloned());
        words.push(if self.target.platform() == Platform::Wasi { WASM_IMAGE } else { LINUX_IMAGE }.into());
        words.extend(self.args.iter().cloned());
        command(&words)
    }

    /// `docker run --rm`, attached, to its end.
    #[track_caller]
    pub fn run(self) -> Output {
        must(must(Process::start(&self.command("--rm"), self.input.clone())).finish(LIMIT))
    }

    /// `docker run --rm --interactive --tty`, to be typed at a terminal.
    pub fn words_at_terminal(self) -> Vec<String> {
        self.flag("--interactive").flag("--tty").command("--rm")
    }

    /// `docker run --detach`; fails the test if it can't be started.
    #[track_caller]
    pub fn detach(self) -> Detached {
        let detached = Detached { name: self.name.clone() };
        must(run(&self.command("--detach"))).expect_code(0);
        detached
    }
}

/// A detached container, removed when dropped.
#[derive(Debug)]
pub struct Detached {
    name: String,
}

impl Detached {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `docker VERB… NAME`.
    #[track_caller]
    pub fn docker(&self, words: &[&str]) -> Output {
        docker(&[words, &[&self.name]].concat())
    }

    /// `docker exec FLAGS… NAME ARGS…`.
    #[track_caller]
    pub fn exec(&self, flags: &[&str], args: &[&str]) -> Output {
        docker(&self.exec_words(flags, args))
    }

    /// `docker exec FLAGS… NAME ARGS…`, which goes on.
    #[track_caller]
    pub fn start_exec(&self, flags: &[&str], args: &[&str], input: Input) -> Process {
        must(Process::start(&command(&self.exec_words(flags, args)), input))
    }

    /// `docker exec --interactive --tty NAME ARGS…`, to be typed at a terminal.
    #[track_caller]
    pub fn exec_words_at_terminal(&self, args: &[&str]) -> Vec<String> {
        command(&self.exec_words(&["--interactive", "--tty"], args))
    }

    fn exec_words<'a>(&'a self, flags: &[&'a str], args: &[&'a str]) -> Vec<&'a str> {
        [&["exec"], flags, &[&self.name], args].concat()
    }

    /// What `docker inspect` says by `format`.
    #[track_caller]
    pub fn inspect(&self, format: &str) -> String {
        self.docker(&["inspect", "--format", format]).expect_code(0).out().trim().to_owned()
    }

    /// Waits until its log holds `text`, and gives back the log so far.
    #[track_caller]
    pub fn await_log(&self, text: &str) {
        let follow = must(Process::start(&command(&["logs", "--follow", &self.name]), Input::Nothing));
        must(follow.await_out(text, LIMIT));
    }

    /// The exit code that Docker recorded, after waiting for the end.
    #[track_caller]
    pub fn wait(&self) -> i32 {
        let output = self.docker(&["wait"]);
        let code = output.expect_code(0).out();
        code.trim().parse().unwrap_or_else(|_| panic!("docker wait printed {code:?}"))
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        if let Some(command) = lab().docker(["rm", "--force", "--volumes", &self.name]) {
            let _ = run(&command);
        }
    }
}
