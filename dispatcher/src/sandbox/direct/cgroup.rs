//! The container's cgroup: its folders, its limits, and a process that moves itself into it, or that systemd moves.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use libcgroups::common::{CgroupConfig, CgroupManager, ControllerOpt, create_cgroup_manager};
use nix::unistd::Pid;
use oci_spec::runtime::LinuxResources;

use super::limits::Limits;
use crate::causes::chain;
use crate::cgroup::Folders;

/// Without a value in both no process can enter (cpuset(7)).
const CPUSET: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];

/// A cgroup to be made and entered.
pub(super) enum Cgroup {
    /// Folders of our own.
    Folders(Folders, PathBuf),
    /// A scope that systemd makes, by its name `slice:prefix:name`.
    Scope(PathBuf),
}

impl Cgroup {
    /// The cgroup `path`, from the root of each hierarchy; none where the machine has them in other places than usual.
    pub(super) fn of(path: &Path, systemd: bool) -> Option<Self> {
        let path = path.to_owned();
        Some(if systemd { Self::Scope(path) } else { Self::Folders(Folders::of(&path)?, path) })
    }

    /// Makes what can be made before there is a process.
    pub(super) fn make(&self, resources: Option<&LinuxResources>) -> Result<(), String> {
        match self {
            Self::Folders(folders, path) => make(folders, path, resources),
            Self::Scope(_) => Ok(()),
        }
    }

    /// Whether a new process waits until [`Cgroup::admit`] has let it in.
    pub(super) fn admits(&self) -> bool {
        matches!(self, Self::Scope(_))
    }

    /// Has systemd make the scope of container `id` with process `pid` in it, as there is none without a process, and sets its limits.
    pub(super) fn admit(&self, pid: Pid, id: &str, resources: Option<&LinuxResources>) -> Result<(), String> {
        let Self::Scope(name) = self else { return Ok(()) };
        let named = |error: &dyn std::error::Error| format!("cgroup {}: {}", name.display(), chain(error));
        let config = CgroupConfig { cgroup_path: name.clone(), systemd_cgroup: true, container_name: id.to_owned() };
        let manager = create_cgroup_manager(config).map_err(|error| named(&error))?;
        manager.add_task(nix_of_libcgroups::unistd::Pid::from_raw(pid.as_raw())).map_err(|error| named(&error))?;
        resources.map_or(Ok(()), |resources| manager.apply(&opt(resources)).map_err(|error| named(&error)))
    }

    /// The folder of the one cgroup that a process can be made in, where that is all of them: version 2's.
    pub(super) fn to_fork_into(&self) -> Option<File> {
        let Self::Folders(folders, _) = self else { return None };
        folders.unified()?;
        let [folder] = folders.all() else { return None };
        File::open(folder).ok()
    }

    /// Moves the calling process, which must have one thread, into the cgroup.
    ///
    /// Version 1: its own thread by `tasks`, for which the kernel need not hold all forks and exits off. By `cgroup.procs`
    /// the first move after a quiet moment waits for a grace period, some 10 ms (`cgroup_procs_write_start` in the kernel's
    /// kernel/cgroup/cgroup.c).
    pub(super) fn enter(&self) -> Result<(), String> {
        let Self::Folders(folders, _) = self else { return Ok(()) };
        let list = if folders.unified().is_some() { "cgroup.procs" } else { "tasks" };
        folders.all().iter().try_for_each(|folder| {
            let list = folder.join(list);
            let written = File::options().write(true).open(&list).and_then(|mut file| file.write_all(b"0"));
            written.map_err(|error| format!("cgroup {} can't be entered: {error}", list.display()))
        })
    }
}

fn opt(resources: &LinuxResources) -> ControllerOpt<'_> {
    ControllerOpt { resources, freezer_state: None, oom_score_adj: None, disable_oom_killer: false }
}

/// Makes the folders, and sets the limits in them.
fn make(folders: &Folders, path: &Path, resources: Option<&LinuxResources>) -> Result<(), String> {
    for folder in folders.all() {
        make_folder(folders, folder).map_err(|error| format!("cgroup {}: {error}", folder.display()))?;
    }
    let Some(resources) = resources else { return Ok(()) };
    let refused = |error: &dyn std::fmt::Display| format!("the container's limits can't be set: {error}");
    if let Some(limits) = Limits::of(resources, folders) {
        return limits.set().map_err(|error| refused(&error));
    }
    let config = CgroupConfig { cgroup_path: path.to_owned(), systemd_cgroup: false, container_name: String::new() };
    let manager = create_cgroup_manager(config).map_err(|error| chain(&error))?;
    manager.apply(&opt(resources)).map_err(|error| refused(&chain(&error)))
}

fn make_folder(folders: &Folders, folder: &Path) -> io::Result<()> {
    if let Some(root) = folders.unified() {
        enable_controllers(root, folder)?;
    }
    std::fs::create_dir_all(folder)?;
    if folder.join(CPUSET[0]).exists() && folders.unified().is_none() {
        CPUSET.iter().try_for_each(|name| inherit(folder, name))?;
    }
    Ok(())
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
