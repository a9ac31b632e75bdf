//! Where a process's cgroups are, on either version and on both together.

mod folders;

use std::io;
use std::path::{Path, PathBuf};

pub(crate) use folders::Folders;

/// Where cgroups are mounted, by every distribution's convention (cgroups(7)).
const ROOT: &str = "/sys/fs/cgroup";

/// The cgroups of a process, one a hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cgroups(Vec<Membership>);

/// One line of /proc/pid/cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Membership {
    /// `cpu,cpuacct`, `name=systemd`; empty for version 2.
    controllers: String,
    /// From the hierarchy's root.
    path: String,
}

impl Cgroups {
    /// Those that `pid` is in now. Ask while it is known to live: a dead process is in the root of each hierarchy, and its
    /// number may become another's.
    ///
    /// # Errors
    /// Where there is no such process.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        Ok(Self::parse(&std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?))
    }

    /// `hierarchy:controllers:path` a line (cgroups(7)).
    fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let mut parts = line.splitn(3, ':').skip(1);
            Some(Membership { controllers: parts.next()?.to_owned(), path: parts.next()?.to_owned() })
        };
        Self(text.lines().filter_map(line).collect())
    }

    /// The folder of a version 1 controller; none where it is the root, which is no container's.
    pub(crate) fn v1(&self, controller: &str) -> Option<PathBuf> {
        let has = |found: &&Membership| found.controllers.split(',').any(|name| name == controller);
        self.0.iter().find(has).and_then(|found| found.folder(Path::new(ROOT)))
    }

    /// The folder of version 2; none where it is the root.
    pub(crate) fn v2(&self) -> Option<PathBuf> {
        let unified = self.0.iter().find(|found| found.controllers.is_empty());
        unified.and_then(|found| found.folder(Path::new(ROOT)))
    }

    /// The folder that has the memory controller: in a mixed set-up version 2 is there as well, without it.
    pub(crate) fn memory(&self) -> Option<PathBuf> {
        if self.has_v1("memory") { self.v1("memory") } else { self.v2() }
    }

    /// The roots of version 1's hierarchies that have any of these controllers.
    pub(crate) fn roots(&self, controllers: &[&str]) -> Vec<PathBuf> {
        let has = |found: &&Membership| found.controllers.split(',').any(|name| controllers.contains(&name));
        self.0.iter().filter(has).filter_map(|found| found.mount(Path::new(ROOT))).collect()
    }

    /// Whether rules for devices can be set in this machine's cgroups: version 2 takes them as programs, which are not written here.
    pub(crate) fn take_device_rules(&self) -> bool {
        self.has_v1("devices")
    }

    /// The root of version 2, where it is alone.
    pub(crate) fn unified_root(&self) -> PathBuf {
        ROOT.into()
    }

    /// Whether this controller is version 1's.
    pub(crate) fn has_v1(&self, controller: &str) -> bool {
        self.0.iter().any(|found| found.controllers.split(',').any(|name| name == controller))
    }

    /// Moves the process `pid` into those of these cgroups that it is not in already.
    ///
    /// # Errors
    /// Which one it can't be moved to, and why.
    pub(crate) fn adopt(&self, pid: u32) -> Result<(), (PathBuf, io::Error)> {
        let now = Self::of(pid).map_err(|error| (format!("/proc/{pid}/cgroup").into(), error))?;
        for membership in self.0.iter().filter(|membership| !now.0.contains(membership)) {
            if let Some(folder) = membership.folder(Path::new(ROOT)) {
                let list = folder.join("cgroup.procs");
                std::fs::write(&list, pid.to_string()).map_err(|error| (list, error))?;
            }
        }
        Ok(())
    }
}

impl Membership {
    fn folder(&self, root: &Path) -> Option<PathBuf> {
        let path = self.path.trim_start_matches('/');
        self.mount(root).filter(|_| !path.is_empty()).map(|mount| mount.join(path))
    }

    /// Where its hierarchy is mounted, or should be.
    fn mount(&self, root: &Path) -> Option<PathBuf> {
        let mounts = if self.controllers.is_empty() {
            // By itself, or beside version 1.
            let beside = root.join("unified");
            vec![if beside.is_dir() { beside } else { root.to_owned() }]
        } else {
            // Controllers that share a hierarchy have a folder by all their names, and most often one by each.
            let whole = self.controllers.trim_start_matches("name=");
            std::iter::once(whole).chain(whole.split(',')).map(|name| root.join(name)).collect()
        };
        mounts.iter().find(|mount| mount.is_dir()).or(mounts.first()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(text: &str, controller: &str, root: &Path) -> Option<PathBuf> {
        let cgroups = Cgroups::parse(text);
        let found = cgroups.0.iter().find(|found| found.controllers.split(',').any(|name| name == controller));
        found.and_then(|found| found.folder(root))
    }

    #[test]
    fn both_versions_are_found() {
        let root = tempfile::tempdir().unwrap();
        for name in ["cpu,cpuacct", "memory", "systemd", "net_cls"] {
            std::fs::create_dir(root.path().join(name)).unwrap();
        }
        let text = "12:cpu,cpuacct:/x\n5:memory:/docker/a:b\n4:net_prio,net_cls:/n\n1:name=systemd:/s\n0::/\n";
        assert_eq!(folder(text, "cpuacct", root.path()), Some(root.path().join("cpu,cpuacct/x")));
        assert_eq!(folder(text, "memory", root.path()), Some(root.path().join("memory/docker/a:b")));
        assert_eq!(folder(text, "net_prio", root.path()), Some(root.path().join("net_cls/n")));
        assert_eq!(folder(text, "name=systemd", root.path()), Some(root.path().join("systemd/s")));
        assert_eq!(folder(text, "", root.path()), None);
        let text = "0::/system.slice/docker-abc.scope\n";
        assert_eq!(folder(text, "", root.path()), Some(root.path().join("system.slice/docker-abc.scope")));
        std::fs::create_dir(root.path().join("unified")).unwrap();
        assert_eq!(folder("0::/x\n", "", root.path()), Some(root.path().join("unified/x")));
        for nobody in ["", "4:memory:/\n0::/\n", "0::/\n"] {
            assert_eq!(folder(nobody, "memory", root.path()), None);
        }
    }

    #[test]
    fn memory_is_where_its_controller_is() {
        let mixed = Cgroups::parse("4:memory:/\n0::/docker/abc\n");
        assert!(mixed.has_v1("memory") && mixed.memory().is_none() && mixed.v2().is_some());
        assert!(!Cgroups::parse("0::/docker/abc\n").has_v1("memory"));
    }
}
