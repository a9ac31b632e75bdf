//! The steps of a container's life on the server's side, none of which ends half-way: a client that gives up, or a connection
//! that breaks, drops the call, not the step.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use containerd_shim::api::CreateTaskRequest;
use containerd_shim::protos::events::task::{TaskCreate, TaskDelete, TaskExit, TaskOOM, TaskStart};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::timeout;
use ttrpc::{Code, Result};

use super::Publisher;
use super::container::Container;
use super::events::{Event, task_io};
use super::exits::{Exit, Exits};
use super::process::{Paths, Process};
use super::service::{error, failed, time, to_create};
use super::stdio::Stdio;
use crate::bootstrap::Seat;
use crate::fault::{self, Fault};
use crate::log;
use crate::sandbox;
use crate::spawner::{Done, Spawner, SpawnerError, Work};
use crate::state::State;

/// How long after its last container a server waits for Shutdown, which containerd sends at once.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// How long Delete waits for a terminal's last output, which a reader may be slow to take, or somebody left behind may still
/// write: as long as containerd's own shim does (pkg/process/init.go).
const LAST_OUTPUT: Duration = Duration::from_secs(10);

/// What there is of a container.
#[derive(Clone)]
enum Slot {
    /// Its Create is under way; the channel closes when that is over.
    Making(watch::Receiver<()>),
    Made(Arc<Container>),
}

/// The containers of one shim server.
pub(super) struct Lifecycle {
    pub(super) namespace: String,
    pub(super) spawner: Arc<Spawner>,
    pub(super) publisher: Arc<Publisher>,
    exits: Arc<Exits>,
    slots: Mutex<HashMap<String, Slot>>,
    /// Ends the server.
    shutdown: Arc<Notify>,
    seat: Arc<Seat>,
}

impl Lifecycle {
    pub(super) fn new(
        namespace: String,
        spawner: Arc<Spawner>,
        publisher: Arc<Publisher>,
        exits: Arc<Exits>,
        shutdown: Arc<Notify>,
        seat: Arc<Seat>,
    ) -> Self {
        Self { namespace, spawner, publisher, exits, slots: Mutex::default(), shutdown, seat }
    }

    /// Ends the server, unless there are containers or one is to come: others of the group go on, and the last one's Shutdown
    /// counts.
    pub(super) fn shut_down(self: &Arc<Self>) {
        if !self.is_empty() || fault::is(Fault::Shutdown) {
            return;
        }
        if self.seat.leave() {
            self.shutdown.notify_one();
        } else {
            self.end_if_idle();
        }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<String, Slot>> {
        // Nothing is left half-done under this lock.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a server that has lost its last container and is not told to end: by a containerd that was killed in between.
    fn end_if_idle(self: &Arc<Self>) {
        let this = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(SHUTDOWN_GRACE).await;
            this.shut_down();
        });
    }

    /// Whether there is no container, nor one that is being made.
    fn is_empty(&self) -> bool {
        self.slots().is_empty()
    }

    /// The container called `id`.
    pub(super) fn find(&self, id: &str) -> Result<Arc<Container>> {
        match self.slots().get(id) {
            Some(Slot::Made(container)) => Ok(Arc::clone(container)),
            Some(Slot::Making(_)) => {
                Err(error(Code::FAILED_PRECONDITION, format!("container {id} is still being created")))
            }
            None => Err(error(Code::NOT_FOUND, format!("container {id} not found"))),
        }
    }

    /// As [`Lifecycle::find`]; a Create that is under way is ended, so that nobody waits for a compiler in order to delete.
    async fn find_to_delete(&self, id: &str) -> Result<Arc<Container>> {
        loop {
            let slot = self.slots().get(id).cloned();
            let Some(Slot::Making(mut over)) = slot else { return self.find(id) };
            let work = Work::Cancel { namespace: self.namespace.clone(), id: id.to_owned() };
            self.spawner.call(work, None).await.map_err(failed)?;
            // An error is the closing that is waited for.
            let _ = over.changed().await;
        }
    }

    /// Makes a container and tells that.
    pub(super) async fn create(self: &Arc<Self>, request: CreateTaskRequest) -> Result<Arc<Container>> {
        let (making, over) = watch::channel(());
        log::step("server: Create");
        {
            let mut slots = self.slots();
            if slots.contains_key(&request.id) {
                return Err(error(Code::ALREADY_EXISTS, format!("container {} already exists", request.id)));
            }
            slots.insert(request.id.clone(), Slot::Making(over));
        }
        let this = Arc::clone(self);
        let (answer, answered) = oneshot::channel();
        tokio::spawn(async move {
            let made = this.make(&request).await;
            match &made {
                Ok(container) => {
                    this.slots().insert(request.id.clone(), Slot::Made(Arc::clone(container)));
                    this.tell_creation(request, container);
                    this.tell_exit(Arc::clone(container), Arc::clone(&container.init));
                }
                Err(failure) => {
                    tracing::error!("create {}: {failure}", request.id);
                    this.seat.forget(Path::new(&request.bundle));
                    this.slots().remove(&request.id);
                    this.end_if_idle();
                }
            }
            drop(making);
            // Who asked may be gone; the container is there all the same, or nothing is left of it.
            let _ = answer.send(made);
        });
        answered.await.map_err(|broken| error(Code::INTERNAL, broken.to_string()))?
    }

