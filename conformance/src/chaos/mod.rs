//! Rounds in which something is killed at a random moment: nothing hangs, no exit is lost, all can be removed, nothing is
//! left.
//!
//! - [`plan`]: what a round does, drawn from its seed.
//! - `member`: one container of a round.

mod member;
pub mod plan;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::task::JoinSet;

use member::{BOUND, KILLED, Member, TERMINATED, UNKNOWN};
use plan::{Round, Victim};

use crate::catalog::Catalog;
use crate::client::{ClientError, Containerd};
use crate::lab::{Lab, LabError};
use crate::runner::image::Images;
use crate::runner::traces::Traces;

/// How long is waited for a victim that is not there yet.
const PATIENCE: Duration = Duration::from_millis(400);

/// Why rounds can't be run.
#[derive(Debug, thiserror::Error)]
pub enum ChaosError {
    /// containerd is killed, so it must be a lab's.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// containerd does not do what rounds need.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// No folder for pipes.
    #[error("a folder for pipes can't be made: {0}")]
    Folder(std::io::Error),
}

/// What came of a round.
#[derive(Debug)]
pub struct Outcome {
    /// What was not as it must be.
    pub faults: Vec<String>,
    /// Whether there was anybody to kill.
    pub hit: bool,
    /// From the kill until nothing was left.
    pub recovered: Duration,
}

/// Where rounds are run.
pub struct Arena {
    lab: Arc<Lab>,
    containerd: Containerd,
    images: Arc<Images>,
    folder: tempfile::TempDir,
    /// Those that were there before.
    sockets: Vec<PathBuf>,
}

/// The sockets of all shims.
fn sockets() -> Vec<PathBuf> {
    fs::read_dir("/run/containerd/s").into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

impl Arena {
    /// An arena in the lab that this process runs in.
    ///
    /// # Errors
    /// There is none.
    pub async fn new(catalog: &Arc<Catalog>) -> Result<Self, ChaosError> {
        let lab = Lab::from_env()?;
        let namespace = format!("chaos-{}", std::process::id());
        let containerd = Containerd::connect(&lab.containerd, &namespace).await?.make_namespace().await?;
        let images = Arc::new(Images::new(containerd.clone(), Arc::clone(catalog)));
        let folder = tempfile::Builder::new().prefix("multiwasm-chaos-").tempdir().map_err(ChaosError::Folder)?;
        Ok(Self { lab: Arc::new(lab), containerd, images, folder, sockets: sockets() })
    }

    /// Runs a round, the `number`th of this run.
    pub async fn run(&self, round: &Round, number: usize) -> Outcome {
        let began = tokio::time::Instant::now();
        let mut living = JoinSet::new();
        let id = |at: usize| format!("r{number}-{at}");
        for (at, one) in round.containers.iter().enumerate() {
            let mut member = Member::new(&self.containerd, *one, id(at), self.folder.path(), &self.lab);
            let images = Arc::clone(&self.images);
            living.spawn(async move {
                let pipes = member.live(&images).await;
                (at, member, pipes)
            });
        }
        tokio::time::sleep_until(began + round.after).await;
        let (mut faults, mut hit) = (Vec::new(), true);
        let killed = Instant::now();
        if round.victim == Victim::Containerd {
            let lab = Arc::clone(&self.lab);
            let again = tokio::task::spawn_blocking(move || lab.kill_containerd().and_then(|_| lab.start_containerd()));
            match again.await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => faults.push(format!("containerd does not come back: {error}")),
                Err(error) => faults.push(error.to_string()),
            }
        } else {
            hit = self.kill(round.victim, &id(0)).await;
        }
        let mut members = living.join_all().await;
        members.sort_by_key(|(at, ..)| *at);
        for (at, member, pipes) in members {
            let victim = (at == 0 && hit || round.victim == Victim::Containerd).then_some(round.victim);
            let found = settle(&member, victim, round.seed).await;
            drop(pipes);
            faults
                .extend(found.into_iter().map(|fault| format!("{} ({:?}): {fault}", member.id, round.containers[at])));
        }
        Outcome { faults, hit, recovered: killed.elapsed() }
    }

    /// Kills a process of a container as soon as there is one; whether there was.
    async fn kill(&self, victim: Victim, id: &str) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(pid) = find(victim, self.containerd.namespace(), id)
                && kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok()
            {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Removes the namespace with all that rounds shared; what of theirs is there still.
    ///
    /// # Errors
    /// Something of it can't be removed.
    pub async fn end(self) -> Result<Vec<String>, ChaosError> {
        let namespace = self.containerd.namespace().to_owned();
        self.containerd.remove_namespace().await?;
        Traces::remove_parents(&namespace);
        // A socket's name does not tell whose it is; one that nobody listens on is of a dead shim.
        let dead = |path: &PathBuf| std::os::unix::net::UnixStream::connect(path).is_err();
        let new = sockets().into_iter().filter(|path| !self.sockets.contains(path) && dead(path));
        Ok(new.map(|path| format!("socket {}", path.display())).collect())
    }
}

/// The exit of a container and its removal; what is wrong with them.
async fn settle(member: &Member, victim: Option<Victim>, seed: u64) -> Vec<String> {
    let mut faults = member.hung.clone();
    // A program that is the first of its pid namespace gets no SIGTERM before it has a handler.
    let signal = if seed.is_multiple_of(2) && !member.native() { Signal::SIGTERM } else { Signal::SIGKILL };
    if member.started {
        if member.own_code().is_none() {
            member.signal(signal).await;
        }
        let mut right: Vec<u32> = member.own_code().into_iter().collect();
        if right.is_empty() {
            right.push(if signal == Signal::SIGTERM { TERMINATED } else { KILLED });
        }
        right.extend(match victim {
            Some(Victim::Guest) => vec![KILLED],
            Some(Victim::Shim) => vec![KILLED, UNKNOWN],
            _ => vec![],
        });
        match member.exit().await {
            Err(error) => faults.push(error),
            Ok(Some(code)) if right.contains(&code) => {}
            Ok(Some(code)) => faults.push(format!("exit code {code}, where one of {right:?} was right")),
            // Nobody is left who could tell.
            Ok(None) if victim == Some(Victim::Shim) => {}
            Ok(None) => faults.push("its exit is lost: there is no task any more".to_owned()),
        }
    }
    if let Err(error) = member.remove().await {
        faults.push(error);
    }
    let left = member.left().await;
    if !left.is_empty() {
        faults.push(format!("left {BOUND:?} later: {}", left.join("; ")));
    }
    faults
}

/// The process of this kind of a container.
fn find(victim: Victim, namespace: &str, id: &str) -> Option<i32> {
    let name = match victim {
        Victim::Shim => "multiwasm-shim",
        Victim::Spawner => "multiwasm-spawn",
        Victim::Worker => "multiwasm-work",
        Victim::Guest | Victim::Containerd => "",
    };
    let cgroup = crate::runner::cgroup::folder(namespace, id);
    let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    numbers.find(|pid| {
        // One that ends while it is looked at is none.
        let read = |file: &str| fs::read(Path::new("/proc").join(pid.to_string()).join(file)).unwrap_or_default();
        if name.is_empty() {
            return String::from_utf8_lossy(&read("cgroup")).lines().any(|line| line.ends_with(&cgroup));
        }
        let command = read("cmdline");
        let has = |word: &str| command.split(|byte| *byte == 0).any(|found| found == word.as_bytes());
        read("comm").trim_ascii_end() == name.as_bytes() && has(id) && has(namespace)
    })
}
