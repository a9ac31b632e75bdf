//! containerd's calls, one method each.

use std::sync::Arc;

use async_trait::async_trait;
use containerd_shim::api::{
    CheckpointTaskRequest, CloseIORequest, ConnectRequest, ConnectResponse, CreateTaskRequest, CreateTaskResponse,
    DeleteRequest, DeleteResponse, Empty, ExecProcessRequest, KillRequest, PauseRequest, PidsRequest, PidsResponse,
    ResizePtyRequest, ResumeRequest, ShutdownRequest, StartRequest, StartResponse, StateRequest, StateResponse,
    StatsRequest, StatsResponse, UpdateTaskRequest, WaitRequest, WaitResponse,
};
use containerd_shim::protos::protobuf::well_known_types::any::Any;
use containerd_shim::protos::protobuf::well_known_types::timestamp::Timestamp;
use containerd_shim::protos::protobuf::{EnumOrUnknown, MessageField};
use containerd_shim::protos::shim_async::Task;
use containerd_shim::protos::types::task::ProcessInfo;
use prost::Message;
use tokio::sync::Notify;
use ttrpc::r#async::TtrpcContext;
use ttrpc::{Code, Error, Result, get_status};

use super::Publisher;
use super::container::Container;
use super::exits::{Exit, Exits};
use super::lifecycle::Lifecycle;
use super::process::{Paths, Process};
use super::stats::{self, MemoryCgroup};
use crate::bootstrap::Seat;
use crate::fault::{self, Fault};
use crate::spawner::{Create, FailureKind, Mount, Spawner, SpawnerError};

/// The service of one shim server.
pub struct TaskService {
    life: Arc<Lifecycle>,
}

impl TaskService {
    /// A service without containers; `shutdown` is notified when containerd wants it to end.
    pub fn new(
        namespace: String,
        spawner: Arc<Spawner>,
        publisher: Arc<Publisher>,
        exits: Arc<Exits>,
        shutdown: Arc<Notify>,
        seat: Arc<Seat>,
    ) -> Self {
        Self { life: Arc::new(Lifecycle::new(namespace, spawner, publisher, exits, shutdown, seat)) }
    }

    /// The container and the process that a call is about: its first, where no other is named.
    fn find(&self, id: &str, exec_id: &str) -> Result<(Arc<Container>, Arc<Process>)> {
        let container = self.life.find(id)?;
        let process = if exec_id.is_empty() { Some(Arc::clone(&container.init)) } else { container.exec(exec_id) };
        match process {
            Some(process) => Ok((container, process)),
            None => Err(error(Code::NOT_FOUND, format!("process {exec_id} of container {id} not found"))),
        }
    }
}

#[async_trait]
impl Task for TaskService {
    async fn create(&self, _: &TtrpcContext, request: CreateTaskRequest) -> Result<CreateTaskResponse> {
        let container = self.life.create(request).await?;
        Ok(CreateTaskResponse { pid: container.pid(), ..Default::default() })
    }

    async fn start(&self, _: &TtrpcContext, request: StartRequest) -> Result<StartResponse> {
        let (container, process) = self.find(&request.id, &request.exec_id)?;
        let pid = if Arc::ptr_eq(&process, &container.init) {
            self.life.start(container).await?
        } else {
            self.life.start_exec(container, process).await?
        };
        Ok(StartResponse { pid, ..Default::default() })
    }

    async fn state(&self, _: &TtrpcContext, request: StateRequest) -> Result<StateResponse> {
        let (container, process) = self.find(&request.id, &request.exec_id)?;
        let exit = process.exit();
        let Paths { stdin, stdout, stderr, terminal } = process.paths.clone();
        Ok(StateResponse {
            id: container.id.clone(),
            bundle: container.bundle.clone(),
            exec_id: request.exec_id,
            pid: process.pid(),
            status: EnumOrUnknown::new(container.status_of(&process)),
            stdin,
            stdout,
            stderr,
            terminal,
            exit_status: exit.map_or(0, |exit| exit.status),
            exited_at: exit.as_ref().map_or_else(MessageField::none, time),
            ..Default::default()
        })
    }