    async fn make(&self, request: &CreateTaskRequest) -> Result<Arc<Container>> {
        if !request.checkpoint.is_empty() {
            let message = format!("container {}: checkpoints can't be restored: multiwasm makes none", request.id);
            return Err(error(Code::UNIMPLEMENTED, message));
        }
        let paths = Paths {
            stdin: request.stdin.clone(),
            stdout: request.stdout.clone(),
            stderr: request.stderr.clone(),
            terminal: request.terminal,
        };
        let work = to_create(&self.namespace, request);
        let options = work.options.clone();
        let (stdio, stdin) = open_stdio(&paths)?;
        let done = self.spawner.call(Work::Create(Box::new(work)), stdin.as_ref().map(AsFd::as_fd)).await;
        log::step("server: created");
        if let Err(SpawnerError::Gone(_)) = &done {
            // Its worker has died with it, and nobody else removes what that had made.
            self.remove(&request.id).await?;
        }
        let init = Arc::new(Process::new(request.id.clone(), paths, None));
        self.take_over(&init, done.map_err(failed)?, stdio);
        Ok(Arc::new(Container::new(request.id.clone(), request.bundle.clone(), options, init)))
    }

    /// Takes over a process that a worker has made.
    pub(super) fn take_over(&self, process: &Process, done: Done, mut stdio: Stdio) {
        if let Err(failure) = stdio.complete(&process.paths, done.terminal) {
            // Its master is closed, so the process gets SIGHUP.
            tracing::error!("the terminal of {} can't be used: {failure}", process.id);
        }
        process.set_live(done.pid, stdio, self.exits.watch(done.pid));
    }

    fn tell_creation(&self, request: CreateTaskRequest, container: &Container) {
        log::go_on(Path::new(&container.bundle));
        tracing::info!("created {} as process {}", container.id, container.pid());
        self.publisher.publish(Event::Create(TaskCreate {
            container_id: request.id,
            bundle: request.bundle,
            rootfs: request.rootfs,
            io: task_io(&container.init.paths),
            pid: container.pid(),
            ..Default::default()
        }));
    }

