//! The OCI specification: read from containerd's bundle, made ours, written for libcontainer.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use oci_spec::OciSpecError;
use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities, LinuxNamespaceType, Mount, Process, Spec};

use super::SandboxError;

/// File systems through which a kernel shows itself. A guest's only way to its world is the engine, which needs none of
/// them; without them there is less to mount, to mask and to escape through.
const KERNEL_FILESYSTEMS: [&str; 6] = ["proc", "sysfs", "cgroup", "cgroup2", "mqueue", "devpts"];

/// Reads a specification as it is.
pub(super) fn load(path: &Path) -> Result<Spec, SandboxError> {
    Spec::load(path).map_err(|error| SandboxError::Spec { path: path.to_owned(), reason: reason(&error) })
}

/// What is wrong; the library's own words for most of it say nothing ("io operation failed").
fn reason(error: &OciSpecError) -> String {
    match error {
        OciSpecError::SerDe(source) => format!("it can't be read as an OCI specification: {source}"),
        OciSpecError::Io(source) => source.to_string(),
        _ => crate::causes::chain(error),
    }
}

/// Reads the specification of `bundle`; its root gets an absolute path.
pub(super) fn read(bundle: &Path) -> Result<Spec, SandboxError> {
    let path = bundle.join("config.json");
    let mut spec = load(&path)?;
    if spec.root().is_none() {
        let reason = "it names no root file system: root.path is the folder that has it".to_owned();
        return Err(SandboxError::Spec { path, reason });
    }
    let rootfs = root(&spec, bundle);
    spec.canonicalize_rootfs(bundle).map_err(|error| {
        let reason = format!("its root file system {}: {}", rootfs.display(), reason(&error));
        SandboxError::Spec { path: path.clone(), reason }
    })?;
    settle_propagation(&mut spec);
    Ok(spec)
}

/// Kubernetes says `rshared` and `rslave`, as mount(8) does; the specification has the words without the r alone, for the same
/// (config-linux.md, "Rootfs Mount Propagation"), and libcontainer knows no others.
fn settle_propagation(spec: &mut Spec) {
    let Some(linux) = spec.linux_mut() else { return };
    let settled = linux.rootfs_propagation().as_deref().and_then(|given| given.strip_prefix('r')).map(str::to_owned);
    if settled.is_some() {
        linux.set_rootfs_propagation(settled);
    }
}

/// Whether the specification and who asks mean the same about a terminal.
pub(super) fn check_terminal(process: Option<&Process>, asked: bool) -> Result<(), SandboxError> {
    let said = process.and_then(Process::terminal) == Some(true);
    if said == asked {
        return Ok(());
    }
    let (with, without) = if said { ("its specification", "the call") } else { ("the call", "its specification") };
    Err(SandboxError::Terminal { with, without })
}

/// Says whether libcontainer is to make a terminal.
pub(super) fn set_terminal(spec: &mut Spec, terminal: bool) {
    if let Some(mut process) = spec.process().clone() {
        process.set_terminal(Some(terminal));
        spec.set_process(Some(process));
    }
}

/// Where the root file system is.
pub(super) fn root(spec: &Spec, bundle: &Path) -> PathBuf {
    spec.root().as_ref().map_or_else(|| bundle.join("rootfs"), |root| root.path().clone())
}

/// The container's cgroup, and whether its name is one for systemd: `slice:prefix:name`.
pub(super) fn cgroup(spec: &Spec, namespace: &str, id: &str) -> (PathBuf, bool) {
    let given = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().clone());
    let path = given.filter(|path| !path.as_os_str().is_empty());
    let path = path.unwrap_or_else(|| Path::new("/multiwasm").join(namespace).join(id));
    let systemd = path.to_str().is_some_and(|path| !path.contains('/') && path.split(':').count() == 3);
    (path, systemd)
}

/// The container's memory limit in bytes; none where there is none.
pub(super) fn memory_limit(spec: &Spec) -> Option<u64> {
    let resources = spec.linux().as_ref()?.resources().as_ref()?;
    // Zero and below mean no limit (runtime specification, config-linux.md).
    resources.memory().as_ref()?.limit().and_then(|limit| u64::try_from(limit).ok()).filter(|limit| *limit > 0)
}

