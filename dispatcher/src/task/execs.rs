//! What containerd asks of a container that runs: further processes, signals, standing still, other limits.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::SystemTime;

use containerd_shim::api::ExecProcessRequest;
use containerd_shim::protos::events::task::{TaskExecAdded, TaskExecStarted, TaskPaused, TaskResumed};
use containerd_shim::protos::protobuf::well_known_types::any::Any;
use nix::sys::signal::Signal;
use ttrpc::{Code, Error, Result};

use super::container::Container;
use super::events::Event;
use super::exits::Exit;
use super::lifecycle::{Lifecycle, last_output, open_stdio, to_its_end};
use super::process::{Paths, Process};
use super::service::{error, failed};
use crate::spawner::{Exec, FailureKind, SpawnerError, Work};

/// What a shell says of a command that it does not find, and of one that it can't run.
const NOT_FOUND: u32 = 127;
const NOT_RUN: u32 = 126;

impl Lifecycle {
    /// Adds a process to a container; Start makes it.
    pub(super) fn add_exec(&self, request: ExecProcessRequest) -> Result<()> {
        let container = self.find(&request.id)?;
        must_run(&container, "exec")?;
        let ExecProcessRequest { id, exec_id, stdin, stdout, stderr, terminal, .. } = request;
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.+".contains(c);
        if exec_id.is_empty() || !exec_id.chars().all(allowed) {
            let message = format!("exec in container {id}: {exec_id:?} can't be the id of a process");
            return Err(error(Code::INVALID_ARGUMENT, message));
        }
        let process = text(request.spec.as_ref(), &format!("exec {exec_id} in container {id}: its process"))?;
        let exec = Exec {
            namespace: self.namespace.clone(),
            id: id.clone(),
            exec_id: exec_id.clone(),
            process,
            stdout: stdout.clone(),
            stderr: stderr.clone(),
            terminal,
            options: container.options.clone(),
        };
        let paths = Paths { stdin, stdout, stderr, terminal };
        if !container.add(Arc::new(Process::new(exec_id.clone(), paths, Some(exec)))) {
            let message = format!("exec in container {id}: process {exec_id} already exists");
            return Err(error(Code::ALREADY_EXISTS, message));
        }
        let added = TaskExecAdded { container_id: id, exec_id, ..Default::default() };
        self.publisher.publish(Event::ExecAdded(added));
        Ok(())
    }

    /// Makes and starts a process that was added, and tells that.
    pub(super) async fn start_exec(self: &Arc<Self>, container: Arc<Container>, process: Arc<Process>) -> Result<u32> {
        let this = Arc::clone(self);
        to_its_end(async move {
            let _still = container.freezing.read().await;
            let _step = process.step.lock().await;
            if process.started() || process.exit().is_some() {
                let (id, status) = (&process.id, process.status());
                let message = format!("process {id} of container {} can't be started: it is {status:?}", container.id);
                return Err(error(Code::FAILED_PRECONDITION, message));
            }
            must_run(&container, "exec")?;
            if let Err(failure) = this.make_exec(&process).await {
                tracing::error!("exec {} in {}: {failure}", process.id, container.id);
                process.set_exit(Exit { status: status_of(&failure), at: SystemTime::now() });
                return Err(failed(failure));
            }
            process.set_started();
            let pid = process.pid();
            this.publisher.publish(Event::ExecStarted(TaskExecStarted {
                container_id: container.id.clone(),
                exec_id: process.id.clone(),
                pid,
                ..Default::default()
            }));
            this.tell_exit(Arc::clone(&container), Arc::clone(&process));
            if !container.init.lives() {
                // Where it has no pid namespace of its own, nobody else ends what has just begun.
                let _ = process.kill();
            }
            Ok(pid)
        })
        .await
    }

    async fn make_exec(&self, process: &Process) -> std::result::Result<(), SpawnerError> {
        let Some(exec) = process.exec.clone() else {
            return Err(SpawnerError::Gone("nothing is known of what to start".to_owned()));
        };
        let invalid = |failure: Error| {
            crate::spawner::Failure::new(FailureKind::Invalid, format!("exec {}: {failure}", process.id))
        };
        let (stdio, stdin) = open_stdio(&process.paths).map_err(invalid)?;
        let done = self.spawner.call(Work::Exec(Box::new(exec)), stdin.as_ref().map(AsFd::as_fd)).await?;
        self.take_over(process, done, stdio);
        Ok(())
    }

    /// Forgets a process that has ended, or was never started.
    pub(super) async fn delete_exec(&self, container: &Container, process: Arc<Process>) -> Result<Option<Exit>> {
        let Ok(_step) = process.step.try_lock() else {
            let message =
                format!("process {} of container {} can't be deleted: it is starting", process.id, container.id);
            return Err(error(Code::FAILED_PRECONDITION, message));
        };
        if process.started() && process.exit().is_none() {
            let message =
                format!("process {} of container {} can't be deleted: it is running", process.id, container.id);
            return Err(error(Code::FAILED_PRECONDITION, message));
        }
        last_output(&process).await;
        container.remove_exec(&process.id);
        Ok(process.exit())
    }

