//! The container's cgroup: its folders, its limits, and a process that moves itself into it.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use libcgroups::common::{CgroupConfig, CgroupManager, ControllerOpt, create_cgroup_manager};
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType, LinuxResources};

use crate::causes::chain;
use crate::cgroup::Cgroups;

/// Those of version 1 that containers are put into (libcgroups' list); a hierarchy without any of them is somebody else's.
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
/// Without a value in both no process can enter (cpuset(7)).
const CPUSET: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];

/// A cgroup by all its folders.
pub(super) struct Cgroup {
    path: PathBuf,
    folders: Vec<PathBuf>,
    /// Version 2's mount, where it is that alone.
    unified: Option<PathBuf>,
}

impl Cgroup {
    /// The cgroup `path`, from the root of each hierarchy; none where the machine has them in other places than usual.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let own = Cgroups::of(std::process::id()).ok()?;
        let roots = own.roots(&CONTROLLERS);
        let from_root = path.strip_prefix("/").unwrap_or(path);
        if from_root.as_os_str().is_empty()
            || !from_root.components().all(|part| matches!(part, std::path::Component::Normal(_)))
        {
            return None;
        }
        let unified = roots.is_empty().then(|| own.unified_root());
        let all = unified.iter().chain(&roots);
        // Elsewhere than usual, or not mounted here.
        if !all.clone().all(|root| root.join("cgroup.procs").exists()) {
            return None;
        }
        Some(Self {
            path: path.to_owned(),
            folders: all.map(|root| root.join(from_root)).collect(),
            unified: unified.clone(),
        })
    }

    /// Makes the folders, and sets the limits in them.
    pub(super) fn make(&self, resources: Option<&LinuxResources>) -> Result<(), String> {
        for folder in &self.folders {
            self.make_folder(folder).map_err(|error| format!("cgroup {}: {error}", folder.display()))?;
        }
        let Some(resources) = resources else { return Ok(()) };
        if !says_only_devices(resources) {
            let config =
                CgroupConfig { cgroup_path: self.path.clone(), systemd_cgroup: false, container_name: String::new() };
            let limits =
                ControllerOpt { resources, freezer_state: None, oom_score_adj: None, disable_oom_killer: false };
            let manager = create_cgroup_manager(config).map_err(|error| chain(&error))?;
            return manager
                .apply(&limits)
                .map_err(|error| format!("the container's limits can't be set: {}", chain(&error)));
        }
        let devices = self.folders.iter().find(|folder| folder.join("devices.allow").exists());
        devices.map_or(Ok(()), |folder| limit_devices(folder, resources))
    }

    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        if let Some(root) = &self.unified {
            enable_controllers(root, folder)?;
        }
        std::fs::create_dir_all(folder)?;
        if folder.join(CPUSET[0]).exists() && self.unified.is_none() {
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
        let list = if self.unified.is_some() { "cgroup.procs" } else { "tasks" };
        self.folders.iter().try_for_each(|folder| {
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

/// Whether nothing is limited but the access to devices. What is said as zero is not said.
fn says_only_devices(resources: &LinuxResources) -> bool {
    let Ok(serde_json::Value::Object(said)) = serde_json::to_value(resources) else { return false };
    said.iter().all(|(name, value)| name == "devices" || is_nothing(value))
}

fn is_nothing(value: &serde_json::Value) -> bool {
    use serde_json::Value;
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.values().all(is_nothing),
        Value::Bool(true) => false,
    }
}

/// The specification's rules, and then what every container may use: as libcgroups does it.
fn limit_devices(folder: &Path, resources: &LinuxResources) -> Result<(), String> {
    for rule in resources.devices().iter().flatten().cloned().chain(common_rules()) {
        let file = folder.join(if rule.allow() { "devices.allow" } else { "devices.deny" });
        std::fs::write(&file, rule.to_string()).map_err(|error| format!("{}: {rule}: {error}", file.display()))?;
    }
    Ok(())
}

/// Device nodes may be made, and the default ones used (runtime specification, config-linux.md, "Default Devices").
fn common_rules() -> Vec<LinuxDeviceCgroup> {
    let rule = |kind, major, minor, access: &str| {
        let mut rule = LinuxDeviceCgroupBuilder::default().allow(true).typ(kind).access(access.to_owned());
        if let Some(major) = major {
            rule = rule.major(major);
        }
        if let Some(minor) = minor {
            rule = rule.minor(minor);
        }
        rule.build().expect("all parts have defaults")
    };
    let c = LinuxDeviceType::C;
    // As in crun and runc: nodes of any kind may be made; null, zero, full, random, urandom, tty, ptmx and the terminals used.
    let mut rules = vec![rule(c, None, None, "m"), rule(LinuxDeviceType::B, None, None, "m")];
    for (major, minor) in [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2)] {
        rules.push(rule(c, Some(major), Some(minor), "rwm"));
    }
    rules.push(rule(c, Some(136), None, "rwm"));
    rules
}
