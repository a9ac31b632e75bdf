//! The engine plug-in that runs multiwasm's guests on Wasmer, with wasmer-wasix as their system.
//!
//! # Layout
//!
//! - `compiler`: the compilers, their settings, and what artifacts depend on
//! - `artifact`: the file between compiling and loading
//! - `apart`: compiling in a child process, where the caller must stay without threads
//! - `interface`: what a module imports and exports, against what is offered and wanted
//! - `limit`: how large a linear memory may grow
//! - `world`: arguments, environment, preopens, stdio
//! - `host_fs` and `host_file`: directories and descriptors of the host as the guest meets them
//! - `rights`: what may be done with files and directories
//! - `corrections`: where wasmer-wasix would answer a guest wrong
//! - `errors`: what the host said, where wasmer-wasix has no word for it
//! - `runtime`: threads, timers and sockets, there as soon as a guest asks for them
//! - `instance`: from a module and its world to something that runs
//! - `outcome`: how a guest ended

mod apart;
mod artifact;
mod compiler;
mod corrections;
mod errors;
mod host_file;
mod host_fs;
mod instance;
mod interface;
mod limit;
mod outcome;
mod rights;
mod runtime;
mod world;

use std::path::Path;

use multiwasm_engine::{
    Capabilities, Description, Engine, EngineError, ErrorKind, Guest, Outcome, Settings, Source, SourceForm,
    export_engine,
};

use crate::compiler::Compiler;
use crate::instance::Instance;

/// Wasmer, opened for one kind of code.
pub struct Wasmer {
    compiler: Compiler,
}

/// A module that was compiled and checked.
pub struct Module {
    module: wasmer::Module,
    entry: String,
}

impl Engine for Wasmer {
    type Module = Module;
    type Instance = Instance;

    fn describe() -> Description {
        Description {
            name: "wasmer".into(),
            version: wasmer_compiler::VERSION.into(),
            capabilities: Capabilities::MODULES
                .and(Capabilities::PREVIEW1)
                .and(Capabilities::WASIX)
                .and(Capabilities::THREADS)
                .and(Capabilities::AOT)
                .and(Capabilities::NEEDS_AOT)
                .and(Capabilities::MEMORY_LIMIT),
        }
    }

    fn open(settings: &Settings) -> Result<Self, EngineError> {
        Ok(Self { compiler: Compiler::new(settings.optimize) })
    }

    fn fingerprint(&self) -> String {
        self.compiler.fingerprint()
    }

    fn compile(&self, source: &Source<'_>, artifact: &Path) -> Result<(), EngineError> {
        let SourceForm::Bytes(wasm) = source.form else {
            return Err(EngineError::failed(format_args!("{}: only WebAssembly is compiled", source.name)));
        };
        interface::check_binary(source, wasm)?;
        let code = self.compiler.compile(source.name, &interface::deferred(wasm))?;
        artifact::write(artifact, &code, &self.fingerprint())
    }

    fn load(&self, source: &Source<'_>) -> Result<Module, EngineError> {
        let module = match source.form {
            SourceForm::Bytes(wasm) => {
                interface::check_binary(source, wasm)?;
                let code = apart::compile(&self.compiler, source.name, &interface::deferred(wasm))?;
                self.compiler.load(source.name, code)?
            }
            SourceForm::Artifact(_) if source.component => return Err(interface::no_components(source.name)),
            SourceForm::Artifact(path) => {
                artifact::check(path, &self.fingerprint())?;
                self.compiler.map(path)?
            }
        };
        interface::check_imports(&self.compiler.engine(), source.name, &module)?;
        let entry = source.function.unwrap_or("_start");
        interface::check_entry(source.name, &module, entry)?;
        Ok(Module { module, entry: entry.to_owned() })
    }

    fn instantiate(&self, module: Module, guest: &Guest<'_>) -> Result<Instance, EngineError> {
        limit::check(&module.module, guest.memory_limit)?;
        let engine = limit::apply(self.compiler.engine(), guest.memory_limit);
        Instance::new(engine, module, guest)
    }

    fn run(&self, instance: Instance) -> Outcome {
        instance.run()
    }
}

export_engine!(Wasmer);

/// An error of a module that is what it is and can't be helped here.
fn invalid(message: impl std::fmt::Display) -> EngineError {
    EngineError::new(ErrorKind::Invalid, message)
}
