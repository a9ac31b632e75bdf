//! The spawner's own side: waits for work, forks a worker for each piece.

use std::collections::HashMap;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg, socketpair,
};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid, getppid, setsid};

use super::message::{Failure, FailureKind, Reply, Request, Work};
use crate::log;
use crate::process::Process;
use crate::sandbox::{self, Made, Preset};

/// The longest message, in bytes: an overlay of some hundred layers has mount options of a few pages.
pub(super) const LONGEST_MESSAGE: usize = 128 << 10;

/// What the kernel tells the spawner when the server has died.
const SERVER_DIED: Signal = Signal::SIGTERM;

/// How long a server that has been killed may take to be gone: longer only on a machine that is stuck.
const SERVER_ENDS: Duration = Duration::from_secs(10);

/// Forks the spawner and gives its number with the server's end of the line.
///
/// The caller must have one thread: the child goes on with all of the parent's memory. `listener` is the server's socket;
/// held open by the spawner, or by guests after it, it would seem to answer when the server is dead. `last` is
/// what the spawner does when there is no server any more.
///
/// # Errors
/// What the kernel says.
pub fn fork_spawner(preset: Preset, listener: &UnixListener, last: impl FnOnce()) -> nix::Result<(Pid, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
    let server = getpid();
    // SAFETY: the caller has one thread (documented), so no lock is held by anybody who is not copied.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            nix::fcntl::fcntl(&ours, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))?;
            Ok((child, ours))
        }
        ForkResult::Child => {
            drop(ours);
            let _ = nix::unistd::close(listener.as_raw_fd());
            // What is sent to the shim's process group is not meant for it.
            let _ = SigSet::from_iter([SERVER_DIED, Signal::SIGINT]).thread_block();
            // What is heard between two pieces of work: nothing is begun for a server that is dead.
            let _ = prctl::set_pdeathsig(SERVER_DIED);
            let living = Process::find(server.as_raw()).filter(|_| getppid() == server);
            if let Some(living) = living {
                serve(&theirs, preset, server);
                // The end of the line and the signal both come while the server still lets go of its other files.
                living.await_end(SERVER_ENDS);
            }
            last();
            // SAFETY: ends this process without the exit handlers of the server's program, which are not ours.
            unsafe { libc::_exit(0) }
        }
    }
}

/// A worker that has not been reaped yet.
struct Job {
    number: u64,
    /// Namespace and id of the container that it makes.
    making: Option<(String, String)>,
    /// Namespace and id of the container that it starts a further process in.
    joining: Option<(String, String)>,
}

/// Lets this process, a worker, end with its parent, which may be dead already: then nobody would tell. Who has no shim any more
/// makes containers for nobody.
fn end_with(parent: Pid) {
    let _ = prctl::set_pdeathsig(Signal::SIGKILL);
    if getppid() != parent {
        // SAFETY: ends this process without the exit handlers of the server's program, which are not ours.
        unsafe { libc::_exit(1) }
    }
}

/// The spawner's life: it ends when the server closes its end or dies.
fn serve(socket: &OwnedFd, mut preset: Preset, server: Pid) {
    let _ = prctl::set_name(c"multiwasm-spawn");
    preset.warm();
    log::step("spawner: engine loaded");
    if let Err(error) = work_for(socket, &preset, server) {
        tracing::error!("the spawner ends: {error}");
    }
}

