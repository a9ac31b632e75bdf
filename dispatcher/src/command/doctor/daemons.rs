//! Whether Docker, containerd's CRI plug-in and K3s know of multiwasm: what `multiwasm install` would write.

use std::fs;
use std::path::Path;

use super::{Finding, Verdict};
use crate::install::{NAME, Problem, containerd, docker, k3s};

/// A finding for each of them that this node has.
pub(super) fn check() -> Vec<Finding> {
    let docker = on_path("dockerd").then(|| check_docker(Path::new(docker::PATH)));
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

fn check_docker(path: &Path) -> Finding {
    let shown = path.display();
    let (store, named) = match docker::state(&fs::read_to_string(path).unwrap_or_default()) {
        Ok(state) => state,
        Err(problem) => return broken("docker", path, &problem),
    };
    let cure = "multiwasm install docker";
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
            let finding = check_docker(&path);
            (finding.verdict, finding.found)
        };
        for text in ["", "{}", r#"{"features": {"containerd-snapshotter": false}}"#] {
            let (verdict, found) = said(text);
            assert!(verdict == Verdict::Warning && found.ends_with("multiwasm install docker"), "{found}");
        }
        assert_eq!(said(&docker::with("").unwrap().text).0, Verdict::Ok);
        assert_eq!(said("{").0, Verdict::Problem);

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
