//! What a run ran on, as its report tells.

use std::process::Command;

use serde::Deserialize;

use crate::report::Engine;

/// The kernel's release.
pub fn kernel() -> String {
    nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned()).unwrap_or_default()
}

/// The version of the cgroups that limit containers: 1 where the memory controller is one of version 1.
pub fn cgroup() -> u8 {
    let controllers = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let of_version_1 = |line: &str| line.split(':').nth(1).is_some_and(|names| names.split(',').any(|n| n == "memory"));
    if controllers.lines().any(of_version_1) { 1 } else { 2 }
}

/// The installed engines, as `multiwasm engines` tells them; none where there is no such command.
pub fn engines() -> Vec<Engine> {
    #[derive(Deserialize)]
    struct Line {
        name: String,
        version: String,
    }
    let mut command = Command::new("multiwasm");
    command.args(["engines", "--json"]);
    // A lab's engines are not the machine's.
    if let Some(folder) = std::env::var_os("MULTIWASM_LAB_ENGINES") {
        command.env("MULTIWASM_ENGINE_PATH", folder);
    }
    let told = command.output();
    let lines: Vec<Line> = told.ok().and_then(|told| serde_json::from_slice(&told.stdout).ok()).unwrap_or_default();
    lines.into_iter().map(|line| Engine { name: line.name, version: line.version }).collect()
}
