//! All cells of a run, many at once, and what is around them: the namespace, the order, the report.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::cell::{self, Job};
use super::container::Context;
use super::image::Images;
use super::log::Log;
use super::select::{Filter, applies};
use super::target::Target;
use super::traces::Traces;
use super::{machine, select};
use crate::case::Case;
use crate::catalog::Catalog;
use crate::client::events::Events;
use crate::client::{ClientError, Containerd};
use crate::report;
use crate::report::{Cell, Outcome, Run, Timestamp};

/// What is run, and how.
pub struct Plan {
    /// The words of the command that runs it, for who wants to run a cell of it again.
    pub verb: String,
    /// containerd's socket.
    pub containerd: PathBuf,
    /// containerd's log, where it is a file that can be read.
    pub log: Option<PathBuf>,
    /// What cases run on.
    pub targets: Vec<Target>,
    /// Which cases.
    pub filter: Filter,
    /// Containers at once.
    pub jobs: usize,
    /// A bound for each case in place of its own, where that is longer.
    pub timeout: Option<Duration>,
}

/// Why a run did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// containerd does not do what a run needs.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// No cell is left.
    #[error("no case is named so for any of these targets: `multiwasm-conformance list` shows all cases")]
    Nothing,
    /// A runtime is not installed.
    #[error(
        "{runtime} can't run anything here: {message}: install it where containerd finds it, on containerd's own PATH"
    )]
    Runtime {
        /// Its name.
        runtime: String,
        /// What containerd says.
        message: String,
    },
    /// A file or folder of the run can't be made or read.
    #[error("{}: {cause}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// It was told to stop.
    #[error("stopped; what the run had made is removed")]
    Stopped,
    /// The runner itself failed.
    #[error("a cell's own task ended: {0}")]
    Runner(#[from] tokio::task::JoinError),
}

/// Who wants to know how far a run is.
pub trait Watcher {
    /// There will be so many cells.
    fn begin(&self, cells: usize);
    /// One is done.
    fn done(&self, cell: &Cell);
}

/// Runs the plan; gives what its report holds.
///
/// # Errors
/// It could not be run; that cases fail is none.
pub async fn run(catalog: &Arc<Catalog>, plan: &Plan, watcher: &dyn Watcher) -> Result<Run, RunError> {
    // What containerd still collects of one run must not be missed by the next one of this process.
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let namespace = format!("conformance-{}-{}", std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed));
    let containerd = Containerd::connect(&plan.containerd, &namespace).await?;
    let version = containerd.version().await?;
    let jobs = jobs(catalog, plan, &version);
    if jobs.is_empty() {
        return Err(RunError::Nothing);
    }
    let (started, began) = (Timestamp::now(), Instant::now());
    let folder = tempfile::Builder::new().prefix("multiwasm-conformance-").tempdir();
    let folder = folder.map_err(|cause| RunError::File { path: std::env::temp_dir(), cause })?;
    let containerd = containerd.make_namespace().await?;
    let ended = tokio::select! {
        ended = all(&containerd, catalog, plan, folder.path(), jobs, watcher) => ended,
        () = stop_signal() => Err(RunError::Stopped),
    };
    // Cells that were stopped may be in the middle of a call that makes something: containerd ends those with their client.
    let removed = containerd.remove_namespace().await;
    Traces::remove_parents(&namespace);
    let cells = ended?;
    removed?;
    let used = |area: &&crate::case::Area| cells.iter().any(|cell| cell.area == area.name);
    let areas = catalog.areas.iter().filter(used);
    Ok(Run {
        containerd: report::Containerd { version },
        kernel: machine::kernel(),
        cgroup: machine::cgroup(),
        architecture: std::env::consts::ARCH.to_owned(),
        engines: machine::engines(),
        targets: plan.targets.iter().map(reported).collect(),
        areas: areas.map(|area| report::Area { name: area.name.clone(), about: area.about.clone() }).collect(),
        started,
        seconds: began.elapsed().as_secs_f64(),
        cells,
    })
}

fn reported(target: &Target) -> report::Target {
    report::Target { name: target.name.clone(), runtime: target.runtime.clone(), engine: target.engine.clone() }
}

