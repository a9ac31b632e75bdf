//! Create, Start and exit of a tiny guest, straight through containerd's API, beside runc in the same run.

use std::time::{Duration, Instant};

use containerd_client::services::v1::snapshots::MountsRequest;
use containerd_client::services::v1::snapshots::snapshots_client::SnapshotsClient;
use containerd_client::services::v1::tasks_client::TasksClient;
use containerd_client::services::v1::{CreateTaskRequest, DeleteTaskRequest, StartRequest, WaitRequest};
use containerd_client::tonic::transport::Channel;
use containerd_client::tonic::{Request, Status};
use containerd_client::with_namespace;
use multiwasm_conformance::command::{Output, run};
use multiwasm_conformance::guests;
use multiwasm_conformance::image::{Image, Platform};
use multiwasm_conformance::lab::Lab;
use multiwasm_conformance::targets::{ENGINE_ANNOTATION, Target};

use crate::BenchError;
use crate::events::{channel_to, on_runtime};
use crate::report::{machine, ms, spread, table};

const NAMESPACE: &str = "bench";
const IMAGE: &str = "docker.io/library/multiwasm-bench:linux";
/// Starts of each that are not counted: the first one compiles, and fills the kernel's caches.
const WARM_UP: usize = 3;
/// No start takes as long; one that does would not end.
const LIMIT: Duration = Duration::from_secs(60);

/// What is compared; the first one is what the others are set against.
const TARGETS: [Target; 4] = [Target::Runc, Target::Wasmtime, Target::WasmEdge, Target::Wasmer];

/// The phases of one start.
#[derive(Debug, Clone, Copy)]
struct Phases {
    create: Duration,
    start: Duration,
    exit: Duration,
}

impl Phases {
    fn all(&self) -> Duration {
        self.create + self.start + self.exit
    }
}

/// Measures `runs` starts of each, one after the other in turn, and gives the report.
pub fn measure(lab: &Lab, runs: usize) -> Result<String, BenchError> {
    bring_image(lab)?;
    let before = machine(lab);
    let mut measured = TARGETS.map(|target| (target, Vec::with_capacity(runs)));
    on_runtime(async {
        let channel = channel_to(&lab.containerd).await?;
        for round in 0..WARM_UP + runs {
            for (target, phases) in &mut measured {
                let one = one(lab, &channel, *target, round).await?;
                if round >= WARM_UP {
                    phases.push(one);
                }
            }
        }
        Ok::<_, BenchError>(())
    })??;
    Ok(report(&before, &lab.suite, runs, &measured))
}

fn report(machine: &str, suite: &str, runs: usize, measured: &[(Target, Vec<Phases>)]) -> String {
    let heading = ["", "Create", "p10-p90", "Start", "p10-p90", "exit", "p10-p90", "all three", "p10-p90", "of runc's"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    let median = |phases: &[Phases]| spread(&phases.iter().map(Phases::all).collect::<Vec<_>>()).0.as_secs_f64();
    let runc = measured.first().map_or(1.0, |(_, phases)| median(phases));
    for (target, phases) in measured {
        let mut row = vec![target.to_string()];
        for phase in [|p: &Phases| p.create, |p: &Phases| p.start, |p: &Phases| p.exit, Phases::all] {
            let (middle, low, high) = spread(&phases.iter().map(phase).collect::<Vec<_>>());
            row.extend([ms(middle), format!("{}-{}", ms(low), ms(high))]);
        }
        row.push(format!("{:.2}", median(phases) / runc));
        rows.push(row);
    }
    format!(
        "Starts of a tiny guest (Wasm: a module that returns; runc: a static busybox's `true`), milliseconds, medians of \
         {runs} interleaved runs.\nCreate and Start: the calls of containerd's task service; exit: from Start's answer to \
         Wait's.\n{machine}\nrepeat with: scripts/lab run {suite} -- cargo run --release -p multiwasm-bench -- start --runs {runs}\n\n{}",
        table(&rows)
    )
}

/// One image with both guests. Its platform is the machine's: `ctr containers create` knows no other.
fn bring_image(lab: &Lab) -> Result<(), BenchError> {
    let folder = tempfile::tempdir().map_err(|cause| BenchError::File { what: "a temporary folder".into(), cause })?;
    let (archive, tiny) = (folder.path().join("image.tar"), guests::folder().join("tiny.wasm"));
    let image = Image::new(IMAGE, Platform::Linux).file("/tiny.wasm", 0o644, &tiny)?;
    image.file("/bin/busybox", 0o755, &lab.busybox)?.write(&archive)?;
    run(&lab.ctr(NAMESPACE, ["images", "import", &archive.display().to_string()]))?.success()?;
    Ok(())
}

/// Makes the container as `ctr` does, runs its task by single calls, and removes it.
async fn one(lab: &Lab, channel: &Channel, target: Target, round: usize) -> Result<Phases, BenchError> {
    let id = format!("{target}-{round}");
    let engine = target.engine().map(|engine| format!("{ENGINE_ANNOTATION}={engine}"));
    let mut words = vec!["containers", "create", "--runtime", target.runtime()];
    if let Some(engine) = &engine {
        words.extend(["--annotation", engine]);
    }
    words.extend([IMAGE, &id]);
    words.extend(if engine.is_some() { &["/tiny.wasm"][..] } else { &["/bin/busybox", "true"] });
    run(&lab.ctr(NAMESPACE, words))?.success()?;
    let phases = match tokio::time::timeout(LIMIT, task(channel, &id)).await {
        Ok(phases) => phases,
        Err(_) => Err(BenchError::Container { container: id.clone(), what: format!("did not end within {LIMIT:?}") }),
    };
    let deleted = run(&lab.ctr(NAMESPACE, ["containers", "delete", &id])).and_then(Output::success);
    let phases = phases?;
    deleted?;
    Ok(phases)
}

/// Create, Start and exit of one task, each timed.
async fn task(channel: &Channel, id: &str) -> Result<Phases, BenchError> {
    let refused =
        |call| move |cause: Status| BenchError::Refused { call, container: id.to_owned(), cause: Box::new(cause) };
    let mounts = MountsRequest { snapshotter: "overlayfs".into(), key: id.to_owned() };
    let mounts = SnapshotsClient::new(channel.clone()).mounts(with_namespace!(mounts, NAMESPACE)).await;
    let rootfs = mounts.map_err(refused("Mounts"))?.into_inner().mounts;
    let mut tasks = TasksClient::new(channel.clone());
    let container_id = || id.to_owned();
    let create = CreateTaskRequest { container_id: container_id(), rootfs, ..Default::default() };
    let start = StartRequest { container_id: container_id(), ..Default::default() };
    let wait = WaitRequest { container_id: container_id(), ..Default::default() };

    let began = Instant::now();
    tasks.create(with_namespace!(create, NAMESPACE)).await.map_err(refused("Create"))?;
    let created = Instant::now();
    tasks.start(with_namespace!(start, NAMESPACE)).await.map_err(refused("Start"))?;
    let started = Instant::now();
    let exit = tasks.wait(with_namespace!(wait, NAMESPACE)).await.map_err(refused("Wait"))?.into_inner();
    let exited = Instant::now();

    let delete = DeleteTaskRequest { container_id: container_id() };
    tasks.delete(with_namespace!(delete, NAMESPACE)).await.map_err(refused("Delete"))?;
    if exit.exit_status != 0 {
        return Err(BenchError::Container {
            container: container_id(),
            what: format!("exit code {}", exit.exit_status),
        });
    }
    Ok(Phases { create: created - began, start: started - created, exit: exited - started })
}
