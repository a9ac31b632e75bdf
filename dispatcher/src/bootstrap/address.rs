//! The shim's socket: its address, and binding it so that nobody ever meets one that does not answer.

use std::fs::File;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use super::Params;

/// The prefix of an address that is a path.
const SCHEME: &str = "unix://";

/// The socket's path for a group of containers: what containerd's own shims use, so that `ctr` and people find it.
pub(super) fn socket_path(params: &Params, group: &str) -> PathBuf {
    let path = usual(&params.grpc_address, &params.namespace, group);
    match (&params.socket_dir, path.file_name()) {
        (Some(dir), Some(name)) => dir.join(name),
        _ => path,
    }
}

/// As [`socket_path`], where containerd names no folder for sockets.
pub(super) fn usual(grpc_address: &str, namespace: &str, group: &str) -> PathBuf {
    PathBuf::from(containerd_shim::socket_address(grpc_address, namespace, group).trim_start_matches(SCHEME))
}

/// What containerd is told.
pub(super) fn address(socket: &Path) -> String {
    format!("{SCHEME}{}", socket.display())
}

/// A socket, ready or taken.
pub(super) enum Bound {
    /// It is ours.
    New(UnixListener),
    /// A living shim of the same group has it.
    Taken,
}

/// Binds `socket`, or finds who has it.
///
/// It is bound under another name and linked to its own when it listens, so that of two shims that start at once one
/// gets it and the other meets a socket that answers. One that does not answer is of a dead shim and is replaced.
pub(super) fn bind(socket: &Path) -> io::Result<Bound> {
    if let Some(folder) = socket.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // Of two that find a dead shim's socket one would otherwise remove the other's new one.
    let folder = File::open(socket.parent().unwrap_or(Path::new("/")))?;
    let _lock = Flock::lock(folder, FlockArg::LockExclusive).map_err(|(_, error)| error)?;
    let own = socket.with_extension(std::process::id().to_string());
    let _ = std::fs::remove_file(&own); // of a process that had our number and died between the next two lines
    let listener = UnixListener::bind(&own)?;
    let linked = loop {
        match std::fs::hard_link(&own, socket) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if answers(socket) {
                    break Ok(Bound::Taken);
                }
                remove(socket)?;
            }
            other => break other.map(|()| Bound::New(listener)),
        }
    };
    std::fs::remove_file(&own)?;
    linked
}

/// Whether a living shim listens.
pub(super) fn answers(socket: &Path) -> bool {
    UnixStream::connect(socket).is_ok()
}

/// Removes a socket that no living shim listens on.
pub(super) fn remove_dead(socket: &Path) -> io::Result<()> {
    let Some(Ok(folder)) = socket.parent().map(File::open) else { return Ok(()) };
    let _lock = Flock::lock(folder, FlockArg::LockExclusive).map_err(|(_, error)| error)?;
    if answers(socket) { Ok(()) } else { remove(socket) }
}

/// Removes a socket that may be gone already.
pub(super) fn remove(socket: &Path) -> io::Result<()> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Notes the address in the bundle, where containerd up to 1.7 looks for it after a restart.
pub(super) fn note(bundle: &Path, address: &str) -> io::Result<()> {
    let own = bundle.join(".address");
    std::fs::write(&own, address)?;
    std::fs::rename(own, bundle.join("address"))
}

/// The socket that was noted in the bundle.
pub(super) fn noted(bundle: &Path) -> Option<PathBuf> {
    let address = std::fs::read_to_string(bundle.join("address")).ok()?;
    Some(PathBuf::from(address.trim().trim_start_matches(SCHEME)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_finds_the_first_and_replaces_a_dead_one() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        let Bound::New(first) = bind(&socket).unwrap() else { panic!("nobody had it") };
        assert!(matches!(bind(&socket).unwrap(), Bound::Taken));
        drop(first);
        assert!(matches!(bind(&socket).unwrap(), Bound::New(_)));
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }
}
