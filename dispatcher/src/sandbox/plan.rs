//! From bundle to plan: which file the entrypoint is, on which engine it runs, compiled and checked.
//!
//! All of this happens outside of the container, in a process that may use the node's memory, not the container's.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use multiwasm_engine::loader::LoadedModule;
use multiwasm_engine::{EngineError, ErrorKind, Source, SourceForm};
use oci_spec::runtime::Spec;

use super::code::{self, Wanted};
use super::{Preset, SandboxError};
use crate::config::Config;
use crate::engines::Engines;
use crate::fault::{self, Fault};
use crate::guest::Guest;
use crate::image::{self, Module, Origin};
use crate::module::{self, EntryKind, FIRST_BYTES, Facts, Kind};
use crate::options::{Annotations, EngineChoice};
use crate::rootfs::{Content, Entry, EntryError};
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

/// The container that a plan is for.
#[derive(Clone, Copy)]
pub(super) struct Container<'a> {
    /// Its bundle.
    pub(super) bundle: &'a Path,
    /// containerd's namespace.
    pub(super) namespace: &'a str,
    /// Its id.
    pub(super) id: &'a str,
}

/// The program that a container starts, wherever it was found.
struct Program {
    /// How people know it: the container's path, or the layer's name.
    name: String,
    content: Content,
    kind: EntryKind,
    /// The function that its name asks for.
    function: Option<String>,
    /// argv, argv\[0\] included.
    args: Vec<String>,
    /// Where the content is a file.
    file: Option<File>,
}

/// Makes the plan for `container`, whose specification is `spec`.
pub(super) fn plan(
    container: Container<'_>,
    spec: &Spec,
    preset: &Preset,
    runtime_options: Option<(&str, &[u8])>,
) -> Result<Plan, SandboxError> {
    let config = preset.config(runtime_options)?;
    let none = HashMap::new();
    let annotations = Annotations::read(spec.annotations().as_ref().unwrap_or(&none), &config.options)?;
    let process = spec.process().as_ref();
    let args = process.and_then(|process| process.args().clone()).unwrap_or_default();
    let program = match Entry::find(container.bundle, &super::spec::root(spec, container.bundle), spec) {
        Ok(entry) => {
            let kind = EntryKind::of_file(Path::new(&entry.path), &entry.first_bytes(FIRST_BYTES)?);
            if matches!(kind, EntryKind::Elf | EntryKind::Script) && !annotations.wasm {
                if !entry.is_executable() {
                    return Err(SandboxError::NoExecBit { path: entry.path, kind: kind.to_string() });
                }
                return Ok(Plan { guest: None, kernel_filesystems: true });
            }
            let content = entry.map()?;
            let Entry { path: name, function, file, .. } = entry;
            Program { name, content, kind, function, args, file: Some(file) }
        }
        Err(error) => of_artifact(error, container, preset, &args)?,
    };
    let chosen = Chosen {
        config: &config,
        annotations: &annotations,
        command_line: preset.command_line(),
        function: program.function.as_deref(),
        memory: super::spec::memory_limit(spec),
    };
    // Without a file it is a module, which nobody wants a path of.
    let descriptor = program.file.as_ref().map(AsRawFd::as_raw_fd);
    let path = || descriptor.map_or_else(PathBuf::new, |number| format!("/proc/self/fd/{number}").into());
    let (module, choice) = choose_and_load(&program.name, program.kind, &program.content, preset, &chosen, &path)?;
    tracing::info!("{}: {} runs on {}: {}", container.id, program.name, choice.engine, choice.reason);
    let guest = Guest {
        module,
        name: program.name,
        args: program.args,
        env: process.and_then(|process| process.env().clone()).unwrap_or_default(),
        cwd: process.map_or_else(|| "/".to_owned(), |process| process.cwd().display().to_string()),
        memory_limit: annotations.options.memory_limit,
    };
    Ok(Plan { guest: Some(guest), kernel_filesystems: annotations.options.kernel_filesystems })
}

