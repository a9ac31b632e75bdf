//! One container of a case: made, driven step by step, removed; and what was seen of it.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::image::{Image, Images};
use super::layer::{self, Own};
use super::log::Log;
use super::node::NodeFolder;
use super::spec::{Bind, spec};
use super::streams::Pipes;
use super::target::Target;
use super::traces::Traces;
use crate::case::Case;
use crate::case::model::{Content, Mount};
use crate::case::step::Exec;
use crate::client::events::{Event, Events};
use crate::client::tasks::RuntimeOptions;
use crate::client::{ClientError, Containerd};

/// How long an event or the end of a stream may take that must come.
pub const SOON: Duration = Duration::from_secs(5);
/// How long removing a container may take: containerd removes some ten a second, and a case may have hundreds.
const REMOVED: Duration = Duration::from_secs(60);

/// What all cells of a run share.
pub struct Context {
    /// containerd, in the namespace of the run.
    pub containerd: Containerd,
    /// Its events.
    pub events: Events,
    /// The images of the run.
    pub images: Images,
    /// A folder for pipes and mounts.
    pub folder: PathBuf,
    /// containerd's log, where it can be read.
    pub log: Option<Log>,
}

/// Why a step did not go as it must.
#[derive(Debug)]
pub enum Trouble {
    /// containerd or the runtime answered with an error.
    Refused(ClientError),
    /// Something else was seen than must be.
    Unmet {
        /// What must be.
        expected: String,
        /// What was.
        seen: String,
    },
}

impl From<ClientError> for Trouble {
    fn from(error: ClientError) -> Self {
        Self::Refused(error)
    }
}

impl Trouble {
    /// What must be, and what was.
    pub fn unmet(expected: impl Into<String>, seen: impl Into<String>) -> Self {
        Self::Unmet { expected: expected.into(), seen: seen.into() }
    }

    /// Something of the runner's own did not work.
    pub fn own(what: &str, error: impl std::fmt::Display) -> Self {
        Self::unmet(format!("{what} can be made"), error.to_string())
    }
}

/// What was seen of a container.
#[derive(Debug, Default)]
pub struct Seen {
    /// Why Create failed.
    pub refused: Option<String>,
    /// Exit codes, with who told them.
    pub exits: Vec<(&'static str, u32)>,
    /// From the last signal to the exit.
    pub after_kill: Option<Duration>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// Streams that were still open long after the exit.
    pub open: Vec<&'static str>,
    /// The socket of the shim that serves it.
    pub shim: Option<PathBuf>,
    /// What happened to its task.
    pub events: Vec<Event>,
    /// What the shim and containerd logged of it.
    pub log: Option<Vec<String>>,
}

/// A process that was added to a container.
pub(super) struct Added {
    pub(super) exec: Exec,
    pub(super) pipes: Pipes,
}

/// The pod that a container is in.
#[derive(Debug, Clone)]
pub struct Pod {
    /// `sandbox` or `container`.
    pub kind: &'static str,
    /// The id of its sandbox.
    pub sandbox: String,
}

/// One container of a case.
pub struct Container {
    pub(super) context: Arc<Context>,
    pub(super) case: Arc<Case>,
    pub(super) target: Arc<Target>,
    pub(super) image: Image,
    /// containerd's name for it.
    pub id: String,
    pub(super) pod: Option<Pod>,
    pub(super) folder: PathBuf,
    pub(super) pipes: Option<Pipes>,
    pub(super) execs: HashMap<String, Added>,
    pub(super) pid: u32,
    pub(super) last_kill: Option<Instant>,
    /// Clients that wait behind the steps' back.
    pub(super) waiting: JoinSet<Result<u32, ClientError>>,
    /// How often a task of it was asked for; the record is made once.
    tasks: usize,
    node: Option<Arc<NodeFolder>>,
    /// How many processes were added so far.
    pub(super) added: usize,
    log: Option<Log>,
    /// What it will leave behind, if it does.
    pub traces: Traces,
    /// What was seen of it.
    pub seen: Seen,
    /// The step that it is at.
    pub at: String,
}

impl Container {
    /// A container to be.
    pub fn new(
        context: &Arc<Context>,
        case: &Arc<Case>,
        target: &Arc<Target>,
        image: Image,
        id: String,
        pod: Option<Pod>,
        node: Option<Arc<NodeFolder>>,
    ) -> Self {
        Self {
            traces: Traces::of(context.containerd.namespace(), &id).socket_may_stay(target.is("runc")),
            folder: context.folder.join(&id),
            log: context.log.as_ref().map(Log::later),
            context: Arc::clone(context),
            case: Arc::clone(case),
            target: Arc::clone(target),
            image,
            id,
            pod,
            pipes: None,
            execs: HashMap::new(),
            pid: 0,
            last_kill: None,
            waiting: JoinSet::new(),
            tasks: 0,
            added: 0,
            node,
            seen: Seen::default(),
            at: "create".to_owned(),
        }
    }

