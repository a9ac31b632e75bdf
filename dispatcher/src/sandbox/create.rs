//! Making a container, step by step, and opening its gate.

use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use libcontainer::container::Container;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::error::LibcontainerError;
use libcontainer::syscall::syscall::SyscallType;
use nix::unistd::{Gid, setgroups};
use oci_spec::runtime::Spec;

use super::check;
use super::direct::{self, Direct};
use super::executor::Workload;
use super::newcomer::Newcomer;
use super::plan::{self, Plan};
use super::stdio::{Stdio, give, open_output};
use super::teardown::teardown;
use super::terminal::{self, ConsoleSocket, Pair, Terminal};
use super::{Preset, SandboxError, rootfs_mount, spec};
use crate::cgroup::{Cgroups, Folders};
use crate::fault::{self, Fault};
use crate::guest::{self, Guest};
use crate::log;
use crate::process::Process;
use crate::rootfs::folder;
use crate::spawner::{Create, Failure};
use crate::state::{Record, State};

/// A process that was made.
#[derive(Debug, Default)]
pub struct Made {
    /// Its number.
    pub pid: i32,
    /// Its terminal, where it has one.
    pub terminal: Option<Terminal>,
}

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
) -> Result<Made, Failure> {
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
    log::step("worker: recorded");
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
) -> Result<Made, SandboxError> {
    if let Some(rootfs) = &record.rootfs {
        rootfs_mount::mount_all(&request.mounts, rootfs)?;
    }
    if fault::is(Fault::Mount) {
        let _ = fault::leave_mount(&request.namespace, &request.id);
    }
    log::step("worker: root mounted");
    let mut spec = spec::read(&request.bundle)?;
    fault::break_spec(&mut spec);
    spec::check_terminal(spec.process().as_ref(), request.terminal)?;
    check::check(&spec, &request.bundle)?;
    make_working_directory(request, record, &spec)?;
    log::step("worker: specification read");
    let options = runtime_options(request.options.as_ref())?;
    let options = options.as_ref().map(|(url, value)| (url.as_str(), value.as_slice()));
    let container = plan::Container { bundle: &request.bundle, namespace: &request.namespace, id: &request.id };
    let Plan { guest, kernel_filesystems } = plan::plan(container, &spec, preset, options)?;
    log::step("worker: module loaded");
    if !kernel_filesystems {
        spec::without_kernel_filesystems(&mut spec);
    }
    spec::settle_capabilities(&mut spec, guest.is_none());
    if spec::denies_devices(&spec) && !Cgroups::of(std::process::id()).is_ok_and(|own| own.take_device_rules()) {
        // What the rules would forbid can't be had in another way either: no node is made, and none of the image's works.
        spec::without_device_nodes(&mut spec);
        record.rootfs.as_deref().map_or(Ok(()), rootfs_mount::without_devices)?;
    }
    let (cgroup, named) = spec::cgroup(&spec, &request.namespace, &request.id);
    // libcgroups asks systemd on version 2 alone; elsewhere the name is a folder's.
    let systemd = named && Folders::are_unified();
    let direct = if kernel_filesystems {
        Err("the kernel's file systems are asked for")
    } else {
        Direct::of(&spec, &request.bundle, &cgroup, systemd)
    };
    if (guest.is_none() || direct.is_err())
        && let Some(groups) = spec::take_groups(&mut spec)
    {
        let groups: Vec<_> = groups.into_iter().map(Gid::from_raw).collect();
        setgroups(&groups)
            .map_err(|error| SandboxError::Inside(format!("supplementary groups can't be set: {error}")))?;
    }
    // A guest has no devpts to make a terminal in; it gets one of the host's, of which libcontainer knows nothing.
    let console = request.terminal && guest.is_none();
    spec::set_terminal(&mut spec, console);
    spec::write(&mut spec, &cgroup, &state.bundle())?;
    (record.cgroup, record.systemd) = (Some(cgroup), systemd);
    state.write(record).map_err(|error| unwritten(state, error))?;

    log::step("worker: written");
    let user = spec::user(&spec);
    let who = (request.namespace.as_str(), request.id.as_str());
    let ends = if console {
        let socket = ConsoleSocket::listen(state.folder());
        let socket = socket.map_err(|error| SandboxError::Inside(format!("the console's socket: {error}")))?;
        Ends::Console(socket, open_output(&request.stdout, who)?)
    } else if request.terminal {
        let Pair { master, slave } = Pair::open(None)?;
        Ends::Terminal(Stdio::of_terminal(slave)?, Terminal { master, output: open_output(&request.stdout, who)? })
    } else {
        Ends::Pipes(Stdio::open(stdin, (&request.stdout, &request.stderr), who)?)
    };
    if let (Ends::Pipes(stdio) | Ends::Terminal(stdio, _), Some(user)) = (&ends, user) {
        stdio.give_to(user);
    }
    let process = spec.process().as_ref();
    show_as(process.and_then(|process| process.args().as_deref()).unwrap_or_default());
    let made = match (guest, direct) {
        (Some(guest), Ok(direct)) => short_way(&request.id, &direct, &spec, state, guest, ends, control)?,
        (guest, direct) => {
            if let (Some(_), Err(reason)) = (&guest, direct) {
                tracing::debug!("{} goes libcontainer's way: {reason}", request.id);
            }
            build(&request.id, state, systemd, guest, ends, control)?
        }
    };
    log::step("worker: made");
    record.init = Process::find(made.pid);
    state.write(record).map_err(|error| unwritten(state, error))?;
    if let Some(terminal) = &made.terminal {
        settle_terminal(terminal, process.and_then(oci_spec::runtime::Process::console_size), user);
    }
    Ok(made)
}

