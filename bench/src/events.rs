//! When what happened to a container, by containerd's own events, which are the same whoever made the container.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use containerd_client::events::{ContainerCreate, TaskExit};
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

/// A container's life as its events tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// From the container's record to the exit of its task.
    pub took: Duration,
    /// The exit code.
    pub code: u32,
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

    /// The life of the next container in `namespace`; waits for its exit.
    pub fn next_life(&self, namespace: &str) -> Result<Life, BenchError> {
        let missing = |what: &str| BenchError::Container { container: format!("of {namespace}"), what: what.into() };
        let deadline = Instant::now() + LIMIT;
        let mut created: Option<(String, Duration)> = None;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self.0.recv_timeout(left).map_err(|_| missing("containerd told of no exit"))?;
            if event.namespace != namespace {
                continue;
            }
            match (event.topic.as_str(), &created) {
                ("/containers/create", None) => {
                    let record: ContainerCreate = payload(&event)?;
                    created = Some((record.id, time(&event)));
                }
                ("/tasks/exit", Some((id, since))) => {
                    let exit: TaskExit = payload(&event)?;
                    if exit.container_id == *id && exit.id == *id {
                        return Ok(Life { took: time(&event).saturating_sub(*since), code: exit.exit_status });
                    }
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
