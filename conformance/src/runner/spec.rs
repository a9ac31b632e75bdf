//! A container's specification, as containerd's clients make it.

use std::path::Path;

use oci_spec::runtime::{LinuxResources, Process};
use serde_json::{Value, json};

use super::cgroup;
use super::image::guest_path;
use super::target::Target;
use crate::case::Case;
use crate::case::model::Limits;
use crate::case::step::Exec;

/// What containerd's clients leave a container's process of root's power.
const CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A mount of a case, with the folder of the host that it shows.
pub struct Bind<'a> {
    /// What the case says.
    pub mount: &'a crate::case::model::Mount,
    /// The folder; none of a tmpfs.
    pub folder: Option<&'a Path>,
}

/// The specification of the container `id` of `namespace`.
///
/// # Errors
/// A value of the case is none that a specification takes.
pub fn spec(
    case: &Case,
    target: &Target,
    namespace: &str,
    id: &str,
    pod: Option<(&str, &str)>,
    binds: &[Bind<'_>],
) -> Result<Value, String> {
    let mut annotations = serde_json::Map::new();
    annotations
        .extend(case.annotations.iter().map(|(key, value)| (key.clone(), json!(for_target(value, case, target)))));
    // A case that names a runtime of its own is about how the engine is chosen.
    if let (Some((key, value)), None) = (target.annotation(), &case.runtime) {
        annotations.entry(key).or_insert(json!(value));
    }
    // So does one that empties the annotation.
    annotations.retain(|_, value| value != "");
    if let Some((kind, sandbox)) = pod {
        annotations.insert("io.kubernetes.cri.container-type".to_owned(), json!(kind));
        annotations.insert("io.kubernetes.cri.sandbox-id".to_owned(), json!(sandbox));
    }
    let mut process = json!({
        "terminal": case.terminal.is_some(),
        "user": { "uid": case.user.map_or(0, |user| user.uid), "gid": case.user.map_or(0, |user| user.gid) },
        "args": words(case, target),
        "env": if case.bare_env { json!([]) } else { json!([PATH]) },
        "cwd": case.cwd.as_deref().unwrap_or("/"),
        "noNewPrivileges": true,
        "capabilities": { "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES },
        "rlimits": rlimits(case),
    });
    if !case.groups.is_empty() {
        process["user"]["additionalGids"] = json!(case.groups);
    }
    if let Some(terminal) = case.terminal {
        process["consoleSize"] = json!({ "width": terminal.width, "height": terminal.height });
        extend(&mut process["env"], [json!("TERM=xterm")]);
    }
    extend(&mut process["env"], case.env.iter().map(|entry| json!(entry)));
    let mut mounts = usual_mounts();
    extend(&mut mounts, binds.iter().map(mount));
    let mut spec = json!({
        "ociVersion": "1.0.2",
        "process": process,
        "root": { "path": "rootfs", "readonly": case.read_only_root },
        "hostname": case.hostname,
        "mounts": mounts,
        "annotations": annotations,
        "linux": {
            "cgroupsPath": cgroup::path(namespace, id),
            "namespaces": [
                { "type": "pid" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" }, { "type": "network" }
            ],
            "resources": with_devices(resources(case.limits)),
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    });
    // As it is: a case may be about what no type of ours can hold.
    if let Some(patch) = &case.spec {
        merge(&mut spec, serde_json::to_value(patch).map_err(|error| error.to_string())?);
    }
    Ok(spec)
}

/// Lays `patch` over `value` (RFC 7396): tables are merged, all else replaces.
fn merge(value: &mut Value, patch: Value) {
    match (value, patch) {
        (Value::Object(value), Value::Object(patch)) => {
            for (key, patch) in patch {
                merge(value.entry(key).or_insert(Value::Null), patch);
            }
        }
        (value, patch) => *value = patch,
    }
}

/// The process of an exec; what it does not say is as the container's own.
///
/// # Errors
/// A value of the case is none that a specification takes.
pub fn exec_process(exec: &Exec, case: &Case, target: &Target) -> Result<Process, String> {
    let user = exec.user.or(case.user);
    let env = exec.env.as_ref().unwrap_or(&case.env).iter().map(String::as_str);
    let env: Vec<_> = std::iter::once(PATH).chain(env).collect();
    let process = json!({
        "terminal": exec.terminal,
        "user": { "uid": user.map_or(0, |user| user.uid), "gid": user.map_or(0, |user| user.gid) },
        "args": exec.args.iter().map(|word| for_target(word, case, target)).collect::<Vec<_>>(),
        "env": env,
        "cwd": exec.cwd.as_deref().or(case.cwd.as_deref()).unwrap_or("/"),
        "noNewPrivileges": true,
        "capabilities": { "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES },
        "rlimits": rlimits(case),
    });
    serde_json::from_value(process).map_err(|error| error.to_string())
}

/// Limits as an update has them.
///
/// # Errors
/// They are none that a specification takes.
pub fn update(limits: Limits) -> Result<LinuxResources, String> {
    serde_json::from_value(resources(limits)).map_err(|error| error.to_string())
}

/// A case writes a guest's path as that of its module; where twins run, that of the twin is meant. `{engine}` is the
/// target's.
pub fn for_target(text: &str, case: &Case, target: &Target) -> String {
    let text = text.replace("{engine}", target.engine.as_deref().unwrap_or_default());
    if target.native { text.replace(&format!("{}.wasm", case.guest), &case.guest) } else { text }
}

/// What runs.
fn words(case: &Case, target: &Target) -> Vec<String> {
    let own = case.argv0.as_ref().or(case.entrypoint.as_ref());
    let first = own.map_or_else(|| guest_path(case, target), |word| for_target(word, case, target));
    [first].into_iter().chain(case.args.iter().map(|word| for_target(word, case, target))).collect()
}

fn rlimits(case: &Case) -> Value {
    let mut rows = vec![];
    if !case.rlimits.contains_key("nofile") {
        rows.push(json!({ "type": "RLIMIT_NOFILE", "soft": 1024, "hard": 1024 }));
    }
    rows.extend(case.rlimits.iter().map(
        |(name, limit)| json!({ "type": format!("RLIMIT_{}", name.to_uppercase()), "soft": limit, "hard": limit }),
    ));
    Value::Array(rows)
}

/// A hundredth of a second is the period that everybody takes; in microseconds.
const PERIOD: f64 = 100_000.0;

fn resources(limits: Limits) -> Value {
    let mut resources = json!({});
    if let Some(memory) = limits.memory {
        resources["memory"] = json!({ "limit": memory.0 });
    }
    if let Some(cpu) = limits.cpu {
        resources["cpu"] = json!({ "quota": (cpu * PERIOD) as i64, "period": PERIOD as u64 });
    }
    if let Some(pids) = limits.pids {
        resources["pids"] = json!({ "limit": pids });
    }
    resources
}

/// Only the devices that every container has.
fn with_devices(mut resources: Value) -> Value {
    let device = |kind: &str, major: Option<i64>, minor: Option<i64>, access: &str| {
        let mut row = json!({ "allow": true, "type": kind, "access": access });
        for (key, number) in [("major", major), ("minor", minor)] {
            if let Some(number) = number {
                row[key] = json!(number);
            }
        }
        row
    };
    let mut rows = vec![json!({ "allow": false, "access": "rwm" })];
    rows.extend([device("c", None, None, "m"), device("b", None, None, "m")]);
    for (major, minor) in [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)] {
        rows.push(device("c", Some(major), Some(minor), "rwm"));
    }
    rows.push(device("c", Some(136), None, "rwm"));
    resources["devices"] = Value::Array(rows);
    resources
}

fn usual_mounts() -> Value {
    json!([
        { "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] },
        { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
          "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
        { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
          "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] },
        { "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
          "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] },
        { "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
          "options": ["nosuid", "noexec", "nodev"] },
        { "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"] },
        { "destination": "/run", "type": "tmpfs", "source": "tmpfs",
          "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
    ])
}

fn mount(bind: &Bind<'_>) -> Value {
    let mount = bind.mount;
    let mut options = mount.options.clone();
    options.push(if mount.read_only { "ro" } else { "rw" }.to_owned());
    match bind.folder {
        Some(folder) => {
            options.insert(0, "rbind".to_owned());
            json!({ "destination": mount.to, "type": "bind", "source": folder, "options": options })
        }
        None if mount.from.is_some() => {
            options.insert(0, "rbind".to_owned());
            json!({ "destination": mount.to, "type": "bind", "source": mount.from, "options": options })
        }
        None => json!({ "destination": mount.to, "type": "tmpfs", "source": "tmpfs", "options": options }),
    }
}

fn extend(list: &mut Value, more: impl IntoIterator<Item = Value>) {
    if let Value::Array(rows) = list {
        rows.extend(more);
    }
}
