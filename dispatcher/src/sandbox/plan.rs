//! From bundle to plan: which file the entrypoint is, on which engine it runs, compiled and checked.
//!
//! All of this happens outside of the container, in a process that may use the node's memory, not the container's.

use std::collections::HashMap;
use std::os::fd::AsRawFd;
use std::path::Path;

use multiwasm_engine::loader::{LoadedEngine, LoadedModule};
use multiwasm_engine::{Capabilities, EngineError, ErrorKind, Optimize, Source, SourceForm};
use oci_spec::runtime::Spec;

use super::{Preset, SandboxError};
use crate::artifact::{self, Cache};
use crate::config::Config;
use crate::engines::Engines;
use crate::guest::Guest;
use crate::module::{EntryKind, FIRST_BYTES, Kind, Module};
use crate::options::{Annotations, Compile, EngineChoice};
use crate::rootfs::{Content, Entry};
use crate::selection::{Choice, Inputs, select};

/// What a container is to run, and in which surroundings.
pub(super) struct Plan {
    /// A module with its world; none for a native program.
    pub(super) guest: Option<Guest>,
    /// Whether the kernel's own file systems are mounted.
    pub(super) kernel_filesystems: bool,
}

/// What there is to choose an engine by, beside the module.
pub struct Chosen<'a> {
    /// The configuration that holds.
    pub config: &'a Config,
    /// What the container's annotations say.
    pub annotations: &'a Annotations,
    /// `--engine` of the command `multiwasm`.
    pub command_line: Option<&'a EngineChoice>,
    /// The export to call; none: what the annotations say.
    pub function: Option<&'a str>,
    /// The container's memory limit in bytes.
    pub memory: Option<u64>,
}

/// How many times over an interpreter holds a module: WasmEdge 0.17.1 needed 217 MB for a generated one of 9.6 MB, which
/// is 23, and a guest wants some too.
const INTERPRETED: u64 = 32;

/// Makes the plan for the container of `spec` in `bundle`.
pub(super) fn plan(
    bundle: &Path,
    spec: &Spec,
    preset: &Preset,
    runtime_options: Option<(&str, &[u8])>,
) -> Result<Plan, SandboxError> {
    let config = preset.config(runtime_options)?;
    let none = HashMap::new();
    let annotations = Annotations::read(spec.annotations().as_ref().unwrap_or(&none), &config.options)?;
    let entry = Entry::find(bundle, &super::spec::root(spec, bundle), spec)?;
    let kind = EntryKind::of_file(Path::new(&entry.path), &entry.first_bytes(FIRST_BYTES)?);
    if matches!(kind, EntryKind::Elf | EntryKind::Script) && !annotations.wasm {
        return Ok(Plan { guest: None, kernel_filesystems: true });
    }
    let content = entry.map()?;
    let chosen = Chosen {
        config: &config,
        annotations: &annotations,
        command_line: preset.command_line(),
        function: entry.function.as_deref(),
        memory: super::spec::memory_limit(spec),
    };
    let (module, choice) = choose_and_load(&entry.path, kind, &content, preset, &chosen, &|| {
        format!("/proc/self/fd/{}", entry.file.as_raw_fd()).into()
    })?;
    tracing::info!("{} runs on {}: {}", entry.path, choice.engine, choice.reason);
    let process = spec.process().as_ref();
    let texts = |texts: Option<&Option<Vec<String>>>| texts.cloned().flatten().unwrap_or_default();
    let guest = Guest {
        module,
        name: entry.path,
        args: texts(process.map(|process| process.args())),
        env: texts(process.map(|process| process.env())),
        cwd: process.map_or_else(|| "/".to_owned(), |process| process.cwd().display().to_string()),
        memory_limit: annotations.options.memory_limit,
    };
    Ok(Plan { guest: Some(guest), kernel_filesystems: annotations.options.kernel_filesystems })
}

