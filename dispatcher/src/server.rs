//! The shim server: one thread that answers containerd, reaps children and tells events.

use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use containerd_shim::protos::shim_async::create_task;
use nix::sys::prctl;
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use ttrpc::r#async::transport::Listener;

use crate::bootstrap::{Params, Seat};
use crate::log;
use crate::spawner::Spawner;
use crate::task::{Exits, Publisher, TaskService};

/// How long a shim that ends waits for containerd to take its last events. containerd itself waits 3 s for a shim to end
/// (`io.containerd.timeout.shim.shutdown`) and kills none that takes longer, so that a node under load loses no event.
const LAST_EVENTS: Duration = Duration::from_secs(20);

/// The server's name, as `ps` and the shim's own `delete` see it.
pub const NAME: &CStr = c"multiwasm-shim";

/// Serves until containerd says Shutdown; gives the exit code of the process.
pub fn run(listener: UnixListener, spawner: (Pid, OwnedFd), params: &Params, seat: &Arc<Seat>) -> i32 {
    let _ = prctl::set_name(NAME);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let served = runtime.and_then(|runtime| runtime.block_on(serve(listener, spawner, params, seat)));
    match served {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!("the shim's server ends: {error}");
            1
        }
    }
}

async fn serve(
    listener: UnixListener,
    (spawner_pid, spawner): (Pid, OwnedFd),
    params: &Params,
    seat: &Arc<Seat>,
) -> std::io::Result<()> {
    // Containers outlive the workers that make them and become our children.
    prctl::set_child_subreaper(true)?;
    let mut children = signal(SignalKind::child())?;
    // containerd ends a shim by Shutdown or SIGKILL; a signal to its process group is not meant for it.
    let _ignored = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);

    let spawner = Arc::new(Spawner::new(spawner)?);
    let exits = Arc::new(Exits::default());
    let publisher = Arc::new(Publisher::start(params.ttrpc_address.clone(), params.namespace.clone()));
    let shutdown = Arc::new(Notify::new());
    let service = Arc::new(TaskService::new(
        params.namespace.clone(),
        Arc::clone(&spawner),
        Arc::clone(&publisher),
        Arc::clone(&exits),
        Arc::clone(&shutdown),
        Arc::clone(seat),
    ));
    let mut server = server(listener, &service)?;
    server.start().await.map_err(std::io::Error::other)?;
    let mut ended = exits.watch(spawner_pid.as_raw());
    let line = Arc::clone(&spawner);
    tokio::spawn(async move {
        if ended.wait_for(Option::is_some).await.is_ok() {
            line.died();
        }
    });
    let receiving = tokio::spawn(async move { spawner.receive().await });
    log::step("server: serving");
    tracing::debug!("serving on {}", seat.socket().display());
    loop {
        tokio::select! {
            _ = children.recv() => exits.reap(),
            () = shutdown.notified() => break,
        }
    }
    let _ = server.shutdown().await;
    receiving.abort();
    publisher.drain(LAST_EVENTS).await;
    Ok(())
}

/// The task service under the names of both versions, which differ in nothing else.
fn server(listener: UnixListener, service: &Arc<TaskService>) -> std::io::Result<ttrpc::r#async::Server> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let mut server = ttrpc::r#async::Server::new().add_listener(Listener::from(listener));
    for name in ["containerd.task.v2.Task", "containerd.task.v3.Task"] {
        let methods = create_task(Arc::clone(service) as _).into_values();
        server = server.register_service(methods.map(|service| (name.to_owned(), service)).collect());
    }
    Ok(server)
}
