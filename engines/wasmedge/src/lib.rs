//! The plug-in that runs guests on WasmEdge: core modules with preview 1 and WasmEdge's own sockets, by its
//! interpreter from bytes and by native code from artifacts.
//!
//! # Layout
//!
//! - this file: the steps of the contract
//! - `facts`, `artifact`, `skeleton`: what is known of a module before WasmEdge sees it; what compiling leaves, and how much of
//!   the module that keeps
//! - `compiler`: its compiler, loaded only where it is called
//! - `world`, `read_only`: what a guest gets
//! - `outcome`, `names`: how it ended, and where
//! - `stack`: the end of the guest's call stack, which WasmEdge does not watch
//! - `calls`: functions of the C library that don't keep what WasmEdge expects of them; `plt`: puts others in their place
//! - `ffi`, `log`: the C API, made safe; `cpu`: what compiled code depends on

mod artifact;
mod calls;
mod compiler;
mod cpu;
mod facts;
mod ffi;
mod log;
mod names;
mod outcome;
mod plt;
mod read_only;
mod skeleton;
mod stack;
mod world;

use std::path::Path;

use multiwasm_engine::{
    Capabilities, Description, Engine, EngineError, ErrorKind, Guest, Optimize, Outcome, Settings, Source, SourceForm,
    Trap, export_engine,
};

use crate::facts::Facts;
use crate::ffi::{Ast, Config, Executor, Failure, Mode, Module, Store};
use crate::names::{Embedded, Names};
use crate::read_only::Protection;

/// Bytes of a page of linear memory, from the WebAssembly specification.
const PAGE: u64 = 64 * 1024;

/// The export that a command is entered by.
const START: &str = "_start";

/// The export that a reactor wants called before all others.
const INITIALIZE: &str = "_initialize";

/// WasmEdge.
pub struct WasmEdge {
    fingerprint: String,
    level: u32,
    wasi: Module,
}

/// A module that was read, validated and checked.
pub struct Loaded {
    ast: Ast,
    facts: Facts,
    form: Form,
    function: String,
    is_reactor: bool,
}

/// In which form it was there, and where its functions' names are.
enum Form {
    Bytes(Names),
    Artifact(Option<Embedded>),
}

impl Form {
    fn mode(&self) -> Mode {
        match self {
            Self::Bytes(_) => Mode::Interpreter,
            Self::Artifact(_) => Mode::Compiled,
        }
    }

    fn names(&mut self) -> Names {
        match self {
            Self::Bytes(names) => std::mem::take(names),
            Self::Artifact(module) => module.as_ref().map(Embedded::names).unwrap_or_default(),
        }
    }
}

/// A guest in its world. Fields are in the order in which they may go.
pub struct Ready {
    guest: Option<Module>,
    module: Loaded,
    executor: Executor,
    store: Store,
    wasi: Module,
    protection: Option<Protection>,
}

export_engine!(WasmEdge);

impl Engine for WasmEdge {
    type Module = Loaded;
    type Instance = Ready;

    fn describe() -> Description {
        log::capture();
        let mut capabilities = Capabilities::MODULES
            .and(Capabilities::PREVIEW1)
            .and(Capabilities::SOCKETS)
            .and(Capabilities::MEMORY_LIMIT);
        if compiler::is_there() {
            capabilities = capabilities.and(Capabilities::AOT);
        }
        Description { name: "wasmedge".to_owned(), version: ffi::version(), capabilities }
    }

    fn open(settings: &Settings) -> Result<Self, EngineError> {
        log::capture();
        stack::watch_faults(ffi::address());
        calls::mend(ffi::address());
        // LLVM's levels: 3 costs compiling time and is rarely faster than 2; 0 makes code slower than it needs to be.
        let level = match settings.optimize {
            Optimize::Speed => 2,
            Optimize::Quick => 0,
        };
        let fingerprint = format!("wasmedge {}; shared object, level {level}; {}", ffi::version(), cpu::describe());
        let wasi = Module::wasi_functions().map_err(|failure| outcome::error(&failure))?;
        Ok(Self { fingerprint, level, wasi })
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    fn prepare_compile(&self) -> Result<(), EngineError> {
        compiler::prepare()
    }

    fn compile(&self, source: &Source<'_>, artifact: &Path) -> Result<(), EngineError> {
        let SourceForm::Bytes(wasm) = source.form else {
            return Err(EngineError::failed(format_args!("{} is compiled already", source.name)));
        };
        let about = |error: EngineError| named(source, error);
        let facts = Facts::of(wasm).map_err(about)?;
        let path = ffi::c_path(artifact)
            .ok_or_else(|| EngineError::failed(format_args!("{} has a NUL character in it", artifact.display())))?;
        compiler::compile(wasm, &path, self.level).map_err(about)?;
        skeleton::shorten(artifact).map_err(about)?;
        artifact::seal(artifact, facts, &self.fingerprint)
    }

    fn load(&self, source: &Source<'_>) -> Result<Loaded, EngineError> {
        let about = |error: EngineError| named(source, error);
        let (ast, facts, form) = self.read(source).map_err(about)?;
        self.check_imports(&ast).map_err(about)?;
        let function = source.function.unwrap_or(START).to_owned();
        let is_reactor = source.function.is_some() && takes_nothing(&ast, INITIALIZE);
        check_export(&ast, &function).map_err(about)?;
        Ok(Loaded { ast, facts, form, function, is_reactor })
    }

    fn instantiate(&self, module: Loaded, guest: &Guest<'_>) -> Result<Ready, EngineError> {
        let mut config = config(module.form.mode())?;
        if let Some(limit) = guest.memory_limit {
            check_memory(module.facts, limit)?;
            config.limit_memory(limit / PAGE);
        }
        let failed = |failure: Failure| outcome::error(&failure);
        let executor = Executor::new(&config).map_err(failed)?;
        let store = Store::new().map_err(failed)?;
        let wasi = world::make(guest)?;
        executor.register(&store, &wasi).map_err(failed)?;
        // Code of the guest has to wait for `run`.
        let instance = if module.facts.has_start {
            None
        } else {
            Some(executor.instantiate(&store, &module.ast).map_err(failed)?)
        };
        Ok(Ready { guest: instance, module, executor, store, wasi, protection: read_only::prepare(guest)? })
    }

    fn run(&self, instance: Ready) -> Outcome {
        // A guest that writes to a closed pipe is told so; by default its process would be gone.
        // SAFETY: installs no handler.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
        match stack::bounded(move || instance.run()) {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(stack::Overflow)) => Outcome::Trapped(Trap::Stack, outcome::STACK_EXHAUSTED.to_owned()),
            Err(error) => Outcome::Failed(format!("can't map a stack for the guest: {error}")),
        }
    }
}

