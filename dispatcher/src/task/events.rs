//! Events: to containerd, in the order in which they happened.

use std::collections::VecDeque;
use std::time::Duration;

use containerd_shim::protos::events::task::{
    TaskCreate, TaskDelete, TaskExecAdded, TaskExecStarted, TaskExit, TaskIO, TaskOOM, TaskPaused, TaskResumed,
    TaskStart,
};
use containerd_shim::protos::protobuf::well_known_types::any::Any;
use containerd_shim::protos::protobuf::{self, MessageField};
use containerd_shim::protos::shim::event::Envelope;
use containerd_shim::protos::shim::events::ForwardRequest;
use containerd_shim::protos::shim_async::{Client, EventsClient};
use containerd_shim::protos::topics;
use containerd_shim::util::timestamp;
use tokio::sync::{mpsc, oneshot};
use ttrpc::context::with_timeout;

use super::any::pack;
use super::process::Paths;
use crate::fault::{self, Fault};

/// How long one event may take; containerd's own publisher gives as much (pkg/shim/publisher.go).
const FORWARD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait before containerd is tried again. It asks each shim for its state when it is back, so that events
/// which it missed are late, not lost.
const RETRY: Duration = Duration::from_secs(1);
/// Events kept while containerd is away.
const MOST_WAITING: usize = 2048;

/// Something that containerd is told.
pub(super) enum Event {
    Create(TaskCreate),
    Start(TaskStart),
    ExecAdded(TaskExecAdded),
    ExecStarted(TaskExecStarted),
    Paused(TaskPaused),
    Resumed(TaskResumed),
    Oom(TaskOOM),
    Exit(TaskExit),
    Delete(TaskDelete),
}

impl Event {
    /// Its topic, and itself.
    fn pack(&self) -> (&'static str, protobuf::Result<Any>) {
        match self {
            Self::Create(event) => (topics::TASK_CREATE_EVENT_TOPIC, pack("containerd.events.TaskCreate", event)),
            Self::Start(event) => (topics::TASK_START_EVENT_TOPIC, pack("containerd.events.TaskStart", event)),
            Self::ExecAdded(event) => {
                (topics::TASK_EXEC_ADDED_EVENT_TOPIC, pack("containerd.events.TaskExecAdded", event))
            }
            Self::ExecStarted(event) => {
                (topics::TASK_EXEC_STARTED_EVENT_TOPIC, pack("containerd.events.TaskExecStarted", event))
            }
            Self::Paused(event) => (topics::TASK_PAUSED_EVENT_TOPIC, pack("containerd.events.TaskPaused", event)),
            Self::Resumed(event) => (topics::TASK_RESUMED_EVENT_TOPIC, pack("containerd.events.TaskResumed", event)),
            Self::Oom(event) => (topics::TASK_OOM_EVENT_TOPIC, pack("containerd.events.TaskOOM", event)),
            Self::Exit(event) => (topics::TASK_EXIT_EVENT_TOPIC, pack("containerd.events.TaskExit", event)),
            Self::Delete(event) => (topics::TASK_DELETE_EVENT_TOPIC, pack("containerd.events.TaskDelete", event)),
        }
    }
}

/// What a TaskCreate event says of stdio.
pub(super) fn task_io(paths: &Paths) -> MessageField<TaskIO> {
    let Paths { stdin, stdout, stderr, terminal } = paths.clone();
    MessageField::some(TaskIO { stdin, stdout, stderr, terminal, ..Default::default() })
}

/// The end that the service writes to.
pub struct Publisher {
    namespace: String,
    queue: mpsc::UnboundedSender<Queued>,
}

enum Queued {
    Event(Box<Envelope>),
    /// Nothing follows; to be told when all before it is with containerd.
    Last(oneshot::Sender<()>),
}

impl Publisher {
    /// Starts the task that sends events to `address`.
    pub fn start(address: String, namespace: String) -> Self {
        let (queue, events) = mpsc::unbounded_channel();
        tokio::spawn(forward_all(address, events));
        Self { namespace, queue }
    }

    /// Puts an event at the end of the queue.
    pub(super) fn publish(&self, event: Event) {
        if fault::is(Fault::ExitEvent) && matches!(event, Event::Exit(_)) {
            return;
        }
        let (topic, event) = event.pack();
        let packed = event.map_err(|error| error.to_string());
        let packed = packed.and_then(|event| Ok((timestamp().map_err(|error| error.to_string())?, event)));
        let Ok((now, event)) = packed.inspect_err(|error| tracing::error!("{topic} can't be packed: {error}")) else {
            return;
        };
        let envelope = Envelope {
            timestamp: MessageField::some(now),
            namespace: self.namespace.clone(),
            topic: topic.to_owned(),
            event: MessageField::some(event),
            ..Default::default()
        };
        // The receiver lives as long as the runtime.
        let _ = self.queue.send(Queued::Event(Box::new(envelope)));
    }

    /// Waits until all events are with containerd, but no longer than `most`.
    pub async fn drain(&self, most: Duration) {
        let (sender, told) = oneshot::channel();
        if self.queue.send(Queued::Last(sender)).is_ok() {
            let _ = tokio::time::timeout(most, told).await;
        }
    }
}

async fn forward_all(address: String, mut events: mpsc::UnboundedReceiver<Queued>) {
    let mut client = None;
    let mut waiting = VecDeque::new();
    while let Some(queued) = events.recv().await {
        waiting.push_back(queued);
        while let Some(first) = waiting.pop_front() {
            let event = match first {
                Queued::Event(event) => event,
                Queued::Last(told) => {
                    // Who waited may have given up.
                    let _ = told.send(());
                    continue;
                }
            };
            if let Err(error) = forward(&mut client, &address, &event).await {
                tracing::warn!("{} is not with containerd yet: {error}", event.topic);
                client = None;
                tokio::time::sleep(RETRY).await;
                while let Ok(queued) = events.try_recv() {
                    waiting.push_back(queued);
                }
                if waiting.len() < MOST_WAITING {
                    waiting.push_front(Queued::Event(event));
                }
            }
        }
    }
}

async fn forward(client: &mut Option<EventsClient>, address: &str, event: &Envelope) -> ttrpc::Result<()> {
    let connected = match client {
        Some(client) => client,
        None => {
            let path = address.trim_start_matches("unix://");
            client.insert(EventsClient::new(Client::connect(&format!("unix://{path}")).await?))
        }
    };
    let request = ForwardRequest { envelope: MessageField::some(event.clone()), ..Default::default() };
    let context = with_timeout(FORWARD_TIMEOUT.as_nanos() as i64);
    match connected.forward(context, &request).await {
        // containerd has it and does not want it (an old one, an unknown topic): to say it again won't help.
        Err(ttrpc::Error::RpcStatus(status)) if status.code() != ttrpc::Code::UNAVAILABLE => {
            tracing::warn!("containerd refused {}: {}", event.topic, status.message);
            Ok(())
        }
        other => other.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use containerd_shim::protos::protobuf::MessageFull;

    use super::*;

    #[test]
    fn types_have_their_names() {
        fn same<M: MessageFull + Default>(event: fn(M) -> Event) {
            let (_, packed) = event(M::default()).pack();
            assert_eq!(packed.unwrap().type_url, M::descriptor().full_name());
        }
        same(Event::Create);
        same(Event::Start);
        same(Event::ExecAdded);
        same(Event::ExecStarted);
        same(Event::Paused);
        same(Event::Resumed);
        same(Event::Oom);
        same(Event::Exit);
        same(Event::Delete);
    }
}
