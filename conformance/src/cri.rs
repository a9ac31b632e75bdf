//! Pods through `crictl`, as a user types it, on the handlers that `multiwasm install containerd` writes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::command::{Input, LIMIT, Output, Process, run};
use crate::ctr::{await_true, lab, must};
use crate::guests::{self, LINUX_IMAGE, WASM_IMAGE};
use crate::image::Platform;
use crate::targets::{ENGINE_ANNOTATION, Target};

/// containerd's namespace for what CRI knows.
const NAMESPACE: &str = "k8s.io";

/// Runs `crictl` with `words`; it finds the lab's containerd by its configuration.
#[track_caller]
pub fn crictl<S: AsRef<str>>(words: &[S]) -> Output {
    must(run(&command(words)))
}

#[track_caller]
fn command<S: AsRef<str>>(words: &[S]) -> Vec<String> {
    let Some(crictl) = &lab().crictl else {
        panic!("this lab has no pods: start it with MULTIWASM_LAB_CRI=yes, and get crictl by scripts/get-cri-tools")
    };
    let mut command = vec![crictl.display().to_string()];
    command.extend(words.iter().map(|word| word.as_ref().to_owned()));
    command
}

/// Imports both images of the guests where CRI looks for them, once in a test process.
#[track_caller]
fn load() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        must(guests::each_archive(lab(), |name, platform, archive| {
            let words = ["images", "import", "--platform", &platform.name(), &archive.to_string_lossy()];
            must(run(&lab().ctr(NAMESPACE, words))).expect_code(0);
            await_true("CRI knows the image", LIMIT, || crictl(&["inspecti", name]).code == 0);
        }));
    });
}

/// A pod to be.
#[derive(Debug)]
pub struct Pod {
    name: String,
    handler: String,
    config: Value,
}

impl Pod {
    /// A pod of the handler that `target` has, its engine chosen by the pod's annotation.
    #[track_caller]
    pub fn new(target: Target) -> Self {
        let pod = Self::of_handler(if target == Target::Runc { "runc" } else { "multiwasm" });
        match target.engine() {
            Some(engine) => pod.annotation(ENGINE_ANNOTATION, engine),
            None => pod,
        }
    }

    /// A pod of a handler by its name.
    #[track_caller]
    pub fn of_handler(handler: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        load();
        let name = format!("pod-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let config = json!({
            "metadata": { "name": name, "namespace": "conformance", "uid": name, "attempt": 0 },
            "hostname": name,
            "annotations": {},
            "linux": { "cgroup_parent": format!("/{}/{name}", cgroup()) },
        });
        Self { name, handler: handler.to_owned(), config }
    }

    /// An annotation of the pod.
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.config["annotations"][key] = value.into();
        self
    }

    /// `crictl runp`: the pod with its sandbox's own container and its network.
    #[track_caller]
    pub fn run(mut self) -> Sandbox {
        let folder = must(tempfile::tempdir());
        self.config["log_directory"] = folder.path().display().to_string().into();
        let config = write(folder.path(), &self.name, &self.config);
        let id = crictl(&["runp", "--runtime", &self.handler, &config.to_string_lossy()]);
        let id = id.expect_code(0).out().trim().to_owned();
        Sandbox { id, name: self.name, folder, config }
    }
}

/// The cgroup of all pods, which is one that the lab removes.
#[track_caller]
fn cgroup() -> String {
    format!("multiwasm-{}", lab().suite)
}

#[track_caller]
fn write(folder: &Path, name: &str, config: &Value) -> PathBuf {
    let path = folder.join(format!("{name}.json"));
    must(fs::write(&path, config.to_string()));
    path
}

/// A pod that runs, removed with all its containers when dropped.
#[derive(Debug)]
pub struct Sandbox {
    id: String,
    name: String,
    folder: TempDir,
    config: PathBuf,
}

