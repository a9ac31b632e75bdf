//! containerd's events: one subscription, read by container.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use containerd_client::events::{TaskCreate, TaskDelete, TaskExit};
use containerd_client::services::v1::events_client::EventsClient;
use containerd_client::services::v1::{PublishRequest, SubscribeRequest};
use containerd_client::types::Envelope;
use prost::Message;
use prost_types::Any;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::{ClientError, Containerd, refused};

/// The topic of an event of ours, which comes back once a subscription stands.
const READY: &str = "/multiwasm/ready";
/// How often is asked whether it stands, and how long apart.
const TRIES: usize = 300;
const APART: Duration = Duration::from_millis(20);

/// What happened to a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What follows `/tasks/` in its topic.
    pub name: String,
    /// The exec it is about; empty: the container itself.
    pub exec: String,
    /// The exit code, of an exit or a delete.
    pub exit: Option<u32>,
}

#[derive(Debug, Default)]
struct Seen {
    tasks: Mutex<HashMap<String, Vec<Event>>>,
    bundles: Mutex<HashMap<String, PathBuf>>,
    ready: Mutex<bool>,
    news: Notify,
}

/// The events of a namespace's tasks, from [`Events::subscribe`] on.
#[derive(Debug)]
pub struct Events {
    seen: Arc<Seen>,
    reader: JoinHandle<()>,
}

impl Events {
    /// Subscribes; when this returns, no later event is missed.
    ///
    /// # Errors
    /// containerd sends none.
    pub async fn subscribe(containerd: &Containerd) -> Result<Self, ClientError> {
        let seen = Arc::new(Seen::default());
        let reader = tokio::spawn(read(containerd.clone(), Arc::clone(&seen)));
        let events = Self { seen, reader };
        // containerd answers a subscription with its first event, so nothing tells that it stands but an event.
        for _ in 0..TRIES {
            publish(containerd).await?;
            let _ = tokio::time::timeout(APART, events.seen.news.notified()).await;
            if *lock(&events.seen.ready) {
                return Ok(events);
            }
        }
        let reason = "none came back of those that were published".to_owned();
        Err(ClientError::Answer { call: "Subscribe", about: "events".to_owned(), reason })
    }

    /// All events of a container so far.
    pub fn of(&self, id: &str) -> Vec<Event> {
        lock(&self.seen.tasks).get(id).cloned().unwrap_or_default()
    }

    /// The folder that containerd made for a container, as the event of its creation says.
    pub fn bundle(&self, id: &str) -> Option<PathBuf> {
        lock(&self.seen.bundles).get(id).cloned()
    }

    /// Waits until the events of a container are such that `enough`, for as long as the caller lets it.
    pub async fn until(&self, id: &str, enough: impl Fn(&[Event]) -> bool) {
        loop {
            let mut news = std::pin::pin!(self.seen.news.notified());
            // Who asks for the next piece of news before it looks misses none in between.
            news.as_mut().enable();
            if enough(&self.of(id)) {
                return;
            }
            news.await;
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads events for ever; where containerd goes away, it subscribes again as soon as it is back.
async fn read(containerd: Containerd, seen: Arc<Seen>) {
    loop {
        let filters = vec![format!("namespace=={}", containerd.namespace())];
        let request = containerd.request(SubscribeRequest { filters });
        if let Ok(stream) = EventsClient::new(containerd.channel()).subscribe(request).await {
            let mut stream = stream.into_inner();
            while let Ok(Some(envelope)) = stream.message().await {
                take(&seen, &envelope);
            }
        }
        tokio::time::sleep(APART).await;
    }
}

fn take(seen: &Seen, envelope: &Envelope) {
    if envelope.topic == READY {
        *lock(&seen.ready) = true;
    } else if let Some(name) = envelope.topic.strip_prefix("/tasks/") {
        let name = name.to_owned();
        let bytes = envelope.event.as_ref().map_or(&[][..], |event| &event.value);
        if name == "create" {
            let create = TaskCreate::decode(bytes).unwrap_or_default();
            lock(&seen.bundles).insert(create.container_id, PathBuf::from(create.bundle));
        }
        let (id, event) = read_one(name, bytes);
        lock(&seen.tasks).entry(id).or_default().push(event);
    }
    seen.news.notify_waiters();
}

/// The container's id is the first field of each event of a task.
#[derive(Clone, PartialEq, Message)]
struct AnyTask {
    #[prost(string, tag = "1")]
    container_id: String,
}

/// Of the events of an exec that have no exit.
#[derive(Clone, PartialEq, Message)]
struct OfExec {
    #[prost(string, tag = "1")]
    container_id: String,
    #[prost(string, tag = "2")]
    exec_id: String,
}

fn read_one(name: String, bytes: &[u8]) -> (String, Event) {
    let of = |id: &String, exec: &String| if exec == id { String::new() } else { exec.clone() };
    match name.as_str() {
        "exit" => {
            let exit = TaskExit::decode(bytes).unwrap_or_default();
            let exec = of(&exit.container_id, &exit.id);
            (exit.container_id, Event { name, exec, exit: Some(exit.exit_status) })
        }
        "delete" => {
            let delete = TaskDelete::decode(bytes).unwrap_or_default();
            let exec = of(&delete.container_id, &delete.id);
            (delete.container_id, Event { name, exec, exit: Some(delete.exit_status) })
        }
        "exec-added" | "exec-started" => {
            let event = OfExec::decode(bytes).unwrap_or_default();
            (event.container_id, Event { name, exec: event.exec_id, exit: None })
        }
        _ => {
            let event = AnyTask::decode(bytes).unwrap_or_default();
            (event.container_id, Event { name, exec: String::new(), exit: None })
        }
    }
}

async fn publish(containerd: &Containerd) -> Result<(), ClientError> {
    let event = Any { type_url: "containerd.events.ContainerDelete".to_owned(), value: Vec::new() };
    let request = PublishRequest { topic: READY.to_owned(), event: Some(event) };
    let published = EventsClient::new(containerd.channel()).publish(containerd.request(request)).await;
    published.map(drop).map_err(refused("Publish", "an event"))
}
