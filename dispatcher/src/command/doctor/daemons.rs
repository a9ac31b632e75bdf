//! Whether Docker, containerd's CRI plug-in and K3s know of multiwasm: what `multiwasm install` would write.

use std::path::Path;
use std::process::{Command, Stdio};
use std::{fs, io};

use super::{Finding, Verdict, version_of};
use crate::install::{NAME, Problem, containerd, docker, imports, k3s};

/// The oldest Docker that multiwasm is for (docs/docker.md).
const OLDEST: (u32, u32) = (25, 0);

/// A finding for each of them that this node has.
pub(super) fn check() -> Vec<Finding> {
    let running = on_path("docker").then(ask_dockerd).flatten();
    let path = Path::new(docker::PATH);
    let docker = (running.is_some() || on_path("dockerd")).then(|| check_docker(path, running.as_ref()));
    let containerd = check_containerd(Path::new(containerd::PATH), on_path("kubelet"));
    let k3s = k3s::FOLDERS.into_iter().map(Path::new).filter(|folder| folder.is_dir()).map(check_k3s);
    docker.into_iter().chain(containerd).chain(k3s).collect()
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// A configuration's text; none where there is no file.
fn read(check: &str, path: &Path) -> Result<Option<String>, Finding> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(check, path, &error)),
    }
}