impl Sandbox {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What `crictl inspectp` says.
    #[track_caller]
    pub fn inspect(&self) -> Value {
        inspected("inspectp", &self.id)
    }

    /// Its address in the pods' network.
    #[track_caller]
    pub fn address(&self) -> String {
        text(&self.inspect()["status"]["network"]["ip"])
    }

    /// The pid of the sandbox's own process.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        pid(&self.inspect())
    }

    /// The guests' image with the probe that `target` runs.
    pub fn container(&self, target: Target) -> Container<'_> {
        let image = if target.platform() == Platform::Wasi { WASM_IMAGE } else { LINUX_IMAGE };
        Container::new(self, image, target.probe())
    }

    /// A native container that does nothing but wait for what is executed in it.
    #[track_caller]
    pub fn sidecar(&self) -> Running {
        Container::new(self, LINUX_IMAGE, "/probe").args(["/bin/busybox", "sleep", "3600"]).start()
    }

    /// `crictl stopp`.
    #[track_caller]
    pub fn stop(&self) {
        crictl(&["stopp", &self.id]).expect_code(0);
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        for words in [&["stopp"] as &[_], &["rmp", "--force"]] {
            let _ = run(&command(&[words, &[self.id.as_str()]].concat()));
        }
        // A pod's own cgroup is a kubelet's to make and to remove. One with something left in it stays, and is found.
        let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path());
        for hierarchy in hierarchies.chain([PathBuf::from("/sys/fs/cgroup")]) {
            let _ = fs::remove_dir(hierarchy.join(cgroup()).join(&self.name));
        }
    }
}

/// A container of a pod to be.
#[derive(Debug)]
pub struct Container<'a> {
    pod: &'a Sandbox,
    name: String,
    config: Value,
}

impl<'a> Container<'a> {
    fn new(pod: &'a Sandbox, image: &str, program: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("container-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let config = json!({
            "metadata": { "name": name, "attempt": 0 },
            "image": { "image": image },
            "command": [program],
            "log_path": format!("{name}.log"),
            "annotations": {}, "envs": [], "mounts": [],
            "linux": { "resources": {}, "security_context": {
                // A kubelet's default: the containers of a pod don't see each other's processes.
                "namespace_options": { "pid": 1 },
            } },
        });
        Self { pod, name, config }
    }

    /// Another image, already imported.
    pub fn image(mut self, name: &str) -> Self {
        self.config["image"]["image"] = name.into();
        self
    }

    /// Runs the probe with these arguments.
    pub fn probe<const N: usize>(mut self, args: [&str; N]) -> Self {
        self.config["args"] = args.as_slice().into();
        self
    }

    /// Runs these words in place of the image's own.
    pub fn args<const N: usize>(mut self, words: [&str; N]) -> Self {
        self.config["command"] = words.as_slice().into();
        self
    }

    /// An environment variable.
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.push("envs", json!({ "key": key, "value": value }));
        self
    }

    /// An annotation of the container.
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.config["annotations"][key] = value.into();
        self
    }

    /// A file or folder of this machine inside the container.
    pub fn mount(mut self, from: &Path, to: &str, readonly: bool) -> Self {
        let from = from.display().to_string();
        self.push("mounts", json!({ "host_path": from, "container_path": to, "readonly": readonly }));
        self
    }

    /// The most memory that it may have, in bytes.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.config["linux"]["resources"]["memory_limit_in_bytes"] = bytes.into();
        self
    }

    /// What its security context says of `key`.
    pub fn security(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.config["linux"]["security_context"][key] = value.into();
        self
    }

    fn push(&mut self, list: &str, value: Value) {
        if let Some(list) = self.config[list].as_array_mut() {
            list.push(value);
        }
    }

    /// `crictl create` and `crictl start`.
    #[track_caller]
    pub fn start(self) -> Running {
        let (running, started) = self.try_start();
        started.expect_code(0);
        running
    }

    /// The same, whatever comes of `crictl start`.
    #[track_caller]
    pub fn try_start(self) -> (Running, Output) {
        let config = write(self.pod.folder.path(), &self.name, &self.config);
        let words = ["create", &self.pod.id, &config.to_string_lossy(), &self.pod.config.to_string_lossy()];
        let id = crictl(&words).expect_code(0).out().trim().to_owned();
        let started = crictl(&["start", &id]);
        (Running { id, log: self.pod.folder.path().join(format!("{}.log", self.name)) }, started)
    }
}

