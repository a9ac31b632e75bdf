//! Proves the suite itself: cases that pass on a sound shim fail on one that is broken on purpose.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::catalog::Catalog;
use crate::report::{Cell, Outcome};
use crate::runner::select::{Filter, FilterError};
use crate::runner::suite::{self, Plan, RunError, Watcher};
use crate::runner::target::Target;

/// The annotation by which a shim that was built for it is broken (dispatcher/src/fault.rs).
pub const ANNOTATION: &str = "io.containerd.multiwasm-test.fault";

/// How long a case may take: one that hangs has found something.
const BOUND: Duration = Duration::from_secs(12);

/// A fault, on what it is looked for, and the cases each of which must find it.
pub struct Fault {
    /// Its name, as the annotation takes it.
    pub name: &'static str,
    /// The target.
    pub target: &'static str,
    /// Full names.
    pub cases: &'static [&'static str],
}

const fn fault(name: &'static str, target: &'static str, cases: &'static [&'static str]) -> Fault {
    Fault { name, target, cases }
}

/// All faults that a shim can be built with.
pub const FAULTS: &[Fault] = &[
    fault("stdin-end", "wasmtime", &["stdio/stdin-to-its-end", "stdio/end-again"]),
    fault("exit-code", "wasmedge", &["exit/1", "exit/125"]),
    fault("signal-code", "wasmtime", &["signals/sigkill-in-an-endless-loop"]),
    fault("mount", "wasmer", &["exit/0"]),
    fault("cgroup", "wasmtime", &["exit/0"]),
    fault("state", "wasmtime", &["exit/0"]),
    fault("shutdown", "wasmtime", &["exit/0"]),
    fault("engine", "wasmtime", &["selection/annotation-wasmtime"]),
    fault("exit-event", "wasmtime", &["exit/0", "exit/1"]),
    fault("oom-event", "native", &["limits/memory-too-little", "limits/memory-too-little-events"]),
    fault("event-order", "wasmtime", &["exit/0", "lifecycle/events-in-order"]),
    fault("terminate", "wasmedge", &["signals/sigterm-in-an-endless-loop"]),
    fault("wait", "wasmtime", &["exit/1", "lifecycle/wait-by-many"]),
    fault("pids", "wasmtime", &["task-api/pids"]),
    fault("stats", "wasmtime", &["task-api/update-memory"]),
    fault("exec-code", "wasmer", &["task-api/exec-exit-1"]),
    fault("read-only", "wasmtime", &["mounts/read-only"]),
    fault("terminal-size", "native", &["task-api/terminal-size"]),
    fault("terminal-output", "wasmtime", &["task-api/terminal", "task-api/terminal-user"]),
    fault("message", "wasmtime", &["errors/missing-import"]),
    fault("pause", "wasmtime", &["task-api/pause"]),
    fault("update", "wasmtime", &["task-api/update-memory"]),
    fault("user", "wasmtime", &["users/root-group-is-no-root"]),
    fault("environment", "wasmer", &["environment/as-given"]),
    fault("directory", "wasmtime", &["working-directory/relative"]),
];

/// What a proof needs.
pub struct Setting {
    /// containerd's socket.
    pub containerd: PathBuf,
    /// containerd's log.
    pub log: Option<PathBuf>,
    /// The shim that can be broken.
    pub shim: PathBuf,
    /// Cases and guests of this folder, not those of the command.
    pub from: Option<PathBuf>,
}

