//! What containers leave on a machine: processes, mounts, cgroups, sockets, state folders, network namespaces.
//!
//! A [`Snapshot`] is the whole lab's, so what compares two of them has the lab to itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io};

use crate::lab::Lab;

/// Where containerd's shims put their sockets, whatever containerd's own state folder is.
const SOCKETS: &str = "/run/containerd/s";
/// Where our shim keeps what it knows of its containers.
const SHIM_STATE: &str = "/run/multiwasm";
/// Where network namespaces have names.
const NETWORKS: &str = "/run/netns";

/// All that is there now, one line a thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot(BTreeSet<String>);

impl Snapshot {
    /// Looks at the machine.
    pub fn take(lab: &Lab) -> io::Result<Self> {
        let mut things = BTreeSet::new();
        processes(lab, &mut things)?;
        mounts(lab, &mut things)?;
        for root in cgroup_roots()? {
            folders("cgroup", &root, 4, &mut things);
        }
        folders("bundle", &lab.state.join("io.containerd.runtime.v2.task"), 2, &mut things);
        for (kind, root) in [("socket", SOCKETS), ("state", SHIM_STATE), ("network", NETWORKS)] {
            entries(kind, Path::new(root), &mut things);
        }
        Ok(Self(things))
    }

    /// What is here and was not in `before`.
    pub fn since<'a>(&'a self, before: &'a Self) -> Vec<&'a str> {
        self.0.difference(&before.0).map(String::as_str).collect()
    }

    /// Waits until nothing is there that was not in this snapshot; panics with what is left after `limit`.
    #[track_caller]
    pub fn await_back(&self, lab: &Lab, limit: Duration) {
        let deadline = Instant::now() + limit;
        loop {
            let now = Self::take(lab).unwrap_or_else(|error| panic!("can't look for leaks: {error}"));
            let left = now.since(self);
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "still there after {limit:?}:\n  {}", left.join("\n  "));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The processes of shims and containers: who has the lab's mark in its environment and is not a test itself, and who
/// is in a cgroup that is not this process's.
fn processes(lab: &Lab, things: &mut BTreeSet<String>) -> io::Result<()> {
    let own = fs::read_to_string("/proc/self/cgroup")?;
    for entry in fs::read_dir("/proc")? {
        let folder = entry?.path();
        let Some(pid) = folder.file_name().and_then(|name| name.to_str()).filter(|name| name.parse::<u32>().is_ok())
        else {
            continue;
        };
        // One that ends while it is looked at is none.
        let read = |name| fs::read(folder.join(name)).unwrap_or_default();
        let command = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        let shim = command.contains("containerd-shim-") && command.contains(&*lab.containerd.to_string_lossy());
        let cgroup = String::from_utf8_lossy(&read("cgroup")).into_owned();
        let contained = !cgroup.is_empty() && cgroup != own && cgroup.contains(&format!("/{}/", crate::ctr::NAMESPACE));
        if shim || contained {
            things.insert(format!("process {pid} {}", command.trim_end()));
        }
    }
    Ok(())
}

fn mounts(lab: &Lab, things: &mut BTreeSet<String>) -> io::Result<()> {
    let state = format!("{}/", lab.state.display());
    for line in fs::read_to_string("/proc/self/mountinfo")?.lines() {
        // The fifth word is the mount point (proc_pid_mountinfo(5)).
        if let Some(point) =
            line.split(' ').nth(4).filter(|point| point.starts_with(&state) || point.starts_with(SHIM_STATE))
        {
            things.insert(format!("mount {point}"));
        }
    }
    Ok(())
}

/// Where cgroup file systems are mounted, of both versions.
fn cgroup_roots() -> io::Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    let is_cgroup = |line: &&str| line.split_once(" - ").is_some_and(|(_, kind)| kind.starts_with("cgroup"));
    Ok(table.lines().filter(is_cgroup).filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from).collect())
}

/// Folders below `root`, as deep as `depth`.
fn folders(kind: &str, root: &Path, depth: usize, things: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        things.insert(format!("{kind} {}", entry.path().display()));
        if depth > 1 {
            folders(kind, &entry.path(), depth - 1, things);
        }
    }
}

fn entries(kind: &str, root: &Path, things: &mut BTreeSet<String>) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        things.insert(format!("{kind} {}", entry.path().display()));
        if kind == "state" {
            folders(kind, &entry.path(), 2, things);
        }
    }
}
