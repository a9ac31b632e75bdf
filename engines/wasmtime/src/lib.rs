//! Wasmtime as an engine of multiwasm: core modules with preview 1, components with preview 2.
//!
//! # Layout
//!
//! - `settings`: how Wasmtime is configured and why, and what artifacts depend on
//! - `artifact`: WebAssembly to native code in a file, and back by mapping it
//! - `preview1`, `component`: the two kinds of guests, each with load, instantiate and run
//! - `world`: what both kinds get: arguments, environment, preopens, limits, an executor without threads
//! - `stdio`: the guest's standard streams on the descriptors that it was given
//! - `outcome`: from Wasmtime's errors to the contract's

mod artifact;
mod component;
mod outcome;
mod preview1;
mod settings;
mod stdio;
mod world;

use std::path::Path;

use multiwasm_engine::{Capabilities, Description, Engine, EngineError, ErrorKind, Guest, Outcome, Settings, Source};

/// The engine; the plug-in's one type.
struct Wasmtime {
    /// For what the compiler made that is tried first.
    engine: wasmtime::Engine,
    settings: Settings,
}

impl Wasmtime {
    /// Does it by one compiler's engine after the other, until one can; the last one's error counts. What one does not know,
    /// another may, and what one has made is stale for another.
    fn by_any<T>(
        &self,
        threads: settings::Threads,
        go: impl Fn(&wasmtime::Engine) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let compilers = settings::Compiler::all(&self.settings);
        let mut done = Err(EngineError::failed("wasmtime has no compiler"));
        for (at, compiler) in compilers.iter().enumerate() {
            done = match (at, threads) {
                (0, settings::Threads::One) => go(&self.engine),
                _ => settings::engine(&self.settings, *compiler, threads).and_then(|engine| go(&engine)),
            };
            let fatal = |error: &EngineError| matches!(error.kind, ErrorKind::MissingImport | ErrorKind::MissingExport);
            if done.is_ok() || done.as_ref().is_err_and(fatal) {
                break;
            }
        }
        done
    }
}

/// A module or component that is compiled, mapped and linked.
enum Module {
    Core(preview1::Linked),
    Component(component::Linked),
}

/// A guest that waits to be run.
enum Instance {
    Core(preview1::Ready),
    Component(component::Ready),
}

impl Engine for Wasmtime {
    type Module = Module;
    type Instance = Instance;

    fn describe() -> Description {
        let capabilities = Capabilities::MODULES
            .and(Capabilities::COMPONENTS)
            .and(Capabilities::PREVIEW1)
            .and(Capabilities::PREVIEW2)
            .and(Capabilities::AOT)
            .and(Capabilities::NEEDS_AOT)
            .and(Capabilities::MEMORY_LIMIT);
        Description { name: "wasmtime".to_owned(), version: settings::VERSION.to_owned(), capabilities }
    }

    fn open(settings: &Settings) -> Result<Self, EngineError> {
        let engine = settings::engine(settings, settings::Compiler::all(settings)[0], settings::Threads::One)?;
        Ok(Self { engine, settings: *settings })
    }

    fn fingerprint(&self) -> String {
        settings::fingerprint(&self.engine, &self.settings)
    }

    fn compile(&self, source: &Source<'_>, path: &Path) -> Result<(), EngineError> {
        self.by_any(settings::Threads::Many, |engine| artifact::compile(engine, source, path))
    }

    fn load(&self, source: &Source<'_>) -> Result<Module, EngineError> {
        self.by_any(settings::Threads::One, |engine| {
            if source.component {
                component::load(engine, source).map(Module::Component)
            } else {
                preview1::load(engine, source).map(Module::Core)
            }
        })
    }

    fn instantiate(&self, module: Module, guest: &Guest<'_>) -> Result<Instance, EngineError> {
        match module {
            Module::Core(linked) => preview1::instantiate(linked, guest).map(Instance::Core),
            Module::Component(linked) => component::instantiate(linked, guest).map(Instance::Component),
        }
    }

    fn run(&self, instance: Instance) -> Outcome {
        match instance {
            Instance::Core(ready) => preview1::run(ready),
            Instance::Component(ready) => component::run(ready),
        }
    }
}

multiwasm_engine::export_engine!(Wasmtime);
