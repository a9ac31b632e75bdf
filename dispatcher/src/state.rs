//! What must be known of a container when its shim is gone: one folder each below `/run/multiwasm`.
//!
//! The record is written before anything that it names is made, so that whoever cleans up after a death in between finds
//! a name for all there is.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::process::Process;

/// All folders of containers are below it, by namespace. A tmpfs: a reboot leaves no containers and no records.
pub const ROOT: &str = "/run/multiwasm";

/// What a container consists of outside of containerd's own folders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The container's id.
    pub id: String,
    /// containerd's folder for it.
    pub bundle: PathBuf,
    /// The root file system, where it is ours to unmount.
    pub rootfs: Option<PathBuf>,
    /// The cgroup as libcgroups names it, once it is known.
    pub cgroup: Option<PathBuf>,
    /// Whether the cgroup is systemd's.
    pub systemd: bool,
    /// The container's first process, once there is one.
    pub init: Option<Process>,
    /// The process that makes the container.
    pub maker: Option<Process>,
}

/// The folder of one container.
#[derive(Debug, Clone)]
pub struct State {
    folder: PathBuf,
}

impl State {
    /// The folder of container `id` in `namespace`; both are checked names, see `bootstrap::Params`.
    pub fn of(namespace: &str, id: &str) -> Self {
        Self { folder: Path::new(ROOT).join(namespace).join(id) }
    }

    /// Those of all containers in `namespace`, as far as this user may see them.
    pub fn all(namespace: &str) -> Vec<Self> {
        Self::below(&Path::new(ROOT).join(namespace))
    }

    /// Those whose folders are in `folder`.
    pub(crate) fn below(folder: &Path) -> Vec<Self> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| Self { folder: entry.path() }).collect()
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where libcontainer keeps its own state.
    pub fn sandbox_root(&self) -> PathBuf {
        self.folder.join("sandbox")
    }

    /// The bundle with the specification as we run it.
    pub fn bundle(&self) -> PathBuf {
        self.folder.join("bundle")
    }

    /// Makes the folder and writes the first record.
    ///
    /// # Errors
    /// `AlreadyExists` where a container of this name was not cleaned up, and what the kernel says.
    pub fn create(&self, record: &Record) -> io::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        let mut builder = std::fs::DirBuilder::new();
        builder.mode(0o711);
        loop {
            if let Some(parent) = self.folder.parent() {
                match builder.recursive(true).create(parent) {
                    // It was there, and when it was looked at it had gone with the namespace's last container.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists && !parent.exists() => continue,
                    other => other?,
                }
            }
            match builder.recursive(false).create(&self.folder) {
                // The last container of the namespace has just gone, and its folder with it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => break other?,
            }
        }
        builder.create(self.sandbox_root())?;
        builder.create(self.bundle())?;
        self.write(record)
    }

    /// Replaces the record, whole.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn write(&self, record: &Record) -> io::Result<()> {
        let new = self.folder.join(".record.json");
        std::fs::write(&new, serde_json::to_vec(record)?)?;
        std::fs::rename(new, self.folder.join("record.json"))
    }

    /// The record, where there is one.
    pub fn read(&self) -> Option<Record> {
        serde_json::from_slice(&std::fs::read(self.folder.join("record.json")).ok()?).ok()
    }

    /// Removes all of it; that it is gone already is no error.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn remove(&self) -> io::Result<()> {
        match std::fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // The namespace's folder goes with its last container; another may just have begun there.
        let _ = self.folder.parent().map(std::fs::remove_dir);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_folders_go() {
        let root = tempfile::tempdir().unwrap();
        let state = State { folder: root.path().join("ns").join("id") };
        let record = Record {
            id: "id".into(),
            bundle: "/b".into(),
            rootfs: None,
            cgroup: Some("/c".into()),
            systemd: false,
            init: Some(Process { pid: 7, started: 9 }),
            maker: None,
        };
        state.create(&record).unwrap();
        assert_eq!(state.read(), Some(record.clone()));
        assert_eq!(state.create(&record).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        state.remove().unwrap();
        state.remove().unwrap();
        assert!(!root.path().join("ns").exists());
    }
}
