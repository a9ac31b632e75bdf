//! `multiwasm compile`: a module, or an image's, into the cache, so that its first container starts like the next ones.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use multiwasm_engine::{Capabilities, Settings, Source, SourceForm};

use super::Ended;
use super::image::{self, Bundle, Extras};
use crate::artifact::{self, Cache};
use crate::config::Config;
use crate::engines::Engines;
use crate::module::{Kind, Module};
use crate::rootfs::{Content, Entry, EntryError};

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
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{path}: {source}")]
    Module { path: PathBuf, source: crate::module::ModuleError },
    #[error("{image}: {source}")]
    Entry { image: PathBuf, source: EntryError },
    #[error("{file}: {engine} runs no compiled {what}", file = file.display())]
    Never { file: PathBuf, engine: String, what: &'static str },
}

/// The module that is meant, and its image's files until this goes.
struct Subject {
    name: String,
    content: Content,
    _bundle: Option<Bundle>,
}

impl Subject {
    fn find(args: &Args) -> Result<Self, Box<dyn std::error::Error>> {
        let path = || args.file.clone();
        let name = args.file.display().to_string();
        if !image::is_image(&args.file) {
            let bytes =
                fs::read(&args.file).map_err(|source| CompileCommandError::Unreadable { path: path(), source })?;
            return Ok(Self { name, content: Content::Copied(bytes), _bundle: None });
        }
        let bundle = Bundle::new(&name, &args.from, &Extras::default())?;
        let of_image = |source| CompileCommandError::Entry { image: path(), source };
        let entry = Entry::find(bundle.path(), &bundle.rootfs(), &bundle.spec).map_err(of_image)?;
        let content = entry.map().map_err(of_image)?;
        Ok(Self { name: format!("{} of {name}", entry.path), content, _bundle: Some(bundle) })
    }
}

/// Ends with 1 if an engine can't compile it, or if one was asked for that never does.
pub(super) fn run(args: &Args) -> Ended {
    let config = Config::load(None)?;
    let subject = Subject::find(args)?;
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
        let plugin = engines.open(&engine)?;
        let can = plugin.description().capabilities;
        if !can.has(Capabilities::AOT) || component && !can.has(Capabilities::COMPONENTS) {
            let what = if component { "components" } else { "modules" };
            if !args.engines.is_empty() {
                return Err(CompileCommandError::Never { file: args.file.clone(), engine, what }.into());
            }
            writeln!(std::io::stdout(), "{engine}: runs no compiled {what}")?;
            continue;
        }
        let started = plugin.start(&Settings { optimize: config.options.optimize })?;
        let form = SourceForm::Bytes(&subject.content);
        let source = Source { name: &subject.name, form, component, function: None };
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
