//! A registry, Debian's, on loopback: what is pushed there is pulled as from any other.

use std::fs;
use std::net::{TcpListener, TcpStream};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::command::{Input, LIMIT, Process};
use crate::ctr::{await_true, ctr, lab, must};
use crate::guests;
use crate::image::{Artifact, Image, Platform};

/// An artifact that the registry has.
pub struct PushedArtifact {
    /// Its whole name.
    pub name: String,
    /// What it says that it runs on: its index, or alone its config, if that is of a kind that says so.
    pub platform: Option<&'static str>,
    /// Whether an index leads to it.
    pub index: bool,
    /// Whether its config names what to start, as an image's does.
    pub has_entrypoint: bool,
}

/// A registry that runs until it is dropped.
pub struct Registry {
    process: Option<Process>,
    folder: TempDir,
    address: String,
}

impl Registry {
    /// Starts an empty one.
    #[track_caller]
    pub fn start() -> Self {
        let folder = must(tempfile::tempdir());
        // Free a moment ago, in a network that nobody else is in.
        let address = must(TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr())).to_string();
        let config = folder.path().join("config.yml");
        let root = folder.path().display();
        let settings = format!(
            "version: 0.1\nlog: {{ level: warn }}\nhttp: {{ addr: '{address}' }}\n\
             storage: {{ filesystem: {{ rootdirectory: '{root}' }} }}\n"
        );
        must(fs::write(&config, settings));
        let command = [lab().registry.as_os_str(), "serve".as_ref(), config.as_os_str()];
        let process = must(Process::start(&command, Input::Nothing));
        await_true("the registry listens", LIMIT, || TcpStream::connect(&address).is_ok());
        Self { process: Some(process), folder, address }
    }

    /// Pushes the guests' image in every form that builders give one, and gives each one's name, and a platform to ask for.
    #[track_caller]
    pub fn images(&self) -> [(String, Platform); 4] {
        let (wasi, wasi32) = (Platform::Wasi, Platform::Wasi32);
        // A layer of its own each: no other image has brought it already.
        let image = |name: &str, platform| must(guests::image(lab(), name, platform)).bytes("/name", 0o644, name);
        [
            (self.push("manifest", |name| image(name, wasi)), wasi),
            (self.push("manifest-wasm32", |name| image(name, wasi32)), wasi32),
            (self.push("index", |name| image(name, wasi).index(&[wasi])), wasi),
            (self.push("index-both", |name| image(name, wasi).index(&[wasi, Platform::Linux])), wasi),
        ]
    }

    /// Pushes an OCI Wasm artifact of each of the layouts that are read, alone and in an index.
    #[track_caller]
    pub fn artifacts(&self) -> Vec<PushedArtifact> {
        let (wasi, wasip1) = (Some("wasi/wasm"), Some("wasip1/wasm"));
        let kinds = [
            ("working-group", Artifact::WORKING_GROUP, wasip1),
            ("runwasi", Artifact::RUNWASI, wasi),
            ("wasm-to-oci", Artifact::WASM_TO_OCI, None),
        ];
        let of = |name: &str, artifact| {
            // A layer of its own each, here too.
            let module = guests::with_custom_section(&guests::read("probe.wasm"), "name-of-image", name.as_bytes());
            let image = Image::new(name, Platform::Wasi).artifact(artifact).entrypoint(&["/probe.wasm"]);
            image.bytes("/probe.wasm", 0o644, module)
        };
        let mut pushed = Vec::new();
        for (name, artifact, platform) in kinds {
            let has_entrypoint = name == "runwasi";
            let alone = self.push(name, |name| of(name, artifact));
            pushed.push(PushedArtifact { name: alone, platform, index: false, has_entrypoint });
            let indexed = self.push(&format!("{name}-index"), |name| of(name, artifact).index(&[Platform::Wasi]));
            pushed.push(PushedArtifact { name: indexed, platform: wasi, index: true, has_entrypoint });
        }
        pushed
    }

    /// Pushes an image of this name, keeps it nowhere else, and gives the whole name.
    #[track_caller]
    fn push(&self, name: &str, make: impl FnOnce(&str) -> Image) -> String {
        let name = format!("{}/{name}:1", self.address);
        let archive = self.folder.path().join("image.tar");
        must(make(&name).write(&archive));
        ctr(&["images", "import", "--all-platforms", "--no-unpack", &archive.to_string_lossy()]).expect_code(0);
        ctr(&["images", "push", "--plain-http", &name]).expect_code(0);
        ctr(&["images", "rm", "--sync", &name]).expect_code(0);
        name
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.signal(Signal::SIGTERM);
            let _ = process.finish(LIMIT);
        }
    }
}
