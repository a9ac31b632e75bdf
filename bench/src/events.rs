//! When what happened to a container, by containerd's own events, which are the same whoever made the container.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use containerd_client::events::{ContainerCreate, TaskCreate, TaskDelete, TaskExit, TaskStart};
use containerd_client::services::v1::events_client::EventsClient;
use containerd_client::services::v1::{PublishRequest, SubscribeRequest};
use containerd_client::tonic::Request;
use containerd_client::types::Envelope;
use containerd_client::{connect, with_namespace};
use prost::Message;
use prost_types::Any;

use crate::BenchError;

/// The topic of an event of ours, which comes back once the subscription stands.
const READY: &str = "/multiwasm/ready";

/// How long an event may take that must come.
const LIMIT: Duration = Duration::from_secs(60);

/// A subscription to all events of containerd, from [`Events::subscribe`] on.
pub struct Events(Receiver<Envelope>);

/// A container's life as its events tell it: when each was sent, since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Life {
    /// containerd's record of the container.
    pub recorded: Duration,
    /// The task was created.
    pub created: Duration,
    /// It was started.
    pub started: Duration,
    /// It ended.
    pub exited: Duration,
    /// It was deleted; zero unless that was waited for.
    pub deleted: Duration,
    /// The exit code.
    pub code: u32,
}

impl Life {
    /// From the container's record to the exit of its task.
    pub fn took(&self) -> Duration {
        self.exited.saturating_sub(self.recorded)
    }
}

/// The event that a life is watched until.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// The task's exit.
    Exit,
    /// The task's deletion.
    Delete,
}

impl Events {
    /// Subscribes; when this returns, no later event is missed.
    pub fn subscribe(socket: &Path) -> Result<Self, BenchError> {
        let (sender, receiver) = channel();
        let path = socket.to_owned();
        // containerd answers a subscription with its first event, so nothing tells that it stands but an event.
        thread::spawn(move || on_runtime(async { forward(&path, &sender).await }));
        let deadline = Instant::now() + LIMIT;
        let path = socket.to_owned();
        while Instant::now() < deadline {
            on_runtime(async { publish(&path).await })??;
            match receiver.recv_timeout(Duration::from_millis(100)) {
                Ok(_) => return Ok(Self(receiver)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Err(BenchError::Unexpected(format!("containerd at {} sends no events", socket.display())))
    }

    /// Forgets the events so far.
    pub fn skip(&self) {
        while self.0.try_recv().is_ok() {}
    }

    /// The life of the next container in `namespace`; waits for its end.
    pub fn next_life(&self, namespace: &str, until: Until) -> Result<Life, BenchError> {
        let deadline = Instant::now() + LIMIT;
        let mut life = Life::default();
        let mut id = None;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self.0.recv_timeout(left).map_err(|_| BenchError::Container {
                container: format!("of {namespace}"),
                what: format!("containerd told not of its life until {until:?}"),
            })?;
            if event.namespace != namespace {
                continue;
            }
            let Some(id) = &id else {
                if event.topic == "/containers/create" {
                    life.recorded = time(&event);
                    id = Some(payload::<ContainerCreate>(&event)?.id);
                }
                continue;
            };
            match event.topic.as_str() {
                "/tasks/create" if payload::<TaskCreate>(&event)?.container_id == *id => life.created = time(&event),
                "/tasks/start" if payload::<TaskStart>(&event)?.container_id == *id => life.started = time(&event),
                "/tasks/exit" => {
                    let exit: TaskExit = payload(&event)?;
                    if exit.container_id == *id && exit.id == *id {
                        (life.exited, life.code) = (time(&event), exit.exit_status);
                        if until == Until::Exit {
                            return Ok(life);
                        }
                    }
                }
                "/tasks/delete" if payload::<TaskDelete>(&event)?.container_id == *id => {
                    life.deleted = time(&event);
                    return Ok(life);
                }
                _ => {}
            }
        }
    }
}

fn payload<M: Message + Default>(event: &Envelope) -> Result<M, BenchError> {
    let bytes = event.event.as_ref().map_or(&[][..], |any| &any.value);
    M::decode(bytes).map_err(|error| BenchError::Unexpected(format!("event {}: {error}", event.topic)))
}

/// When the event was sent, since 1970.
fn time(event: &Envelope) -> Duration {
    let at = event.timestamp.unwrap_or_default();
    Duration::new(at.seconds.unsigned_abs(), at.nanos.unsigned_abs())
}

/// Runs `future` on this thread.
pub(crate) fn on_runtime<F: Future>(future: F) -> Result<F::Output, BenchError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|cause| BenchError::File { what: "the runtime of the client".into(), cause })?;
    Ok(runtime.block_on(future))
}

/// A connection to containerd.
pub(crate) async fn channel_to(socket: &Path) -> Result<containerd_client::tonic::transport::Channel, BenchError> {
    connect(socket).await.map_err(|cause| BenchError::Connect { socket: socket.display().to_string(), cause })
}

/// Sends events on until nobody wants them any more.
async fn forward(socket: &Path, sender: &Sender<Envelope>) -> Result<(), BenchError> {
    let mut client = EventsClient::new(channel_to(socket).await?);
    let mut stream = client.subscribe(SubscribeRequest::default()).await.map_err(refused("Subscribe"))?.into_inner();
    while let Some(event) = stream.message().await.map_err(refused("Subscribe"))? {
        if sender.send(event).is_err() {
            break;
        }
    }
    Ok(())
}

async fn publish(socket: &Path) -> Result<(), BenchError> {
    let mut client = EventsClient::new(channel_to(socket).await?);
    let event = Any { type_url: "containerd.events.ContainerDelete".into(), value: Vec::new() };
    let request = PublishRequest { topic: READY.into(), event: Some(event) };
    client.publish(with_namespace!(request, "multiwasm")).await.map_err(refused("Publish"))?;
    Ok(())
}

fn refused(call: &'static str) -> impl Fn(containerd_client::tonic::Status) -> BenchError {
    move |cause| BenchError::Refused { call, container: "events".into(), cause: Box::new(cause) }
}