    /// Sends a signal to a process, or to all of the container's.
    pub(super) async fn signal(
        self: &Arc<Self>,
        container: Arc<Container>,
        process: Arc<Process>,
        signal: u32,
        all: bool,
    ) -> Result<()> {
        let signal = signal as i32;
        let first = Arc::ptr_eq(&process, &container.init);
        if !first && process.pid() == 0 && process.exit().is_none() {
            let message = format!("process {} of container {} was not started yet", process.id, container.id);
            return Err(error(Code::FAILED_PRECONDITION, message));
        }
        if all && process.lives() {
            // The first process last: with it goes its pid namespace, and the rest need no signal any more.
            container.signal_others(signal);
        }
        if first && signal == Signal::SIGKILL as i32 {
            container.is_killed();
        }
        process.signal(signal).map_err(|errno| match errno {
            nix::Error::EINVAL => error(
                Code::INVALID_ARGUMENT,
                format!("container {}: signal {signal}: invalid argument, there is no such signal", container.id),
            ),
            _ => error(Code::NOT_FOUND, format!("container {}: process already finished", container.id)),
        })?;
        if first && signal == Signal::SIGKILL as i32 {
            // Version 1's freezer holds even who was killed. A further process waits for the others: Docker kills a health
            // check that a pause has caught, which must not let the container go on.
            let this = Arc::clone(self);
            to_its_end(async move {
                let _pause = container.freezing.read().await;
                if container.paused() { this.set_frozen(&container, false).await } else { Ok(()) }
            })
            .await?;
        }
        Ok(())
    }

    /// Lets all of a container stand still, or go on, and tells that.
    pub(super) async fn freeze(self: &Arc<Self>, container: Arc<Container>, frozen: bool) -> Result<()> {
        let this = Arc::clone(self);
        to_its_end(async move {
            let _starts = container.freezing.write().await;
            let (what, already) = if frozen { ("pause", "paused") } else { ("resume", "running") };
            if !container.init.lives() || !container.init.started() || container.paused() == frozen {
                let status = container.status_of(&container.init);
                let message = format!("container {} can't {what}: it is {status:?}", container.id);
                tracing::debug!("{message}, wanted not {already}");
                return Err(error(Code::FAILED_PRECONDITION, message));
            }
            this.set_frozen(&container, frozen).await?;
            let container_id = container.id.clone();
            this.publisher.publish(if frozen {
                Event::Paused(TaskPaused { container_id, ..Default::default() })
            } else {
                Event::Resumed(TaskResumed { container_id, ..Default::default() })
            });
            Ok(())
        })
        .await
    }

    async fn set_frozen(&self, container: &Container, frozen: bool) -> Result<()> {
        let work = Work::Freeze { namespace: self.namespace.clone(), id: container.id.clone(), frozen };
        self.spawner.call(work, None).await.map_err(failed)?;
        // One that has ended meanwhile is neither.
        container.set_paused(frozen && container.init.lives());
        Ok(())
    }

    /// Sets other limits.
    pub(super) async fn update(&self, container: &Container, resources: Option<&Any>) -> Result<()> {
        let resources = text(resources, &format!("update of container {}: its resources", container.id))?;
        if !container.init.lives() {
            return Err(not_running(container, "update"));
        }
        let work = Work::Update { namespace: self.namespace.clone(), id: container.id.clone(), resources };
        self.spawner.call(work, None).await.map(drop).map_err(failed)
    }
}

/// What containerd packs: JSON, with the name of its Go type beside it.
fn text(given: Option<&Any>, what: &str) -> Result<String> {
    let text = given.map(|any| String::from_utf8_lossy(&any.value).into_owned()).filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| error(Code::INVALID_ARGUMENT, format!("{what} is missing")))?;
    match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text) {
        Ok(_) => Ok(text),
        Err(failure) => Err(error(Code::INVALID_ARGUMENT, format!("{what} is no JSON object: {failure}"))),
    }
}

fn must_run(container: &Container, what: &str) -> Result<()> {
    if !container.init.lives() || container.init.exit().is_some() || container.paused() {
        return Err(not_running(container, what));
    }
    Ok(())
}

fn not_running(container: &Container, what: &str) -> Error {
    let status = container.status_of(&container.init);
    error(Code::FAILED_PRECONDITION, format!("{what} in container {}: it is {status:?}, not running", container.id))
}

fn status_of(failure: &SpawnerError) -> u32 {
    match failure {
        SpawnerError::Failed(failure) if failure.kind == FailureKind::NotFound => NOT_FOUND,
        _ => NOT_RUN,
    }
}
