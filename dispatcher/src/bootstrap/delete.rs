//! `delete`: what containerd runs when a shim is dead or never came up. Leaves nothing, answers, returns.

use std::io::Write;
use std::path::PathBuf;

use containerd_shim::api::DeleteResponse;
use containerd_shim::protos::protobuf::{Message, MessageField};
use containerd_shim::util::timestamp;

use super::address;
use super::params::name;
use crate::fault;
use crate::process::Process;
use crate::sandbox;
use crate::server;
use crate::state::State;

/// What a process that was killed ends with: 128 + SIGKILL.
const KILLED: u32 = 137;

/// Ends what a dead server has left of its shim: a worker may still be about to make what is then left, as each of them is
/// told of its parent's death only when that is over.
///
/// A living server is not this container's alone (containerd 1.6 runs `delete` for each that goes), or it is about to end and
/// tells its last events.
fn end_shim(namespace: &str, id: &str) {
    let numbers = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let own: Vec<_> = numbers.filter_map(|pid| Some((Process::find(pid)?, member(pid, namespace, id)?))).collect();
    if own.iter().all(|(_, name)| name != server::NAME.to_bytes()) {
        own.into_iter().for_each(|(process, _)| sandbox::end(process));
    }
}

/// The name of a process of the shim that was started for this container. Its container's own processes show their own words.
fn member(pid: i32, namespace: &str, id: &str) -> Option<Vec<u8>> {
    let read = |file| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let (name, command) = (read("comm"), read("cmdline"));
    let words: Vec<_> = command.split(|byte| *byte == 0).collect();
    let has = |flag: &str, value: &str| words.windows(2).any(|pair| pair == [flag.as_bytes(), value.as_bytes()]);
    // A guest calls itself as it likes, but not from where a shim is.
    let place = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    let is = name.starts_with(b"multiwasm-")
        && place(&pid.to_string()) == place("self")
        && has("-namespace", namespace)
        && has("-id", id)
        && words.contains(&&b"start"[..]);
    is.then(|| name.trim_ascii_end().to_owned())
}

/// Removes what is left of container `id` and writes a `DeleteResponse` to stdout.
///
/// # Errors
/// What is left and why.
pub(super) fn delete(
    grpc_address: &str,
    namespace: &str,
    id: &str,
    bundle: PathBuf,
) -> Result<(), Box<dyn std::error::Error>> {
    let (namespace, id) = (name("namespace", namespace)?, name("container id", id)?);
    // A shim that died before it noted its socket, or whose bundle is gone, had it in the usual place.
    let socket = address::noted(&bundle).unwrap_or_else(|| address::usual(grpc_address, &namespace, &id));
    let pid = State::of(&namespace, &id).read().and_then(|record| record.init).map_or(0, |init| init.pid as u32);
    fault::choose_in(&bundle);
    // A living server has other containers of the pod, or is about to get one. The socket goes first: containerd ends this
    // process after 5 s, and the spawner, which would remove it too, is ended next.
    let mut unsocketed = address::remove_dead(&socket);
    if !address::answers(&socket) {
        end_shim(&namespace, &id);
        // It answered until now where it had only begun to die.
        unsocketed = unsocketed.and(address::remove_dead(&socket));
    }
    sandbox::remove(&namespace, &id)?;
    unsocketed?;
    let response =
        DeleteResponse { pid, exit_status: KILLED, exited_at: MessageField::some(timestamp()?), ..Default::default() };
    std::io::stdout().write_all(&response.write_to_bytes()?)?;
    Ok(())
}