impl WasmEdge {
    /// Reads and validates a module in either form.
    fn read(&self, source: &Source<'_>) -> Result<(Ast, Facts, Form), EngineError> {
        let failed = |failure: Failure| outcome::error(&failure);
        match source.form {
            SourceForm::Bytes(wasm) => {
                let facts = Facts::of(wasm)?;
                let ast = Ast::from_bytes(&config(Mode::Interpreter)?, wasm).map_err(failed)?;
                Ok((ast, facts, Form::Bytes(Names::of(wasm))))
            }
            SourceForm::Artifact(path) => {
                let facts = artifact::check(path, &self.fingerprint)?;
                // The dynamic linker takes a name without a slash for a library of the system.
                let name = path.canonicalize().ok().and_then(|path| ffi::c_path(&path)).ok_or_else(|| {
                    EngineError::failed(format_args!("the artifact {} has no absolute path", path.display()))
                })?;
                let ast = Ast::from_artifact(&config(Mode::Compiled)?, &name).map_err(failed)?;
                Ok((ast, facts, Form::Artifact(Embedded::in_artifact(&name))))
            }
        }
    }

    /// Each import has to be a function of preview 1, of the same type.
    fn check_imports(&self, ast: &Ast) -> Result<(), EngineError> {
        for import in ast.imports() {
            let missing = |why| {
                let text = format_args!("nobody offers the import {}::{}{why}", import.module, import.name);
                EngineError::new(ErrorKind::MissingImport, text)
            };
            let offered = (import.module == "wasi_snapshot_preview1").then(|| self.wasi.function(&import.name));
            match (offered.flatten(), import.function) {
                (None, _) => return Err(missing("")),
                (Some(_), None) => return Err(missing(": wasmedge has a function of this name")),
                (Some(offered), Some(wanted)) if !offered.is(wanted) => {
                    return Err(missing(" with the type that the module wants: wasmedge's has another"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Ready {
    /// Runs the guest to its end, on the stack that it shall have.
    fn run(mut self) -> Outcome {
        if let Some(Err(error)) = self.protection.as_ref().map(Protection::enforce) {
            return Outcome::Failed(format!("can't protect the guest's read-only directories: {error}"));
        }
        let ended = self.enter();
        let outcome = outcome::of(ended, &self.wasi, || self.module.form.names());
        // The process ends now, and with it goes all of this faster than by hand.
        std::mem::forget(self);
        outcome
    }

    fn enter(&mut self) -> Result<(), Failure> {
        let guest = match self.guest.take() {
            Some(guest) => guest,
            None => self.executor.instantiate(&self.store, &self.module.ast)?,
        };
        let guest = self.guest.insert(guest);
        if self.module.is_reactor && self.module.function != INITIALIZE {
            self.executor.call(guest, INITIALIZE)?;
        }
        self.executor.call(guest, &self.module.function)
    }
}

fn config(mode: Mode) -> Result<Config, EngineError> {
    Config::new(mode).map_err(|failure| outcome::error(&failure))
}

/// The error, with the name that people know the module by.
fn named(source: &Source<'_>, error: EngineError) -> EngineError {
    EngineError::new(error.kind, format_args!("{}: {error}", source.name))
}

fn takes_nothing(ast: &Ast, name: &str) -> bool {
    ast.exports()
        .iter()
        .any(|export| export.name == name && export.function.is_some_and(|function| function.arity().0 == 0))
}

/// The function to call has to be there and to take nothing.
fn check_export(ast: &Ast, name: &str) -> Result<(), EngineError> {
    let missing = |why| EngineError::new(ErrorKind::MissingExport, format_args!("{why}"));
    let exports = ast.exports();
    let Some(export) = exports.iter().find(|export| export.name == name) else {
        let names: Vec<_> =
            exports.iter().filter(|export| export.function.is_some()).map(|export| export.name.as_str()).collect();
        let offered = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return Err(missing(format!("the module exports no function {name:?} (functions that it exports: {offered})")));
    };
    match export.function {
        None => Err(missing(format!("the module's export {name:?} is no function"))),
        Some(function) if function.arity().0 > 0 => Err(missing(format!(
            "the module's function {name:?} takes {} parameters, only one without parameters can be called",
            function.arity().0
        ))),
        Some(_) => Ok(()),
    }
}

/// WasmEdge itself would start a guest with less memory than it declares.
fn check_memory(facts: Facts, limit: u64) -> Result<(), EngineError> {
    let wanted = facts.memory_pages.saturating_mul(PAGE);
    if wanted <= limit {
        return Ok(());
    }
    Err(EngineError::new(
        ErrorKind::Limit,
        format_args!("the module starts with {wanted} bytes of memory and may have {limit}: raise the limit"),
    ))
}