fn work_for(socket: &OwnedFd, preset: &Preset, server: Pid) -> nix::Result<()> {
    let mask = SigSet::from_iter([Signal::SIGCHLD, SERVER_DIED]);
    mask.thread_block()?;
    let ended = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    let mut jobs = HashMap::new();
    let mut buffer = vec![0; LONGEST_MESSAGE];
    loop {
        let mut ready = [PollFd::new(socket.as_fd(), PollFlags::POLLIN), PollFd::new(ended.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, PollTimeout::NONE) {
            Err(nix::Error::EINTR) => continue,
            other => other?,
        };
        let [asked, died] = ready.map(|fd| fd.any().unwrap_or(false));
        if died {
            while let Ok(Some(signal)) = ended.read_signal() {
                if signal.ssi_signo == SERVER_DIED as u32 && getppid() != server {
                    return Ok(());
                }
            }
            reap(socket, &mut jobs);
        }
        if asked {
            let (length, descriptors) = match receive(socket.as_raw_fd(), &mut buffer) {
                Err(nix::Error::EINTR) => continue,
                Ok((0, _)) | Err(_) => return Ok(()),
                Ok(received) => received,
            };
            let stdin = descriptors.into_iter().next();
            match serde_json::from_slice::<Request>(&buffer[..length]) {
                Ok(Request { number, work: Work::Cancel { namespace, id } }) => {
                    cancel(&jobs, (namespace, id));
                    answer(socket, &Reply { number, result: Ok(0) }, None);
                }
                Ok(Request { number, work }) => {
                    let (making, joining) = match &work {
                        Work::Create(create) => (Some((create.namespace.clone(), create.id.clone())), None),
                        Work::Exec(exec) => (None, Some((exec.namespace.clone(), exec.id.clone()))),
                        _ => (None, None),
                    };
                    if let Work::Create(create) = &work {
                        log::go_on(&create.bundle);
                    }
                    let control = socket.as_raw_fd();
                    hire(socket, Job { number, making, joining }, &mut jobs, || do_work(work, stdin, preset, control));
                }
                Err(error) => tracing::error!("a request can't be read: {error}"),
            }
        }
    }
}

/// Kills the worker that makes this container. What it has made so far is removed when it is reaped, and who waits for it is
/// told then.
fn cancel(jobs: &HashMap<Pid, Job>, container: (String, String)) {
    let making = Some(container);
    for (pid, _) in jobs.iter().filter(|(_, job)| job.making == making) {
        // It is our child and not reaped, so the number is its own.
        let _ = kill(*pid, Signal::SIGKILL);
    }
}

/// Looks after workers that have ended: one that was killed has not answered, and what it was making is removed.
fn reap(socket: &OwnedFd, jobs: &mut HashMap<Pid, Job>) {
    let ended = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    while let Ok(status) = waitid(Id::All, ended) {
        let Some(pid) = status.pid() else { return };
        if status != WaitStatus::Exited(pid, 0) {
            // Those whom it forked go on without it. Until it is reaped its number is nobody else's.
            let _ = killpg(pid, Signal::SIGKILL);
        }
        let _ = waitpid(pid, None);
        let Some(job) = jobs.remove(&pid) else { continue };
        if let Some((namespace, id)) = &job.joining {
            sandbox::settle_exec(namespace, id, pid.as_raw(), status == WaitStatus::Exited(pid, 0));
        }
        if status == WaitStatus::Exited(pid, 0) {
            continue;
        }
        let how = match status {
            WaitStatus::Signaled(_, signal, _) => format!("was killed by {signal}"),
            WaitStatus::Exited(_, code) => format!("ended with {code}"),
            _ => "ended".to_owned(),
        };
        let message = format!("the worker process that had this to do {how} before it was done");
        tracing::error!("{message}");
        let making = job.making;
        hire(socket, Job { number: job.number, making: None, joining: None }, jobs, move || {
            if let Some((namespace, id)) = making {
                sandbox::remove(&namespace, &id)?;
            }
            Err(Failure::new(FailureKind::Other, message))
        });
    }
}

/// One packet with its descriptors; a length of 0 is the end.
pub(super) fn receive(socket: RawFd, buffer: &mut [u8]) -> nix::Result<(usize, Vec<OwnedFd>)> {
    let mut control = nix::cmsg_space!([RawFd; 2]);
    let mut parts = [IoSliceMut::new(buffer)];
    let message = recvmsg::<()>(socket, &mut parts, Some(&mut control), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let descriptors = message.cmsgs().into_iter().flatten().flat_map(|control| match control {
        ControlMessageOwned::ScmRights(descriptors) => descriptors,
        _ => Vec::new(),
    });
    // SAFETY: the kernel has just made these descriptors for us.
    let descriptors = descriptors.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).collect();
    Ok((message.bytes, descriptors))
}

/// Forks a worker for one piece of work. Its exit code says whether it has answered.
fn hire(socket: &OwnedFd, job: Job, jobs: &mut HashMap<Pid, Job>, work: impl FnOnce() -> Result<Made, Failure>) {
    let spawner = getpid();
    // SAFETY: the spawner has one thread.
    match unsafe { fork() } {
        Ok(ForkResult::Parent { child }) => drop(jobs.insert(child, job)),
        Ok(ForkResult::Child) => {
            end_with(spawner);
            log::step("worker: forked");
            let _ = SigSet::empty().thread_set_mask();
            let _ = prctl::set_name(c"multiwasm-work");
            // All that it forks can be found by its number when it is gone.
            let _ = setsid();
            // A panic must not unwind into the spawner's own code, of which this is a copy.
            let result = catch_unwind(AssertUnwindSafe(work))
                .unwrap_or_else(|_| Err(Failure::new(FailureKind::Other, "the worker process panicked".to_owned())));
            let (result, made) = match result {
                Ok(made) => (Ok(made.pid), Some(made)),
                Err(failure) => (Err(failure), None),
            };
            let terminal = made.as_ref().and_then(|made| made.terminal.as_ref());
            let descriptors = terminal.map(|terminal| [terminal.master.as_raw_fd(), terminal.output.as_raw_fd()]);
            let answered = answer(socket, &Reply { number: job.number, result }, descriptors.as_ref());
            // SAFETY: as in `serve`.
            unsafe { libc::_exit(if answered { 0 } else { 1 }) }
        }
        Err(error) => {
            let message = format!("a worker process can't be started: {error}");
            let result = Err(Failure::new(FailureKind::Other, message));
            answer(socket, &Reply { number: job.number, result }, None);
        }
    }
}

fn do_work(work: Work, stdin: Option<OwnedFd>, preset: &Preset, socket: RawFd) -> Result<Made, Failure> {
    let nothing = |()| Made::default();
    match work {
        Work::Create(create) => sandbox::create(&create, stdin, preset, Some(socket)),
        // The spawner's own, see `work_for`.
        Work::Cancel { .. } => Ok(Made::default()),
        Work::Start { namespace, id } => sandbox::start(&namespace, &id).map(nothing),
        Work::Exec(exec) => sandbox::exec(&exec, stdin, preset, Some(socket)),
        Work::Freeze { namespace, id, frozen } => sandbox::freeze(&namespace, &id, frozen).map(nothing),
        Work::Update { namespace, id, resources } => sandbox::update(&namespace, &id, &resources).map(nothing),
        Work::Delete { namespace, id } => sandbox::remove(&namespace, &id).map(nothing),
    }
}

fn answer(socket: &OwnedFd, reply: &Reply, descriptors: Option<&[RawFd; 2]>) -> bool {
    let rights = descriptors.map(|descriptors| [ControlMessage::ScmRights(descriptors)]);
    let control: &[ControlMessage<'_>] = rights.as_ref().map_or(&[], |rights| rights);
    let sent = serde_json::to_vec(reply).map_err(|error| error.to_string()).and_then(|text| {
        let parts = [IoSlice::new(&text)];
        sendmsg::<()>(socket.as_raw_fd(), &parts, control, MsgFlags::MSG_NOSIGNAL, None).map_err(|e| e.to_string())
    });
    sent.inspect_err(|error| tracing::error!("an answer can't be sent: {error}")).is_ok()
}