    /// Makes snapshot and record, unless they are there from an earlier task, and pipes and a task.
    pub(super) async fn create(&mut self) -> Result<(), Trouble> {
        let context = Arc::clone(&self.context);
        let containerd = &context.containerd;
        self.tasks += 1;
        let prefix = if self.tasks == 1 { String::new() } else { format!("{}-", self.tasks) };
        let rootfs = if self.tasks == 1 { self.record().await? } else { containerd.mounts(&self.id).await? };
        let case = &self.case;
        let mut pipes = Pipes::new(&self.folder, &prefix, case.stdin.is_some(), case.reader, case.terminal.is_some())
            .map_err(|error| Trouble::own("its pipes", error))?;
        match containerd.create_task(&self.id, rootfs, &pipes.streams).await {
            Ok(pid) => self.pid = pid,
            Err(error) => {
                pipes.started();
                self.seen.refused = Some(error.message());
                return Err(error.into());
            }
        }
        pipes.created();
        self.pipes = Some(pipes);
        let created = context.events.until(&self.id, |events| events.iter().any(|event| event.name == "create"));
        // That it did not come is found where events are looked at.
        let _ = tokio::time::timeout(SOON, created).await;
        self.traces.note(self.pid, context.events.bundle(&self.id).as_deref());
        self.seen.shim = self.traces.shims_socket().map(Path::to_owned);
        Ok(())
    }

    /// Makes its snapshot and containerd's record of it; gives what its root file system is mounted from.
    async fn record(&mut self) -> Result<Vec<containerd_client::types::Mount>, Trouble> {
        let (context, case) = (Arc::clone(&self.context), Arc::clone(&self.case));
        let folders = self.mounts().map_err(|error| Trouble::own("the folders of its mounts", error))?;
        let binds: Vec<_> =
            case.mounts.iter().zip(&folders).map(|(mount, folder)| Bind { mount, folder: folder.as_deref() }).collect();
        let pod = self.pod.as_ref().map(|pod| (pod.kind, pod.sandbox.as_str()));
        let spec = spec(&case, &self.target, context.containerd.namespace(), &self.id, pod, &binds)
            .map_err(|error| Trouble::own("its specification", error))?;
        let options = self.runtime_options().map_err(|error| Trouble::own("its runtime options", error))?;
        let runtime = match &self.node {
            Some(node) => &node.runtime,
            None => case.runtime.as_ref().unwrap_or(&self.target.runtime),
        };
        let rootfs = context.containerd.prepare(&self.id, &self.image.snapshot).await?;
        let image = &self.image.name;
        context.containerd.create_container(&self.id, image, (runtime, options.as_ref()), &spec).await?;
        Ok(rootfs)
    }

    /// The options that the case says, in whichever of their forms.
    fn runtime_options(&self) -> io::Result<Option<RuntimeOptions>> {
        let (mut config_path, mut config_body) = (String::new(), Vec::new());
        if let Some(body) = &self.case.runtime_options {
            config_body = body.clone().into_bytes();
        } else if let Some(path) = &self.case.runtime_options_path {
            config_path.clone_from(path);
        } else if let Some(text) = &self.case.runtime_options_file {
            let path = self.folder.join("options.toml");
            fs::write(&path, text)?;
            config_path = path.display().to_string();
        } else {
            return Ok(None);
        }
        Ok(Some(RuntimeOptions { config_path, config_body, ..RuntimeOptions::default() }))
    }