/// Makes the working directory where the image has none. Where there is no rootfs of ours, the root is the bundle's own.
fn make_working_directory(request: &Create, record: &Record, spec: &Spec) -> Result<(), SandboxError> {
    let own = || spec.root().as_ref().map(|root| request.bundle.join(root.path()));
    let Some(rootfs) = record.rootfs.clone().or_else(own) else { return Ok(()) };
    folder::make_working_directory(&rootfs, spec).map_err(|error| {
        let cwd = spec.process().as_ref().map(|process| process.cwd().display().to_string()).unwrap_or_default();
        SandboxError::Inside(format!("working directory {cwd} can't be made: {error}"))
    })
}

/// The runtime options that came as text.
pub(super) fn runtime_options(given: Option<&(String, String)>) -> Result<Option<(String, Vec<u8>)>, SandboxError> {
    let options = given.map(|(url, value)| Ok((url.clone(), hex::decode(value)?))).transpose();
    options.map_err(|error: hex::FromHexError| SandboxError::Inside(format!("runtime options: {error}")))
}

/// Lets what is forked from now on be shown as what it will run.
pub(super) fn show_as(args: &[String]) {
    if let Err(error) = guest::set_command_line(args) {
        tracing::debug!("the process keeps the shim's command line: {error}");
    }
}

/// Gives a terminal its first size and its owner, as far as they are known.
pub(super) fn settle_terminal(terminal: &Terminal, size: Option<oci_spec::runtime::Box>, user: Option<u32>) {
    let half = |side: u64| u16::try_from(side).unwrap_or(u16::MAX);
    if let Some(size) = size.filter(|_| !fault::is(Fault::TerminalSize)) {
        let resized = terminal::resize(terminal.master.as_fd(), half(size.width()), half(size.height()));
        let _ = resized.inspect_err(|error| tracing::debug!("the terminal keeps its size: {error}"));
    }
    if let (Some(user), Ok(slave)) = (user, terminal::slave(terminal.master.as_fd())) {
        give(user, &slave);
    }
}

/// What a new process reads from and writes to.
enum Ends {
    Pipes(Stdio),
    /// A terminal of ours.
    Terminal(Stdio, Terminal),
    /// One that libcontainer makes, and where its output goes.
    Console(ConsoleSocket, OwnedFd),
}

