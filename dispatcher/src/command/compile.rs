//! `multiwasm compile`: a module into the cache, so that its first container starts like the next ones.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use multiwasm_engine::{Capabilities, Settings, Source, SourceForm};

use super::Ended;
use crate::artifact::{self, Cache};
use crate::config::Config;
use crate::engines::Engines;
use crate::module::{Kind, Module};

/// Compile a module into the cache, on each engine that can
///
/// What is in the cache already stays. Containers of the same module, wherever it lies in them, then start with the engine's
/// best code.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A module or component
    file: PathBuf,
    /// Only for this engine; may be given several times
    #[arg(long = "engine", value_name = "ENGINE")]
    engines: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
enum CompileCommandError {
    #[error("{path}: {source}")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{path}: {source}")]
    Module { path: PathBuf, source: crate::module::ModuleError },
}

/// Ends with 1 if an engine can't compile it.
pub(super) fn run(args: &Args) -> Ended {
    let path = || args.file.clone();
    let config = Config::load(None)?;
    let bytes = fs::read(&args.file).map_err(|source| CompileCommandError::Unreadable { path: path(), source })?;
    let facts = Module::read(&bytes).map_err(|source| CompileCommandError::Module { path: path(), source })?;
    let component = facts.kind == Kind::Component;
    let cache = Cache::open(&config.cache)?;
    let engines = Engines::of(&config);
    let names = if args.engines.is_empty() { engines.names() } else { args.engines.clone() };
    let mut failed = false;
    for engine in names {
        let plugin = engines.open(&engine)?;
        let can = plugin.description().capabilities;
        if !can.has(Capabilities::AOT) || component && !can.has(Capabilities::COMPONENTS) {
            writeln!(
                std::io::stdout(),
                "{engine}: runs no compiled {}",
                if component { "components" } else { "modules" }
            )?;
            continue;
        }
        let started = plugin.start(&Settings { optimize: config.options.optimize })?;
        let name = args.file.display().to_string();
        let source = Source { name: &name, form: SourceForm::Bytes(&bytes), component, function: None };
        let began = Instant::now();
        match artifact::obtain(&started, &source, None, Some(&cache), &config.compile) {
            Ok(made) => {
                let took = began.elapsed().as_secs_f64();
                writeln!(std::io::stdout(), "{engine}: {} ({took:.1} s)", made.path().display())?;
            }
            Err(error) => {
                failed = true;
                eprintln!("multiwasm: {error}");
            }
        }
    }
    Ok(ExitCode::from(u8::from(failed)))
}
