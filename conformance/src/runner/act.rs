//! What each step does to a container.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::container::{Added, Container, SOON, Trouble};
use super::spec::{exec_process, for_target, update};
use super::streams::{Collected, Pipes};
use crate::case::model::Reader;
use crate::case::step::{Act, Exec, Step};
use crate::client::metrics::figures;

impl Container {
    /// Takes one step.
    ///
    /// # Errors
    /// It did not go as the case says.
    pub async fn step(&mut self, step: &Step) -> Result<(), Trouble> {
        step.name().clone_into(&mut self.at);
        if let Some(exec) = &step.exec {
            self.at = format!("{} of exec {exec}", self.at);
        }
        let taken = self.take(&step.act, step.exec.as_deref().unwrap_or_default()).await;
        let Some(words) = &step.fails else { return taken };
        let wanted = || format!("an error with {}", quoted(words));
        match taken {
            Ok(()) => Err(Trouble::unmet(wanted(), "no error")),
            Err(Trouble::Refused(error)) if words.iter().all(|word| error.message().contains(word)) => {
                self.seen.refused = None; // it was to be
                Ok(())
            }
            Err(Trouble::Refused(error)) => Err(Trouble::unmet(wanted(), error.message())),
            Err(unmet) => Err(unmet),
        }
    }