/// Makes a guest's container without libcontainer.
fn short_way(
    id: &str,
    direct: &Direct,
    spec: &Spec,
    state: &State,
    guest: Guest,
    ends: Ends,
    control: Option<RawFd>,
) -> Result<Made, SandboxError> {
    let (stdio, terminal) = match ends {
        Ends::Pipes(stdio) => (stdio, None),
        Ends::Terminal(stdio, terminal) => (stdio, Some(terminal)),
        // Only for native programs, see `make`.
        Ends::Console(..) => return Err(SandboxError::Inside("a guest has no console of libcontainer's".to_owned())),
    };
    let newcomer = Newcomer {
        guest: Some(guest),
        process: spec.process().clone().unwrap_or_default(),
        seccomp: spec.linux().as_ref().and_then(|linux| linux.seccomp().clone()),
        stdio: Some(stdio),
        terminal: terminal.is_some(),
        taken: [control, log::descriptor()].into_iter().flatten().collect(),
    };
    let outside = terminal.iter().flat_map(|terminal| [terminal.master.as_raw_fd(), terminal.output.as_raw_fd()]);
    let pid = direct::make(id, direct, spec, newcomer, outside.collect(), &direct::gate(state.folder()))?;
    Ok(Made { pid, terminal })
}

fn build(
    id: &str,
    state: &State,
    systemd: bool,
    guest: Option<Guest>,
    ends: Ends,
    control: Option<RawFd>,
) -> Result<Made, SandboxError> {
    let pipe = |error: std::io::Error| SandboxError::Inside(format!("a pipe can't be made: {error}"));
    let (mut said, report) = std::io::pipe().map_err(pipe)?;
    let (stdio, terminal, console) = match ends {
        Ends::Pipes(stdio) => (Some(stdio), None, None),
        Ends::Terminal(stdio, terminal) => (Some(stdio), Some(terminal), None),
        Ends::Console(socket, output) => (None, None, Some((socket, output))),
    };
    let outside = terminal.iter().flat_map(|terminal| [terminal.master.as_raw_fd(), terminal.output.as_raw_fd()]);
    let taken = [Some(said.as_raw_fd()), control, log::descriptor()].into_iter().flatten().chain(outside).collect();
    let workload = Workload::new(guest, taken, terminal.is_some(), report).map_err(pipe)?;
    let mut builder = ContainerBuilder::new(id.to_owned(), SyscallType::default())
        .with_root_path(state.sandbox_root())?
        .with_executor(workload.clone())
        .with_console_socket(console.as_ref().map(|(socket, _)| socket.path()));
    if let Some(Stdio { stdin, stdout, stderr }) = stdio {
        builder = builder.with_stdout(stdout).with_stderr(stderr);
        if let Some(stdin) = stdin {
            builder = builder.with_stdin(stdin);
        }
    }
    let built = builder.as_init(state.bundle()).with_systemd(systemd).with_detach(console.is_some()).build();
    workload.close_report();
    match built {
        Ok(container) => {
            let pid = container.pid().ok_or_else(|| SandboxError::NotFound(id.to_owned()))?.as_raw();
            let terminal = match console {
                None => terminal,
                Some((socket, output)) => {
                    let master = socket.receive();
                    let unseen = |error| SandboxError::Inside(format!("the terminal did not come: {error}"));
                    Some(Terminal { master: master.map_err(unseen)?, output })
                }
            };
            Ok(Made { pid, terminal })
        }
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

/// Opens the gate of container `id` if it was made on the short way; none if it was not, and [`start`] is to do it. It takes
/// some microseconds and waits for nothing.
pub fn open_gate(namespace: &str, id: &str) -> Option<Result<(), Failure>> {
    let state = State::of(namespace, id);
    match direct::open_gate(&direct::gate(state.folder())) {
        Ok(true) => Some(Ok(())),
        Ok(false) => None,
        Err(error) if direct::nobody_waits(&error) => Some(Err(SandboxError::NotRunning(id.to_owned()).into())),
        Err(error) => Some(Err(unwritten(&state, error).into())),
    }
}

/// Opens the gate of container `id`.
///
/// # Errors
/// [`SandboxError`], as it goes to containerd.
pub fn start(namespace: &str, id: &str) -> Result<(), Failure> {
    if let Some(opened) = open_gate(namespace, id) {
        return opened;
    }
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