    async fn wait(&self, _: &TtrpcContext, request: WaitRequest) -> Result<WaitResponse> {
        let (_, process) = self.find(&request.id, &request.exec_id)?;
        if fault::is(Fault::Wait) {
            return Ok(WaitResponse::default());
        }
        let exit = process.settled().await;
        Ok(WaitResponse { exit_status: exit.status, exited_at: time(&exit), ..Default::default() })
    }

    async fn kill(&self, _: &TtrpcContext, request: KillRequest) -> Result<Empty> {
        let (container, process) = self.find(&request.id, &request.exec_id)?;
        self.life.signal(container, process, request.signal, request.all).await?;
        Ok(Empty::default())
    }

    async fn delete(&self, _: &TtrpcContext, request: DeleteRequest) -> Result<DeleteResponse> {
        let (pid, exit) = if request.exec_id.is_empty() {
            let (container, exit) = self.life.delete(request.id).await?;
            (container.pid(), Some(exit))
        } else {
            let (container, process) = self.find(&request.id, &request.exec_id)?;
            (process.pid(), self.life.delete_exec(&container, process).await?)
        };
        Ok(DeleteResponse {
            pid,
            exit_status: exit.map_or(0, |exit| exit.status),
            exited_at: exit.as_ref().map_or_else(MessageField::none, time),
            ..Default::default()
        })
    }

    async fn pids(&self, _: &TtrpcContext, request: PidsRequest) -> Result<PidsResponse> {
        let container = self.life.find(&request.id)?;
        let mut pids = container.memory.as_ref().map(MemoryCgroup::processes).unwrap_or_default();
        if !pids.contains(&container.pid()) {
            // Until Delete a container that has ended is still there, and its exit is to be asked for: containerd, when it
            // comes back, removes a task that has no process at all.
            pids.push(container.pid());
        }
        if fault::is(Fault::Pids) {
            pids.pop();
        }
        let execs = container.all_execs();
        let named = |pid| execs.iter().find(|process| process.pid() == pid && process.exit().is_none());
        let info = |pid| ProcessInfo {
            pid,
            info: named(pid).map(|process| details(&process.id)).into(),
            ..Default::default()
        };
        let processes = pids.into_iter().map(info).collect();
        Ok(PidsResponse { processes, ..Default::default() })
    }

    async fn stats(&self, _: &TtrpcContext, request: StatsRequest) -> Result<StatsResponse> {
        let container = self.life.find(&request.id)?;
        if !container.init.lives() {
            let message = format!("container {} has ended: there are no metrics of it any more", container.id);
            return Err(error(Code::FAILED_PRECONDITION, message));
        }
        let stats = stats::metrics(container.pid()).map_err(|failure| {
            error(Code::INTERNAL, format!("metrics of container {} can't be read: {failure}", container.id))
        })?;
        Ok(StatsResponse { stats: MessageField::some(stats), ..Default::default() })
    }

    async fn close_io(&self, _: &TtrpcContext, request: CloseIORequest) -> Result<Empty> {
        let (_, process) = self.find(&request.id, &request.exec_id)?;
        if let Some(stdio) = process.stdio().filter(|_| request.stdin) {
            stdio.close_stdin();
        }
        Ok(Empty::default())
    }

    async fn connect(&self, _: &TtrpcContext, request: ConnectRequest) -> Result<ConnectResponse> {
        let task_pid = self.life.find(&request.id).map_or(0, |container| container.pid());
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Ok(ConnectResponse { shim_pid: std::process::id(), task_pid, version, ..Default::default() })
    }

    async fn shutdown(&self, _: &TtrpcContext, _: ShutdownRequest) -> Result<Empty> {
        self.life.shut_down();
        Ok(Empty::default())
    }

    async fn exec(&self, _: &TtrpcContext, request: ExecProcessRequest) -> Result<Empty> {
        self.life.add_exec(request)?;
        Ok(Empty::default())
    }

