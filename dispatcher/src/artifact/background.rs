//! Compiling for the next start, beside the container that runs now.
//!
//! Nobody waits for it, so it yields to everything: idle priority for processors and disks, the first to go when memory runs
//! out, so many at once as the node has pairs of processors, and the compiler itself confined as always. It outlives its
//! container, as most that are worth compiling for are short; it has none of the container's files, pipes and names. What
//! goes wrong is told by the next start: the cache keeps it (`failed`).

use std::fs::{File, OpenOptions};
use std::io::{self, PipeWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use multiwasm_engine::loader::LoadedEngine;
use multiwasm_engine::{Source, SourceForm};
use nix::sys::prctl;
use nix::sys::signal::SigSet;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, chdir, fork};

use super::compile::compile_aside;
use super::confine::{close_above_stdio, new_session};
use super::{Cache, Key, Limits};
use crate::{guest, log};

/// linux/ioprio.h: the class that gets what nobody else wants, for one process.
const IOPRIO_WHO_PROCESS: libc::c_int = 1;
const IOPRIO_IDLE: libc::c_int = 3 << 13;

/// Why nothing was begun.
#[derive(Debug, thiserror::Error)]
pub enum NotBegun {
    /// Another start of the same module has begun it.
    #[error("it is being compiled")]
    Already,
    /// As many as may be at a time are compiled.
    #[error("others are compiled first")]
    Busy,
    /// The cache does not even take a lock.
    #[error("{path} can't be written: {source}", path = path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel gives no process, or no pipe to one.
    #[error("there is no process for it: {0}")]
    Process(io::Error),
    /// It is no module but an artifact.
    #[error("it is compiled already")]
    Compiled,
}

/// A compiler that waits to begin. Without [`Later::begin`] it goes away.
#[must_use]
#[derive(Debug)]
pub struct Later(PipeWriter);

impl Later {
    /// Lets it begin.
    pub fn begin(mut self) {
        // It has gone, if it can't be told: the next start finds that nothing was made.
        let _ = self.0.write_all(&[0]);
    }
}

/// Prepares to compile `source`, whose key is `key`, in a process of its own, and returns at once. `mapped` says that the bytes
/// are a mapped file, which is let go of when they are copied.
///
/// The caller must have one thread.
///
/// # Errors
/// [`NotBegun`]; a later start tries again.
pub fn compile_later(
    engine: &LoadedEngine,
    source: &Source<'_>,
    mapped: bool,
    key: &Key,
    cache: &Cache,
    limits: &Limits,
) -> Result<Later, NotBegun> {
    let SourceForm::Bytes(bytes) = source.form else { return Err(NotBegun::Compiled) };
    let slot = slot(cache, key)?;
    let (mut told, later) = io::pipe().map_err(NotBegun::Process)?;
    // SAFETY: the caller has one thread (documented).
    match unsafe { fork() } {
        Ok(ForkResult::Parent { child }) => {
            // It forks and ends, so that the one that compiles is nobody's child here.
            match waitpid(child, None) {
                Ok(WaitStatus::Exited(_, 0)) => Ok(Later(later)),
                _ => Err(NotBegun::Process(io::Error::other("the second fork failed"))),
            }
        }
        Ok(ForkResult::Child) => {
            drop(later);
            // SAFETY: as above; neither returns into the code that this process is a copy of.
            let forked = unsafe { fork() };
            if let Ok(ForkResult::Child) = forked
                && told.read_exact(&mut [0]).is_ok()
            {
                let copy = bytes.to_vec();
                if mapped {
                    // SAFETY: the mapping begins where its bytes do, and nothing in this process reads it any more.
                    unsafe { libc::munmap(bytes.as_ptr().cast_mut().cast(), bytes.len()) };
                }
                if settle(source.name, &slot).is_some() {
                    let source = Source { form: SourceForm::Bytes(&copy), ..*source };
                    compile_aside(engine, &source, &copy, key, cache, limits);
                }
            }
            // SAFETY: ends this process at once: no destructor of its parent's may run here.
            unsafe { libc::_exit(i32::from(forked.is_err())) }
        }
        Err(error) => Err(NotBegun::Process(error.into())),
    }
}

/// Leaves all that is the container's and its shim's, and yields to everything.
fn settle(name: &str, slot: &File) -> Option<()> {
    // SAFETY: system calls on numbers and a valid parameter; a refusal leaves things as they are.
    unsafe {
        let lowest = libc::sched_param { sched_priority: 0 };
        libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const lowest);
        libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_IDLE);
    }
    new_session().ok()?;
    let _ = SigSet::empty().thread_set_mask();
    let _ = prctl::set_name(c"wasm-compile");
    let _ = guest::set_command_line(&["multiwasm".to_owned(), "compile".to_owned(), name.to_owned()]);
    let null = File::options().read(true).write(true).open("/dev/null").ok()?;
    for number in 0..3 {
        // SAFETY: system calls on numbers; these three are this process's own stdio.
        unsafe { libc::dup2(null.as_raw_fd(), number) };
    }
    // This process drops no owner of a descriptor: it ends by _exit(2).
    std::mem::forget(null);
    close_above_stdio(slot.as_raw_fd()).ok()?;
    // What it still logs goes nowhere, and into no file that has the log's number by then.
    // SAFETY: a system call on numbers; the log's is free since a line above.
    log::descriptor().map(|descriptor| unsafe { libc::dup2(0, descriptor) });
    chdir("/").ok()?;
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    Some(())
}

/// One of the node's places for this, if one is free and none has the same artifact in work: held as long as the file is open
/// anywhere, so before this process forks, and until the last that it forked has ended. Its content says for which artifact.
///
/// Two that come at the very same moment may both begin, one of them for nothing, or take each other for the holder.
pub(super) fn slot(cache: &Cache, key: &Key) -> Result<File, NotBegun> {
    let places = std::thread::available_parallelism().map_or(1, usize::from).div_ceil(2);
    let wanted = key.file_name();
    let mut free = None;
    for place in 0..places {
        let path = cache.dir().join(format!("background-{place}.lock"));
        let unwritable = |source| NotBegun::Unwritable { path: path.clone(), source };
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = open.map_err(unwritable)?;
        if file.try_lock().is_ok() {
            free.get_or_insert((file, path));
            continue;
        }
        let mut held = String::new();
        if file.read_to_string(&mut held).is_ok() && held == wanted {
            return Err(NotBegun::Already);
        }
    }
    let (mut file, path) = free.ok_or(NotBegun::Busy)?;
    let said = file.set_len(0).and_then(|()| file.write_all(wanted.as_bytes()));
    said.map_err(|source| NotBegun::Unwritable { path, source })?;
    Ok(file)
}