/// Chooses the engine for the file called `name` and loads it there, from an artifact where that engine wants one.
///
/// `path` is asked for only where the file itself is native code that the administrator allows.
///
/// # Errors
/// What is wrong with the file, with the choice, or with both together.
pub fn choose_and_load(
    name: &str,
    kind: EntryKind,
    content: &Content,
    preset: &Preset,
    chosen: &Chosen<'_>,
    path: &dyn Fn() -> std::path::PathBuf,
) -> Result<(LoadedModule, Choice), SandboxError> {
    let engines = Engines::of(chosen.config);
    let function = chosen.function.or(chosen.annotations.options.function.as_deref());
    let native = |what: String| SandboxError::NativeCode { path: name.to_owned(), what };
    let facts = match kind {
        EntryKind::Precompiled(_) if !chosen.config.allow_native_code => return Err(native(kind.to_string())),
        EntryKind::Precompiled(Some(engine)) => {
            let choice = Choice {
                engine: engine.to_owned(),
                source: crate::selection::Source::Auto,
                reason: format!("it is {kind}, which the configuration allows"),
            };
            let engine = preset.engine(&engines, engine, chosen.annotations.options.optimize)?;
            let path = path();
            let source = Source { name, form: SourceForm::Artifact(&path), component: false, function };
            // An artifact does not say what it was; its engine knows when it sees it.
            let loaded = engine.load(&source).or_else(|_| engine.load(&Source { component: true, ..source }));
            return Ok((loaded.map_err(|source| failed(name, &engine, source))?, choice));
        }
        EntryKind::Unknown if !content.starts_with(b"\0asm") => {
            let begins = format!("{:?}", String::from_utf8_lossy(&content[..content.len().min(8)]));
            return Err(SandboxError::NotRunnable { path: name.to_owned(), begins });
        }
        _ => Module::read(content).map_err(|source| SandboxError::Module { path: name.to_owned(), source })?,
    };
    if let Some(section) = facts.native
        && !chosen.config.allow_native_code
    {
        return Err(native(format!("custom section {section}")));
    }
    let inputs = Inputs {
        file: name,
        command_line: chosen.command_line,
        annotation: chosen.annotations.options.engine.as_ref(),
        handler: chosen.annotations.handler.as_ref(),
        alias: preset.alias(),
        runtime_options: chosen.config.runtime_engine.as_ref(),
        config_file: chosen.config.file_engine.as_ref(),
        order: &chosen.config.order,
    };
    let choice = select(&inputs, Some(&facts), &engines.names(), |engine| preset.capabilities(&engines, engine))
        .map_err(Box::new)?;
    let options = &chosen.annotations.options;
    let can = preset.capabilities(&engines, &choice.engine)?;
    let cramped = options.compile == Compile::Auto
        && can.has(Capabilities::AOT)
        && chosen.memory.is_some_and(|limit| limit / INTERPRETED < content.len() as u64);
    let ahead = cramped || options.compile.before_start(can);
    // Nobody asked for good code, only for code that fits.
    let optimize = if cramped && !options.compile.before_start(can) { Optimize::Quick } else { options.optimize };
    let engine = preset.engine(&engines, &choice.engine, optimize)?;
    let component = facts.kind == Kind::Component;
    let source = Source { name, form: SourceForm::Bytes(content), component, function };
    let module = if ahead { compiled(&engine, &source, chosen.config)? } else { as_it_is(&engine, &source)? };
    Ok((module, choice))
}

fn as_it_is(engine: &LoadedEngine, source: &Source<'_>) -> Result<LoadedModule, SandboxError> {
    engine.load(source).map_err(|error| failed(source.name, engine, error))
}

fn compiled(engine: &LoadedEngine, source: &Source<'_>, config: &Config) -> Result<LoadedModule, SandboxError> {
    let cache = Cache::open(&config.cache)
        .inspect_err(|error| tracing::warn!("{} is compiled for this start alone: {error}", source.name))
        .ok();
    let made = artifact::obtain(engine, source, cache.as_ref(), &config.compile)?;
    match engine.load(&Source { form: SourceForm::Artifact(made.path()), ..*source }) {
        // The cache's key holds what artifacts depend on; an engine that sees more is right, and gets what it wants.
        Err(EngineError { kind: ErrorKind::Stale, message }) if made.is_cached() => {
            tracing::warn!("{} is compiled again: {message}", source.name);
            let made = artifact::renew(engine, source, cache.as_ref(), &config.compile)?;
            as_it_is(engine, &Source { form: SourceForm::Artifact(made.path()), ..*source })
        }
        loaded => loaded.map_err(|error| failed(source.name, engine, error)),
    }
}

fn failed(file: &str, engine: &LoadedEngine, mut source: EngineError) -> SandboxError {
    // Engines name the file too, for those who run them without us.
    if let Some(rest) = source.message.strip_prefix(file).and_then(|rest| rest.strip_prefix(": ")) {
        source.message = rest.to_owned();
    }
    let engine = engine.plugin().description().name.clone();
    SandboxError::Engine { file: file.to_owned(), engine, source }
}
