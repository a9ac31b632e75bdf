//! containerd's calls, one method each.

use std::sync::Arc;

use async_trait::async_trait;
use containerd_shim::api::{
    CheckpointTaskRequest, CloseIORequest, ConnectRequest, ConnectResponse, CreateTaskRequest, CreateTaskResponse,
    DeleteRequest, DeleteResponse, Empty, ExecProcessRequest, KillRequest, PauseRequest, PidsRequest, PidsResponse,
    ResizePtyRequest, ResumeRequest, ShutdownRequest, StartRequest, StartResponse, StateRequest, StateResponse,
    StatsRequest, StatsResponse, UpdateTaskRequest, WaitRequest, WaitResponse,
};
use containerd_shim::protos::protobuf::well_known_types::timestamp::Timestamp;
use containerd_shim::protos::protobuf::{EnumOrUnknown, MessageField};
use containerd_shim::protos::shim_async::Task;
use containerd_shim::protos::types::task::ProcessInfo;
use tokio::sync::Notify;
use ttrpc::r#async::TtrpcContext;
use ttrpc::{Code, Error, Result, get_status};

use super::Publisher;
use super::container::Container;
use super::exits::{Exit, Exits};
use super::lifecycle::Lifecycle;
use super::stats::{self, MemoryCgroup};
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
    ) -> Self {
        Self { life: Arc::new(Lifecycle::new(namespace, spawner, publisher, exits, shutdown)) }
    }

    /// The container of a call about its first process. Further processes come with Exec, which is not offered yet.
    fn find_init(&self, id: &str, exec_id: &str) -> Result<Arc<Container>> {
        if exec_id.is_empty() {
            return self.life.find(id);
        }
        Err(error(Code::NOT_FOUND, format!("process {exec_id} of container {id} not found")))
    }
}

#[async_trait]
impl Task for TaskService {
    async fn create(&self, _: &TtrpcContext, request: CreateTaskRequest) -> Result<CreateTaskResponse> {
        let container = self.life.create(request).await?;
        Ok(CreateTaskResponse { pid: container.pid(), ..Default::default() })
    }

    async fn start(&self, _: &TtrpcContext, request: StartRequest) -> Result<StartResponse> {
        let container = self.find_init(&request.id, &request.exec_id)?;
        Ok(StartResponse { pid: self.life.start(container).await?, ..Default::default() })
    }

    async fn state(&self, _: &TtrpcContext, request: StateRequest) -> Result<StateResponse> {
        let container = self.find_init(&request.id, &request.exec_id)?;
        let exit = container.exit();
        Ok(StateResponse {
            id: container.id.clone(),
            bundle: container.bundle.clone(),
            pid: container.pid(),
            status: EnumOrUnknown::new(container.status()),
            stdin: container.stdin.clone(),
            stdout: container.stdout.clone(),
            stderr: container.stderr.clone(),
            exit_status: exit.map_or(0, |exit| exit.status),
            exited_at: exit.as_ref().map_or_else(MessageField::none, time),
            ..Default::default()
        })
    }

    async fn wait(&self, _: &TtrpcContext, request: WaitRequest) -> Result<WaitResponse> {
        let exit = self.find_init(&request.id, &request.exec_id)?.settled().await;
        Ok(WaitResponse { exit_status: exit.status, exited_at: time(&exit), ..Default::default() })
    }

    async fn kill(&self, _: &TtrpcContext, request: KillRequest) -> Result<Empty> {
        let container = self.find_init(&request.id, &request.exec_id)?;
        let signal = request.signal as i32;
        if request.all && container.lives() {
            // The first process last: with it goes its pid namespace, and the rest need no signal any more.
            let pids = container.memory.as_ref().map(MemoryCgroup::processes).unwrap_or_default();
            for pid in pids.into_iter().filter(|pid| *pid != container.pid()) {
                // SAFETY: kill(2) takes any numbers; one that has ended meanwhile is no harm.
                unsafe { libc::kill(pid as i32, signal) };
            }
        }
        let gone = |_| error(Code::NOT_FOUND, format!("container {}: process already finished", container.id));
        container.signal(signal).map_err(gone)?;
        Ok(Empty::default())
    }

    async fn delete(&self, _: &TtrpcContext, request: DeleteRequest) -> Result<DeleteResponse> {
        if !request.exec_id.is_empty() {
            self.find_init(&request.id, &request.exec_id)?;
        }
        let (container, exit) = self.life.delete(request.id).await?;
        Ok(DeleteResponse {
            pid: container.pid(),
            exit_status: exit.status,
            exited_at: time(&exit),
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
        let processes = pids.into_iter().map(|pid| ProcessInfo { pid, ..Default::default() }).collect();
        Ok(PidsResponse { processes, ..Default::default() })
    }

    async fn stats(&self, _: &TtrpcContext, request: StatsRequest) -> Result<StatsResponse> {
        let container = self.life.find(&request.id)?;
        if !container.lives() {
            let message = format!("container {} has ended: there are no metrics of it any more", container.id);
            return Err(error(Code::FAILED_PRECONDITION, message));
        }
        let stats = stats::metrics(container.pid()).map_err(|failure| {
            error(Code::INTERNAL, format!("metrics of container {} can't be read: {failure}", container.id))
        })?;
        Ok(StatsResponse { stats: MessageField::some(stats), ..Default::default() })
    }

    async fn close_io(&self, _: &TtrpcContext, request: CloseIORequest) -> Result<Empty> {
        let container = self.find_init(&request.id, &request.exec_id)?;
        if request.stdin {
            container.stdio.close_stdin();
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
        Err(not_offered(&request.id, "exec"))
    }

    async fn pause(&self, _: &TtrpcContext, request: PauseRequest) -> Result<Empty> {
        Err(not_offered(&request.id, "pause"))
    }

    async fn resume(&self, _: &TtrpcContext, request: ResumeRequest) -> Result<Empty> {
        Err(not_offered(&request.id, "resume"))
    }

    async fn update(&self, _: &TtrpcContext, request: UpdateTaskRequest) -> Result<Empty> {
        Err(not_offered(&request.id, "update"))
    }

    async fn checkpoint(&self, _: &TtrpcContext, request: CheckpointTaskRequest) -> Result<Empty> {
        Err(not_offered(&request.id, "checkpoint"))
    }

    async fn resize_pty(&self, _: &TtrpcContext, request: ResizePtyRequest) -> Result<Empty> {
        let container = self.find_init(&request.id, &request.exec_id)?;
        Err(error(Code::FAILED_PRECONDITION, format!("container {} has no terminal", container.id)))
    }
}

fn not_offered(id: &str, what: &str) -> Error {
    error(Code::UNIMPLEMENTED, format!("container {id}: {what} is not offered by multiwasm yet"))
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
            FailureKind::Other => Code::UNKNOWN,
        },
        SpawnerError::Gone(_) => Code::UNAVAILABLE,
    };
    error(code, failure.to_string())
}
