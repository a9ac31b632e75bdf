//! The container's cgroup: its folders, its limits, and a process that moves itself into it.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use libcgroups::common::{CgroupConfig, CgroupManager, ControllerOpt, create_cgroup_manager};
use oci_spec::runtime::LinuxResources;

use super::limits::Limits;
use crate::causes::chain;
use crate::cgroup::Folders;

/// Without a value in both no process can enter (cpuset(7)).
const CPUSET: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];

/// A cgroup to be made and entered.
pub(super) struct Cgroup {
    path: PathBuf,
    folders: Folders,
}

impl Cgroup {
    /// The cgroup `path`, from the root of each hierarchy; none where the machine has them in other places than usual.
    pub(super) fn of(path: &Path) -> Option<Self> {
        Some(Self { path: path.to_owned(), folders: Folders::of(path)? })
    }

    /// Makes the folders, and sets the limits in them.
    pub(super) fn make(&self, resources: Option<&LinuxResources>) -> Result<(), String> {
        for folder in self.folders.all() {
            self.make_folder(folder).map_err(|error| format!("cgroup {}: {error}", folder.display()))?;
        }
        let Some(resources) = resources else { return Ok(()) };
        let refused = |error: &dyn std::fmt::Display| format!("the container's limits can't be set: {error}");
        if let Some(limits) = Limits::of(resources, &self.folders) {
            return limits.set().map_err(|error| refused(&error));
        }
        let config =
            CgroupConfig { cgroup_path: self.path.clone(), systemd_cgroup: false, container_name: String::new() };
        let limits = ControllerOpt { resources, freezer_state: None, oom_score_adj: None, disable_oom_killer: false };
        let manager = create_cgroup_manager(config).map_err(|error| chain(&error))?;
        manager.apply(&limits).map_err(|error| refused(&chain(&error)))
    }

    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        if let Some(root) = self.folders.unified() {
            enable_controllers(root, folder)?;
        }
        std::fs::create_dir_all(folder)?;
        if folder.join(CPUSET[0]).exists() && self.folders.unified().is_none() {
            CPUSET.iter().try_for_each(|name| inherit(folder, name))?;
        }
        Ok(())
    }

    /// Moves the calling process, which must have one thread, into the cgroup.
    ///
    /// Version 1: its own thread by `tasks`, for which the kernel need not hold all forks and exits off. By `cgroup.procs`
    /// the first move after a quiet moment waits for a grace period, some 10 ms (`cgroup_procs_write_start` in the kernel's
    /// kernel/cgroup/cgroup.c).
    pub(super) fn enter(&self) -> Result<(), String> {
        let list = if self.folders.unified().is_some() { "cgroup.procs" } else { "tasks" };
        self.folders.all().iter().try_for_each(|folder| {
            let list = folder.join(list);
            let written = File::options().write(true).open(&list).and_then(|mut file| file.write_all(b"0"));
            written.map_err(|error| format!("cgroup {} can't be entered: {error}", list.display()))
        })
    }
}

/// Gives a cpuset that has no value yet that of the one above it.
fn inherit(folder: &Path, name: &str) -> io::Result<()> {
    let file = folder.join(name);
    if !std::fs::read_to_string(&file)?.trim().is_empty() {
        return Ok(());
    }
    let above = folder.parent().ok_or_else(|| io::Error::other("a cpuset's root has no CPUs"))?;
    inherit(above, name)?;
    std::fs::write(file, std::fs::read(above.join(name))?)
}

/// Lets the folders above `folder` hand all controllers down. One that can't be is missed when a limit wants it.
fn enable_controllers(root: &Path, folder: &Path) -> io::Result<()> {
    let controllers = std::fs::read_to_string(root.join("cgroup.controllers"))?;
    let from_root = folder.parent().and_then(|above| above.strip_prefix(root).ok()).unwrap_or(Path::new(""));
    let mut above = root.to_owned();
    let parts = std::iter::once(None).chain(from_root.components().map(Some));
    for part in parts {
        above.extend(part);
        std::fs::create_dir_all(&above)?;
        let file = above.join("cgroup.subtree_control");
        let enabled = std::fs::read_to_string(&file)?;
        let missing = controllers.split_whitespace().filter(|name| !enabled.split_whitespace().any(|on| on == *name));
        for name in missing {
            let _ = std::fs::write(&file, format!("+{name}"));
        }
    }
    Ok(())
}
