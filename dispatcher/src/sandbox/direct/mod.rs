//! The short way into a container, for an ordinary WebAssembly guest: what libcontainer does for any program takes some two
//! thousand system calls and a wait for the kernel's cgroup lock, of which a guest needs a small part.
//!
//! Whatever is not ordinary goes libcontainer's way as before, and native programs do: [`Direct::of`] is the list of what
//! this way knows. In the order in which a container passes through them:
//!
//! - `cgroup`: its folders and limits; a process that moves itself there, or that systemd moves; `fork`: one that is made there
//! - `process`: the container's first process, from the fork to the gate and through it
//! - `namespaces`: what it leaves behind
//! - `root`, `mounts`, `devices`: what it finds

mod cgroup;
mod devices;
mod fork;
mod limits;
mod mounts;
mod namespaces;
mod process;
mod root;

use std::path::Path;

use oci_spec::runtime::{LinuxNamespaceType, LinuxSeccompAction, Spec};

use self::cgroup::Cgroup;
use self::mounts::Planned;
pub(super) use self::process::{gate, make, nobody_waits, open_gate};

/// A container that can go the short way, with all that can be known of it before anything is made.
pub(super) struct Direct {
    cgroup: Cgroup,
    mounts: Vec<Planned>,
}

impl Direct {
    /// The container of `spec`, whose relative paths start at `bundle` and whose cgroup is `cgroup`; or what is not ordinary
    /// about it.
    pub(super) fn of(spec: &Spec, bundle: &Path, cgroup: &Path, systemd: bool) -> Result<Self, &'static str> {
        let linux = spec.linux().as_ref().ok_or("no `linux`")?;
        let process = spec.process().as_ref().ok_or("no `process`")?;
        let unless = |unusual: bool, what: &'static str| if unusual { Err(what) } else { Ok(()) };
        unless(spec.hooks().is_some(), "hooks")?;
        unless(linux.uid_mappings().as_ref().is_some_and(|all| !all.is_empty()), "mapped users")?;
        unless(linux.intel_rdt().is_some(), "intelRdt")?;
        unless(linux.personality().is_some(), "personality")?;
        unless(linux.memory_policy().is_some(), "memoryPolicy")?;
        unless(linux.net_devices().as_ref().is_some_and(|all| !all.is_empty()), "netDevices")?;
        unless(linux.mount_label().as_ref().is_some_and(|label| !label.is_empty()), "mountLabel")?;
        unless(linux.masked_paths().iter().flatten().any(|path| !path.is_empty()), "maskedPaths")?;
        unless(linux.readonly_paths().iter().flatten().any(|path| !path.is_empty()), "readonlyPaths")?;
        let private = ["", "private", "rprivate", "slave", "rslave"];
        let propagation = linux.rootfs_propagation().as_deref().unwrap_or_default();
        unless(!private.contains(&propagation), "rootfsPropagation")?;
        unless(process.scheduler().is_some(), "scheduler")?;
        unless(process.io_priority().is_some(), "ioPriority")?;
        unless(process.selinux_label().as_ref().is_some_and(|label| !label.is_empty()), "selinuxLabel")?;
        let notifies = |seccomp: &oci_spec::runtime::LinuxSeccomp| {
            let actions = seccomp.syscalls().iter().flatten().map(|rule| rule.action());
            actions.chain([seccomp.default_action()]).any(|action| action == LinuxSeccompAction::ScmpActNotify)
        };
        unless(linux.seccomp().as_ref().is_some_and(notifies), "a seccomp listener")?;
        let namespaces = || linux.namespaces().iter().flatten();
        let own = |kind| namespaces().any(|space| space.typ() == kind && space.path().is_none());
        unless(!own(LinuxNamespaceType::Mount), "no mount namespace of its own")?;
        let unknown = [LinuxNamespaceType::User, LinuxNamespaceType::Time];
        unless(namespaces().any(|space| unknown.contains(&space.typ())), "a user or time namespace")?;
        unless(!mounts::has_new_calls(), "a kernel before 5.12")?;
        let mounts = spec.mounts().iter().flatten().map(|mount| Planned::of(mount, bundle));
        let mounts = mounts.collect::<Option<_>>().ok_or("a mount with uncommon options")?;
        let cgroup = Cgroup::of(cgroup, systemd).ok_or("cgroups in an uncommon place")?;
        Ok(Self { cgroup, mounts })
    }
}
