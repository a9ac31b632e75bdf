//! Containers, tasks and their processes.

use std::time::Duration;

use containerd_client::services::v1::containers_client::ContainersClient;
use containerd_client::services::v1::tasks_client::TasksClient;
use containerd_client::services::v1::{
    CheckpointTaskRequest, CloseIoRequest, Container, CreateContainerRequest, CreateTaskRequest,
    DeleteContainerRequest, DeleteProcessRequest, DeleteTaskRequest, ExecProcessRequest, GetRequest, KillRequest,
    ListPidsRequest, MetricsRequest, PauseTaskRequest, ResizePtyRequest, ResumeTaskRequest, StartRequest,
    UpdateTaskRequest, WaitRequest, container,
};
use containerd_client::tonic::transport::Channel;
use containerd_client::types::Mount;
use containerd_client::types::v1::Status;
use oci_spec::runtime::{LinuxResources, Process};
use prost::Message;
use prost_types::Any;
use serde::Serialize;

use super::images::SNAPSHOTTER;
use super::{ClientError, Containerd, refused};

/// What containerd calls JSON of the runtime specification.
const OCI: &str = "types.containerd.io/opencontainers/runtime-spec/1/";

/// How often a task is deleted that can't be yet, and how long apart.
const TRIES: usize = 40;
const APART: Duration = Duration::from_millis(100);

/// The pipes of a process; empty where there is none.
#[derive(Debug, Clone, Default)]
pub struct Streams {
    /// Path of the pipe that the process reads.
    pub stdin: String,
    /// Path of the pipe that it writes to.
    pub stdout: String,
    /// Path of the pipe for its errors.
    pub stderr: String,
    /// Whether a terminal takes their place inside.
    pub terminal: bool,
}

/// The options of a runtime that containerd and its clients agree on: `runtimeoptions.v1.Options`.
#[derive(Clone, PartialEq, Message)]
pub struct RuntimeOptions {
    /// What the configuration is, for a runtime that knows several.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The file that holds it.
    #[prost(string, tag = "2")]
    pub config_path: String,
    /// The configuration itself.
    #[prost(bytes = "vec", tag = "3")]
    pub config_body: Vec<u8>,
}

/// The state of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// `created`, `running`, `stopped`, `paused`.
    pub status: String,
    /// Its number outside.
    pub pid: u32,
    /// Its exit code, where it has stopped.
    pub exit: u32,
}

fn json(kind: &str, value: &impl Serialize) -> Any {
    let value = serde_json::to_vec(value).expect("the specification's types have string keys and no other hindrance");
    Any { type_url: format!("{OCI}{kind}"), value }
}

impl Containerd {
    fn tasks(&self) -> TasksClient<Channel> {
        TasksClient::new(self.channel())
    }

    /// Makes the record of a container whose snapshot has its id.
    ///
    /// # Errors
    /// containerd refuses it.
    pub async fn create_container(
        &self,
        id: &str,
        image: &str,
        runtime: (&str, Option<&RuntimeOptions>),
        spec: &serde_json::Value,
    ) -> Result<(), ClientError> {
        let options = runtime
            .1
            .map(|options| Any { type_url: "runtimeoptions.v1.Options".to_owned(), value: options.encode_to_vec() });
        let container = Container {
            id: id.to_owned(),
            image: image.to_owned(),
            runtime: Some(container::Runtime { name: runtime.0.to_owned(), options }),
            spec: Some(json("Spec", spec)),
            snapshotter: SNAPSHOTTER.to_owned(),
            snapshot_key: id.to_owned(),
            ..Default::default()
        };
        let request = CreateContainerRequest { container: Some(container) };
        let made = ContainersClient::new(self.channel()).create(self.request(request)).await;
        made.map(drop).map_err(refused("Create", &format!("container {id}")))
    }

    /// Removes the record of a container; one that is gone is removed.
    ///
    /// # Errors
    /// containerd refuses it.
    pub async fn delete_container(&self, id: &str) -> Result<(), ClientError> {
        let request = DeleteContainerRequest { id: id.to_owned() };
        let deleted = ContainersClient::new(self.channel()).delete(self.request(request)).await;
        match deleted.map_err(refused("Delete", &format!("container {id}"))) {
            Err(error) if error.is_not_found() => Ok(()),
            other => other.map(drop),
        }
    }