/// The cells of a plan with a version of containerd, in the order of the report.
fn jobs(catalog: &Catalog, plan: &Plan, containerd: &str) -> Vec<Job> {
    let targets: Vec<_> = plan.targets.iter().cloned().map(Arc::new).collect();
    let mut jobs = Vec::new();
    for case in catalog.cases().filter(|case| plan.filter.takes(case)) {
        let mut case = case.clone();
        case.shorten(plan.timeout);
        case.expect.retain_for(containerd);
        let case = Arc::new(case);
        for target in targets.iter().filter(|target| applies(&case, target, catalog)) {
            let needs = catalog.guest(&case.guest).needs.iter().chain(&case.needs);
            let lacks = target.lacks(needs).map(str::to_owned);
            let id = format!("{:04}-{}-{}", jobs.len(), target.name.replace('/', "-"), short(&case));
            jobs.push(Job { case: Arc::clone(&case), target: Arc::clone(target), lacks, id });
        }
    }
    jobs
}

/// A container's id has room for 76 characters.
fn short(case: &Case) -> String {
    let name = format!("{}-{}", case.area, case.name).replace(['_', '.', '/'], "-");
    name.chars().take(32).collect::<String>().trim_end_matches('-').to_owned()
}

async fn all(
    containerd: &Containerd,
    catalog: &Arc<Catalog>,
    plan: &Plan,
    folder: &Path,
    jobs: Vec<Job>,
    watcher: &dyn Watcher,
) -> Result<Vec<Cell>, RunError> {
    let log = |path: &PathBuf| Log::from_now(path).map_err(|cause| RunError::File { path: path.clone(), cause });
    let context = Arc::new(Context {
        events: Events::subscribe(containerd).await?,
        images: Images::new(containerd.clone(), Arc::clone(catalog)),
        containerd: containerd.clone(),
        folder: folder.to_owned(),
        log: plan.log.as_ref().map(log).transpose()?,
    });
    for target in &plan.targets {
        let id = format!("check-{}", target.name.replace('/', "-"));
        if let Some(message) = cell::missing(&context, &Arc::new(target.clone()), id).await {
            return Err(RunError::Runtime { runtime: target.runtime.clone(), message });
        }
    }
    watcher.begin(jobs.len());
    let mut cells: Vec<Option<Cell>> = vec![None; jobs.len()];
    let (together, alone): (Vec<_>, Vec<_>) = jobs.into_iter().enumerate().partition(|(_, job)| !job.case.alone);
    let room = Arc::new(Semaphore::new(plan.jobs));
    let mut running = JoinSet::new();
    for (at, job) in together {
        let (room, context, verb) = (Arc::clone(&room), Arc::clone(&context), plan.verb.clone());
        let containers = job.case.copies.min(plan.jobs).try_into().unwrap_or(1);
        running.spawn(async move {
            let _room = room.acquire_many_owned(containers).await;
            (at, one(&context, &job, &verb).await)
        });
    }
    while let Some(done) = running.join_next().await {
        let (at, cell) = done?;
        watcher.done(&cell);
        cells[at] = Some(cell);
    }
    for (at, job) in alone {
        let cell = one(&context, &job, &plan.verb).await;
        watcher.done(&cell);
        cells[at] = Some(cell);
    }
    Ok(cells.into_iter().flatten().collect())
}

async fn one(context: &Arc<Context>, job: &Job, verb: &str) -> Cell {
    let began = Instant::now();
    let outcome = cell::run(context, job).await;
    let run = !matches!(outcome, Outcome::NotRun { .. });
    Cell {
        area: job.case.area.clone(),
        case: job.case.name.clone(),
        about: job.case.about.clone(),
        source: job.case.source.clone(),
        target: job.target.name.clone(),
        outcome,
        milliseconds: if run { began.elapsed().as_millis().try_into().unwrap_or(u64::MAX) } else { 0 },
        command: select::alone(verb, &job.case, &job.target),
    }
}

/// Ctrl-C, or what a service manager sends.
async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut hangup)) = (signal(SignalKind::terminate()), signal(SignalKind::hangup())) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}