fn unreadable(check: &str, path: &Path, error: &io::Error) -> Finding {
    let cure = if error.kind() == io::ErrorKind::PermissionDenied { ": ask again as root" } else { "" };
    Finding::new(Verdict::Warning, check, format!("{} can't be read: {error}{cure}", path.display()))
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
    if let Some(Dockerd { version, .. }) = running
        && version_of(version).is_some_and(|version| version < OLDEST)
    {
        let found = format!(
            "{version} is too old, {} is the oldest that multiwasm is for: install Docker's own packages of a newer one \
             (docs.docker.com/engine/install)",
            OLDEST.0
        );
        return Finding::new(Verdict::Warning, "docker", found);
    }
    let well = running.is_some_and(|running| running.containerd_store && running.named);
    let (store, named) = match read("docker", path).map(|text| docker::state(&text.unwrap_or_default())) {
        Ok(Ok(state)) => state,
        Ok(Err(problem)) => return broken("docker", path, &problem),
        // What it says does not matter where the daemon has all.
        Err(_) if well => (None, false),
        Err(finding) => return finding,
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

/// None where the file is missing, as then containerd has its defaults, and no Kubernetes. `kubelet`: whether this is to be a
/// node of Kubernetes, though containerd may not be ready for it.
fn check_containerd(path: &Path, kubelet: bool) -> Option<Finding> {
    const CHECK: &str = "runtime handlers";
    let shown = path.display();
    let text = match read(CHECK, path) {
        Ok(text) => text?,
        Err(finding) => return Some(finding),
    };
    let finding = |verdict, found: String| Finding::new(verdict, CHECK, found);
    let judged = || {
        let own = containerd::handlers(&text);
        // Docker's packages of containerd come so.
        if containerd::switches_off(&text)? {
            let named = own.is_ok_and(|own| !own.is_empty());
            return Ok(if kubelet || named {
                let found = format!(
                    "{shown} switches the CRI plug-in off, without which there are none: take it out of disabled_plugins"
                );
                finding(Verdict::Warning, found)
            } else {
                let found = "none, and the CRI plug-in is off (disabled_plugins): Kubernetes would need both, Docker, nerdctl and ctr \
                             need neither";
                finding(Verdict::Ok, found.to_owned())
            });
        }
        let (own, held) = (own?, imports::handlers_with(path, &text)?);
        Ok(match imports::hiding(path, &text)?.last() {
            Some(file) if held.is_empty() && !own.is_empty() => {
                let found = format!(
                    "those of {shown} do not hold with containerd 1, as {} is imported and has a section of the CRI plug-in: put them there too",
                    file.display()
                );
                finding(Verdict::Warning, found)
            }
            _ if held.is_empty() => {
                let found = "none; for Kubernetes: multiwasm install containerd (Docker, nerdctl and ctr need none)";
                finding(Verdict::Ok, found.to_owned())
            }
            _ => finding(Verdict::Ok, held.join(", ")),
        })
    };
    Some(judged().unwrap_or_else(|problem| match problem {
        // It may be of a version without handlers, which other clients don't mind.
        Problem::Version { .. } => finding(Verdict::Warning, format!("{shown}: {problem}")),
        _ => broken(CHECK, path, &problem),
    }))
}

fn check_k3s(folder: &Path) -> Finding {
    let made = fs::read_to_string(folder.join(k3s::MADE)).ok();
    let version = k3s::version(made.as_deref());
    let template = folder.join(k3s::template(version));
    let text = match read("k3s", &template) {
        Ok(text) => text.unwrap_or_default(),
        Err(finding) => return finding,
    };
    if k3s::has(&text, version) {
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
        for old in ["20.10.24+dfsg1", "23.0.6", "24.0.7"] {
            let (verdict, found) = said("", &own.replace("28.5.2", old));
            assert!(verdict == Verdict::Warning && found.contains("too old, 25 is the oldest"), "{found}");
            assert!(found.contains("newer one") && !found.contains("multiwasm install"), "{found}");
        }
        assert_eq!(said("", &containerds.replace("28.5.2", "25.0.0")).0, Verdict::Ok);

        let config = folder.path().join("config.toml");
        assert_eq!(check_k3s(folder.path()).verdict, Verdict::Warning);
        fs::write(folder.path().join("config-v3.toml.tmpl"), k3s::with("", 3).unwrap().text).unwrap();
        fs::write(&config, "version = 3\n").unwrap();
        assert_eq!(check_k3s(folder.path()).verdict, Verdict::Ok);
    }

    #[test]
    fn what_can_not_be_read_is_told_as_that() {
        // A folder can't be read by root either.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon.json");
        fs::create_dir(&path).unwrap();
        let stored = |named| Dockerd { version: "28.5.2".to_owned(), containerd_store: true, named };
        for running in [None, Some(stored(false))] {
            let finding = check_docker(&path, running.as_ref());
            assert!(finding.verdict == Verdict::Warning && finding.found.contains("can't be read: "), "{finding:?}");
        }
        assert_eq!(check_docker(&path, Some(&stored(true))).verdict, Verdict::Ok);
        assert!(check_containerd(&path, false).unwrap().found.contains("can't be read: "));
        fs::create_dir(folder.path().join("config-v3.toml.tmpl")).unwrap();
        assert!(check_k3s(folder.path()).found.contains("can't be read: "));
        let denied = unreadable("docker", &path, &io::Error::from(io::ErrorKind::PermissionDenied));
        assert!(denied.found.ends_with("ask again as root"), "{}", denied.found);
    }

    #[test]
    fn handlers_are_those_that_hold() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.toml");
        assert!(check_containerd(&config, true).is_none());
        let said = |text: &str, kubelet| {
            fs::write(&config, text).unwrap();
            let finding = check_containerd(&config, kubelet).unwrap();
            (finding.verdict, finding.found)
        };
        assert!(said("version = 4\n", false).1.contains("multiwasm install containerd"));
        let whole = containerd::with("", 3).unwrap().text;
        assert_eq!(said(&whole, false), (Verdict::Ok, "multiwasm, wasmtime, wasmedge, wasmer".to_owned()));
        assert_eq!(said("version = 5\n", false).0, Verdict::Warning);
        assert_eq!(said("version = [\n", false).0, Verdict::Problem);

        // What Docker's package of containerd has is well for Docker.
        let stock = "disabled_plugins = [\"cri\"]\n";
        assert_eq!(said(stock, false).0, Verdict::Ok);
        for (text, kubelet) in [(stock.to_owned(), true), (format!("{stock}{whole}"), false)] {
            let (verdict, found) = said(&text, kubelet);
            assert!(verdict == Verdict::Warning && found.ends_with("take it out of disabled_plugins"), "{found}");
        }

        let importing = containerd::with("version = 2\nimports = [\"cri.toml\"]\n", 3).unwrap().text;
        assert_eq!(said(&importing, false).0, Verdict::Ok);
        fs::write(folder.path().join("cri.toml"), "[plugins.\"io.containerd.grpc.v1.cri\".registry]\n").unwrap();
        let (verdict, found) = said(&importing, false);
        assert!(verdict == Verdict::Warning && found.contains("cri.toml is imported"), "{found}");
    }
}
