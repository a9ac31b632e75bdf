//! One container of a round: it lives as far as it is let, and is removed.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::time::timeout;

use super::plan::{Life, One};
use crate::case::Case;
use crate::case::model::{Mount, Reader};
use crate::case::step::{Act, Step};
use crate::client::{ClientError, Containerd};
use crate::fat;
use crate::lab::Lab;
use crate::runner::image::Images;
use crate::runner::spec::{Bind, exec_process, spec};
use crate::runner::streams::Pipes;
use crate::runner::target::Target;
use crate::runner::traces::Traces;

/// How long any single call may take, compiling included, on a machine that does something else as well.
pub(super) const BOUND: Duration = Duration::from_secs(30);
/// What SIGKILL gives.
pub(super) const KILLED: u32 = 137;
/// What SIGTERM gives.
pub(super) const TERMINATED: u32 = 143;
/// What containerd says of a task whose shim has died without a word.
pub(super) const UNKNOWN: u32 = 255;
/// What the module that is slow to compile exits with.
const SLOW: u32 = 7;
/// Between two looks at what nothing tells of.
const PAUSE: Duration = Duration::from_millis(10);

/// A container of a round.
pub(super) struct Member {
    containerd: Containerd,
    case: Case,
    target: Target,
    one: One,
    /// containerd's name for it.
    pub(super) id: String,
    folder: PathBuf,
    bundle: PathBuf,
    /// Where its shim listens, if it has one of its own.
    socket: PathBuf,
    /// What it may leave.
    pub(super) traces: Traces,
    /// Whether Start succeeded.
    pub(super) started: bool,
    /// Calls that hung.
    pub(super) hung: Vec<String>,
}

impl Member {
    /// A container to be; `folder` is where its pipes lie.
    pub(super) fn new(containerd: &Containerd, one: One, id: String, folder: &Path, lab: &Lab) -> Self {
        let args = match one.life {
            Life::Short(code) => format!("args = [\"exit\", \"{code}\"]"),
            Life::Long => "args = [\"spin\"]".to_owned(),
            Life::Busy => "args = [\"sleep\", \"3600\"]".to_owned(),
            Life::Slow => {
                "entrypoint = \"/slow/slow.wasm\"\n[annotations]\n\"io.containerd.multiwasm.compile\" = \"eager\""
                    .to_owned()
            }
        };
        let text = format!("name = \"chaos\"\nabout = \"a container of a round\"\n{args}");
        let case = toml::from_str(&text).expect("the text has the keys that a case must have");
        let target = Target::named(one.target).expect("rounds draw targets that there are");
        let tasks = lab.state.join("io.containerd.runtime.v2.task");
        Self {
            socket: socket(&lab.containerd, containerd.namespace(), &id),
            traces: Traces::of(containerd.namespace(), &id),
            folder: folder.join(&id),
            bundle: tasks.join(containerd.namespace()).join(&id),
            containerd: containerd.clone(),
            case,
            target,
            one,
            id,
            started: false,
            hung: Vec::new(),
        }
    }

    /// Its exit code, should nobody end it.
    pub(super) fn own_code(&self) -> Option<u32> {
        match self.one.life {
            Life::Short(code) => Some(code),
            Life::Slow => Some(SLOW),
            Life::Long | Life::Busy => None,
        }
    }

    /// Whether it runs a program, not a module.
    pub(super) fn native(&self) -> bool {
        self.target.native
    }

    /// Creates and starts it, and lets it live. Calls may fail, as something is killed meanwhile; none may hang.
    pub(super) async fn live(&mut self, images: &Arc<Images>) -> Option<Pipes> {
        let began = Instant::now();
        let lived = timeout(2 * BOUND, self.go(images)).await;
        if lived.is_err() {
            self.hung.push(format!("create, start or exec: no answer after {:?}", began.elapsed()));
        }
        lived.ok().flatten()
    }

    async fn go(&mut self, images: &Arc<Images>) -> Option<Pipes> {
        let image = images.of(&self.case, &self.target).await.ok()?;
        fs::create_dir_all(self.folder.join("slow")).ok()?;
        let mut binds = Vec::new();
        let mount: Mount = toml::from_str("to = \"/slow\"\nread_only = true").expect("a mount has these keys");
        let folder = self.folder.join("slow");
        if self.one.life == Life::Slow {
            fs::write(folder.join("slow.wasm"), fat::unique(A_MOMENT, &self.id)).ok()?;
            binds.push(Bind { mount: &mount, folder: Some(&folder) });
        }
        let spec = spec(&self.case, &self.target, self.containerd.namespace(), &self.id, None, &binds).ok()?;
        let mut pipes = Pipes::new(&self.folder, "", false, Reader::Normal, false).ok()?;
        let rootfs = self.containerd.prepare(&self.id, &image.snapshot).await.ok()?;
        let runtime = (self.target.runtime.as_str(), None);
        self.containerd.create_container(&self.id, &image.name, runtime, &spec).await.ok()?;
        let pid = self.containerd.create_task(&self.id, rootfs, &pipes.streams).await.ok()?;
        self.traces.note(pid, Some(&self.bundle));
        let started = self.containerd.start(&self.id, "").await;
        pipes.started();
        self.started = started.is_ok();
        if self.one.life == Life::Busy && self.started {
            for at in 0..3 {
                self.exec(&format!("e{at}")).await;
            }
        }
        Some(pipes)
    }