/// Whether the container has a user namespace of its own.
fn has_users(spec: &Spec) -> bool {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    namespaces.into_iter().flatten().any(|namespace| namespace.typ() == LinuxNamespaceType::User)
}

/// The container's user, unless it is root or one of a user namespace.
pub(super) fn user(spec: &Spec) -> Option<u32> {
    let user = spec.process().as_ref()?.user().uid();
    (user != 0 && !has_users(spec)).then_some(user)
}

/// Says each set of capabilities outright: libcontainer leaves the shim's own where the specification says nothing.
///
/// For a guest that is not executed the kernel's own step at execve(2) is made up for (capabilities(7), "Transformation of
/// capabilities during execve()", for a file without any): root gets what is bounding or inheritable, others what is
/// ambient. Nor can it gain any: there is nothing to execute.
pub(super) fn settle_capabilities(spec: &mut Spec, executed: bool) {
    let Some(mut process) = spec.process().clone() else { return };
    let given = process.capabilities().clone();
    let of = |set: fn(&LinuxCapabilities) -> &Option<Capabilities>| {
        given.as_ref().and_then(|given| set(given).clone()).unwrap_or_default()
    };
    let (bounding, inheritable) = (of(LinuxCapabilities::bounding), of(LinuxCapabilities::inheritable));
    let ambient = of(LinuxCapabilities::ambient);
    let (effective, permitted) = if executed {
        (of(LinuxCapabilities::effective), of(LinuxCapabilities::permitted))
    } else {
        let root = process.user().uid() == 0;
        let all = if root { bounding.union(&inheritable).copied().collect() } else { ambient.clone() };
        (all.clone(), all)
    };
    let mut settled = LinuxCapabilities::default();
    settled
        .set_bounding(Some(bounding))
        .set_effective(Some(effective))
        .set_permitted(Some(permitted))
        .set_inheritable(Some(inheritable))
        .set_ambient(Some(ambient));
    process.set_capabilities(Some(settled));
    if !executed {
        process.set_no_new_privileges(Some(true));
    }
    spec.set_process(Some(process));
}

/// Takes the supplementary groups out of the specification, for the worker to take on before it forks.
///
/// libcontainer reads /proc in the container to set them, which need not be there, and where there are none it leaves the
/// shim's own. In a user namespace the numbers are others, and the specification stays as it is.
pub(super) fn take_groups(spec: &mut Spec) -> Option<Vec<u32>> {
    if has_users(spec) {
        return None;
    }
    let mut process = spec.process().clone()?;
    let mut user = process.user().clone();
    let groups = user.additional_gids().clone().unwrap_or_default();
    user.set_additional_gids(None);
    process.set_user(user);
    spec.set_process(Some(process));
    Some(groups)
}

/// Takes out what a WebAssembly guest does not need. In a user namespace libcontainer itself needs /proc, so it stays.
pub(super) fn without_kernel_filesystems(spec: &mut Spec) {
    if has_users(spec) {
        return;
    }
    if let Some(mut process) = spec.process().clone() {
        // libcontainer sets it for the program that is executed, through /proc; nothing is executed.
        process.set_apparmor_profile(None);
        spec.set_process(Some(process));
    }
    let is_kernels = |mount: &Mount| {
        mount.typ().as_deref().is_some_and(|kind| KERNEL_FILESYSTEMS.contains(&kind))
            // `-v /proc:/host/proc` was asked for by name.
            && !mount.options().iter().flatten().any(|option| option == "bind" || option == "rbind")
    };
    let mounts = spec.mounts().clone().unwrap_or_default();
    let (gone, kept): (Vec<_>, Vec<_>) = mounts.into_iter().partition(is_kernels);
    let stays = |path: &String| !gone.iter().any(|mount| Path::new(path).starts_with(mount.destination()));
    spec.set_mounts(Some(kept));
    if let Some(mut linux) = spec.linux().clone() {
        let filtered =
            |paths: &Option<Vec<String>>| paths.iter().flatten().filter(|path| stays(path)).cloned().collect();
        linux.set_masked_paths(Some(filtered(linux.masked_paths())));
        linux.set_readonly_paths(Some(filtered(linux.readonly_paths())));
        spec.set_linux(Some(linux));
    }
}

