//! Compiling a module under limits, once even where many containers want it at the same time.

use std::fs::File;
use std::io::{self, Write};
use std::time::Duration;

use multiwasm_engine::loader::LoadedEngine;
use multiwasm_engine::{EngineError, ErrorKind, Source, SourceForm};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::Signal;

use super::cache::{Cache, CacheError, Lock, each_block};
use super::process::{End, Ended, run_confined};
use super::{Artifact, Key};

/// What one compile may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory, and of the artifact: `compile.memory`.
    pub memory: u64,
    /// Seconds of CPU time, all threads together: `compile.cpu_seconds`.
    pub cpu_seconds: u64,
    /// Time until it must have ended: `compile.timeout`.
    pub timeout: Duration,
    /// Bytes of the cache, beyond which the least recently used artifacts go: `cache.limit`.
    pub cache: u64,
}

impl Default for Limits {
    /// Measured on two cores: Cranelift takes 7 s and 700 MB for a module of 20 MB, LLVM 17 s for one of 1.1 MB. This
    /// is several times what both would need for 20 MB.
    fn default() -> Self {
        Self { memory: 4 << 30, cpu_seconds: 1200, timeout: Duration::from_secs(600), cache: 4 << 30 }
    }
}

/// Why there is no artifact.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The engine does not take the module.
    #[error("{name}: {engine} can't compile it: {}", without(name, &source.message))]
    Engine {
        /// The module.
        name: String,
        /// The engine.
        engine: String,
        /// What the engine says.
        source: EngineError,
    },
    /// It needs more memory than it may use.
    #[error(
        "{name}: compiling it with {engine} needs more memory than the limit of {} MiB: raise compile.memory in the \
         configuration ({detail})", limit >> 20
    )]
    Memory {
        /// The module.
        name: String,
        /// The engine.
        engine: String,
        /// The limit in bytes.
        limit: u64,
        /// How it showed.
        detail: String,
    },
    /// It needs more CPU time than it may use.
    #[error(
        "{name}: compiling it with {engine} takes more than the limit of {limit} s of CPU time: raise \
         compile.cpu_seconds in the configuration"
    )]
    CpuTime {
        /// The module.
        name: String,
        /// The engine.
        engine: String,
        /// The limit in seconds.
        limit: u64,
    },
    /// It did not end in time.
    #[error(
        "{name}: compiling it with {engine} did not end within {limit:?}: raise compile.timeout in the configuration"
    )]
    Timeout {
        /// The module.
        name: String,
        /// The engine.
        engine: String,
        /// The limit.
        limit: Duration,
    },
    /// Somebody killed it, and it was not us.
    #[error(
        "{name}: compiling it with {engine} was killed, most likely because the node ran out of memory: free memory \
         on the node, or compile it elsewhere"
    )]
    Killed {
        /// The module.
        name: String,
        /// The engine.
        engine: String,
    },
    /// The engine broke.
    #[error("{name}: {engine} broke while compiling it, {how}: {output}")]
    Crashed {
        /// The module.
        name: String,
        /// The engine.
        engine: String,
        /// By which signal or exit code.
        how: String,
        /// The end of what it printed.
        output: String,
    },
    /// The module is no longer what its key was made of.
    #[error("{name}: the file was changed while it was read: start it again")]
    Changed {
        /// The module.
        name: String,
    },
    /// An artifact was given where a module was expected.
    #[error("{name}: it is compiled already")]
    AlreadyCompiled {
        /// The module.
        name: String,
    },
    /// The process could not be made, watched, or its result not be kept.
    #[error("{name}: compiling it with {engine} could not be {step}: {source}")]
    System {
        /// The module.
        name: String,
        /// The engine.
        engine: String,
        /// What failed.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Compiles `source`, whose key is `key`, in a confined process, and puts the artifact into the cache.
///
/// Where another process is compiling for the same part of the cache, waits for it and takes what it made. Without a
/// cache, or where that can't take the artifact (read-only, full), it is kept in sealed memory for this process and its
/// children: a container that can run shall run.
///
/// The caller must have one thread only, must not ignore SIGCHLD or reap children it does not know, and should be outside
/// of the container's cgroup, because the process inherits it. What the process gets is in the description of
/// `confine`: among others, no descriptor that the engine opened before.
///
/// # Errors
/// [`CompileError`]; each names the module, most the engine, and those about limits the key that raises it.
pub fn compile(
    engine: &LoadedEngine,
    source: &Source<'_>,
    key: &Key,
    cache: Option<&Cache>,
    limits: &Limits,
) -> Result<Artifact, CompileError> {
    let names = Names { name: source.name, engine: &engine.plugin().description().name };
    let SourceForm::Bytes(bytes) = source.form else {
        return Err(CompileError::AlreadyCompiled { name: names.name.to_owned() });
    };
    let locked = cache.and_then(|cache| match cache.lock(key) {
        Ok(lock) => Some((cache, lock)),
        Err(error) => {
            tracing::warn!(%error, "compiling without the cache");
            None
        }
    });
    if let Some(found) = locked.as_ref().and_then(|(cache, _)| cache.find(key)) {
        return Ok(found);
    }
    let file = build(engine, source, bytes, key, limits)?;
    if let Some((cache, lock)) = &locked {
        match keep(cache, lock, key, source.name, &file, limits) {
            Ok(artifact) => return Ok(artifact),
            Err(error) => tracing::warn!(%error, "the artifact is kept in memory, the next start compiles again"),
        }
    }
    sealed_copy(&file).map(Artifact::in_memory).map_err(|source| names.system("kept", source))
}

/// As [`compile`] for the cache alone, without keeping others from it meanwhile: nobody waits for one that yields to everything.
/// What goes wrong is noted in the cache.
pub(super) fn compile_aside(
    engine: &LoadedEngine,
    source: &Source<'_>,
    bytes: &[u8],
    key: &Key,
    cache: &Cache,
    limits: &Limits,
) {
    if cache.find(key).is_some() {
        return;
    }
    let kept = match build(engine, source, bytes, key, limits) {
        Ok(file) => cache.lock(key).and_then(|lock| match cache.find(key) {
            Some(_) => Ok(()),
            None => keep(cache, &lock, key, source.name, &file, limits).map(drop),
        }),
        Err(error) => cache.note_failure(key, limits, &error),
    };
    // A cache that takes neither is told of by each start that uses it.
    let _ = kept;
}

fn keep(
    cache: &Cache,
    lock: &Lock,
    key: &Key,
    name: &str,
    file: &File,
    limits: &Limits,
) -> Result<Artifact, CacheError> {
    let artifact = cache.store(lock, key, name, file)?;
    let pruned = cache.prune(limits.cache, None);
    let _ = pruned.inspect_err(|error| tracing::warn!("the compile cache is not kept below its limit: {error}"));
    Ok(artifact)
}

fn build(
    engine: &LoadedEngine,
    source: &Source<'_>,
    bytes: &[u8],
    key: &Key,
    limits: &Limits,
) -> Result<File, CompileError> {
    let names = Names { name: source.name, engine: &engine.plugin().description().name };
    let ended = run_confined(
        limits,
        || engine.prepare_compile(),
        |artifact| {
            // The bytes may be mapped from a file that others can write. What is compiled under a key must be what the key
            // says, or one container could choose another's code: so both are done with a copy.
            let copy = bytes.to_vec();
            if blake3::hash(&copy) != key.module() {
                return Err(EngineError::new(ErrorKind::Stale, CHANGED));
            }
            engine.compile(&Source { form: SourceForm::Bytes(&copy), ..*source }, artifact)
        },
    );
    names.judge(ended.map_err(|source| names.system("started", source))?, limits)
}

/// What the confined process says of a module that does not match its key.
const CHANGED: &str = "changed while it was read";

/// What every error says.
struct Names<'a> {
    name: &'a str,
    engine: &'a str,
}