    /// Tells the exit when it comes, after whatever step is under way: that of a container's first process after those of all
    /// others, which it takes along.
    pub(super) fn tell_exit(self: &Arc<Self>, container: Arc<Container>, process: Arc<Process>) {
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let Some(exit) = process.reaped().await else { return };
            let step = process.step.lock().await;
            this.exits.forget(process.pid() as i32);
            if Arc::ptr_eq(&process, &container.init) {
                container.set_paused(false);
                end_others(&container).await;
            }
            let first = Arc::ptr_eq(&process, &container.init).then_some(&exit);
            if container.memory_ran_out(first) && !fault::is(Fault::OomEvent) {
                let container_id = container.id.clone();
                this.publisher.publish(Event::Oom(TaskOOM { container_id, ..Default::default() }));
            }
            let exit =
                if fault::is(Fault::ExecCode) && process.exec.is_some() { Exit { status: 0, ..exit } } else { exit };
            log::step("server: exit");
            this.publisher.publish(Event::Exit(TaskExit {
                container_id: container.id.clone(),
                id: process.id.clone(),
                pid: process.pid(),
                exit_status: exit.status,
                exited_at: time(&exit),
                ..Default::default()
            }));
            process.set_exit(exit);
            drop(step);
            if Arc::ptr_eq(&process, &container.init) {
                tokio::time::sleep(SHUTDOWN_GRACE).await;
                this.forget_removed(&container);
            }
        });
    }

    /// Lets go of a container of which nothing is left: containerd has run `delete` for it, as it does where it can't reach the
    /// shim in time, and will not ask for it again.
    fn forget_removed(self: &Arc<Self>, container: &Arc<Container>) {
        let there = self.find(&container.id).is_ok_and(|there| Arc::ptr_eq(&there, container));
        if there && !State::of(&self.namespace, &container.id).folder().exists() {
            self.slots().remove(&container.id);
            self.end_if_idle();
        }
    }

    /// Opens a container's gate and tells that.
    pub(super) async fn start(self: &Arc<Self>, container: Arc<Container>) -> Result<u32> {
        let this = Arc::clone(self);
        to_its_end(async move {
            let init = &container.init;
            let _step = init.step.lock().await;
            log::step("server: Start");
            if !init.lives() || init.started() {
                let message = format!("container {} can't be started: it is {:?}", container.id, init.status());
                return Err(error(Code::FAILED_PRECONDITION, message));
            }
            match sandbox::open_gate(&this.namespace, &container.id) {
                Some(opened) => opened.map_err(|failure| failed(SpawnerError::from(failure)))?,
                None => {
                    let work = Work::Start { namespace: this.namespace.clone(), id: container.id.clone() };
                    this.spawner.call(work, None).await.map_err(failed)?;
                }
            }
            init.set_started();
            let (container_id, pid) = (container.id.clone(), container.pid());
            let event = Event::Start(TaskStart { container_id, pid, ..Default::default() });
            if fault::is(Fault::EventOrder) {
                let (this, container) = (Arc::clone(&this), Arc::clone(&container));
                tokio::spawn(async move {
                    container.init.settled().await;
                    this.publisher.publish(event);
                });
                return Ok(pid);
            }
            this.publisher.publish(event);
            Ok(pid)
        })
        .await
    }

    /// Removes a container that has ended, or was never started, and tells that.
    pub(super) async fn delete(self: &Arc<Self>, id: String) -> Result<(Arc<Container>, Exit)> {
        let container = self.find_to_delete(&id).await?;
        if container.init.lives() {
            if container.init.started() {
                let message = format!("container {id} can't be deleted: it is running");
                return Err(error(Code::FAILED_PRECONDITION, message));
            }
            // Gone meanwhile is as good.
            container.is_killed();
            let _ = container.init.kill();
        }
        let this = Arc::clone(self);
        to_its_end(async move {
            let exit = container.init.settled().await;
            if let Some(stdio) = container.init.stdio().filter(|_| fault::is(Fault::TerminalOutput)) {
                stdio.cut();
            }
            last_output(&container.init).await;
            let _step = container.init.step.lock().await;
            if !this.find(&id).is_ok_and(|there| Arc::ptr_eq(&there, &container)) {
                return Err(error(Code::NOT_FOUND, format!("container {id} not found: it was deleted just now")));
            }
            this.remove(&id).await?;
            this.seat.forget(Path::new(&container.bundle));
            this.slots().remove(&id);
            this.end_if_idle();
            this.publisher.publish(Event::Delete(TaskDelete {
                container_id: id,
                pid: container.pid(),
                exit_status: exit.status,
                exited_at: time(&exit),
                ..Default::default()
            }));
            Ok((container.clone(), exit))
        })
        .await
    }

    async fn remove(&self, id: &str) -> Result<()> {
        let (namespace, id) = (self.namespace.clone(), id.to_owned());
        match self.spawner.call(Work::Delete { namespace: namespace.clone(), id: id.clone() }, None).await {
            // Without a spawner no container is made any more, but those there are must be removed.
            Err(SpawnerError::Gone(_)) => tokio::task::spawn_blocking(move || sandbox::remove(&namespace, &id))
                .await
                .map_err(|broken| error(Code::INTERNAL, broken.to_string()))?
                .map_err(|failure| failed(failure.into())),
            other => other.map(drop).map_err(failed),
        }
    }
}

/// Opens a process's stdin.
pub(super) fn open_stdio(paths: &Paths) -> Result<(Stdio, Option<OwnedFd>)> {
    Stdio::open(paths).map_err(|failure| error(Code::INVALID_ARGUMENT, failure.to_string()))
}

/// Waits until a terminal's output is where it goes, but not for ever.
pub(super) async fn last_output(process: &Process) {
    if let Some(stdio) = process.stdio()
        && timeout(LAST_OUTPUT, stdio.copied()).await.is_err()
    {
        tracing::warn!("the last output of {} was not taken in {LAST_OUTPUT:?}", process.id);
    }
}

/// Ends what is left in a container whose first process has ended, and waits until that was told of what Exec has started.
/// With a pid namespace of the container's own the kernel has ended all already; in a pod's, or the machine's, children would
/// live on and hold the output open. One whose start is under way ends by itself.
async fn end_others(container: &Container) {
    let idle = |process: &Arc<Process>| process.step.try_lock().is_ok() && process.started();
    let running: Vec<_> = container.all_execs().into_iter().filter(idle).collect();
    for process in &running {
        // Gone already is as good.
        let _ = process.kill();
    }
    container.end_left();
    for process in running {
        process.settled().await;
    }
}

/// Runs a step that goes on when nobody waits for it any more.
pub(super) async fn to_its_end<R: Send + 'static>(step: impl Future<Output = Result<R>> + Send + 'static) -> Result<R> {
    tokio::spawn(step).await.map_err(|broken| error(Code::INTERNAL, broken.to_string()))?
}
