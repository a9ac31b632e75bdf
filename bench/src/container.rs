//! One container: what runs in it, and its life from record to removal, each phase timed.

use std::time::{Duration, Instant};

use containerd_client::types::Mount;
use multiwasm_conformance::case::Case;
use multiwasm_conformance::case::model::Reader;
use multiwasm_conformance::client::tasks::{RuntimeOptions, Streams};
use multiwasm_conformance::runner::image::Image;
use multiwasm_conformance::runner::spec::spec;
use multiwasm_conformance::runner::streams::Pipes;
use multiwasm_conformance::runner::target::Target;
use multiwasm_conformance::targets::RUNTIME;
use serde_json::json;

use crate::BenchError;
use crate::context::Context;

/// No container takes as long; one that does would not end. A compiler may need minutes for a large module.
const LIMIT: Duration = Duration::from_secs(300);
/// How long output may take that was written before the exit.
const SOON: Duration = Duration::from_secs(10);

/// What runs in a container.
#[derive(Debug, Clone)]
pub struct Program {
    /// The image that has it.
    pub image: Image,
    /// Its words, the first of them its path.
    pub words: Vec<String>,
    /// The exit code that it must end with.
    pub exit: u32,
    /// More for the configuration that our runtime is given by its options (TOML): keys at the top, dotted ones for those of tables.
    pub config: String,
    /// Annotations that our runtime understands; those that all containers were given go before these.
    pub annotations: Vec<(String, String)>,
}

impl Program {
    /// A program of `image` that must end with 0.
    pub fn new(image: &Image, words: &[&str]) -> Self {
        Self {
            image: image.clone(),
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            exit: 0,
            config: String::new(),
            annotations: Vec::new(),
        }
    }
}

/// How long each phase of a container's life took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Phases {
    /// Its snapshot and containerd's record of it.
    pub record: Duration,
    /// The call Create.
    pub create: Duration,
    /// The call Start.
    pub start: Duration,
    /// From Start's answer to Wait's.
    pub run: Duration,
    /// The task's, the record's and the snapshot's removal.
    pub delete: Duration,
    /// From Create's call to the first byte of output, where output was read and there was some.
    pub first_output: Option<Duration>,
}

impl Phases {
    /// What a user waits for: Create, Start and the run.
    pub fn task(&self) -> Duration {
        self.create + self.start + self.run
    }

    /// The whole life.
    pub fn life(&self) -> Duration {
        self.record + self.task() + self.delete
    }
}

/// A container that has come to its end.
pub struct Ended {
    /// How long it all took.
    pub phases: Phases,
    /// What it wrote to standard output, where that was read; of a large output that was not kept, nothing.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error, where that was read.
    pub stderr: Vec<u8>,
}

/// A container that was started and is to be removed.
pub struct Running {
    /// containerd's name for it.
    pub id: String,
    /// Its first process.
    pub pid: u32,
    /// How long it took so far.
    pub phases: Phases,
    began: Instant,
}

impl Context {
    /// Runs a container to its end and removes it; reads its output where asked.
    ///
    /// # Errors
    /// It does not end, or not as it must, or containerd refuses something.
    pub async fn run(&self, target: &Target, program: &Program, read: bool) -> Result<Ended, BenchError> {
        let id = self.fresh_name(&target.name);
        let mut pipes = None;
        if read {
            let made = Pipes::new(self.folder(), &format!("{id}-"), false, Reader::Normal, false);
            pipes = Some(made.map_err(BenchError::file("a container's pipes"))?);
        }
        let ended = match tokio::time::timeout(LIMIT, self.to_its_end(target, program, &id, &mut pipes)).await {
            Ok(ended) => ended,
            Err(_) => Err(self.wrong(&id, format!("did not end within {LIMIT:?}"))),
        };
        if let Some(pipes) = &pipes {
            for path in [&pipes.streams.stdout, &pipes.streams.stderr] {
                let _ = std::fs::remove_file(path);
            }
        }
        if ended.is_err() {
            self.containerd.remove(&id).await?;
        }
        ended
    }

