//! The processes of containers and of their shims, and what they weigh, as the kernel tells it in /proc.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;

/// What a set of processes weighs, all together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Weight {
    /// Proportional set size, in KiB: what is shared counts for each by its part.
    pub pss: u64,
    /// Pages that no other process has, in KiB.
    pub private: u64,
    /// How many processes.
    pub processes: u64,
    /// How many threads.
    pub threads: u64,
}

/// Who is whose parent, at one moment.
pub struct Processes {
    parents: HashMap<u32, u32>,
    children: HashMap<u32, Vec<u32>>,
}

impl Processes {
    /// All processes now.
    pub fn now() -> Self {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Self::from(pids.filter_map(|pid: u32| Some((pid, parent(pid)?))).collect())
    }

    fn from(parents: HashMap<u32, u32>) -> Self {
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        for (pid, parent) in &parents {
            children.entry(*parent).or_default().push(*pid);
        }
        Self { parents, children }
    }

    /// A container's first process, its shim, and all that either has begun.
    pub fn of_container(&self, pid: u32) -> BTreeSet<u32> {
        self.family(pid, |pid| {
            let is_shim = |path: &Path| {
                path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"containerd-shim"))
            };
            fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| is_shim(&exe))
        })
    }

    /// Upwards to the last that is a shim, and from there all downwards. A shim's parent is init, or containerd.
    fn family(&self, pid: u32, is_shim: impl Fn(u32) -> bool) -> BTreeSet<u32> {
        let mut top = pid;
        while let Some(parent) = self.parents.get(&top).filter(|parent| **parent > 1 && is_shim(**parent)) {
            top = *parent;
        }
        let (mut family, mut next) = (BTreeSet::new(), vec![top]);
        while let Some(pid) = next.pop() {
            if family.insert(pid) {
                next.extend(self.children.get(&pid).into_iter().flatten());
            }
        }
        family
    }
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, parentheses too.
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

/// What these weigh; who is gone meanwhile weighs nothing.
pub fn weigh(pids: &BTreeSet<u32>) -> Weight {
    let mut all = Weight::default();
    for pid in pids {
        let Ok(rollup) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else { continue };
        let kib = |name: &str| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default()
        };
        all.pss += kib("Pss");
        all.private += kib("Private_Clean") + kib("Private_Dirty") + kib("Private_Hugetlb");
        all.processes += 1;
        all.threads += fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count) as u64;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_the_shim_and_all_below_it() {
        // 1 init, 5 containerd; 10 a shim with spawner 11 and the first process 12, which has 13; 20 another shim.
        let pairs = [(5, 1), (10, 1), (11, 10), (12, 10), (13, 12), (20, 1), (21, 20)];
        let processes = Processes::from(pairs.into_iter().collect());
        let is_shim = |pid| [10, 11, 20].contains(&pid);
        assert_eq!(processes.family(12, is_shim), BTreeSet::from([10, 11, 12, 13]));
        assert_eq!(processes.family(21, is_shim), BTreeSet::from([20, 21]));
        // Whose parent is no shim is alone with what it has begun.
        assert_eq!(processes.family(12, |_| false), BTreeSet::from([12, 13]));
    }

    #[test]
    fn this_process_weighs_something() {
        let weight = weigh(&BTreeSet::from([std::process::id()]));
        assert!(weight.pss > 0 && weight.private > 0 && weight.threads > 0 && weight.processes == 1, "{weight:?}");
        assert!(weigh(&BTreeSet::from([u32::MAX])) == Weight::default());
        assert_eq!(parent(std::process::id()), Some(std::os::unix::process::parent_id()));
    }
}
