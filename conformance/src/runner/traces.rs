//! What a container leaves on the machine: processes, mounts, cgroups, its shim's socket, state, bundle, network
//! namespace. Looked for by the container's own names, so that containers that run beside it don't matter.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::cgroup;

/// Where runtimes keep what they know of their containers, by namespace and id.
const STATES: [&str; 2] = ["/run/multiwasm", "/run/containerd/runc"];

/// What is known of a container by which its traces are found.
#[derive(Debug, Clone, Default)]
pub struct Traces {
    namespace: String,
    id: String,
    /// The folder that containerd made for it.
    bundle: Option<PathBuf>,
    /// The socket of its shim.
    socket: Option<PathBuf>,
    /// Whether that is none of its shim's faults.
    socket_may_stay: bool,
    /// The network namespace of its process, as `/proc` names it.
    network: Option<String>,
}

impl Traces {
    /// Of a container that is not there yet.
    pub fn of(namespace: &str, id: &str) -> Self {
        Self { namespace: namespace.to_owned(), id: id.to_owned(), ..Self::default() }
    }

    /// runc's shim removes its socket only if it lives long enough after its last answer, which is not for us to judge.
    pub fn socket_may_stay(mut self, may: bool) -> Self {
        self.socket_may_stay = may;
        self
    }

    /// Notes what its living task tells: `bundle` is as containerd's event says it.
    pub fn note(&mut self, pid: u32, bundle: Option<&Path>) {
        let own = fs::read_link("/proc/self/ns/net").ok();
        let network = fs::read_link(format!("/proc/{pid}/ns/net")).ok().filter(|network| Some(network) != own.as_ref());
        self.network = network.map(|network| network.display().to_string());
        if let Some(bundle) = bundle {
            self.socket = socket(bundle);
            self.bundle = Some(bundle.to_owned());
        }
    }

    /// The socket of its shim, once its task is there.
    pub fn shims_socket(&self) -> Option<&Path> {
        self.socket.as_deref()
    }

    /// The processes that are its own: in its cgroup, or with its name among their arguments.
    pub fn processes(&self) -> Vec<(i32, String)> {
        self.processes_in(&cgroup_roots(&mounts()))
    }

    fn processes_in(&self, cgroups: &[PathBuf]) -> Vec<(i32, String)> {
        let mut members = BTreeSet::new();
        // Where it has none any more, nobody is in it: the kernel removes no cgroup that has members.
        cgroups.iter().for_each(|root| add_members(&self.cgroup(root), &mut members));
        let mut found = Vec::new();
        for pid in pids() {
            // One that ends while it is looked at is none.
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words = || command.split(|byte| *byte == 0);
            let has = |word: &str| words().any(|other| other == word.as_bytes());
            if members.contains(&pid) || (has(&self.id) && has(&self.namespace)) {
                found.push((pid, String::from_utf8_lossy(&command).replace('\0', " ").trim_end().to_owned()));
            }
        }
        found
    }

