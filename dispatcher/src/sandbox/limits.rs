//! What can be changed about a container that runs: whether it does, and its limits.

use libcgroups::common::{
    AnyCgroupManager, CgroupConfig, CgroupManager, ControllerOpt, FreezerState, create_cgroup_manager,
};
use oci_spec::runtime::LinuxResources;

use super::SandboxError;
use crate::causes::chain;
use crate::fault::{self, Fault};
use crate::spawner::Failure;
use crate::state::State;

/// Stops all processes of container `id` where they are, or lets them go on.
///
/// # Errors
/// What libcgroups says; a container that can't be stopped goes on.
pub fn freeze(namespace: &str, id: &str, frozen: bool) -> Result<(), Failure> {
    let (state, what) = if frozen { (FreezerState::Frozen, "paused") } else { (FreezerState::Thawed, "resumed") };
    let manager = manager(namespace, id)?;
    if fault::is(Fault::Pause) {
        return Ok(());
    }
    let done = manager.freeze(state);
    // Who was told to end while it stood still ends as soon as it goes on, and systemd removes a scope with its last process.
    if !frozen && done.is_err() && manager.get_all_pids().map_or(true, |members| members.is_empty()) {
        return Ok(());
    }
    done.map_err(|error| SandboxError::Freezer { id: id.to_owned(), what, reason: chain(&error) }.into())
}

/// Sets the limits that `resources` (`LinuxResources` as JSON) names; others stay.
///
/// # Errors
/// What is wrong with them, or what the kernel said of which file.
pub fn update(namespace: &str, id: &str, resources: &str) -> Result<(), Failure> {
    let resources = read(resources).map_err(SandboxError::Limits)?;
    if fault::is(Fault::Update) {
        return Ok(());
    }
    let limits =
        ControllerOpt { resources: &resources, freezer_state: None, oom_score_adj: None, disable_oom_killer: false };
    let done = manager(namespace, id)?.apply(&limits);
    done.map_err(|error| SandboxError::Limits(chain(&error)).into())
}

/// Limits as they can be set later: access to devices is not among them.
fn read(text: &str) -> Result<LinuxResources, String> {
    let mut resources: LinuxResources =
        serde_json::from_str(text).map_err(|error| format!("its resources can't be read: {error}"))?;
    resources.set_devices(None);
    if let Some(memory) = resources.memory() {
        for (name, value) in [("memory.limit", memory.limit()), ("memory.swap", memory.swap())] {
            // -1 lifts a limit (runtime specification, config-linux.md).
            if let Some(value) = value.filter(|value| *value < -1) {
                return Err(format!("{name} is {value}, wanted a number of bytes, or -1 for none"));
            }
        }
    }
    for (name, list) in resources.cpu().iter().flat_map(|cpu| [("cpu.cpus", cpu.cpus()), ("cpu.mems", cpu.mems())]) {
        if let Some(list) = list.as_ref().filter(|list| !list.is_empty() && !is_list(list)) {
            return Err(format!("{name} is {list:?}, wanted a list like 0-2,4"));
        }
    }
    // An empty list means that there is nothing to change; the kernel would take it as none at all.
    if let Some(mut cpu) = resources.cpu().clone() {
        cpu.set_cpus(cpu.cpus().clone().filter(|list| !list.is_empty()));
        cpu.set_mems(cpu.mems().clone().filter(|list| !list.is_empty()));
        resources.set_cpu(Some(cpu));
    }
    // Zero means that nothing is said of it.
    let said = resources.pids().as_ref().is_some_and(|pids| pids.limit() != 0);
    if !said {
        resources.set_pids(None);
    }
    Ok(resources)
}

/// A list of numbers and ranges (cpuset(7), "List format").
fn is_list(text: &str) -> bool {
    let number = |text: &str| text.trim().parse::<u32>().is_ok();
    text.split(',')
        .all(|part| part.split_once('-').map_or_else(|| number(part), |(from, to)| number(from) && number(to)))
}

fn manager(namespace: &str, id: &str) -> Result<AnyCgroupManager, SandboxError> {
    let record = State::of(namespace, id).read().ok_or_else(|| SandboxError::NotFound(id.to_owned()))?;
    let cgroup = record.cgroup.ok_or_else(|| SandboxError::NotFound(id.to_owned()))?;
    let config = CgroupConfig { cgroup_path: cgroup, systemd_cgroup: record.systemd, container_name: record.id };
    create_cgroup_manager(config).map_err(|error| SandboxError::Limits(chain(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_kept_and_nothing_else() {
        let read =
            read(r#"{"memory":{"limit":134217728},"cpu":{"cpus":"","shares":512},"pids":{"limit":0},"devices":[]}"#);
        let read = read.unwrap();
        assert_eq!(read.memory().as_ref().unwrap().limit(), Some(134217728));
        let cpu = read.cpu().as_ref().unwrap();
        assert_eq!((cpu.shares(), cpu.cpus().as_deref()), (Some(512), None));
        assert!(read.pids().is_none() && read.devices().is_none());
    }

    #[test]
    fn nonsense_is_named() {
        for (text, words) in [
            ("7", "can't be read"),
            (r#"{"memory":{"limit":"much"}}"#, "much"),
            (r#"{"memory":{"limit":-5}}"#, "memory.limit is -5"),
            (r#"{"cpu":{"cpus":"all"}}"#, "cpu.cpus is \"all\""),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        assert!(is_list("0-2,4") && !is_list("0-") && !is_list("1,,2"));
    }
}
