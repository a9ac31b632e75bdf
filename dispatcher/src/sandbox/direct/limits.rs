//! The limits that most containers have, set in a cgroup of version 1 that was just made.
//!
//! libcgroups sets all there are, but looks the hierarchies up for each controller in the table of mounts and goes through /proc
//! for each file: 5 ms for one number of `cpu.shares`, which Docker, ctr and Kubernetes send with every container, and 10 ms where
//! 150 containers run. What is not known here is left to it.

use std::collections::HashSet;
use std::fmt::Display;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType, LinuxResources};

use crate::cgroup::Folders;

/// What is written where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Limits {
    values: Vec<(PathBuf, String)>,
    /// The folder that has the rules for devices, where there is one, and the rules.
    devices: Option<(PathBuf, Vec<LinuxDeviceCgroup>)>,
}

impl Limits {
    /// Those of `resources`; none where they say more than is known here, or the machine has no such controller.
    pub(super) fn of(resources: &LinuxResources, folders: &Folders) -> Option<Self> {
        let values = values(resources)?;
        if !values.is_empty() && folders.unified().is_some() {
            return None;
        }
        let file = |(name, value): (&str, String)| Some((folders.with(name)?.join(name), value));
        let rules = || resources.devices().iter().flatten().cloned().chain(common_rules()).collect();
        Some(Self {
            values: values.into_iter().map(file).collect::<Option<_>>()?,
            devices: folders.with("devices.allow").map(|folder| (folder.to_owned(), rules())),
        })
    }

    /// Writes them.
    ///
    /// # Errors
    /// The file, the value and what the kernel says.
    pub(super) fn set(&self) -> Result<(), String> {
        for (file, value) in &self.values {
            std::fs::write(file, value).map_err(|error| format!("{}: {value}: {error}", file.display()))?;
        }
        self.devices.as_ref().map_or(Ok(()), |(folder, rules)| set_devices(folder, rules))
    }
}

/// File and value of each limit, in the order in which the kernel takes them, as in libcgroups: what is said as zero is not said;
/// memory with swap can't be less than without, and a quota is of the period. None where anything else is said.
fn values(resources: &LinuxResources) -> Option<Vec<(&'static str, String)>> {
    let mut said = serde_json::to_value(resources).ok()?;
    let known = [
        ("/memory/limit", "memory.limit_in_bytes"),
        ("/memory/swap", "memory.memsw.limit_in_bytes"),
        ("/memory/reservation", "memory.soft_limit_in_bytes"),
        ("/cpu/shares", "cpu.shares"),
        ("/cpu/period", "cpu.cfs_period_us"),
        ("/cpu/quota", "cpu.cfs_quota_us"),
        ("/cpu/cpus", "cpuset.cpus"),
        ("/cpu/mems", "cpuset.mems"),
        ("/pids/limit", "pids.max"),
    ];
    let mut values = Vec::new();
    for (pointer, file) in known {
        let Some(value) = said.pointer_mut(pointer).map(serde_json::Value::take).filter(|value| !is_nothing(value))
        else {
            continue;
        };
        let value = match (file, value) {
            ("pids.max", serde_json::Value::Number(number)) if number.as_i64() < Some(0) => "max".to_owned(),
            (_, serde_json::Value::Number(number)) => number.to_string(),
            (_, serde_json::Value::String(text)) => text,
            _ => return None,
        };
        values.push((file, value));
    }
    let serde_json::Value::Object(rest) = said else { return None };
    rest.iter().all(|(name, value)| name == "devices" || is_nothing(value)).then_some(values)
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

/// The specification's rules, and then what every container may use: as libcgroups does it, but each rule once.
fn set_devices(folder: &Path, rules: &[LinuxDeviceCgroup]) -> Result<(), String> {
    let open = |name| {
        let file = folder.join(name);
        match File::options().write(true).open(&file) {
            Ok(opened) => Ok((file, opened)),
            Err(error) => Err(format!("{}: {error}", file.display())),
        }
    };
    let (mut allow, mut deny) = (open("devices.allow")?, open("devices.deny")?);
    let mut allowed = HashSet::new();
    for rule in rules {
        let text = rule.to_string();
        let (path, file) = if rule.allow() { &mut allow } else { &mut deny };
        if !rule.allow() {
            allowed.clear();
        } else if !allowed.insert(text.clone()) {
            continue;
        }
        let refused = |error: &dyn Display| format!("{}: {text}: {error}", path.display());
        file.write_all(text.as_bytes()).map_err(|error| refused(&error))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Vec<(&'static str, String)>> {
        values(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn what_docker_and_kubernetes_say_is_known() {
        let docker = r#"{"devices":[{"allow":false,"access":"rwm"}],"memory":{"limit":64,"swap":128},
            "cpu":{"shares":512,"quota":5,"period":7,"cpus":"0-1"},"pids":{"limit":-1},"blockIO":{"weight":0}}"#;
        let expected = [
            ("memory.limit_in_bytes", "64"),
            ("memory.memsw.limit_in_bytes", "128"),
            ("cpu.shares", "512"),
            ("cpu.cfs_period_us", "7"),
            ("cpu.cfs_quota_us", "5"),
            ("cpuset.cpus", "0-1"),
            ("pids.max", "max"),
        ];
        assert_eq!(read(docker).unwrap(), expected.map(|(file, value)| (file, value.to_owned())));
        assert_eq!(read(r#"{"cpu":{"shares":0},"pids":{"limit":0}}"#), Some(Vec::new()));
    }

    #[test]
    fn what_is_not_known_is_left_to_others() {
        for other in [r#"{"memory":{"swappiness":5}}"#, r#"{"blockIO":{"weight":10}}"#, r#"{"cpu":{"burst":3}}"#] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn each_rule_is_written_once_and_anew_after_a_denial() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["devices.allow", "devices.deny"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let rule = |allow, major| LinuxDeviceCgroupBuilder::default().allow(allow).major(major).access("m").build();
        let rules = [rule(true, 1), rule(true, 1), rule(false, 1), rule(true, 1)].map(Result::unwrap);
        set_devices(folder.path(), &rules).unwrap();
        let written = std::fs::read_to_string(folder.path().join("devices.allow")).unwrap();
        assert_eq!(written, rules[0].to_string().repeat(2));
    }
}
