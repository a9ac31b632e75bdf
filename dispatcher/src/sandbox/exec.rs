//! A further process in a container that runs: found, loaded, put into the container, started.
//!
//! libcontainer's own way (`as_tenant`) takes the end of a pipe that only execve(2) closes for the sign that a process has
//! started, and a guest executes nothing; and it leaves the container's seccomp filter out. So these few steps are ours, in
//! the order in which libcontainer has them for a container's first process.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};
use oci_spec::runtime::{Mount, Process, Spec};

use super::create::{Made, runtime_options, settle_terminal, show_as};
use super::join::Place;
use super::newcomer::{Newcomer, READY};
use super::plan::{self, Plan};
use super::stdio::{Stdio, open_output};
use super::terminal::{Pair, Terminal};
use super::{Preset, SandboxError, spec};
use crate::log;
use crate::options::{HANDLER, PREFIX, VARIANT};
use crate::process;
use crate::rootfs::EntryError;
use crate::spawner::{Exec, Failure};
use crate::state::State;

/// Starts the process of `request` and gives its pid. What fails leaves nothing behind.
///
/// `stdin` is the process's own, where it has no terminal; `control` is the spawner's line: the process must not keep it.
///
/// # Errors
/// [`SandboxError`], as it goes to containerd.
pub fn exec(request: &Exec, stdin: Option<OwnedFd>, preset: &Preset, control: Option<RawFd>) -> Result<Made, Failure> {
    join(request, stdin, preset, control).map_err(|source| SandboxError::Exec(Box::new(source)).into())
}

fn join(request: &Exec, stdin: Option<OwnedFd>, preset: &Preset, control: Option<RawFd>) -> Result<Made, SandboxError> {
    let state = State::of(&request.namespace, &request.id);
    let not_found = || SandboxError::NotFound(request.id.clone());
    let init = state.read().and_then(|record| record.init).ok_or_else(not_found)?;
    let mut process = read_process(&request.process)?;
    spec::check_terminal(Some(&process), request.terminal)?;
    let place = Place::of(&request.id, init)?;

    let mut spec = spec::load(&state.bundle().join("config.json"))?;
    let made_by = spec.process().clone();
    spec.set_process(Some(process.clone()));
    let options = runtime_options(request.options.as_ref())?;
    let options = options.as_ref().map(|(url, value)| (url.as_str(), value.as_slice()));
    let seen = as_seen_inside(&spec, &place.root());
    let bundle = state.bundle();
    let container = plan::Container { bundle: &bundle, namespace: &request.namespace, id: &request.id };
    let Plan { guest, .. } = plan::plan(container, &seen, preset, options).map_err(unusable)?;
    spec::settle_capabilities(&mut spec, guest.is_none());
    if let Some(settled) = spec.process().clone() {
        process = settled;
    }

    let who = (request.namespace.as_str(), request.exec_id.as_str());
    let (stdio, terminal) = if request.terminal {
        let Pair { master, slave } = Pair::open(guest.is_none().then(|| place.root()).as_deref())?;
        (Stdio::of_terminal(slave)?, Some(Terminal { master, output: open_output(&request.stdout, who)? }))
    } else {
        (Stdio::open(stdin, (&request.stdout, &request.stderr), who)?, None)
    };
    let user = spec::user(&spec);
    if let Some(user) = user {
        stdio.give_to(user);
    }
    if let Some(terminal) = &terminal {
        settle_terminal(terminal, process.console_size(), None);
    }
    show_as(process.args().as_deref().unwrap_or_default());
    // As with runc: who does not say otherwise is killed for memory as soon as the container's first process.
    let oom_score = process.oom_score_adj().or_else(|| made_by.and_then(|process| process.oom_score_adj()));
    let newcomer = Newcomer {
        guest,
        process,
        seccomp: spec.linux().as_ref().and_then(|linux| linux.seccomp().clone()),
        stdio: Some(stdio),
        terminal: request.terminal,
        taken: [control, log::descriptor()].into_iter().flatten().collect(),
    };
    let note = note(&state, std::process::id() as i32);
    let pid = start(place, newcomer, terminal.as_ref(), oom_score, &note)?;
    Ok(Made { pid, terminal })
}

fn read_process(text: &str) -> Result<Process, SandboxError> {
    let process: Process = serde_json::from_str(text).map_err(|error| SandboxError::Process(error.to_string()))?;
    if !process.cwd().is_absolute() {
        let cwd = process.cwd().display();
        return Err(SandboxError::Process(format!("working directory {cwd:?} is not an absolute path")));
    }
    Ok(process)
}

/// The specification for who looks for the process's file: the container as it is, with all that is mounted in it and all
/// that has changed since it began. What speaks of the container's entrypoint alone is left out.
fn as_seen_inside(spec: &Spec, root: &Path) -> Spec {
    let mut seen = spec.clone();
    let mut mount = Mount::default();
    // A bind mount, because its files are copied before they are read: somebody else may be writing to them.
    mount.set_destination("/".into()).set_typ(Some("bind".to_owned())).set_source(Some(root.to_owned()));
    seen.set_mounts(Some(vec![mount]));
    let mut top = seen.root().clone().unwrap_or_default();
    top.set_path(PathBuf::from(root));
    seen.set_root(Some(top));
    let mut annotations = seen.annotations().clone().unwrap_or_default();
    annotations.remove(&format!("{PREFIX}function"));
    annotations.remove(VARIANT);
    if let Some(handler) = annotations.remove(HANDLER).filter(|handler| handler != "wasm") {
        annotations.entry(format!("{PREFIX}engine")).or_insert(handler);
    }
    seen.set_annotations(Some(annotations));
    seen
}