/// A container of a pod that was started; the pod removes it.
#[derive(Debug)]
pub struct Running {
    id: String,
    log: PathBuf,
}

impl Running {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What `crictl inspect` says.
    #[track_caller]
    pub fn inspect(&self) -> Value {
        inspected("inspect", &self.id)
    }

    /// Its process's pid.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        pid(&self.inspect())
    }

    /// `CONTAINER_RUNNING` and the like.
    #[track_caller]
    pub fn state(&self) -> String {
        text(&self.inspect()["status"]["state"])
    }

    /// Waits for its end: its exit code, and the reason that a kubelet shows.
    #[track_caller]
    pub fn ended(&self) -> (i64, String) {
        await_true("the container ends", LIMIT, || self.state() == "CONTAINER_EXITED");
        let status = &self.inspect()["status"];
        let code = status["exitCode"].as_i64().unwrap_or_else(|| panic!("no exit code: {status}"));
        (code, text(&status["reason"]))
    }

    /// `crictl logs`: its streams apart.
    #[track_caller]
    pub fn logs(&self) -> Output {
        crictl(&["logs", &self.id])
    }

    /// The log file itself, where a kubelet reads it.
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// Waits until its log holds `text`.
    #[track_caller]
    pub fn await_log(&self, text: &str) {
        await_true(&format!("the log has {text:?}"), LIMIT, || {
            fs::read_to_string(&self.log).is_ok_and(|log| log.contains(text))
        });
    }

    /// `crictl exec --sync`, as a probe is executed.
    #[track_caller]
    pub fn exec(&self, words: &[&str]) -> Output {
        crictl(&[&["exec", "--sync", &self.id], words].concat())
    }

    /// `crictl exec --sync` that is given up after `seconds`.
    #[track_caller]
    pub fn exec_within(&self, seconds: u32, words: &[&str]) -> Output {
        let seconds = seconds.to_string();
        crictl(&[&["exec", "--sync", "--timeout", &seconds, &self.id], words].concat())
    }

    /// `crictl exec --interactive`, through CRI's streaming server.
    #[track_caller]
    pub fn exec_with_input(&self, input: Input, words: &[&str]) -> Output {
        let words = [&["exec", "--interactive", &self.id], words].concat();
        must(must(Process::start(&command(&words), input)).finish(LIMIT))
    }

    /// What `crictl stats` says of it.
    #[track_caller]
    pub fn stats(&self) -> Value {
        let shown = json_of(&crictl(&["stats", "--output", "json", "--id", &self.id]));
        shown["stats"][0].clone()
    }

    /// `crictl stop` with so long a grace period.
    #[track_caller]
    pub fn stop(&self, grace: Duration) -> Output {
        crictl(&["stop", "--timeout", &grace.as_secs().to_string(), &self.id])
    }
}

#[track_caller]
fn inspected(verb: &str, id: &str) -> Value {
    json_of(&crictl(&[verb, "--output", "json", id]))
}

#[track_caller]
fn json_of(output: &Output) -> Value {
    must(serde_json::from_slice(&output.expect_code(0).stdout))
}

#[track_caller]
fn pid(inspected: &Value) -> u32 {
    let found = inspected["info"]["pid"].as_u64().and_then(|pid| pid.try_into().ok());
    found.unwrap_or_else(|| panic!("no pid: {inspected}"))
}

#[track_caller]
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}
