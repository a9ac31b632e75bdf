//! `start`: binds the socket, forks the server, tells containerd the address.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{ForkResult, dup2_stderr, dup2_stdin, dup2_stdout, fork, setsid};
use serde::Deserialize;

use super::address::{self, Bound, Seat, TakeError};
use super::params::Params;
use crate::config::{Config, ConfigError, Group};
use crate::sandbox::Preset;
use crate::{fault, log, server, spawner};

/// The annotations by which CRI implementations name the pod of a container.
const POD_ANNOTATIONS: [&str; 2] = ["io.kubernetes.cri.sandbox-id", "io.kubernetes.cri-o.SandboxID"];

/// Why `start` failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    /// The bundle's specification.
    #[error("{path} can't be read: {source}")]
    Spec { path: PathBuf, source: io::Error },
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The socket.
    #[error(transparent)]
    Socket(#[from] TakeError),
    /// A process.
    #[error("the shim's server can't be started: {0}")]
    Fork(nix::Error),
    /// containerd's pipe.
    #[error("the address can't be given to containerd: {0}")]
    Answer(io::Error),
}

/// The part of a specification that `start` needs; the rest is skipped while parsing.
#[derive(Deserialize)]
struct Glimpse {
    #[serde(default)]
    annotations: HashMap<String, String>,
}

/// Starts a server for the container's group, or finds the one there is.
pub(super) fn start(params: Params) -> Result<(), StartError> {
    let annotations = annotations(&params.bundle)?;
    fault::choose(&annotations);
    let config = Config::load(params.options.as_ref().map(|any| (any.type_url.as_str(), any.value.as_slice())))?;
    let group = match config.group {
        Group::Pod => POD_ANNOTATIONS.iter().find_map(|key| annotations.get(*key)).cloned(),
        Group::Container => None,
        // No container has such an id.
        Group::Node => Some(format!("node/{}", params.alias.as_deref().unwrap_or_default())),
    };
    let socket = address::socket_path(&params, group.as_ref().unwrap_or(&params.id));
    match address::take(&socket, &params.bundle)? {
        Bound::Taken => answer(&socket),
        Bound::New(listener) => {
            let seat = Arc::new(Seat::new(socket, group.is_some(), &params.bundle));
            let preset = Preset::new(config, params.alias.clone(), annotations);
            let preset = preset.with_containerd(params.grpc_address.clone());
            // SAFETY: this process has one thread: neither the parser nor the configuration starts any.
            match unsafe { fork() }.map_err(StartError::Fork) {
                Ok(ForkResult::Child) => serve(listener, params, seat, preset),
                Ok(ForkResult::Parent { child }) => {
                    // Held open here, it would seem to answer for a server that is killed meanwhile.
                    drop(listener);
                    answer(seat.socket()).inspect_err(|_| {
                        // Nobody will ever find this server.
                        let _ = kill(child, Signal::SIGKILL);
                    })
                }
                Err(error) => Err(error),
            }
            .inspect_err(|_| drop(address::remove(seat.socket())))
        }
    }
}

fn annotations(bundle: &Path) -> Result<HashMap<String, String>, StartError> {
    let path = bundle.join("config.json");
    let glimpse = std::fs::read(&path).and_then(|text| Ok(serde_json::from_slice::<Glimpse>(&text)?));
    glimpse.map(|glimpse| glimpse.annotations).map_err(|source| StartError::Spec { path, source })
}

fn answer(socket: &Path) -> Result<(), StartError> {
    let address = address::address(socket);
    let mut stdout = io::stdout();
    stdout.write_all(address.as_bytes()).and_then(|()| stdout.flush()).map_err(StartError::Answer)
}

/// The child's life: the shim server.
fn serve(listener: std::os::unix::net::UnixListener, params: Params, seat: Arc<Seat>, preset: Preset) -> ! {
    log::to_containerd(&params.bundle, params.debug);
    log::step("server: forked");
    fault::warn();
    let detached = detach().map_err(|error| error.to_string());
    // A server that is killed before containerd has dialled it is one that containerd never speaks of again, not by `delete`
    // either.
    let last = || {
        let socket = seat.socket();
        if let Err(error) = address::remove_dead(socket) {
            tracing::warn!("{}, the socket of a dead shim, can't be removed: {error}", socket.display());
        }
    };
    let line =
        detached.and_then(|()| spawner::fork_spawner(preset, &listener, last).map_err(|error| error.to_string()));
    let code = match line {
        Ok(line) => server::run(listener, line, &params, &seat),
        Err(error) => {
            tracing::error!("the shim's server can't be started: {error}");
            1
        }
    };
    if code != 0 {
        // A server that ended as told has removed it, and another may have its path by now.
        let _ = address::remove(seat.socket());
    }
    // SAFETY: ends the process at once; what `start` would still do at its end is its own.
    unsafe { libc::_exit(code) }
}

/// Lets go of containerd's pipes, which it reads to their end, of its session and of the bundle.
fn detach() -> nix::Result<()> {
    setsid()?;
    let null = File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(|e| nix::Error::from_raw(e.raw_os_error().unwrap_or(libc::EIO)))?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    nix::unistd::chdir("/")
}
