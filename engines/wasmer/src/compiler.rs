//! The compilers, their settings, and what artifacts depend on.

use std::path::Path;

use multiwasm_engine::{EngineError, ErrorKind, Optimize};
use wasmer::sys::{Cranelift, CraneliftOptLevel, EngineBuilder, NativeEngineExt, Singlepass};
use wasmer::{CompileError, DeserializeError, Engine, Module};

use crate::invalid;

/// Wasmer's compilers for one kind of code.
///
/// They write ELF images, which are mapped from their file page by page and so shared by all containers that run them;
/// Wasmer's other format is copied into each process.
pub(crate) struct Compiler {
    engine: Engine,
    optimize: Optimize,
}

impl Compiler {
    /// The compiler for code of this kind.
    pub(crate) fn new(optimize: Optimize) -> Self {
        let engine = match optimize {
            Optimize::Speed => cranelift(CraneliftOptLevel::Speed),
            Optimize::Quick => {
                let mut config = Singlepass::new();
                config.experimental_artifact(true).canonicalize_nans(false);
                EngineBuilder::new(config).into()
            }
        };
        Self { engine, optimize }
    }

    /// The engine that modules of this compiler belong to.
    pub(crate) fn engine(&self) -> Engine {
        self.engine.clone()
    }

    /// All that artifacts depend on besides the module itself, in one line.
    pub(crate) fn fingerprint(&self) -> String {
        let target = self.engine.target();
        let mut features: Vec<_> = target.cpu_features().iter().map(|feature| feature.to_string()).collect();
        features.sort();
        // The number says what this crate does to a module before the compiler sees it; raised when that changes.
        format!(
            "wasmer {} {} {} elf 2 {} {}",
            wasmer_compiler::VERSION,
            self.engine.as_sys().deterministic_id(),
            match self.optimize {
                Optimize::Speed => "speed",
                Optimize::Quick => "quick",
            },
            target.triple(),
            features.join(",")
        )
    }

    /// Native code for `wasm`, as [`Compiler::load`] and [`Compiler::map`] take it. Starts threads, and waits for none
    /// of them to end.
    pub(crate) fn compile(&self, name: &str, wasm: &[u8]) -> Result<Vec<u8>, EngineError> {
        let compile = |engine: &Engine| {
            let module = Module::from_binary(engine, wasm).map_err(|error| not_compiled(name, &error))?;
            let code = module.serialize().map_err(|error| EngineError::failed(format_args!("{name}: {error}")))?;
            Ok(code.into())
        };
        match self.optimize {
            Optimize::Speed => compile(&self.engine),
            // The quick compiler has no vectors and no exceptions: for modules with them the other one hurries.
            Optimize::Quick => compile(&self.engine).or_else(|_| compile(&cranelift(CraneliftOptLevel::None))),
        }
    }

    /// The module of code that [`Compiler::compile`] gave. The code is copied.
    pub(crate) fn load(&self, name: &str, code: Vec<u8>) -> Result<Module, EngineError> {
        // SAFETY: the bytes were made by this process's own compiler and passed through nobody's hands.
        unsafe { Module::deserialize(&self.engine, code) }.map_err(|error| not_loaded(name, error))
    }

    /// The module of code that [`Compiler::compile`] gave and that lies in the file at `path`. Functions are mapped and
    /// come into memory when they are first called; what is copied is the description of the module (types, imports,
    /// exports, data segments).
    pub(crate) fn map(&self, path: &Path) -> Result<Module, EngineError> {
        // SAFETY: the contract: the file is one that `compile` wrote, and it does not change while it is mapped.
        unsafe { Module::deserialize_from_file(&self.engine, path) }
            .map_err(|error| not_loaded(&path.display().to_string(), error))
    }
}

fn cranelift(level: CraneliftOptLevel) -> Engine {
    let mut config = Cranelift::new();
    config.experimental_artifact(true).opt_level(level);
    EngineBuilder::new(config).into()
}

fn not_compiled(name: &str, error: &CompileError) -> EngineError {
    let kind = match error {
        CompileError::Wasm(_) | CompileError::Validate(_) => ErrorKind::Invalid,
        CompileError::UnsupportedFeature(_) | CompileError::UnsupportedTarget(_) => ErrorKind::Unsupported,
        _ => ErrorKind::Failed,
    };
    EngineError::new(kind, format_args!("{name} can't be compiled by wasmer: {error}"))
}

fn not_loaded(name: &str, error: DeserializeError) -> EngineError {
    match error {
        DeserializeError::Incompatible(reason) => {
            EngineError::new(ErrorKind::Stale, format_args!("{name} was compiled for another wasmer or CPU: {reason}"))
        }
        DeserializeError::Io(error) => EngineError::failed(format_args!("{name} can't be read: {error}")),
        DeserializeError::Compiler(error) => EngineError::failed(format_args!("{name} can't be mapped: {error}")),
        error => invalid(format_args!("{name} is a damaged artifact: {error}")),
    }
}