/// Says what is wrong with the process's file in the words by which Docker and others know it.
fn unusable(error: SandboxError) -> SandboxError {
    match error {
        SandboxError::Entry(EntryError::Missing { name, places })
        | SandboxError::Nowhere { entry: EntryError::Missing { name, places }, .. } => {
            SandboxError::NoSuchFile { name, places }
        }
        other @ (SandboxError::Entry(EntryError::Unusable { .. } | EntryError::TooLarge { .. })
        | SandboxError::Module { .. }
        | SandboxError::Engine { .. }
        | SandboxError::NotRunnable { .. }
        | SandboxError::NativeCode { .. }) => SandboxError::NotExecutable(Box::new(other)),
        other => other,
    }
}

/// Forks the process into `place` and waits until it is ready, or says why not.
fn start(
    place: Place,
    newcomer: Newcomer,
    terminal: Option<&Terminal>,
    oom_score: Option<i32>,
    note: &Path,
) -> Result<i32, SandboxError> {
    let failed = |what: &str, error: io::Error| SandboxError::Inside(format!("{what}: {error}"));
    let (mut said, report) = io::pipe().map_err(|error| failed("a pipe can't be made", error))?;
    let (gate, mut opener) = io::pipe().map_err(|error| failed("a pipe can't be made", error))?;
    place.enter_pid_namespace().map_err(|error| failed("the pid namespace can't be joined", error))?;
    // SAFETY: a worker has one thread.
    let forked = unsafe { fork() }.map_err(|error| failed("a process can't be forked", error.into()))?;
    let ForkResult::Parent { child } = forked else {
        let outside = [said.as_raw_fd(), opener.as_raw_fd()].into_iter();
        let outside = outside.chain(terminal.iter().flat_map(|t| [t.master.as_raw_fd(), t.output.as_raw_fd()]));
        become_it(place, newcomer, outside.collect(), gate, report)
    };
    drop((gate, report));
    let noted = serde_json::to_vec(&process::Process::find(child.as_raw())).map_err(io::Error::other);
    let noted =
        noted.and_then(|text| std::fs::write(note, text)).map_err(|error| failed("the process can't be noted", error));
    let placed = noted.and_then(|()| place.adopt(child.as_raw())).and_then(|()| {
        let scored =
            oom_score.map_or(Ok(()), |score| std::fs::write(format!("/proc/{child}/oom_score_adj"), score.to_string()));
        scored.map_err(|error| failed("oom_score_adj", error))
    });
    let mut answer = Vec::new();
    let answered = placed.and_then(|()| {
        // Gone already: it says why.
        let _ = opener.write_all(b"g");
        said.read_to_end(&mut answer).map_err(|error| failed("the process can't be heard", error))
    });
    match answered {
        Ok(_) if answer == [READY] => Ok(child.as_raw()),
        other => {
            end(child);
            other?;
            let told = answer.strip_prefix(&[READY]).unwrap_or(&answer);
            match String::from_utf8_lossy(told).into_owned() {
                nothing if nothing.is_empty() => Err(SandboxError::Died("it ended without a word".to_owned())),
                told => Err(SandboxError::Inside(told)),
            }
        }
    }
}

/// Where it is noted which process a worker has begun: until it has answered, nobody else knows of it.
fn note(state: &State, worker: i32) -> PathBuf {
    state.folder().join(format!("exec-{worker}"))
}

/// Settles what a worker that has ended leaves of its Exec: where it has not answered, the process that it had begun ends too.
pub fn settle_exec(namespace: &str, id: &str, worker: i32, answered: bool) {
    let note = note(&State::of(namespace, id), worker);
    // Gone with the container, or never written.
    let Ok(text) = std::fs::read(&note) else { return };
    let begun = serde_json::from_slice::<Option<process::Process>>(&text).ok().flatten();
    if let Some(process) = begun.filter(|process| !answered && process.exists()) {
        let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
    }
    let _ = std::fs::remove_file(note);
}

/// Ends a process that was not finished, and takes its exit: nobody else has heard of it.
fn end(child: Pid) {
    // Our child and not reaped, so the number is its own.
    let _ = kill(child, Signal::SIGKILL);
    let _ = waitpid(child, None);
}

/// The new process's life.
fn become_it(place: Place, newcomer: Newcomer, outside: Vec<RawFd>, gate: PipeReader, report: PipeWriter) -> ! {
    let mut report = Some(report);
    for descriptor in outside {
        // The worker's, of which this is a copy: its ends of our pipes, and the terminal's outer side.
        let _ = nix::unistd::close(descriptor);
    }
    // A panic must not unwind into the worker's own code.
    let done = catch_unwind(AssertUnwindSafe(|| wait_and_go(place, newcomer, gate, &mut report)));
    let message = match done {
        Ok(Err(message)) => message,
        Ok(Ok(never)) => match never {},
        Err(_) => "the new process panicked".to_owned(),
    };
    // The worker reads until the end; if it is gone, there is nobody to tell.
    let _ = report.map(|mut report| report.write_all(message.as_bytes()));
    // SAFETY: ends this process without the exit handlers of the server's program, which are not ours.
    unsafe { libc::_exit(126) }
}

fn wait_and_go(
    place: Place,
    newcomer: Newcomer,
    mut gate: PipeReader,
    report: &mut Option<PipeWriter>,
) -> Result<Infallible, String> {
    // Without a word the worker has died, and nobody knows of this process.
    gate.read_exact(&mut [0]).map_err(|error| format!("the worker process is gone: {error}"))?;
    drop(gate);
    let null = File::options().read(true).write(true).open("/dev/null").map_err(|e| format!("/dev/null: {e}"))?;
    newcomer.go(|| place.enter(), null, report, || Ok(()))
}