    /// Its shim: of the processes that bear its name the one whose parent does not.
    pub fn shim(&self) -> Option<i32> {
        let own = self.processes();
        let is_shim = |command: &str| command.split(' ').next().is_some_and(|word| word.contains("containerd-shim-"));
        let parent = |pid: i32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse::<i32>().ok()
        };
        let shims: Vec<_> = own.iter().filter(|(_, command)| is_shim(command)).map(|(pid, _)| *pid).collect();
        shims.iter().copied().find(|pid| parent(*pid).is_none_or(|parent| !shims.contains(&parent)))
    }

    /// All that is left of it, one line a thing.
    pub fn left(&self) -> Vec<String> {
        let mut left = BTreeSet::new();
        let mounts = mounts();
        let cgroups = cgroup_roots(&mounts);
        for (pid, command) in self.processes_in(&cgroups) {
            left.insert(format!("process {pid} {command}"));
        }
        let own = format!("/{}/{}", self.namespace, self.id);
        for line in mounts.lines() {
            // Root and mount point are the fourth and fifth word (proc_pid_mountinfo(5)).
            let mut words = line.split(' ').skip(3);
            let (root, point) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let of_network = self.network.as_deref() == Some(root);
            if of_network || point.find(&own).is_some_and(|at| within(&point[at..], &own)) {
                left.insert(format!("mount {point}"));
            }
        }
        for root in cgroups {
            there("cgroup", self.cgroup(&root), &mut left);
        }
        for state in STATES {
            there("state", Path::new(state).join(&self.namespace).join(&self.id), &mut left);
        }
        let socket = self.socket.as_ref().filter(|_| !self.socket_may_stay);
        for (kind, path) in [("bundle", self.bundle.as_ref()), ("socket", socket)] {
            path.iter().for_each(|path| there(kind, path.to_path_buf(), &mut left));
        }
        if let Some(network) = &self.network {
            let users = pids().filter(|pid| {
                fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|link| link.as_os_str() == network.as_str())
                    && !self.is_of_another(*pid)
            });
            left.extend(users.map(|pid| format!("network namespace {network}, held by process {pid}")));
        }
        left.into_iter().collect()
    }

    fn cgroup(&self, root: &Path) -> PathBuf {
        root.join(&cgroup::folder(&self.namespace, &self.id)[1..])
    }

    /// Whether a process is in the cgroup of another container of the run: the kernel soon gives a namespace's number to the
    /// next one.
    fn is_of_another(&self, pid: i32) -> bool {
        let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let (all, own) = (cgroup::prefix(&self.namespace), cgroup::folder(&self.namespace, &self.id));
        let path = |line: &str| line.splitn(3, ':').nth(2).unwrap_or_default().to_owned();
        cgroups.lines().map(path).any(|path| path.starts_with(&all) && !within(&path, &own))
    }

    /// Removes the folders of cgroups and state that the containers of a namespace lay in.
    pub fn remove_parents(namespace: &str) {
        let roots = cgroup_roots(&mounts()).into_iter().chain(STATES.map(PathBuf::from));
        for root in roots {
            // One that is not empty holds what a case has already told of.
            let _ = fs::remove_dir(root.join(namespace));
        }
    }
}

/// Whether `path` is `folder` or lies in it.
fn within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn there(kind: &str, path: PathBuf, left: &mut BTreeSet<String>) {
    if path.symlink_metadata().is_ok() {
        left.insert(format!("{kind} {}", path.display()));
    }
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Adds the processes in a cgroup, or below it.
fn add_members(cgroup: &Path, members: &mut BTreeSet<i32>) {
    let Ok(procs) = fs::read_to_string(cgroup.join("cgroup.procs")) else { return };
    members.extend(procs.lines().filter_map(|line| line.parse::<i32>().ok()));
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            add_members(&entry.path(), members);
        }
    }
}

fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap_or_default()
}

/// Where cgroup file systems are mounted, of both versions.
fn cgroup_roots(mounts: &str) -> Vec<PathBuf> {
    let is_cgroup = |line: &&str| line.split_once(" - ").is_some_and(|(_, kind)| kind.starts_with("cgroup"));
    mounts.lines().filter(is_cgroup).filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from).collect()
}

/// The address that a shim told containerd, as containerd or the shim noted it in the bundle.
fn socket(bundle: &Path) -> Option<PathBuf> {
    let noted = ["address", "bootstrap.json"].iter().find_map(|file| fs::read_to_string(bundle.join(file)).ok())?;
    let path = noted.split("unix://").nth(1)?;
    Some(PathBuf::from(path.split(['"', '\n']).next().unwrap_or(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_name_is_another_container() {
        assert!(within("/ns/a", "/ns/a"));
        assert!(within("/ns/a/b", "/ns/a"));
        assert!(!within("/ns/ab", "/ns/a"));
    }

    #[test]
    fn a_process_is_found_by_its_arguments() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "echo ready; read line", "containerd-shim-x", "-namespace", "traces-ns", "-id", "traces-id"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // Its arguments are there a moment after it has been spawned, and surely when it speaks.
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0; 6]).unwrap();
        let found = Traces::of("traces-ns", "traces-id").processes();
        assert_eq!(found.iter().map(|(pid, _)| *pid).collect::<Vec<_>>(), [child.id().cast_signed()]);
        assert!(Traces::of("traces-ns", "traces").left().is_empty());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(Traces::of("traces-ns", "traces-id").left().is_empty());
    }
}