    /// Creates the task; gives its process.
    ///
    /// # Errors
    /// The runtime's own message is in it.
    pub async fn create_task(&self, id: &str, rootfs: Vec<Mount>, streams: &Streams) -> Result<u32, ClientError> {
        let request = CreateTaskRequest {
            container_id: id.to_owned(),
            rootfs,
            stdin: streams.stdin.clone(),
            stdout: streams.stdout.clone(),
            stderr: streams.stderr.clone(),
            terminal: streams.terminal,
            ..Default::default()
        };
        let created = self.tasks().create(self.request(request)).await.map_err(refused("Create", id))?;
        Ok(created.into_inner().pid)
    }

    /// Starts the task, or the exec of that id; gives its process.
    ///
    /// # Errors
    /// The runtime's own message is in it.
    pub async fn start(&self, id: &str, exec: &str) -> Result<u32, ClientError> {
        let request = StartRequest { container_id: id.to_owned(), exec_id: exec.to_owned() };
        Ok(self.tasks().start(self.request(request)).await.map_err(refused("Start", id))?.into_inner().pid)
    }

    /// Adds a process to the task.
    ///
    /// # Errors
    /// The runtime's own message is in it.
    pub async fn exec(&self, id: &str, exec: &str, process: &Process, streams: &Streams) -> Result<(), ClientError> {
        let request = ExecProcessRequest {
            container_id: id.to_owned(),
            exec_id: exec.to_owned(),
            stdin: streams.stdin.clone(),
            stdout: streams.stdout.clone(),
            stderr: streams.stderr.clone(),
            terminal: streams.terminal,
            spec: Some(json("Process", process)),
        };
        self.tasks().exec(self.request(request)).await.map(drop).map_err(refused("Exec", id))
    }

    /// Waits for the end of the task or the exec; gives its exit code.
    ///
    /// # Errors
    /// The runtime's own message is in it.
    pub async fn wait(&self, id: &str, exec: &str) -> Result<u32, ClientError> {
        let request = WaitRequest { container_id: id.to_owned(), exec_id: exec.to_owned() };
        Ok(self.tasks().wait(self.request(request)).await.map_err(refused("Wait", id))?.into_inner().exit_status)
    }

    /// Deletes the task or the exec; gives its exit code.
    ///
    /// # Errors
    /// The runtime's own message is in it.
    pub async fn delete(&self, id: &str, exec: &str) -> Result<u32, ClientError> {
        let container_id = id.to_owned();
        let deleted = if exec.is_empty() {
            self.tasks().delete(self.request(DeleteTaskRequest { container_id })).await
        } else {
            let request = DeleteProcessRequest { container_id, exec_id: exec.to_owned() };
            self.tasks().delete_process(self.request(request)).await
        };
        Ok(deleted.map_err(refused("Delete", id))?.into_inner().exit_status)
    }

    /// Sends a signal to the task, to all of its processes, or to the exec.
    ///
    /// # Errors
    /// The runtime's own message is in it.
    pub async fn kill(&self, id: &str, exec: &str, signal: u32, all: bool) -> Result<(), ClientError> {
        let request = KillRequest { container_id: id.to_owned(), exec_id: exec.to_owned(), signal, all };
        self.tasks().kill(self.request(request)).await.map(drop).map_err(refused("Kill", id))
    }

    /// The state of the task or the exec.
    ///
    /// # Errors
    /// The runtime's own message is in it.
    pub async fn state(&self, id: &str, exec: &str) -> Result<State, ClientError> {
        let request = GetRequest { container_id: id.to_owned(), exec_id: exec.to_owned() };
        let answer = self.tasks().get(self.request(request)).await.map_err(refused("Get", id))?.into_inner();
        let process = answer.process.unwrap_or_default();
        let status = Status::try_from(process.status).unwrap_or_default().as_str_name().to_lowercase();
        Ok(State { status, pid: process.pid, exit: process.exit_status })
    }

