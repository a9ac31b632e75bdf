//! One image on three engines, through `ctr` and through `docker`, and runc's busybox beside them.

use std::path::Path;

use multiwasm_conformance::command::{Output, run};
use multiwasm_conformance::guests;
use multiwasm_conformance::image::{Image, Platform};
use multiwasm_conformance::lab::Lab;
use multiwasm_conformance::targets::{ENGINE_ANNOTATION, RUNTIME, Target};

use crate::BenchError;
use crate::events::{Events, Life, Until};
use crate::stats::median;
use crate::tables::aligned;

/// containerd's namespace of what `ctr` runs here.
const NAMESPACE: &str = "demo";
/// containerd's namespace of what Docker runs.
const MOBY: &str = "moby";
const WASM: &str = "docker.io/library/multiwasm-demo:wasm";
const NATIVE: &str = "docker.io/library/multiwasm-demo:linux";
/// Starts after the first one, of which the median is shown.
const MORE: usize = 5;

/// Who starts a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Ctr,
    Docker,
}

/// Runs it all and gives the table, with a line before it that says what the columns are.
pub fn run_all(lab: &Lab) -> Result<String, BenchError> {
    let folder = tempfile::tempdir().map_err(|cause| BenchError::File { what: "a temporary folder".into(), cause })?;
    bring_images(lab, folder.path())?;
    let events = Events::subscribe(&lab.containerd)?;
    let heading = ["engine", "version", "by", "exit", "first line of output", "first ms", "then ms"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    let ways = if lab.docker.is_some() { &[By::Ctr, By::Docker][..] } else { &[By::Ctr] };
    let versions = versions(lab)?;
    for target in Target::ENGINES.into_iter().chain([Target::Runc]) {
        for by in ways {
            rows.push(row(lab, &events, target, *by, &versions)?);
        }
    }
    Ok(format!(
        "One image ({WASM}), one runtime ({RUNTIME}).\n\
         ms: from the container's record to its exit, by the times of containerd's events /containers/create and\n\
         /tasks/exit: the shim's start, Create, Start, the run; with Docker the network too. \"first\" compiles where an\n\
         engine needs it; \"then\" is the median of the {MORE} starts after it.\n\n{}",
        aligned(&rows)
    ))
}

/// Makes the image of the guest, and busybox's for runc, and hands both to containerd and Docker.
fn bring_images(lab: &Lab, folder: &Path) -> Result<(), BenchError> {
    let probe = guests::folder().join("probe.wasm");
    let wasm = Image::new(WASM, Platform::Wasi).file("/probe.wasm", 0o644, &probe)?.entrypoint(&["/probe.wasm"]);
    let greeting = ["/bin/busybox", "echo", "hello from busybox"];
    let native = Image::new(NATIVE, Platform::Linux).file("/bin/busybox", 0o755, &lab.busybox)?.cmd(&greeting);
    for (name, image, platform) in [("wasm", wasm, Platform::Wasi), ("linux", native, Platform::Linux)] {
        let archive = folder.join(format!("{name}.tar"));
        image.write(&archive)?;
        let file = archive.display().to_string();
        run(&lab.ctr(NAMESPACE, ["images", "import", "--platform", &platform.name(), &file]))?.success()?;
        if let Some(load) = lab.docker(["load", "--input", &file]) {
            run(&load)?.success()?;
        }
    }
    Ok(())
}

/// An engine as `multiwasm engines --json` tells of it.
#[derive(serde::Deserialize)]
struct Engine {
    name: String,
    version: String,
}

fn versions(lab: &Lab) -> Result<Vec<Engine>, BenchError> {
    let path = format!("MULTIWASM_ENGINE_PATH={}", lab.engines.display());
    let told = run(&["env", &path, "multiwasm", "engines", "--json"])?.success()?;
    serde_json::from_slice(&told.stdout).map_err(|error| BenchError::Unexpected(format!("{}: {error}", told.command)))
}

fn row(lab: &Lab, events: &Events, target: Target, by: By, versions: &[Engine]) -> Result<Vec<String>, BenchError> {
    let (output, first) = start(lab, events, target, by)?;
    let mut more = Vec::new();
    for _ in 0..MORE {
        more.push(start(lab, events, target, by)?.1.took().as_secs_f64());
    }
    let version = match target.engine() {
        Some(engine) => versions.iter().find(|found| found.name == engine).map_or("", |found| found.version.as_str()),
        None => "busybox",
    };
    Ok(vec![
        target.to_string(),
        version.to_owned(),
        (if by == By::Ctr { "ctr run" } else { "docker run" }).to_owned(),
        first.code.to_string(),
        output.out().lines().next().unwrap_or_default().to_owned(),
        ms(first.took().as_secs_f64()),
        ms(median(&more)),
    ])
}

/// Seconds as milliseconds.
fn ms(seconds: f64) -> String {
    format!("{:.1}", seconds * 1e3)
}

/// One container to its end; it must greet and exit with 0.
fn start(lab: &Lab, events: &Events, target: Target, by: By) -> Result<(Output, Life), BenchError> {
    events.skip();
    let platform = target.platform();
    let image = if platform == Platform::Wasi { WASM } else { NATIVE };
    let engine = target.engine().map(|engine| format!("{ENGINE_ANNOTATION}={engine}"));
    let platform = platform.name();
    let mut words = vec!["run", "--rm", "--platform", &platform];
    if target != Target::Runc {
        words.extend(["--runtime", RUNTIME]);
    }
    if let Some(engine) = &engine {
        words.extend(["--annotation", engine]);
    }
    words.push(image);
    let (command, namespace) = match by {
        By::Ctr => (lab.ctr(NAMESPACE, words.into_iter().chain(["demo"])), NAMESPACE),
        By::Docker => (lab.docker(words).unwrap_or_default(), MOBY),
    };
    let output = run(&command)?.success()?;
    let life = events.next_life(namespace, Until::Exit)?;
    if life.code != 0 || !output.out().starts_with("hello from") {
        return Err(BenchError::Container { container: target.to_string(), what: format!("did not greet\n{output}") });
    }
    Ok((output, life))
}