    /// A process that comes and goes.
    async fn exec(&mut self, exec: &str) {
        let path = if self.target.native { "/probe" } else { "/probe.wasm" };
        let text = format!("steps = [{{ do = \"exec\", id = \"{exec}\", args = [\"{path}\", \"exit\", \"5\"] }}]");
        let steps: Result<Steps, _> = toml::from_str(&text);
        let Ok(Step { act: Act::Exec(added), .. }) = steps.map(|mut steps| steps.steps.remove(0)) else { return };
        let Ok(process) = exec_process(&added, &self.case, &self.target) else { return };
        let Ok(mut pipes) = Pipes::new(&self.folder, exec, false, Reader::Normal, false) else { return };
        if self.containerd.exec(&self.id, exec, &process, &pipes.streams).await.is_err() {
            return;
        }
        let started = self.containerd.start(&self.id, exec).await;
        pipes.started();
        if started.is_err() {
            return;
        }
        match timeout(BOUND, self.containerd.wait(&self.id, exec)).await {
            Ok(Ok(code)) if ![5, KILLED, UNKNOWN].contains(&code) => self.hung.push(format!("exec {exec} gave {code}")),
            Ok(_) => drop(self.containerd.delete(&self.id, exec).await),
            Err(_) => self.hung.push(format!("wait for exec {exec}: no answer in {BOUND:?}")),
        }
    }

    /// Its exit, asked for until it comes: containerd may just be away. None where there is no such task.
    ///
    /// # Errors
    /// It does not come.
    pub(super) async fn exit(&self) -> Result<Option<u32>, String> {
        let deadline = Instant::now() + BOUND;
        loop {
            let last = match timeout(deadline - Instant::now(), self.containerd.wait(&self.id, "")).await {
                Ok(Ok(code)) => return Ok(Some(code)),
                Ok(Err(error)) if error.is_not_found() => return Ok(None),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer".to_owned(),
            };
            if Instant::now() + PAUSE >= deadline {
                return Err(format!("its exit does not come in {BOUND:?}: {last}"));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Sends a signal; that it is gone is as good.
    pub(super) async fn signal(&self, signal: nix::sys::signal::Signal) {
        let _ = timeout(BOUND, self.containerd.kill(&self.id, "", signal as u32, false)).await;
    }

    /// Removes all there is of it, tried again for as long as it may take.
    ///
    /// # Errors
    /// What does not go away.
    pub(super) async fn remove(&self) -> Result<(), String> {
        let deadline = Instant::now() + BOUND;
        loop {
            let last = match timeout(BOUND, self.containerd.remove(&self.id)).await {
                Ok(Ok(())) => {
                    let _ = fs::remove_dir_all(&self.folder);
                    return Ok(());
                }
                Ok(Err(error)) => ClientError::to_string(&error),
                Err(_) => "no answer".to_owned(),
            };
            if Instant::now() >= deadline {
                return Err(format!("it can't be removed in {BOUND:?}: {last}"));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What is left of it once it has had time to go.
    pub(super) async fn left(&self) -> Vec<String> {
        let deadline = Instant::now() + BOUND;
        loop {
            let mut left = self.traces.left();
            left.extend(self.bundle.exists().then(|| format!("bundle {}", self.bundle.display())));
            // One that nobody listens on is of a dead shim.
            let dead = self.socket.exists() && UnixStream::connect(&self.socket).is_err();
            left.extend(dead.then(|| format!("socket {}", self.socket.display())));
            if left.is_empty() || Instant::now() >= deadline {
                return left;
            }
            // Nothing tells that a process or a mount is gone.
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Where containerd's shims listen: <https://pkg.go.dev/github.com/containerd/containerd/v2/pkg/shim#SocketAddress>.
fn socket(containerd: &Path, namespace: &str, id: &str) -> PathBuf {
    let name = Sha256::digest(containerd.join(namespace).join(id).as_os_str().as_encoded_bytes());
    Path::new("/run/containerd/s").join(hex::encode(name))
}

/// A module that takes its compilers about half a second.
const A_MOMENT: fat::Size = fat::Size { functions: 60, rounds: 10 };

#[derive(serde::Deserialize)]
struct Steps {
    steps: Vec<Step>,
}