    async fn take(&mut self, act: &Act, exec: &str) -> Result<(), Trouble> {
        let context = Arc::clone(&self.context);
        let containerd = &context.containerd;
        match act {
            Act::Create {} => self.create().await?,
            Act::Start {} => self.start(exec).await?,
            Act::AwaitStdout { text } => await_text(self.stream(exec, |pipes| &pipes.stdout), text).await?,
            Act::AwaitStderr { text } => await_text(self.stream(exec, |pipes| &pipes.stderr), text).await?,
            Act::AwaitEvent { event } => {
                context.events.until(&self.id, |events| events.iter().any(|seen| seen.name == *event)).await;
            }
            Act::State { is } => {
                let state = containerd.state(&self.id, exec).await?;
                same("the state", is, &state.status)?;
                if exec.is_empty() && state.status != "stopped" {
                    same("the process of Create's answer", &self.pid, &state.pid)?;
                }
            }
            Act::Kill { signal, all } => {
                self.last_kill = Some(Instant::now());
                containerd.kill(&self.id, exec, signal.0, *all).await?;
            }
            Act::KillGuest {} => self.kill_now(Some(self.pid.cast_signed()), "first process")?,
            Act::KillShim {} => self.kill_now(self.traces.shim(), "shim")?,
            Act::Wait { by, background: true } => self.begin_to_wait(exec, *by),
            Act::Wait { by, background: false } => self.wait(exec, *by).await?,
            Act::Delete {} => self.delete(exec).await?,
            Act::Exec(exec) => self.exec(exec).await?,
            Act::Pause {} => containerd.pause(&self.id, true).await?,
            Act::Resume {} => containerd.pause(&self.id, false).await?,
            Act::Update(limits) => {
                let resources = update(*limits).map_err(|error| Trouble::own("the new limits", error))?;
                containerd.update(&self.id, &resources).await?;
            }
            Act::Stats { over, is, under } => {
                let figures = self.figures().await?;
                let rules = [
                    ("more than", over, u64::gt as fn(&u64, &u64) -> bool),
                    ("just", is, u64::eq),
                    ("less than", under, u64::lt),
                ];
                for (what, wanted, holds) in rules {
                    for (name, bound) in wanted {
                        let figure = figures.get(name.as_str());
                        if !figure.is_some_and(|figure| holds(figure, bound)) {
                            let seen = format!("{}; all: {figures:?}", figure.map_or("none".into(), u64::to_string));
                            return Err(Trouble::unmet(format!("{name} is {what} {bound}"), seen));
                        }
                    }
                }
            }
            Act::AwaitStats { over } => {
                // Nothing tells of a figure that grows; that it never does is found by the case's timeout.
                loop {
                    let figures = self.figures().await?;
                    if over.iter().all(|(name, bound)| figures.get(name.as_str()).is_some_and(|figure| figure > bound))
                    {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            Act::Still { ms } => {
                let before = self.activity().await?;
                tokio::time::sleep(Duration::from_millis(*ms)).await;
                same("bytes of output and processor time", &before, &self.activity().await?)?;
            }
            Act::AwaitClosed {} => {
                let pipes = self.pipes(exec)?;
                for stream in [Arc::clone(&pipes.stdout), Arc::clone(&pipes.stderr)] {
                    stream.until(|_| false).await;
                }
            }
            Act::AwaitMore {} => {
                let stdout = self.stream("", |pipes| &pipes.stdout);
                let before = stdout.bytes().len();
                stdout.until(|bytes| bytes.len() > before).await;
            }
            Act::Pids { count } => {
                let pids = containerd.pids(&self.id).await?;
                if pids.len() != *count || !pids.contains(&self.pid) {
                    let wanted = format!("{count} processes, {} among them", self.pid);
                    return Err(Trouble::unmet(wanted, format!("{pids:?}")));
                }
            }
            Act::WriteStdin { text } => {
                let written = self.pipes(exec)?.write(text).await;
                written.map_err(|error| Trouble::unmet("standard input can be written to", error.to_string()))?;
            }
            Act::CloseStdin {} => {
                self.pipes(exec)?.close_stdin();
                containerd.close_stdin(&self.id, exec).await?;
            }
            Act::Resize { width, height } => containerd.resize(&self.id, exec, *width, *height).await?,
            Act::WriteFile { path, text } => {
                let file = self.outside(path).unwrap_or_default();
                std::fs::write(&file, text).map_err(|error| Trouble::own(path, error))?;
            }
            Act::ReadFile { path, text } => {
                let read = std::fs::read(self.outside(path).unwrap_or_default());
                let read = read.map_err(|error| Trouble::unmet(format!("{path} with {text:?}"), error.to_string()))?;
                same(path, text, &String::from_utf8_lossy(&read).into_owned())?;
            }
            Act::Checkpoint {} => containerd.checkpoint(&self.id).await?,
        }
        Ok(())
    }

    /// The task's metrics by name.
    async fn figures(&self) -> Result<BTreeMap<&'static str, u64>, Trouble> {
        let message = self.context.containerd.metrics(&self.id).await?;
        figures(&message).map_err(|error| Trouble::unmet("metrics of a cgroup version", error))
    }

    /// How much it has written, and how long it has run: what grows while it does anything.
    async fn activity(&mut self) -> Result<(usize, u64), Trouble> {
        let written = self.stream("", |pipes| &pipes.stdout).bytes().len();
        Ok((written, self.figures().await?.get("cpu.total").copied().unwrap_or_default()))
    }

    fn pipes(&mut self, exec: &str) -> Result<&mut Pipes, Trouble> {
        let pipes =
            if exec.is_empty() { self.pipes.as_mut() } else { self.execs.get_mut(exec).map(|added| &mut added.pipes) };
        pipes.ok_or_else(|| Trouble::unmet("a process with streams", "none was made yet"))
    }

    fn stream(&mut self, exec: &str, which: fn(&Pipes) -> &Arc<Collected>) -> Arc<Collected> {
        self.pipes(exec).map(|pipes| Arc::clone(which(pipes))).unwrap_or_default()
    }

    fn kill_now(&mut self, pid: Option<i32>, what: &str) -> Result<(), Trouble> {
        self.last_kill = Some(Instant::now());
        let Some(pid) = pid.filter(|pid| *pid > 1) else { return Err(Trouble::unmet(format!("a {what}"), "none")) };
        kill(Pid::from_raw(pid), Signal::SIGKILL)
            .map_err(|error| Trouble::unmet(format!("process {pid}, its {what}, can be killed"), error.to_string()))
    }

    async fn start(&mut self, exec: &str) -> Result<(), Trouble> {
        let context = Arc::clone(&self.context);
        let started = context.containerd.start(&self.id, exec).await;
        let id = self.id.clone();
        let stdin = match self.execs.get(exec) {
            Some(added) => added.exec.stdin.clone(),
            None => self.case.stdin.clone(),
        };
        if let Ok(pipes) = self.pipes(exec) {
            pipes.started();
        }
        let pid = started?;
        let pipes = self.pipes(exec)?;
        if let Some(stdin) = &stdin {
            pipes.feed(stdin, &context.containerd, &id, exec);
        }
        if exec.is_empty() {
            same("the process of Create's answer", &self.pid, &pid)?;
        }
        Ok(())
    }

    fn begin_to_wait(&mut self, exec: &str, by: usize) {
        for _ in 0..by {
            let (containerd, id, exec) = (self.context.containerd.clone(), self.id.clone(), exec.to_owned());
            self.waiting.spawn(async move { containerd.wait(&id, &exec).await });
        }
    }

    async fn wait(&mut self, exec: &str, by: usize) -> Result<(), Trouble> {
        self.begin_to_wait(exec, by);
        let mut codes = Vec::with_capacity(by);
        while let Some(answer) = self.waiting.join_next().await {
            codes.push(answer.map_err(|error| Trouble::own("a client that waits", error))??);
        }
        // One that ended before its start.
        if let Ok(pipes) = self.pipes(exec) {
            pipes.started();
        }
        if exec.is_empty() {
            self.seen.after_kill = self.last_kill.map(|at| at.elapsed());
        }
        let first = codes.first().copied().unwrap_or_default();
        if codes.iter().any(|code| *code != first) {
            return Err(Trouble::unmet("the same exit code for each who waits", format!("{codes:?}")));
        }
        if exec.is_empty() {
            self.seen.exits.push(("Wait", first));
            return Ok(());
        }
        self.look_at(exec, first).await
    }

    async fn delete(&mut self, exec: &str) -> Result<(), Trouble> {
        let code = self.context.containerd.delete(&self.id, exec).await?;
        if exec.is_empty() {
            // Of what never ran nobody waited for the end, and no code is right or wrong.
            if !self.seen.exits.is_empty() {
                self.seen.exits.push(("Delete", code));
            }
            return Ok(());
        }
        let wanted = self.execs.remove(exec).and_then(|added| added.exec.exit).unwrap_or(0);
        same("Delete's exit code", &wanted, &code)
    }

    async fn exec(&mut self, exec: &Exec) -> Result<(), Trouble> {
        let context = Arc::clone(&self.context);
        let process = exec_process(exec, &self.case, &self.target)
            .map_err(|error| Trouble::own("the specification of the process", error))?;
        // An id may be another's before and after.
        self.added += 1;
        let prefix = format!("{}-{}-", exec.id, self.added);
        let reader = if self.case.reader == Reader::Program { Reader::Program } else { Reader::Normal };
        let pipes = Pipes::new(&self.folder, &prefix, exec.stdin.is_some(), reader, exec.terminal)
            .map_err(|error| Trouble::own("its pipes", error))?;
        let streams = pipes.streams.clone();
        context.containerd.exec(&self.id, &exec.id, &process, &streams).await?;
        self.execs.insert(exec.id.clone(), Added { exec: exec.clone(), pipes });
        if exec.held {
            return Ok(());
        }
        self.start(&exec.id).await?;
        if exec.background {
            return Ok(());
        }
        self.wait(&exec.id, 1).await?;
        self.delete(&exec.id).await
    }

    /// What an added process showed, now that it has ended with `code`.
    async fn look_at(&mut self, exec: &str, code: u32) -> Result<(), Trouble> {
        let Some(Added { exec, pipes }) = self.execs.get(exec) else { return Ok(()) };
        let mut shown = Vec::new();
        for (name, stream) in [("stdout", &pipes.stdout), ("stderr", &pipes.stderr)] {
            if tokio::time::timeout(SOON, stream.until(|_| false)).await.is_err() {
                return Err(Trouble::unmet(format!("its {name} ends with it"), format!("it is open {SOON:?} later")));
            }
            shown.push(String::from_utf8_lossy(&stream.bytes()).into_owned());
        }
        let all = format!("exit code {code}, stdout {:?}, stderr {:?}", shown[0], shown[1]);
        let hold = |holds: bool, wanted: String| if holds { Ok(()) } else { Err(Trouble::unmet(wanted, all.clone())) };
        let wanted = exec.exit.unwrap_or(0);
        hold(code == wanted, format!("exit code {wanted}"))?;
        let rules = [("stdout", &exec.stdout, &exec.stdout_has), ("stderr", &exec.stderr, &exec.stderr_has)];
        for ((name, exact, parts), shown) in rules.into_iter().zip(&shown) {
            let mine = |text: &String| for_target(text, &self.case, &self.target);
            if let Some(exact) = exact.as_ref().map(mine) {
                hold(exact == *shown, format!("{name} {exact:?}"))?;
            }
            for part in parts.iter().map(mine) {
                hold(shown.contains(&part), format!("{name} with {part:?}"))?;
            }
        }
        Ok(())
    }
}

/// Waits until a stream has a text; that it never comes is found by the case's timeout, or the stream's end.
async fn await_text(stream: Arc<Collected>, text: &str) -> Result<(), Trouble> {
    let has = |bytes: &[u8]| text.is_empty() || bytes.windows(text.len()).any(|window| window == text.as_bytes());
    stream.until(has).await;
    let bytes = stream.bytes();
    if has(&bytes) {
        return Ok(());
    }
    Err(Trouble::unmet(format!("{text:?}"), format!("the stream ended after {:?}", String::from_utf8_lossy(&bytes))))
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, seen: &T) -> Result<(), Trouble> {
    if expected == seen {
        return Ok(());
    }
    Err(Trouble::unmet(format!("{what}: {expected:?}"), format!("{seen:?}")))
}

/// Words for people.
pub(super) fn quoted(words: &[String]) -> String {
    words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" and ")
}
