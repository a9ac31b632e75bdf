//! Leaving the host's namespaces for the container's.

use std::fs::File;
use std::path::Path;

use libcontainer::syscall::Syscall;
use nix::sched::{CloneFlags, setns, unshare};
use oci_spec::runtime::{LinuxNamespaceType, Spec};

use crate::causes::chain;

/// The namespace of a type, as the kernel's calls name it; none where this way does not know it.
fn flag(kind: LinuxNamespaceType) -> Option<CloneFlags> {
    Some(match kind {
        LinuxNamespaceType::Mount => CloneFlags::CLONE_NEWNS,
        LinuxNamespaceType::Pid => CloneFlags::CLONE_NEWPID,
        LinuxNamespaceType::Network => CloneFlags::CLONE_NEWNET,
        LinuxNamespaceType::Ipc => CloneFlags::CLONE_NEWIPC,
        LinuxNamespaceType::Uts => CloneFlags::CLONE_NEWUTS,
        LinuxNamespaceType::Cgroup => CloneFlags::CLONE_NEWCGROUP,
        LinuxNamespaceType::User | LinuxNamespaceType::Time => return None,
    })
}

/// The pid namespace, which is only for those that the calling process forks from now on.
pub(super) fn prepare_pids(spec: &Spec) -> Result<(), String> {
    apply(spec, |kind| kind == LinuxNamespaceType::Pid)
}

/// All others, for the calling process itself, which has one thread and is in its cgroup by now.
pub(super) fn enter(spec: &Spec) -> Result<(), String> {
    apply(spec, |kind| kind != LinuxNamespaceType::Pid)
}

fn apply(spec: &Spec, which: impl Fn(LinuxNamespaceType) -> bool) -> Result<(), String> {
    let linux = spec.linux().as_ref();
    let wanted = linux.and_then(|linux| linux.namespaces().as_ref()).into_iter().flatten();
    let mut new = CloneFlags::empty();
    for namespace in wanted.filter(|namespace| which(namespace.typ())) {
        let Some(flag) = flag(namespace.typ()) else { continue };
        match namespace.path() {
            None => new |= flag,
            Some(path) => join(path, flag).map_err(|error| format!("namespace {}: {error}", path.display()))?,
        }
    }
    if new.is_empty() {
        return Ok(());
    }
    unshare(new).map_err(|error| format!("namespaces can't be made: {}", error.desc()))
}

fn join(path: &Path, flag: CloneFlags) -> std::io::Result<()> {
    Ok(setns(File::open(path)?, flag)?)
}

/// Names, and the kernel's parameters, of namespaces that are the container's own.
pub(super) fn settle(spec: &Spec, syscall: &dyn Syscall) -> Result<(), String> {
    let linux = spec.linux().as_ref();
    let named = linux.and_then(|linux| linux.namespaces().as_ref()).into_iter().flatten();
    let own_names = named.into_iter().any(|space| space.typ() == LinuxNamespaceType::Uts && space.path().is_none());
    if own_names && let Some(name) = spec.hostname() {
        syscall.set_hostname(name).map_err(|error| format!("hostname {name:?}: {}", chain(&error)))?;
    }
    if own_names && let Some(name) = spec.domainname() {
        syscall.set_domainname(name).map_err(|error| format!("domain name {name:?}: {}", chain(&error)))?;
    }
    for (name, value) in linux.and_then(|linux| linux.sysctl().as_ref()).into_iter().flatten() {
        // /proc/sys shows each process its own namespaces' values; it is still the host's /proc here.
        let file = Path::new("/proc/sys").join(name.replace('.', "/"));
        std::fs::write(&file, value).map_err(|error| format!("sysctl {name}={value}: {error}"))?;
    }
    Ok(())
}
