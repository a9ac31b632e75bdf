//! `multiwasm compile`: a module, or an image's, into the cache, so that its first container starts like the next ones.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use multiwasm_engine::{Capabilities, Settings, Source, SourceForm};

use super::Ended;
use super::image;
use super::subject::Subject;
use crate::artifact::{self, Cache};
use crate::config::Config;
use crate::engines::Engines;
use crate::module::{Kind, Module};

/// Compile a module, or that of an image, into the cache, on each engine that can
///
/// What is in the cache already stays. Containers of the same module, wherever it lies in them, then start with the engine's
/// best code.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A module or component, or the name or path of an image whose entrypoint is one
    #[arg(value_name = "FILE|IMAGE")]
    file: PathBuf,
    #[command(flatten)]
    from: image::From,
    /// Only for this engine; may be given several times
    #[arg(long = "engine", value_name = "ENGINE")]
    engines: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
enum CompileCommandError {
    #[error("{path}: {source}")]
    Module { path: PathBuf, source: crate::module::ModuleError },
    #[error("{file}: {engine} runs no compiled {what}", file = file.display())]
    Never { file: PathBuf, engine: String, what: &'static str },
}

/// Ends with 1 if an engine can't compile it, or if one was asked for that never does.
pub(super) fn run(args: &Args) -> Ended {
    let config = Config::load(None)?;
    let subject = Subject::find(&args.file, &args.from)?;
    let module = |source| CompileCommandError::Module { path: subject.name.clone().into(), source };
    let facts = Module::read(&subject.content).map_err(module)?;
    let component = facts.kind == Kind::Component;
    let cache = Cache::open(&config.cache)?;
    let engines = Engines::of(&config);
    let names = if args.engines.is_empty() { engines.names() } else { args.engines.clone() };
    if names.is_empty() {
        return Err(format!("{}: {}", subject.name, engines.none_installed()).into());
    }
    let mut failed = false;
    for engine in names {
        let plugin = match engines.open(&engine) {
            Ok(plugin) => plugin,
            // One that was not asked for does not stop the others.
            Err(error) if args.engines.is_empty() => {
                failed = true;
                eprintln!("multiwasm: {error}");
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let can = plugin.description().capabilities;
        if !can.has(Capabilities::AOT) || component && !can.has(Capabilities::COMPONENTS) {
            let what = if component { "components" } else { "modules" };
            if !args.engines.is_empty() {
                return Err(CompileCommandError::Never { file: args.file.clone(), engine, what }.into());
            }
            writeln!(io::stdout(), "{engine}: runs no compiled {what}")?;
            continue;
        }
        let started = plugin.start(&Settings { optimize: config.options.optimize })?;
        let form = SourceForm::Bytes(&subject.content);
        let source = Source { name: &subject.name, form, component, function: None };
        let began = Instant::now();
        // An optimising compiler may need minutes for a large module.
        if io::stderr().is_terminal() {
            eprintln!("{engine}: compiling {} …", subject.name);
        }
        match artifact::obtain(&started, &source, None, Some(&cache), &config.compile) {
            Ok(made) => {
                let took = began.elapsed().as_secs_f64();
                writeln!(io::stdout(), "{engine}: {} ({took:.1} s)", made.path().display())?;
            }
            Err(error) => {
                failed = true;
                eprintln!("multiwasm: {error}");
            }
        }
    }
    Ok(ExitCode::from(u8::from(failed)))
}
