//! A cgroup by all its folders, one a hierarchy, and removing it with all that is in it.
//!
//! Found by the caller's own cgroups and not, as libcgroups does, by the table of mounts, which has a line for each container of
//! the machine and is read for each controller.

use std::collections::BTreeSet;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::Cgroups;
use crate::process::Process;

/// The controllers of version 1 that containers are put under (libcgroups' list); a hierarchy without any of them is somebody
/// else's.
const CONTROLLERS: [&str; 12] = [
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "hugetlb",
    "pids",
    "perf_event",
    "memory",
    "blkio",
    "net_prio",
    "net_cls",
    "freezer",
];

/// The folders of one cgroup, which need not be there.
#[derive(Debug)]
pub(crate) struct Folders {
    all: Vec<PathBuf>,
    /// Version 2's mount, where it is that alone.
    unified: Option<PathBuf>,
}

impl Folders {
    /// Those of the cgroup `path`, from the root of each hierarchy; none where the machine has them in other places than usual.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let own = Cgroups::of(std::process::id()).ok()?;
        let roots = own.roots(&CONTROLLERS);
        let from_root = path.strip_prefix("/").unwrap_or(path);
        let plain = from_root.components().all(|part| matches!(part, Component::Normal(_)));
        if from_root.as_os_str().is_empty() || !plain {
            return None;
        }
        let unified = roots.is_empty().then(|| own.unified_root());
        let all: Vec<_> = unified.iter().chain(&roots).collect();
        // Elsewhere than usual, or not mounted here.
        if !all.iter().all(|root| root.join("cgroup.procs").exists()) {
            return None;
        }
        Some(Self { all: all.into_iter().map(|root| root.join(from_root)).collect(), unified })
    }

    /// Whether version 2 is alone, where systemd can be asked for cgroups.
    pub(crate) fn are_unified() -> bool {
        Cgroups::of(std::process::id()).is_ok_and(|own| own.roots(&CONTROLLERS).is_empty())
    }

    /// The folders themselves.
    pub(crate) fn all(&self) -> &[PathBuf] {
        &self.all
    }

    /// Version 2's mount, where it is that alone.
    pub(crate) fn unified(&self) -> Option<&Path> {
        self.unified.as_deref()
    }

    /// The folder that has this file.
    pub(crate) fn with(&self, file: &str) -> Option<&Path> {
        self.all.iter().find(|folder| folder.join(file).exists()).map(PathBuf::as_path)
    }

    /// Kills who is in it and removes it, with the cgroups below it. Who forks while it is killed needs another round, and
    /// version 1 has no event for a cgroup that became empty.
    ///
    /// # Errors
    /// What is left after `limit`, and why.
    pub(crate) fn remove(&self, limit: Duration) -> Result<(), String> {
        let deadline = Instant::now() + limit;
        self.all.iter().try_for_each(|folder| remove(folder, deadline))
    }
}

fn remove(folder: &Path, deadline: Instant) -> Result<(), String> {
    loop {
        let error = match std::fs::remove_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => error,
            _ => return Ok(()),
        };
        let members = members(folder);
        let busy = error.raw_os_error() == Some(Errno::EBUSY as i32);
        if !busy || Instant::now() > deadline {
            return Err(format!("{}: {error} (processes in it: {members:?})", folder.display()));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if members.is_empty() {
            // Who has ended is still in it for a moment.
            std::thread::sleep(Duration::from_millis(1));
        }
        members.into_iter().filter_map(Process::find).for_each(|process| process.end(left));
        below(folder).try_for_each(|child| remove(&child, deadline))?;
    }
}

/// The cgroups directly below.
fn below(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path())
}

fn members(folder: &Path) -> BTreeSet<i32> {
    let list = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    list.lines().filter_map(|line| line.parse().ok()).collect()
}
