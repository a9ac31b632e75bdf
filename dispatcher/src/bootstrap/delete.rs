//! `delete`: what containerd runs when a shim is dead or never came up. Leaves nothing, answers, returns.

use std::io::Write;
use std::path::PathBuf;

use containerd_shim::api::DeleteResponse;
use containerd_shim::protos::protobuf::{Message, MessageField};
use containerd_shim::util::timestamp;

use super::address;
use super::params::name;
use crate::fault;
use crate::sandbox;
use crate::state::State;

/// What a process that was killed ends with: 128 + SIGKILL.
const KILLED: u32 = 137;

/// Removes what is left of container `id` and writes a `DeleteResponse` to stdout.
pub(super) fn delete(namespace: &str, id: &str, bundle: PathBuf) -> Result<(), Box<dyn std::error::Error>> {
    let (namespace, id) = (name("namespace", namespace)?, name("container id", id)?);
    let pid = State::of(&namespace, &id).read().and_then(|record| record.init).map_or(0, |init| init.pid as u32);
    fault::choose_in(&bundle);
    let removed = sandbox::remove(&namespace, &id);
    // A living server has other containers of the pod, or is about to get one.
    if let Some(socket) = address::noted(&bundle) {
        address::remove_dead(&socket)?;
    }
    removed?;
    let response =
        DeleteResponse { pid, exit_status: KILLED, exited_at: MessageField::some(timestamp()?), ..Default::default() };
    std::io::stdout().write_all(&response.write_to_bytes()?)?;
    Ok(())
}