    /// Makes the folders of the case's mounts; none for what is in memory.
    fn mounts(&self) -> io::Result<Vec<Option<PathBuf>>> {
        fs::create_dir_all(&self.folder)?;
        let mut folders = Vec::new();
        for (at, mount) in self.case.mounts.iter().enumerate() {
            let fresh = !mount.tmpfs && mount.from.is_none();
            folders.push(if fresh { Some(self.fill(self.mount_folder(at), mount)?) } else { None });
        }
        Ok(folders)
    }

    fn mount_folder(&self, at: usize) -> PathBuf {
        self.folder.join(format!("mount-{at}"))
    }

    fn fill(&self, folder: PathBuf, mount: &Mount) -> io::Result<PathBuf> {
        fs::create_dir(&folder)?;
        // Whoever the guest runs as may write, where the mount lets it.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))?;
        for (name, file) in &mount.files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap_or(&folder))?;
            match &file.content {
                Content::Link(to) => {
                    symlink(to, &path)?;
                    continue;
                }
                Content::Folder => fs::create_dir_all(&path)?,
                other => {
                    let own = Own { guest: &self.case.guest, native: self.target.native };
                    fs::write(&path, layer::bytes(other, own, &self.context.images)?.unwrap_or_default())?;
                }
            }
            let usual = if matches!(file.content, Content::Folder | Content::Twin(_)) { 0o755 } else { 0o644 };
            fs::set_permissions(&path, fs::Permissions::from_mode(file.mode.unwrap_or(usual)))?;
            if let Some(owner) = file.owner {
                chown(&path, Some(owner.uid), Some(owner.gid))?;
            }
        }
        Ok(folder)
    }

    /// Where a path of the container lies outside: in the folder of a mount.
    pub(super) fn outside(&self, path: &str) -> Option<PathBuf> {
        let inside = |mount: &Mount| Some(path.strip_prefix(&mount.to)?.strip_prefix('/')?.to_owned());
        let mut mounts = self.case.mounts.iter().enumerate().filter(|(_, mount)| !mount.tmpfs);
        mounts.find_map(|(at, mount)| inside(mount).map(|rest| self.mount_folder(at).join(rest)))
    }

    /// Looks at what is to be seen once the steps are over: streams to their end, events that are still to come.
    pub async fn look(&mut self, events: Option<&[String]>) {
        if let Some(pipes) = &self.pipes {
            if !self.seen.exits.is_empty() {
                for (name, stream) in [("stdout", &pipes.stdout), ("stderr", &pipes.stderr)] {
                    if tokio::time::timeout(SOON, stream.until(|_| false)).await.is_err() {
                        self.seen.open.push(name);
                    }
                }
            }
            (self.seen.stdout, self.seen.stderr) = (pipes.stdout.bytes(), pipes.stderr.bytes());
        }
        if let Some(wanted) = events.filter(|_| self.seen.refused.is_none()) {
            let enough = |seen: &[Event]| seen.len() >= wanted.len();
            let _ = tokio::time::timeout(SOON, self.context.events.until(&self.id, enough)).await;
        }
        self.seen.events = self.context.events.of(&self.id);
        self.seen.log = self.log_lines();
    }

    /// What was logged of it; where nothing runs beside it all that was logged. None where the log can't be read.
    fn log_lines(&self) -> Option<Vec<String>> {
        let words = [self.id.as_str()];
        self.log.as_ref().map(|log| log.lines(if self.case.alone { &[] } else { &words }))
    }

    /// The same for people.
    pub fn log_shown(&self) -> String {
        let words = [self.id.as_str()];
        self.log.as_ref().map_or_else(String::new, |log| log.shown(if self.case.alone { &[] } else { &words }))
    }

    /// Ends and removes whatever there is of it.
    ///
    /// # Errors
    /// Something does not go away.
    pub async fn remove(&mut self) -> Result<(), String> {
        let removed = tokio::time::timeout(REMOVED, self.context.containerd.remove(&self.id)).await;
        self.execs.clear();
        self.pipes = None;
        remove_folder(&self.folder);
        match removed {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("it does not end within {REMOVED:?}")),
        }
    }
}

/// A folder of the run; should it not go away now, it goes with the run's.
fn remove_folder(folder: &Path) {
    let _ = fs::remove_dir_all(folder);
}
