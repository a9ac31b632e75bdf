//! Making a container, step by step, and opening its gate.

use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use libcontainer::container::Container;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::error::LibcontainerError;
use libcontainer::syscall::syscall::SyscallType;
use nix::sys::stat::fstat;
use nix::sys::{prctl, signal::Signal};
use nix::unistd::{Gid, Uid, fchown, setgroups};

use super::executor::Workload;
use super::plan::{self, Plan};
use super::stdio::open_output;
use super::teardown::teardown;
use super::{Preset, SandboxError, rootfs_mount, spec};
use crate::guest::Guest;
use crate::log;
use crate::spawner::{Create, Failure};
use crate::state::{Process, Record, State};

/// Makes the container of `request` up to the gate and gives the pid of its first process, which is in its own namespaces
/// and has loaded its module by then. What fails leaves nothing behind.
///
/// `stdin` is the container's own; `control` is the spawner's line, where there is one: the new process must not keep it.
///
/// # Errors
/// [`SandboxError`], as it goes to containerd.
pub fn create(
    request: &Create,
    stdin: Option<OwnedFd>,
    preset: &Preset,
    control: Option<RawFd>,
) -> Result<i32, Failure> {
    // A worker whose shim has died makes containers for nobody.
    let _ = prctl::set_pdeathsig(Signal::SIGKILL);
    let state = State::of(&request.namespace, &request.id);
    let mut record = Record {
        id: request.id.clone(),
        bundle: request.bundle.clone(),
        rootfs: (!request.mounts.is_empty()).then(|| request.bundle.join("rootfs")),
        cgroup: None,
        systemd: false,
        init: None,
        maker: Process::find(std::process::id() as i32),
    };
    match state.create(&record) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let (id, path) = (request.id.clone(), state.folder().to_owned());
            return Err(SandboxError::Exists { id, path }.into());
        }
        other => other.map_err(|error| unwritten(&state, error))?,
    }
    let made = make(request, stdin, preset, control, &state, &mut record);
    made.map_err(|error| {
        // By what this process knows: the record may be gone, if somebody else is removing the container too.
        if let Err(left) = teardown(&state, &record) {
            tracing::error!("after a failed create of {}: {left}", request.id);
        }
        error.into()
    })
}

fn make(
    request: &Create,
    stdin: Option<OwnedFd>,
    preset: &Preset,
    control: Option<RawFd>,
    state: &State,
    record: &mut Record,
) -> Result<i32, SandboxError> {
    if let Some(rootfs) = &record.rootfs {
        rootfs_mount::mount_all(&request.mounts, rootfs)?;
    }
    let mut spec = spec::read(&request.bundle)?;
    let options = request.options.as_ref().map(|(url, value)| Ok((url.as_str(), hex::decode(value)?))).transpose();
    let options =
        options.map_err(|error: hex::FromHexError| SandboxError::Inside(format!("runtime options: {error}")))?;
    let options = options.as_ref().map(|(url, value)| (*url, value.as_slice()));
    let Plan { guest, kernel_filesystems } = plan::plan(&request.bundle, &spec, preset, options)?;
    if !kernel_filesystems {
        spec::without_kernel_filesystems(&mut spec);
    }
    spec::settle_capabilities(&mut spec, guest.is_none());
    if let Some(groups) = spec::take_groups(&mut spec) {
        let groups: Vec<_> = groups.into_iter().map(Gid::from_raw).collect();
        setgroups(&groups)
            .map_err(|error| SandboxError::Inside(format!("supplementary groups can't be set: {error}")))?;
    }
    let (cgroup, systemd) = spec::cgroup(&spec, &request.namespace, &request.id);
    spec::write(&mut spec, &cgroup, &state.bundle())?;
    (record.cgroup, record.systemd) = (Some(cgroup), systemd);
    state.write(record).map_err(|error| unwritten(state, error))?;

    let outputs = [open_output(&request.stdout)?, open_output(&request.stderr)?];
    if let Some(user) = spec::user(&spec) {
        give_pipes(user, stdin.iter().chain(&outputs));
    }
    let pid = build(&request.id, state, systemd, guest, stdin, outputs, control)?;
    record.init = Process::find(pid);
    state.write(record).map_err(|error| unwritten(state, error))?;
    Ok(pid)
}

/// Gives pipes to the container's user, who may open them again by `/dev/stdout`, as images do with their logs.
fn give_pipes<'a>(user: u32, pipes: impl Iterator<Item = &'a OwnedFd>) {
    for pipe in pipes {
        let is_pipe = fstat(pipe).is_ok_and(|found| found.st_mode & libc::S_IFMT == libc::S_IFIFO);
        if is_pipe {
            // Where it can't be, the descriptor itself still works.
            let _ = fchown(pipe, Some(Uid::from_raw(user)), None);
        }
    }
}

fn build(
    id: &str,
    state: &State,
    systemd: bool,
    guest: Option<Guest>,
    stdin: Option<OwnedFd>,
    [stdout, stderr]: [OwnedFd; 2],
    control: Option<RawFd>,
) -> Result<i32, SandboxError> {
    let pipe = |error: std::io::Error| SandboxError::Inside(format!("a pipe can't be made: {error}"));
    let (mut said, report) = std::io::pipe().map_err(pipe)?;
    let taken = [Some(said.as_raw_fd()), control, log::descriptor()].into_iter().flatten().collect();
    let workload = Workload::new(guest, taken, report).map_err(pipe)?;
    let mut builder = ContainerBuilder::new(id.to_owned(), SyscallType::default())
        .with_root_path(state.sandbox_root())?
        .with_executor(workload.clone())
        .with_stdout(stdout)
        .with_stderr(stderr);
    if let Some(stdin) = stdin {
        builder = builder.with_stdin(stdin);
    }
    let built = builder.as_init(state.bundle()).with_systemd(systemd).build();
    workload.close_report();
    match built {
        Ok(container) => container.pid().map(|pid| pid.as_raw()).ok_or_else(|| SandboxError::NotFound(id.to_owned())),
        Err(error) => {
            // What went wrong inside says more than that something did.
            let mut inside = String::new();
            match said.read_to_string(&mut inside) {
                Ok(1..) => {
                    tracing::debug!("{}", crate::causes::chain(&error));
                    Err(SandboxError::Inside(inside))
                }
                _ if died_inside(&error) => Err(SandboxError::Died(crate::causes::chain(&error))),
                _ => Err(error.into()),
            }
        }
    }
}

/// Whether the first process ended without a word.
fn died_inside(error: &LibcontainerError) -> bool {
    crate::causes::chain(error).contains("BrokenChannel")
}

/// Opens the gate of container `id`.
///
/// # Errors
/// [`SandboxError`], as it goes to containerd.
pub fn start(namespace: &str, id: &str) -> Result<(), Failure> {
    let folder = State::of(namespace, id).sandbox_root().join(id);
    if !folder.exists() {
        return Err(SandboxError::NotFound(id.to_owned()).into());
    }
    let started = Container::load(folder).and_then(|mut container| container.start());
    started.map_err(|error| SandboxError::from(error).into())
}

fn unwritten(state: &State, source: std::io::Error) -> SandboxError {
    SandboxError::State { path: state.folder().to_owned(), source }
}