    async fn to_its_end(
        &self,
        target: &Target,
        program: &Program,
        id: &str,
        pipes: &mut Option<Pipes>,
    ) -> Result<Ended, BenchError> {
        let streams = pipes.as_ref().map(|pipes| pipes.streams.clone()).unwrap_or_default();
        let mut running = self.start(target, program, id, &streams).await?;
        let started = Instant::now();
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let exit = match pipes {
            None => self.containerd.wait(id, "").await?,
            Some(pipes) => {
                pipes.started();
                let first = async {
                    pipes.stdout.until(|bytes| !bytes.is_empty()).await;
                    Instant::now()
                };
                let (exit, first) = tokio::join!(self.containerd.wait(id, ""), first);
                for stream in [&pipes.stdout, &pipes.stderr] {
                    if tokio::time::timeout(SOON, stream.until(|_| false)).await.is_err() {
                        return Err(self.wrong(id, "its output does not end".to_owned()));
                    }
                }
                (stdout, stderr) = (pipes.stdout.bytes(), pipes.stderr.bytes());
                running.phases.first_output = (!stdout.is_empty()).then(|| first - running.began);
                exit?
            }
        };
        running.phases.run = started.elapsed();
        let phases = self.remove(&running).await?;
        if exit != program.exit {
            let said = String::from_utf8_lossy(&stderr).trim().to_owned();
            return Err(self.wrong(id, format!("exit code {exit} in place of {} {said}", program.exit)));
        }
        Ok(Ended { phases, stdout, stderr })
    }

    /// Starts a container that goes on running.
    ///
    /// # Errors
    /// containerd or the runtime refuses it.
    pub async fn start_one(&self, target: &Target, program: &Program) -> Result<Running, BenchError> {
        let id = self.fresh_name(&target.name);
        let started = tokio::time::timeout(LIMIT, self.start(target, program, &id, &Streams::default())).await;
        let started = started.unwrap_or_else(|_| Err(self.wrong(&id, format!("did not start within {LIMIT:?}"))));
        if started.is_err() {
            self.containerd.remove(&id).await?;
        }
        started
    }

    async fn start(
        &self,
        target: &Target,
        program: &Program,
        id: &str,
        streams: &Streams,
    ) -> Result<Running, BenchError> {
        let mut phases = Phases::default();
        let clock = Instant::now();
        let rootfs = self.record(target, program, id).await?;
        phases.record = clock.elapsed();
        let began = Instant::now();
        let pid = self.containerd.create_task(id, rootfs, streams).await?;
        phases.create = began.elapsed();
        let clock = Instant::now();
        self.containerd.start(id, "").await?;
        phases.start = clock.elapsed();
        Ok(Running { id: id.to_owned(), pid, phases, began })
    }

    async fn record(&self, target: &Target, program: &Program, id: &str) -> Result<Vec<Mount>, BenchError> {
        let spec = self.specification(target, program, id)?;
        let rootfs = self.containerd.prepare(id, &program.image.snapshot).await?;
        let options = self.options(target, program);
        let runtime = (target.runtime.as_str(), options.as_ref());
        self.containerd.create_container(id, &program.image.name, runtime, &spec).await?;
        Ok(rootfs)
    }

    /// The options of our own runtime; others know none of ours.
    fn options(&self, target: &Target, program: &Program) -> Option<RuntimeOptions> {
        // A program's own lines are keys at the top, which can't come behind a table's.
        let config = format!("{}{}", program.config, self.config);
        let ours = target.runtime == RUNTIME && !config.is_empty();
        ours.then(|| RuntimeOptions { config_body: config.into_bytes(), ..RuntimeOptions::default() })
    }

    /// The specification is made as that of a conformance case.
    fn specification(&self, target: &Target, program: &Program, id: &str) -> Result<serde_json::Value, BenchError> {
        let (first, rest) = program.words.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
        let own = program.annotations.iter().chain(&self.annotations).filter(|_| !target.native);
        let annotations: std::collections::BTreeMap<_, _> = own.cloned().collect();
        let case = json!({ "name": id, "about": "measured", "argv0": first, "args": rest, "annotations": annotations });
        let unexpected = |error: String| BenchError::Unexpected(format!("the specification of {id}: {error}"));
        let case: Case = serde_json::from_value(case).map_err(|error| unexpected(error.to_string()))?;
        spec(&case, target, self.containerd.namespace(), id, None, &[]).map_err(unexpected)
    }

    /// Removes a container that has ended; gives its phases, with this one.
    async fn remove(&self, running: &Running) -> Result<Phases, BenchError> {
        let clock = Instant::now();
        self.containerd.delete(&running.id, "").await?;
        self.containerd.delete_container(&running.id).await?;
        self.containerd.remove_snapshot(&running.id).await?;
        Ok(Phases { delete: clock.elapsed(), ..running.phases })
    }

    fn wrong(&self, id: &str, what: String) -> BenchError {
        BenchError::Container { container: id.to_owned(), what }
    }
}