    /// Freezes the task, or thaws it.
    ///
    /// # Errors
    /// The runtime's own message is in it.
    pub async fn pause(&self, id: &str, frozen: bool) -> Result<(), ClientError> {
        let container_id = id.to_owned();
        if frozen {
            let request = PauseTaskRequest { container_id };
            self.tasks().pause(self.request(request)).await.map(drop).map_err(refused("Pause", id))
        } else {
            let request = ResumeTaskRequest { container_id };
            self.tasks().resume(self.request(request)).await.map(drop).map_err(refused("Resume", id))
        }
    }

    /// Changes the task's limits.
    ///
    /// # Errors
    /// The runtime's own message is in it.
    pub async fn update(&self, id: &str, resources: &LinuxResources) -> Result<(), ClientError> {
        let resources = Some(json("LinuxResources", resources));
        let request = UpdateTaskRequest { container_id: id.to_owned(), resources, ..Default::default() };
        self.tasks().update(self.request(request)).await.map(drop).map_err(refused("Update", id))
    }

    /// The task's metrics, as the runtime's message.
    ///
    /// # Errors
    /// The runtime's own message is in it.
    pub async fn metrics(&self, id: &str) -> Result<Any, ClientError> {
        let request = MetricsRequest { filters: vec![format!("id=={id}")] };
        let answer = self.tasks().metrics(self.request(request)).await.map_err(refused("Metrics", id))?.into_inner();
        let found = answer.metrics.into_iter().find(|metric| metric.id == id).and_then(|metric| metric.data);
        let nothing = || ClientError::Answer { call: "Metrics", about: id.to_owned(), reason: "none came".to_owned() };
        found.ok_or_else(nothing)
    }

    /// The task's processes.
    ///
    /// # Errors
    /// The runtime's own message is in it.
    pub async fn pids(&self, id: &str) -> Result<Vec<u32>, ClientError> {
        let request = ListPidsRequest { container_id: id.to_owned() };
        let answer = self.tasks().list_pids(self.request(request)).await.map_err(refused("ListPids", id))?;
        Ok(answer.into_inner().processes.into_iter().map(|process| process.pid).collect())
    }

    /// Tells the runtime that nothing more comes on standard input.
    ///
    /// # Errors
    /// The runtime's own message is in it.
    pub async fn close_stdin(&self, id: &str, exec: &str) -> Result<(), ClientError> {
        let request = CloseIoRequest { container_id: id.to_owned(), exec_id: exec.to_owned(), stdin: true };
        self.tasks().close_io(self.request(request)).await.map(drop).map_err(refused("CloseIO", id))
    }

    /// Changes the size of the terminal.
    ///
    /// # Errors
    /// The runtime's own message is in it.
    pub async fn resize(&self, id: &str, exec: &str, width: u32, height: u32) -> Result<(), ClientError> {
        let request = ResizePtyRequest { container_id: id.to_owned(), exec_id: exec.to_owned(), width, height };
        self.tasks().resize_pty(self.request(request)).await.map(drop).map_err(refused("ResizePty", id))
    }

    /// Asks for a checkpoint.
    ///
    /// # Errors
    /// The runtime's own message is in it.
    pub async fn checkpoint(&self, id: &str) -> Result<(), ClientError> {
        let request = CheckpointTaskRequest { container_id: id.to_owned(), ..Default::default() };
        self.tasks().checkpoint(self.request(request)).await.map(drop).map_err(refused("Checkpoint", id))
    }

    /// Ends whatever there is of a task, and removes container and snapshot. What is gone already is no error.
    ///
    /// # Errors
    /// Something can't be removed.
    pub async fn remove(&self, id: &str) -> Result<(), ClientError> {
        match self.kill(id, "", nix::sys::signal::Signal::SIGKILL as u32, true).await {
            // The runtime tells what is left when it is deleted.
            Ok(()) => drop(self.wait(id, "").await),
            Err(error) => drop(error),
        }
        // While containerd cleans up behind a shim that died, it refuses to delete.
        for _ in 0..TRIES {
            match self.delete(id, "").await {
                Err(error) if !error.is_not_found() => tokio::time::sleep(APART).await,
                _ => break,
            }
        }
        self.delete_container(id).await?;
        self.remove_snapshot(id).await
    }
}