impl Names<'_> {
    fn system(&self, step: &'static str, source: io::Error) -> CompileError {
        CompileError::System { name: self.name.to_owned(), engine: self.engine.to_owned(), step, source }
    }

    /// From the way a process ended to an artifact or the error that says why there is none.
    fn judge(&self, ended: Ended, limits: &Limits) -> Result<File, CompileError> {
        let (name, engine) = (self.name.to_owned(), self.engine.to_owned());
        let memory = |detail| CompileError::Memory {
            name: self.name.to_owned(),
            engine: self.engine.to_owned(),
            limit: limits.memory,
            detail,
        };
        let output = ended.output;
        let how = match ended.end {
            End::Done(file) => return Ok(file),
            End::NotConfined(source) => return Err(self.system("confined", source)),
            End::Failed(error) if error.kind == ErrorKind::Stale && error.message == CHANGED => {
                return Err(CompileError::Changed { name });
            }
            End::Failed(source) => {
                return Err(match about_memory(without(self.name, &source.message)) {
                    Some(words) => memory(words.to_owned()),
                    None => CompileError::Engine { name, engine, source },
                });
            }
            End::TimedOut => return Err(CompileError::Timeout { name, engine, limit: limits.timeout }),
            End::Killed(Signal::SIGXCPU) => {
                return Err(CompileError::CpuTime { name, engine, limit: limits.cpu_seconds });
            }
            End::Killed(Signal::SIGXFSZ) => return Err(memory("the artifact alone is larger".to_owned())),
            End::Killed(Signal::SIGKILL) => return Err(CompileError::Killed { name, engine }),
            End::Killed(signal) => format!("killed by {signal}"),
            End::Exited(code) => format!("exited with code {code}"),
        };
        if let Some(words) = about_memory(&output) {
            return Err(memory(words.to_owned()));
        }
        let output = if output.is_empty() { "it printed nothing".to_owned() } else { output };
        Err(CompileError::Crashed { name, engine, how, output })
    }
}

/// The first line of an engine's last words that says that it got no memory, in the words of Rust's allocator, of C++,
/// of LLVM, of WasmEdge, or of the kernel (ENOMEM, and ENOSPC: the process's files are in memory).
fn about_memory(text: &str) -> Option<&str> {
    const WORDS: [&str; 5] =
        ["memory allocation", "bad_alloc", "out of memory", "cannot allocate memory", "no space left on device"];
    text.lines().find(|line| WORDS.iter().any(|words| line.to_ascii_lowercase().contains(words)))
}

/// An engine's message without the module's name in front, which the error has already.
fn without<'a>(name: &str, message: &'a str) -> &'a str {
    message.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(message)
}

/// Copies a file to memory that nobody can change from then on.
fn sealed_copy(from: &File) -> io::Result<File> {
    let mut memory =
        File::from(memfd_create("multiwasm artifact", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?);
    each_block(from, |block| memory.write_all(block))?;
    let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
    fcntl(&memory, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(memory)
}