/// Whether access to any device is denied.
pub(super) fn denies_devices(spec: &Spec) -> bool {
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    resources.and_then(|resources| resources.devices().as_ref()).into_iter().flatten().any(|rule| !rule.allow())
}

/// Takes away the capability to make device nodes.
pub(super) fn without_device_nodes(spec: &mut Spec) {
    let Some(mut process) = spec.process().clone() else { return };
    if let Some(mut capabilities) = process.capabilities().clone() {
        let less = |set: &Option<Capabilities>| {
            set.as_ref().map(|set| set.iter().copied().filter(|held| *held != Capability::Mknod).collect())
        };
        let sets = [
            less(capabilities.bounding()),
            less(capabilities.effective()),
            less(capabilities.permitted()),
            less(capabilities.inheritable()),
            less(capabilities.ambient()),
        ];
        let [bounding, effective, permitted, inheritable, ambient] = sets;
        capabilities
            .set_bounding(bounding)
            .set_effective(effective)
            .set_permitted(permitted)
            .set_inheritable(inheritable)
            .set_ambient(ambient);
        process.set_capabilities(Some(capabilities));
    }
    spec.set_process(Some(process));
}

/// Names the cgroup in the specification and writes it to `bundle`.
pub(super) fn write(spec: &mut Spec, cgroup: &Path, bundle: &Path) -> Result<(), SandboxError> {
    if let Some(mut linux) = spec.linux().clone() {
        linux.set_cgroups_path(Some(cgroup.to_owned()));
        spec.set_linux(Some(linux));
    }
    let path = bundle.join("config.json");
    // The environment may hold what is nobody's business; containerd keeps its own copy in a folder of root's.
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&path);
    let mut file = BufWriter::new(file.map_err(|error| bad(&path, &error))?);
    serde_json::to_writer(&mut file, spec).map_err(|error| bad(&path, &error))?;
    file.flush().map_err(|error| bad(&path, &error))
}

