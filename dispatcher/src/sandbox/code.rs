//! Which code of its module a guest gets: the best; or what is there soon, while the best is compiled for the next start; or
//! none, as an engine may interpret.

use multiwasm_engine::loader::{LoadedEngine, LoadedModule};
use multiwasm_engine::{Capabilities, EngineError, ErrorKind, Optimize, Source, SourceForm};

use super::plan::Chosen;
use super::{Preset, SandboxError};
use crate::artifact::{self, Cache, Seen};
use crate::config::Config;
use crate::engines::Engines;
use crate::fault::{self, Fault};
use crate::options::Compile;
use crate::rootfs::Content;

/// How many times over an interpreter holds a module: WasmEdge 0.17.1 needed 217 MB for a generated one of 9.6 MB, which
/// is 23, and a guest wants some too.
const INTERPRETED: u64 = 32;

/// On what a module is to run.
pub(super) struct Wanted<'a> {
    /// The engine's name.
    pub(super) engine: &'a str,
    pub(super) engines: &'a Engines,
    pub(super) preset: &'a Preset,
    pub(super) chosen: &'a Chosen<'a>,
}

impl Wanted<'_> {
    fn started(&self, optimize: Optimize) -> Result<LoadedEngine, SandboxError> {
        self.preset.engine(self.engines, self.engine, optimize)
    }
}

/// Loads a module, whose bytes are `content`.
///
/// # Errors
/// The engine can't be started, or does not take the module, in no form.
pub(super) fn load(wanted: &Wanted<'_>, source: &Source<'_>, content: &Content) -> Result<LoadedModule, SandboxError> {
    let Chosen { config, annotations, memory, .. } = wanted.chosen;
    let options = &annotations.options;
    let can = wanted.preset.capabilities(wanted.engines, wanted.engine)?;
    let length = content.len() as u64;
    let interprets = !can.has(Capabilities::NEEDS_AOT);
    // It does not fit into the container as an interpreter holds it: nobody asked for good code, only for code that fits.
    let cramped = options.compile == Compile::Auto
        && interprets
        && can.has(Capabilities::AOT)
        && memory.is_some_and(|limit| limit / INTERPRETED < length);
    let needs_code = cramped || !interprets;
    let best = wanted.started(options.optimize)?;
    let quick = || wanted.started(Optimize::Quick);
    let later = cramped || options.compile.in_background(can, length);
    if later && (options.optimize == Optimize::Speed || !needs_code) {
        match Cache::open(&config.cache) {
            Ok(cache) => return soon(&best, needs_code.then_some(&quick), source, content, config, &cache),
            // Without a cache there is no next time.
            Err(_) if cramped => return compiled(&quick()?, source, content.seen(), config),
            Err(error) if interprets => {
                tracing::warn!("{}: this start is interpreted, as each will be: {error}", source.name);
                return as_it_is(&best, source);
            }
            Err(_) => {}
        }
    }
    if cramped || options.compile.before_start(can) {
        compiled(&best, source, content.seen(), config)
    } else {
        as_it_is(&best, source)
    }
}

fn as_it_is(engine: &LoadedEngine, source: &Source<'_>) -> Result<LoadedModule, SandboxError> {
    engine.load(source).map_err(|error| failed(source.name, engine, error))
}

/// The best code where the cache has it. Else what is there soon: by the engine that `quick` starts, or without compiling where
/// there is none; and the best code is compiled for the next start.
fn soon(
    best: &LoadedEngine,
    quick: Option<&dyn Fn() -> Result<LoadedEngine, SandboxError>>,
    source: &Source<'_>,
    content: &Content,
    config: &Config,
    cache: &Cache,
) -> Result<LoadedModule, SandboxError> {
    let name = source.name;
    let (key, found) = artifact::look_up(best, content, content.seen(), cache);
    if let Some(made) = found {
        match best.load(&Source { form: SourceForm::Artifact(made.path()), ..*source }) {
            Ok(module) => return Ok(module),
            // It would be found again, and never replaced.
            Err(error) if matches!(error.kind, ErrorKind::Stale | ErrorKind::Invalid) => {
                tracing::warn!("{name} is compiled again: {error}");
                cache.remove(&key);
            }
            // The machine's fault, if the artifact has not just been taken out.
            Err(error) if error.kind == ErrorKind::Failed => {
                tracing::warn!("{name}: its best code can't be loaded: {error}");
            }
            // The module's or the container's own fault.
            Err(error) => return Err(failed(name, best, error)),
        }
    }
    let this = if quick.is_some() { "has quick code" } else { "is interpreted" };
    let failure = cache.failure(&key, &config.compile);
    // Before the module is loaded, so that the compiler does not keep what an interpreter makes of it.
    let mapped = matches!(content, Content::Mapped(..));
    let later = match &failure {
        None => Some(artifact::compile_later(best, source, mapped, &key, cache, &config.compile)),
        Some(_) => None,
    };
    let module = match quick {
        Some(quick) => compiled(&quick()?, source, content.seen(), config)?,
        None => as_it_is(best, source)?,
    };
    match (later, failure) {
        (Some(Ok(later)), _) => {
            later.begin();
            tracing::info!("{name}: this start {this}, its best code is compiled for the next one");
        }
        (Some(Err(error)), _) => {
            tracing::info!("{name}: this start {this}, its best code is not compiled yet: {error}");
        }
        (None, failure) => {
            let reason = failure.unwrap_or_default();
            tracing::warn!("{name}: this start {this}, its best code could not be compiled: {reason}");
        }
    }
    Ok(module)
}

fn compiled(
    engine: &LoadedEngine,
    source: &Source<'_>,
    seen: Option<&Seen>,
    config: &Config,
) -> Result<LoadedModule, SandboxError> {
    let cache = Cache::open(&config.cache)
        .inspect_err(|error| tracing::warn!("{} is compiled for this start alone: {error}", source.name))
        .ok();
    let made = artifact::obtain(engine, source, seen, cache.as_ref(), &config.compile)?;
    match engine.load(&Source { form: SourceForm::Artifact(made.path()), ..*source }) {
        // The cache's key holds what artifacts depend on; an engine that sees more is right, and gets what it wants.
        // One that was found may be taken out before it is opened, where the cache is full.
        Err(EngineError { kind, message })
            if made.is_cached() && (kind == ErrorKind::Stale || !made.path().exists()) =>
        {
            tracing::warn!("{} is compiled again: {message}", source.name);
            let made = artifact::renew(engine, source, cache.as_ref(), &config.compile)?;
            as_it_is(engine, &Source { form: SourceForm::Artifact(made.path()), ..*source })
        }
        loaded => loaded.map_err(|error| failed(source.name, engine, error)),
    }
}

/// What `engine` says of `file`, without the name in front that engines give it for those who run them without us.
pub(super) fn failed(file: &str, engine: &LoadedEngine, mut source: EngineError) -> SandboxError {
    if let Some(rest) = source.message.strip_prefix(file).and_then(|rest| rest.strip_prefix(": ")) {
        source.message = rest.to_owned();
    }
    let engine = engine.plugin().description().name.clone();
    let file = if fault::is(Fault::Message) { String::new() } else { file.to_owned() };
    SandboxError::Engine { file, engine, source }
}