/// What came of one fault.
pub struct Proof {
    /// The cases that found it, with what they say.
    pub found: Vec<(String, String)>,
    /// The cases that should have and did not.
    pub missed: Vec<String>,
    /// The cases that fail without it, so that they prove nothing.
    pub unsound: Vec<(String, String)>,
}

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// The cases are not there.
    #[error(transparent)]
    Catalog(#[from] crate::catalog::CatalogError),
    /// Their names are wrong.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// They could not be run.
    #[error(transparent)]
    Run(#[from] RunError),
}

struct Silent;

impl Watcher for Silent {
    fn begin(&self, _: usize) {}
    fn done(&self, _: &Cell) {}
}

/// Runs a fault's cases with it and without.
///
/// # Errors
/// They could not be run.
pub async fn prove(setting: &Setting, fault: &Fault) -> Result<Proof, ProveError> {
    let mut proof = Proof { found: Vec::new(), missed: Vec::new(), unsound: Vec::new() };
    for (case, said) in run(setting, fault, true).await? {
        match said {
            Some(said) => proof.found.push((case, said)),
            None => proof.missed.push(case),
        }
    }
    proof.unsound.extend(run(setting, fault, false).await?.into_iter().filter_map(|(case, said)| Some((case, said?))));
    let ran = proof.found.iter().map(|(case, _)| case).chain(&proof.missed);
    let ran: Vec<_> = ran.cloned().collect();
    proof.missed.extend(fault.cases.iter().filter(|case| !ran.iter().any(|ran| ran == *case)).map(|c| (*c).to_owned()));
    Ok(proof)
}

/// Each case, with what it found wrong.
async fn run(setting: &Setting, fault: &Fault, broken: bool) -> Result<Vec<(String, Option<String>)>, ProveError> {
    let catalog = match &setting.from {
        Some(folder) => Catalog::read(folder),
        None => Catalog::embedded(),
    };
    let mut catalog = catalog?;
    if broken {
        for case in catalog.areas.iter_mut().flat_map(|area| &mut area.cases) {
            case.annotations.insert(ANNOTATION.to_owned(), fault.name.to_owned());
        }
    }
    let target = Target::named(fault.target).expect("the table names targets that there are");
    let names: Vec<_> = fault.cases.iter().map(|case| (*case).to_owned()).collect();
    let plan = Plan {
        verb: "prove".to_owned(),
        containerd: setting.containerd.clone(),
        log: setting.log.clone(),
        targets: vec![Target { runtime: setting.shim.display().to_string(), ..target }],
        filter: Filter::new(&names, &catalog)?,
        jobs: 4,
        timeout: Some(BOUND),
    };
    let run = suite::run(&Arc::new(catalog), &plan, &Silent).await;
    if broken {
        sweep(&setting.shim, &format!("conformance-{}-", std::process::id()));
    }
    let seen = |cell: Cell| {
        let said = match cell.outcome {
            Outcome::Failed { failure } => Some(failure.step + ": " + failure.seen.lines().next().unwrap_or_default()),
            _ => None,
        };
        (format!("{}/{}", cell.area, cell.case), said)
    };
    Ok(run?.cells.into_iter().map(seen).collect())
}

/// Removes what a broken shim has left of namespaces that begin so: its processes, mounts, cgroups and state.
fn sweep(shim: &Path, prefix: &str) {
    for process in below(Path::new("/proc"), "") {
        let command = fs::read(process.join("cmdline")).unwrap_or_default();
        let words: Vec<_> = command.split(|byte| *byte == 0).collect();
        let is_it = words.first() == Some(&shim.as_os_str().as_encoded_bytes())
            && words.iter().any(|word| word.starts_with(prefix.as_bytes()));
        let pid = process.file_name().and_then(|name| name.to_str()?.parse().ok());
        if let (true, Some(pid)) = (is_it, pid) {
            // Gone meanwhile is as good.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let left = Path::new("/run/multiwasm-test");
    for namespace in below(left, prefix) {
        for mount in below(&namespace, "") {
            let _ = crate::command::run(&["umount".as_ref(), mount.as_os_str()]);
            let _ = fs::remove_dir(mount);
        }
        let _ = fs::remove_dir(namespace);
    }
    let _ = fs::remove_dir(left);
    let is_cgroup = |line: &&str| line.split_once(" - ").is_some_and(|(_, kind)| kind.starts_with("cgroup"));
    for root in mounts.lines().filter(is_cgroup).filter_map(|line| line.split(' ').nth(4)) {
        for namespace in below(Path::new(root), prefix) {
            for container in below(&namespace, "") {
                let _ = fs::remove_dir(container);
            }
            let _ = fs::remove_dir(namespace);
        }
    }
    for namespace in below(Path::new("/run/multiwasm"), prefix) {
        let _ = fs::remove_dir_all(namespace);
    }
}

/// What is in a folder with names that begin so.
fn below(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let begins = |entry: &fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes());
    entries.filter(begins).map(|entry| entry.path()).collect()
}
