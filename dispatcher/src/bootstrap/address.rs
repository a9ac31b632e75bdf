//! The shim's socket: its address, and binding it so that nobody ever meets one that does not answer.

use std::fs::File;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{Flock, FlockArg};

use super::Params;

/// The file in the bundle that holds the address, by the name that containerd gives it.
const NOTE: &str = "address";

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

/// Binds `socket`, or finds who has it, and notes that in the bundle: a shim that others use does not end before the
/// container comes, see [`Seat::leave`].
pub(super) fn take(socket: &Path, bundle: &Path) -> Result<Bound, TakeError> {
    let bound = |source| TakeError::Bind { path: socket.to_owned(), source };
    if let Some(folder) = socket.parent() {
        std::fs::create_dir_all(folder).map_err(bound)?;
    }
    let _lock = lock(socket).map_err(bound)?;
    let taken = bind(socket).map_err(bound)?;
    note(bundle, &address(socket)).map_err(|source| {
        if matches!(taken, Bound::New(_)) {
            let _ = remove(socket);
        }
        TakeError::Note { path: bundle.to_owned(), source }
    })?;
    Ok(taken)
}

/// Why there is no socket for a shim.
#[derive(Debug, thiserror::Error)]
pub(super) enum TakeError {
    /// The socket.
    #[error("socket {path} can't be bound: {source}")]
    Bind { path: PathBuf, source: io::Error },
    /// The file in the bundle.
    #[error("the address can't be written to bundle {path}: {source}")]
    Note { path: PathBuf, source: io::Error },
}

/// Locks the folder of a socket: of two that find a dead shim's socket one would otherwise remove the other's new one.
fn lock(socket: &Path) -> io::Result<Flock<File>> {
    let folder = File::open(socket.parent().unwrap_or(Path::new("/")))?;
    Flock::lock(folder, FlockArg::LockExclusive).map_err(|(_, error)| error.into())
}

/// Binds `socket`, or finds who has it.
///
/// It is bound under another name and linked to its own when it listens, so that of two shims that start at once one
/// gets it and the other meets a socket that answers. One that does not answer is of a dead shim and is replaced.
fn bind(socket: &Path) -> io::Result<Bound> {
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
    let _lock = match lock(socket) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
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
fn note(bundle: &Path, address: &str) -> io::Result<()> {
    let own = bundle.join(".address");
    std::fs::write(&own, address)?;
    std::fs::rename(own, bundle.join(NOTE))
}

/// The socket that was noted in the bundle.
pub(super) fn noted(bundle: &Path) -> Option<PathBuf> {
    let address = std::fs::read_to_string(bundle.join(NOTE)).ok()?;
    Some(PathBuf::from(address.trim().trim_start_matches(SCHEME)))
}

/// A shim's place among others: its socket, and whether containers may come that it does not know of yet.
#[derive(Debug)]
pub struct Seat {
    socket: PathBuf,
    /// The folder of all bundles, where other containers than the one that the shim was started for may be given to it.
    bundles: Option<PathBuf>,
    /// Whether the socket is given up: it may be another's by now.
    left: AtomicBool,
}

impl Seat {
    pub(super) fn new(socket: PathBuf, shared: bool, bundle: &Path) -> Self {
        let bundles = bundle.parent().filter(|_| shared).map(Path::to_owned);
        Self { socket, bundles, left: AtomicBool::new(false) }
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Gives up the socket, which a shim that has no container does before it ends; a new container of the group then gets
    /// a new shim. False if a container is to come that was told of this one.
    pub fn leave(&self) -> bool {
        if self.left.load(Ordering::Relaxed) {
            return true;
        }
        // Without the lock another may be told of a socket that is going; it would fail, and nothing is left of it.
        let _lock = lock(&self.socket);
        let expected = self.bundles.as_ref().is_some_and(|bundles| {
            let bundles = std::fs::read_dir(bundles).into_iter().flatten().flatten();
            bundles.map(|bundle| noted(&bundle.path())).any(|socket| socket.as_ref() == Some(&self.socket))
        });
        if !expected && !self.left.swap(true, Ordering::Relaxed) {
            let _ = remove(&self.socket);
        }
        !expected
    }

    /// The container of this bundle is gone and not expected again.
    pub fn forget(&self, bundle: &Path) {
        if self.bundles.is_some() && noted(bundle).as_ref() == Some(&self.socket) {
            let _ = std::fs::remove_file(bundle.join(NOTE));
        }
    }
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

    #[test]
    fn a_shared_shim_stays_for_who_was_told_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, bundles) = (folder.path().join("s"), folder.path().join("bundles"));
        let bundle = |name: &str| {
            std::fs::create_dir_all(bundles.join(name)).unwrap();
            bundles.join(name)
        };
        let (first, second) = (bundle("first"), bundle("second"));
        assert!(matches!(take(&socket, &first).unwrap(), Bound::New(_)));
        // Nobody listens any more, but the second one's shim may be there.
        let listener = UnixListener::bind(folder.path().join("other")).unwrap();
        std::fs::rename(folder.path().join("other"), &socket).unwrap();
        assert!(matches!(take(&socket, &second).unwrap(), Bound::Taken));
        let seat = Seat::new(socket.clone(), true, &first);
        seat.forget(&first);
        assert!(!seat.leave());
        assert!(socket.exists());
        seat.forget(&second);
        assert!(seat.leave());
        assert!(!socket.exists());
        drop(listener);
    }

    #[test]
    fn a_shim_of_one_container_waits_for_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        assert!(matches!(take(&socket, folder.path()).unwrap(), Bound::New(_)));
        assert!(Seat::new(socket.clone(), false, folder.path()).leave());
        assert!(!socket.exists());
    }
}
