//! Whether Docker, containerd's CRI plug-in and K3s know of multiwasm: what `multiwasm install` would write.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Finding, Verdict};
use crate::install::{NAME, Problem, containerd, docker, k3s};

/// A finding for each of them that this node has.
pub(super) fn check() -> Vec<Finding> {
    let running = on_path("docker").then(ask_dockerd).flatten();
    let path = Path::new(docker::PATH);
    let docker = (running.is_some() || on_path("dockerd")).then(|| check_docker(path, running.as_ref()));
    let containerd = check_containerd(Path::new(containerd::PATH));
    let k3s = k3s::FOLDERS.into_iter().map(Path::new).filter(|folder| folder.is_dir()).map(check_k3s);
    docker.into_iter().chain(containerd).chain(k3s).collect()
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn broken(check: &str, path: &Path, problem: &Problem) -> Finding {
    Finding::new(Verdict::Problem, check, format!("{}: {problem}", path.display()))
}

/// What a dockerd says of itself.
struct Dockerd {
    version: String,
    /// Whether its images are in containerd's store.
    containerd_store: bool,
    /// Whether it knows the runtime by its name.
    named: bool,
}

/// How many seconds a daemon has for its answer.
const PATIENCE: &str = "10";

/// The daemon of this node that this shell's `docker` speaks to; none where it doesn't answer, or is another machine's.
fn ask_dockerd() -> Option<Dockerd> {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    let host = if host.is_empty() { "unix:///var/run/docker.sock".to_owned() } else { host };
    if !host.starts_with("unix://") {
        return None;
    }
    let format = "{{.ServerVersion}}\t{{json .DriverStatus}}\t{{json .Runtimes}}";
    let mut command = Command::new("timeout");
    command.args([PATIENCE, "docker", "--host", &host, "info", "--format", format]);
    let said = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    told(&String::from_utf8_lossy(&said.stdout))
}

/// What `docker info` printed: version, status of the storage driver, runtimes by name.
fn told(said: &str) -> Option<Dockerd> {
    let mut words = said.trim_end().split('\t');
    let (version, driver, runtimes) = (words.next()?, words.next()?, words.next()?);
    let runtimes: serde_json::Value = serde_json::from_str(runtimes).ok()?;
    (!version.is_empty()).then(|| Dockerd {
        version: version.to_owned(),
        // moby's daemon/containerd/service.go names the kind of its driver so.
        containerd_store: driver.contains("io.containerd.snapshotter."),
        named: runtimes.get(NAME).is_some(),
    })
}

/// By what the daemon says, and by its file where it does not run.
fn check_docker(path: &Path, running: Option<&Dockerd>) -> Finding {
    let shown = path.display();
    let (store, named) = match docker::state(&fs::read_to_string(path).unwrap_or_default()) {
        Ok(state) => state,
        Err(problem) => return broken("docker", path, &problem),
    };
    let cure = "multiwasm install docker";
    if let Some(Dockerd { version, containerd_store, named: known }) = running {
        let late = "restart Docker, which has not read that yet";
        let (verdict, found) = match (*containerd_store, *known) {
            (true, true) => (Verdict::Ok, format!("{version} has images in containerd's store, and --runtime {NAME}")),
            (true, false) => {
                let how = if named { late } else { cure };
                (Verdict::Ok, format!("{version} has images in containerd's store; for --runtime {NAME}: {how}"))
            }
            (false, _) => {
                let how = if store == Some(true) { format!("{shown} says otherwise, {late}") } else { cure.to_owned() };
                let found =
                    format!("{version} keeps images in its own store, which knows no platform wasi/wasm: {how}");
                (Verdict::Warning, found)
            }
        };
        return Finding::new(verdict, "docker", found);
    }
    let (verdict, found) = match (store, named) {
        (Some(true), true) => (Verdict::Ok, format!("images in containerd's store, --runtime {NAME}")),
        (Some(true), false) => (Verdict::Ok, format!("images in containerd's store; {cure} adds --runtime {NAME}")),
        (Some(false), _) => (
            Verdict::Warning,
            format!("{shown} keeps images in Docker's own store, which knows no platform wasi/wasm: {cure}"),
        ),
        // moby's daemon/command/daemon.go: by default since 29, and there for new installations.
        (None, _) => (
            Verdict::Warning,
            format!(
                "{shown} does not say where images are kept, and Docker before 29 keeps them where there is no platform wasi/wasm: {cure}"
            ),
        ),
    };
    Finding::new(verdict, "docker", found)
}

/// None where the file is missing, as then containerd has its defaults, and no Kubernetes.
fn check_containerd(path: &Path) -> Option<Finding> {
    let text = fs::read_to_string(path).ok()?;
    Some(match containerd::handlers(&text) {
        Ok(handlers) if handlers.is_empty() => Finding::new(
            Verdict::Ok,
            "runtime handlers",
            "none; for Kubernetes: multiwasm install containerd (Docker, nerdctl and ctr need none)",
        ),
        Ok(handlers) => Finding::new(Verdict::Ok, "runtime handlers", handlers.join(", ")),
        // It may be of a version without handlers, which other clients don't mind.
        Err(problem @ Problem::Version { .. }) => {
            Finding::new(Verdict::Warning, "runtime handlers", format!("{}: {problem}", path.display()))
        }
        Err(problem) => broken("runtime handlers", path, &problem),
    })
}

fn check_k3s(folder: &Path) -> Finding {
    let made = fs::read_to_string(folder.join(k3s::MADE)).ok();
    let template = folder.join(k3s::template(k3s::version(made.as_deref())));
    let known = fs::read_to_string(&template).is_ok_and(|text| k3s::has(&text));
    if known {
        Finding::new(Verdict::Ok, "k3s", format!("{} has handler {NAME}", template.display()))
    } else {
        let found = format!("{} has no handler {NAME}: multiwasm install k3s", template.display());
        Finding::new(Verdict::Warning, "k3s", found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_has_its_cure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon.json");
        let said = |text: &str| {
            fs::write(&path, text).unwrap();
            let finding = check_docker(&path, None);
            (finding.verdict, finding.found)
        };
        for text in ["", "{}", r#"{"features": {"containerd-snapshotter": false}}"#] {
            let (verdict, found) = said(text);
            assert!(verdict == Verdict::Warning && found.ends_with("multiwasm install docker"), "{found}");
        }
        assert_eq!(said(&docker::with("").unwrap().text).0, Verdict::Ok);
        assert_eq!(said("{").0, Verdict::Problem);

        // A daemon that runs knows better than its file.
        let own = "28.5.2\t[[\"Backing Filesystem\",\"extfs\"]]\t{\"runc\":{}}\n";
        let containerds = "28.5.2\t[[\"driver-type\",\"io.containerd.snapshotter.v1\"]]\t{\"multiwasm\":{}}\n";
        let said = |text: &str, info: &str| {
            fs::write(&path, text).unwrap();
            let finding = check_docker(&path, told(info).as_ref());
            (finding.verdict, finding.found)
        };
        let (verdict, found) = said("", own);
        assert!(verdict == Verdict::Warning && found.ends_with("multiwasm install docker"), "{found}");
        let (verdict, found) = said(&docker::with("").unwrap().text, own);
        assert!(verdict == Verdict::Warning && found.contains("restart Docker"), "{found}");
        assert_eq!(said("", containerds).0, Verdict::Ok);
        assert!(told("\tnull\tnull\n").is_none() && told("").is_none());

        let config = folder.path().join("config.toml");
        assert!(check_containerd(&config).is_none());
        fs::write(&config, "version = 2\n").unwrap();
        assert!(check_containerd(&config).unwrap().found.contains("multiwasm install containerd"));
        fs::write(&config, containerd::with("", 3).unwrap().text).unwrap();
        assert_eq!(check_containerd(&config).unwrap().found, "multiwasm, wasmtime, wasmedge, wasmer");

        assert_eq!(check_k3s(folder.path()).verdict, Verdict::Warning);
        fs::write(folder.path().join("config-v3.toml.tmpl"), k3s::with("", 3).unwrap().text).unwrap();
        fs::write(&config, "version = 3\n").unwrap();
        assert_eq!(check_k3s(folder.path()).verdict, Verdict::Ok);
    }
}