    async fn pause(&self, _: &TtrpcContext, request: PauseRequest) -> Result<Empty> {
        self.life.freeze(self.life.find(&request.id)?, true).await?;
        Ok(Empty::default())
    }

    async fn resume(&self, _: &TtrpcContext, request: ResumeRequest) -> Result<Empty> {
        self.life.freeze(self.life.find(&request.id)?, false).await?;
        Ok(Empty::default())
    }

    async fn update(&self, _: &TtrpcContext, request: UpdateTaskRequest) -> Result<Empty> {
        let container = self.life.find(&request.id)?;
        self.life.update(&container, request.resources.as_ref()).await?;
        Ok(Empty::default())
    }

    async fn checkpoint(&self, _: &TtrpcContext, request: CheckpointTaskRequest) -> Result<Empty> {
        let message = format!(
            "container {}: checkpoint is not offered by multiwasm: an engine's state can't be written to disk and read again",
            self.life.find(&request.id)?.id
        );
        Err(error(Code::UNIMPLEMENTED, message))
    }

    async fn resize_pty(&self, _: &TtrpcContext, request: ResizePtyRequest) -> Result<Empty> {
        let (container, process) = self.find(&request.id, &request.exec_id)?;
        let refused = |why: &str| {
            let message = format!("process {} of container {} can't be resized: {why}", process.id, container.id);
            error(Code::FAILED_PRECONDITION, message)
        };
        if !process.paths.terminal {
            return Err(refused("it has no terminal"));
        }
        if process.exit().is_some() {
            return Err(refused("it has ended"));
        }
        let side =
            |side: u32| u16::try_from(side).map_err(|_| refused("a terminal has at most 65535 rows and columns"));
        let (width, height) = (side(request.width)?, side(request.height)?);
        process.resize(width, height).map_err(|failure| refused(&failure.to_string()))?;
        Ok(Empty::default())
    }
}

/// What containerd's own shim says of a process beside its number (api/types/runc/options/oci.proto).
#[derive(prost::Message)]
struct ProcessDetails {
    #[prost(string, tag = "1")]
    exec_id: String,
}

fn details(exec_id: &str) -> Any {
    let value = ProcessDetails { exec_id: exec_id.to_owned() }.encode_to_vec();
    Any { type_url: "containerd.runc.v1.ProcessDetails".to_owned(), value, ..Default::default() }
}

pub(super) fn to_create(namespace: &str, request: &CreateTaskRequest) -> Create {
    let options = request.options.as_ref().filter(|options| !options.type_url.is_empty());
    Create {
        namespace: namespace.to_owned(),
        id: request.id.clone(),
        bundle: request.bundle.clone().into(),
        mounts: request
            .rootfs
            .iter()
            .map(|mount| Mount {
                kind: mount.type_.clone(),
                source: mount.source.clone(),
                target: mount.target.clone(),
                options: mount.options.clone(),
            })
            .collect(),
        stdout: request.stdout.clone(),
        stderr: request.stderr.clone(),
        terminal: request.terminal,
        options: options.map(|options| (options.type_url.clone(), hex::encode(&options.value))),
    }
}

pub(super) fn time(exit: &Exit) -> MessageField<Timestamp> {
    MessageField::some(Timestamp::from(exit.at))
}

pub(super) fn error(code: Code, message: String) -> Error {
    Error::RpcStatus(get_status(code, message))
}

pub(super) fn failed(failure: SpawnerError) -> Error {
    let code = match &failure {
        SpawnerError::Failed(failure) => match failure.kind {
            FailureKind::Invalid => Code::INVALID_ARGUMENT,
            FailureKind::NotFound => Code::NOT_FOUND,
            FailureKind::Exists => Code::ALREADY_EXISTS,
            FailureKind::State => Code::FAILED_PRECONDITION,
            FailureKind::Other => Code::UNKNOWN,
        },
        SpawnerError::Gone(_) => Code::UNAVAILABLE,
    };
    error(code, failure.to_string())
}
