//! How the containers of a run name their cgroups, and where those are: folders, or where a lab has systemd's driver
//! (`MULTIWASM_LAB_SYSTEMD=yes`, as Docker and kubelets have it on most machines) scopes that systemd makes.

use std::sync::LazyLock;

static SYSTEMD: LazyLock<bool> =
    LazyLock::new(|| std::env::var("MULTIWASM_LAB_SYSTEMD").is_ok_and(|value| value == "yes"));

/// Whether systemd makes them.
pub fn is_systemds() -> bool {
    *SYSTEMD
}

/// What the specification of container `id` says as `cgroupsPath`: a path, or `slice:prefix:name`.
pub fn path(namespace: &str, id: &str) -> String {
    if *SYSTEMD { format!("system.slice:{namespace}:{id}") } else { format!("/{namespace}/{id}") }
}

/// Its folder below a cgroup file system's root, from a slash on.
pub fn folder(namespace: &str, id: &str) -> String {
    if *SYSTEMD { format!("{}{id}.scope", prefix(namespace)) } else { format!("{}{id}", prefix(namespace)) }
}

/// How the folders of all containers of the run begin.
pub fn prefix(namespace: &str) -> String {
    if *SYSTEMD { format!("/system.slice/{namespace}-") } else { format!("/{namespace}/") }
}
