//! Containers that must not come to life: asked for through each of the ways that a user has, and what the user reads.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::command::run;
use crate::ctr::{Container, ctr, lab, must};
use crate::docker;
use crate::guests::{self, WASM_IMAGE, bad};
use crate::image::Platform;
use crate::targets::{ENGINE_ANNOTATION, RUNTIME};

/// A container that is asked for, and why it can't be had.
#[derive(Debug, Clone)]
pub struct Refused {
    entrypoint: String,
    annotations: Vec<(String, String)>,
    config: Option<PathBuf>,
}

impl Refused {
    /// The guests' image with this entrypoint.
    pub fn entrypoint(path: &str) -> Self {
        Self { entrypoint: path.to_owned(), annotations: Vec::new(), config: None }
    }

    /// On this engine.
    pub fn on(self, engine: &str) -> Self {
        self.annotation(ENGINE_ANNOTATION, engine)
    }

    /// With this annotation.
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.push((key.to_owned(), value.to_owned()));
        self
    }

    /// With this file as the runtime's configuration.
    pub fn config(mut self, file: &Path) -> Self {
        self.config = Some(file.to_owned());
        self
    }

    /// Asks for it in every way that there is for it; panics unless each fails and says all of `parts`.
    #[track_caller]
    pub fn says(&self, parts: &[&str]) {
        self.by_ctr(parts);
        if lab().docker.is_some() && self.config.is_none() {
            self.by_docker(parts);
        }
        self.by_command(parts);
    }

    /// Asks for it through `ctr`; panics unless that fails and says all of `parts`.
    #[track_caller]
    pub fn by_ctr(&self, parts: &[&str]) {
        let mut container = Container::auto().args([&self.entrypoint]);
        for (key, value) in &self.annotations {
            container = container.annotation(key, value);
        }
        if let Some(config) = &self.config {
            container = container.flag("--runtime-config-path", &config.to_string_lossy());
        }
        let running = container.start();
        let id = running.task.id().to_owned();
        let output = running.finish();
        assert!(output.code != 0, "it was not refused\n{output}");
        output.expect_out("").expect_err(parts);
        let listed = ctr(&["tasks", "ls", "--quiet"]).out();
        assert!(!listed.lines().any(|line| line == id), "Create left a task\n{output}");
    }

    #[track_caller]
    fn by_docker(&self, parts: &[&str]) {
        let mut container = docker::Container::auto().args([&self.entrypoint]);
        for (key, value) in &self.annotations {
            container = container.flag(&format!("--annotation={key}={value}"));
        }
        let output = container.run();
        assert!(output.code != 0, "it was not refused\n{output}");
        output.expect_out("").expect_err(parts);
    }

    /// `multiwasm run`, which takes an engine; its configuration is the node's, and annotations are containers' alone.
    #[track_caller]
    fn by_command(&self, parts: &[&str]) {
        let file = format!("{}{}", unpacked().display(), self.entrypoint);
        let engines = format!("MULTIWASM_ENGINE_PATH={}", lab().engines.display());
        let mut words = ["env", &engines, "multiwasm", "run"].map(str::to_owned).to_vec();
        for (key, value) in &self.annotations {
            if key != ENGINE_ANNOTATION {
                return;
            }
            words.extend(["--engine".into(), value.clone()]);
        }
        if self.config.is_some() {
            return;
        }
        words.push(file);
        let output = must(run(&words));
        assert!(output.code != 0, "it was not refused\n{output}");
        output.expect_out("").expect_err(parts);
    }
}

/// The guests' image as files of this machine.
#[track_caller]
fn unpacked() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = must(tempfile::tempdir());
        must(must(guests::image(lab(), WASM_IMAGE, Platform::Wasi)).unpack(folder.path()));
        folder
    });
    folder.path()
}

/// All entrypoints of the image that are wrong in themselves, whatever runs them.
pub const BAD_FILES: [&str; 4] = [bad::NOT_WASM, bad::TRUNCATED, bad::WASMEDGE_NATIVE, bad::CWASM];

/// A folder of engines beside the installed ones, and a runtime that knows no other.
///
/// Where engines are looked for is the node's matter and not a container's, so this is another runtime: the shim, started
/// with another environment. containerd takes a runtime by the path of its shim.
pub struct OtherEngines {
    folder: tempfile::TempDir,
}

impl OtherEngines {
    /// An empty folder of engines.
    #[track_caller]
    pub fn none() -> Self {
        let folder = must(tempfile::tempdir());
        must(std::fs::create_dir(folder.path().join("engines")));
        let shim = shim();
        let script = format!(
            "#!/bin/sh\nMULTIWASM_ENGINE_PATH={}/engines exec {} \"$@\"\n",
            folder.path().display(),
            shim.display()
        );
        let wrapper = folder.path().join("containerd-shim-multiwasm-v1");
        must(std::fs::write(&wrapper, script));
        set_mode(&wrapper, 0o755);
        // The folder must be as safe as an installed one; tempdir's is.
        Self { folder }
    }

    /// Where an engine's plug-in is looked for.
    pub fn plugin(&self, engine: &str) -> PathBuf {
        self.folder.path().join("engines").join(format!("libmultiwasm_{engine}.so"))
    }

    /// The runtime, as containerd takes it.
    pub fn runtime(&self) -> String {
        self.folder.path().join("containerd-shim-multiwasm-v1").display().to_string()
    }

    /// Runs the probe on `engine`; panics unless Create fails and says all of `parts`.
    #[track_caller]
    pub fn refuse(&self, engine: &str, parts: &[&str]) {
        let container = Container::of_runtime(&self.runtime(), Platform::Wasi).annotation(ENGINE_ANNOTATION, engine);
        let output = container.run();
        assert!(output.code != 0, "it was not refused\n{output}");
        output.expect_out("").expect_err(parts);
    }
}

/// The shim that containerd finds on its PATH.
#[track_caller]
pub fn shim() -> PathBuf {
    let name = "containerd-shim-multiwasm-v1";
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name}, the shim of {RUNTIME}, is not on PATH: run `make stage`"))
}

/// Sets a file's permissions.
#[track_caller]
pub fn set_mode(path: &Path, mode: u32) {
    must(std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)));
}