/// The module of a container that has none in its root file system, as `error` says: of an OCI Wasm artifact.
fn of_artifact(
    error: EntryError,
    container: Container<'_>,
    preset: &Preset,
    args: &[String],
) -> Result<Program, SandboxError> {
    let Some(address) = preset.containerd().filter(|_| error.is_absence()) else { return Err(error.into()) };
    let origin = Origin { address, namespace: container.namespace, id: container.id };
    let Module { name, image, bytes, function, args } = match image::find(&origin, args) {
        Ok(Some(module)) => module,
        Ok(None) => return Err(error.into()),
        Err(image) if image.is_about_content() => return Err(Box::new(image).into()),
        Err(image) => return Err(SandboxError::Nowhere { entry: error, image: Box::new(image) }),
    };
    tracing::debug!("{name} is a layer of {image}");
    Ok(Program { name, content: Content::Copied(bytes), kind: EntryKind::Wasm, function, args, file: None })
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
    path: &dyn Fn() -> PathBuf,
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
            return Ok((loaded.map_err(|source| code::failed(name, &engine, source))?, choice));
        }
        EntryKind::Unknown if !content.starts_with(b"\0asm") => {
            let begins = format!("{:?}", String::from_utf8_lossy(&content[..content.len().min(8)]));
            return Err(SandboxError::NotRunnable { path: name.to_owned(), begins });
        }
        _ => module::Module::read(content).map_err(|source| SandboxError::Module { path: name.to_owned(), source })?,
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
    let choice = if fault::is(Fault::Engine) { fault::another(choice) } else { choice };
    if let Some(lacks) = facts.lacks(function) {
        let source = EngineError::new(ErrorKind::MissingExport, lacks);
        return Err(SandboxError::Engine { file: name.to_owned(), engine: choice.engine, source });
    }
    let component = facts.kind == Kind::Component;
    let source = Source { name, form: SourceForm::Bytes(content), component, function };
    let wanted = Wanted { engine: &choice.engine, engines: &engines, preset, chosen };
    let module = code::load(&wanted, &source, content);
    Ok((module.map_err(|error| in_one_wording(error, &facts))?, choice))
}

/// Engines say each in its own way that they do not offer an import. Why they don't, though they know the name, only they
/// can say.
fn in_one_wording(error: SandboxError, facts: &Facts) -> SandboxError {
    let SandboxError::Engine { file, engine, source } = error else { return error };
    let import = (source.kind == ErrorKind::MissingImport).then(|| facts.import_in(&source.message)).flatten();
    let source = match import {
        None => source,
        Some(import) => {
            let known = source.message.contains("type");
            let words = if known { format!(" as it is wanted: {}", source.message) } else { String::new() };
            EngineError::new(source.kind, format_args!("imports {import}, which {engine} does not offer{words}"))
        }
    };
    SandboxError::Engine { file, engine, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_say_in_one_way_that_they_lack_an_import() {
        let module = wat::parse_str(r#"(module (import "env" "f" (func)))"#).unwrap();
        let facts = module::Module::read(&module).unwrap();
        let said = |kind, message: &str| {
            let source = EngineError::new(kind, message);
            let error = SandboxError::Engine { file: "/a.wasm".into(), engine: "wasmedge".into(), source };
            in_one_wording(error, &facts).to_string()
        };
        let wording = "/a.wasm on wasmedge: imports the function env::f, which wasmedge does not offer";
        assert_eq!(said(ErrorKind::MissingImport, "nobody offers the import env::f"), wording);
        let mistyped = "nobody offers the import env::f with the type that the module wants";
        assert_eq!(said(ErrorKind::MissingImport, mistyped), format!("{wording} as it is wanted: {mistyped}"));
        // What can't be found in the module, or is about something else, stays.
        assert_eq!(said(ErrorKind::MissingImport, "the import x::y"), "/a.wasm on wasmedge: the import x::y");
        assert_eq!(said(ErrorKind::Failed, "env::f broke"), "/a.wasm on wasmedge: env::f broke");
    }
}