fn bad(path: &Path, error: &dyn std::error::Error) -> SandboxError {
    SandboxError::Spec { path: path.to_owned(), reason: crate::causes::chain(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_specification_that_says_too_little_is_told_what_is_missing() {
        let bundle = tempfile::tempdir().unwrap();
        let told = |text: &str| {
            std::fs::write(bundle.path().join("config.json"), text).unwrap();
            read(bundle.path()).unwrap_err().to_string()
        };
        assert!(told("{").ends_with(
            "/config.json: it can't be read as an OCI specification: EOF while parsing an object at line 1 column 1"
        ));
        assert!(told(r#"{"ociVersion": "1.0.2"}"#).contains("it names no root file system: root.path is the folder"));
        assert!(told(r#"{"ociVersion": "1.0.2", "root": {"path": "none"}}"#).contains("none: No such file"));
        std::fs::remove_file(bundle.path().join("config.json")).unwrap();
        assert!(
            read(bundle.path())
                .unwrap_err()
                .to_string()
                .ends_with("config.json: No such file or directory (os error 2)")
        );
    }

    #[test]
    fn kernel_filesystems_go_with_what_hides_them() {
        let mut spec = Spec::default();
        let before = spec.mounts().as_ref().unwrap().len();
        without_kernel_filesystems(&mut spec);
        let left: Vec<_> =
            spec.mounts().iter().flatten().map(|mount| mount.destination().display().to_string()).collect();
        assert_eq!(left, ["/dev", "/dev/shm"], "{before}");
        assert!(spec.linux().as_ref().unwrap().masked_paths().iter().flatten().next().is_none());
    }

    #[test]
    fn a_guest_has_the_capabilities_that_a_program_would_have() {
        use oci_spec::runtime::Capability::{Chown, Kill};
        let mut given = LinuxCapabilities::default();
        let both = || Some([Chown, Kill].into_iter().collect());
        given.set_bounding(both()).set_effective(both()).set_permitted(both()).set_inheritable(None).set_ambient(None);
        for (capabilities, uid, executed, effective) in [
            (Some(given.clone()), 0, false, 2),
            (Some(given.clone()), 1000, false, 0),
            (Some(given), 1000, true, 2),
            (None, 0, false, 0),
            (None, 0, true, 0),
        ] {
            let mut spec = Spec::default();
            let mut process = spec.process().clone().unwrap();
            let mut user = process.user().clone();
            user.set_uid(uid);
            process.set_user(user).set_capabilities(capabilities);
            spec.set_process(Some(process));
            settle_capabilities(&mut spec, executed);
            let settled = spec.process().as_ref().unwrap().capabilities().clone().unwrap();
            assert_eq!(settled.effective().as_ref().unwrap().len(), effective, "{uid} {executed}");
            assert!(settled.bounding().is_some() && settled.ambient().is_some());
        }
    }

    #[test]
    fn device_nodes_are_for_nobody_where_their_rules_are() {
        let with = |rule: &str| {
            let text = format!(r#"{{"ociVersion":"1.0.2","linux":{{"resources":{{"devices":[{rule}]}}}}}}"#);
            serde_json::from_str::<Spec>(&text).unwrap()
        };
        assert!(!denies_devices(&with("")) && !denies_devices(&with(r#"{"allow":true,"access":"rwm"}"#)));
        assert!(denies_devices(&with(r#"{"allow":false,"access":"rwm"}"#)));
        let mut spec = Spec::default();
        let mut process = spec.process().clone().unwrap();
        let both: Capabilities = [Capability::Chown, Capability::Mknod].into_iter().collect();
        let mut given = LinuxCapabilities::default();
        given.set_bounding(Some(both.clone())).set_effective(Some(both.clone())).set_permitted(Some(both));
        process.set_capabilities(Some(given));
        spec.set_process(Some(process));
        without_device_nodes(&mut spec);
        let left = spec.process().as_ref().unwrap().capabilities().clone().unwrap();
        for set in [left.bounding(), left.effective(), left.permitted()] {
            assert_eq!(set.iter().flatten().collect::<Vec<_>>(), [&Capability::Chown]);
        }
    }

    #[test]
    fn groups_are_taken_once() {
        let mut spec = Spec::default();
        let mut process = spec.process().clone().unwrap();
        let mut user = process.user().clone();
        user.set_additional_gids(Some(vec![10, 20]));
        process.set_user(user);
        spec.set_process(Some(process));
        assert_eq!(take_groups(&mut spec), Some(vec![10, 20]));
        assert_eq!(take_groups(&mut spec), Some(vec![]));
    }

    #[test]
    fn a_bind_mount_of_proc_stays() {
        let mut spec = Spec::default();
        let mut mount = Mount::default();
        mount.set_typ(Some("proc".into())).set_destination("/p".into()).set_options(Some(vec!["rbind".into()]));
        spec.set_mounts(Some(vec![mount.clone()]));
        without_kernel_filesystems(&mut spec);
        assert_eq!(spec.mounts().as_ref().unwrap(), &[mount]);
    }

    #[test]
    fn cgroup_paths_say_who_makes_them() {
        let mut spec = Spec::default();
        let mut linux = spec.linux().clone().unwrap();
        for (path, systemd) in [("system.slice:docker:abc", true), ("/docker/abc", false), ("docker/a:b:c", false)] {
            linux.set_cgroups_path(Some(path.into()));
            spec.set_linux(Some(linux.clone()));
            assert_eq!(cgroup(&spec, "ns", "id"), (path.into(), systemd));
        }
        linux.set_cgroups_path(None);
        spec.set_linux(Some(linux));
        assert_eq!(cgroup(&spec, "ns", "id"), ("/multiwasm/ns/id".into(), false));
    }
}
