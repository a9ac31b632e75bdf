//! From a module and its world to something that runs.

use multiwasm_engine::{EngineError, ErrorKind, Guest, Outcome, start};
use wasmer::{
    Engine, Extern, Function, FunctionEnv, InstantiationError, LinkError, Memory, MemoryError, MemoryType, Store,
};
use wasmer_wasix::bin_factory::run_exec;
use wasmer_wasix::os::task::TaskStatus;
use wasmer_wasix::runtime::task_manager::{SpawnMemoryTypeOrStore, TaskWasmRunProperties};
use wasmer_wasix::{
    WasiEnv, WasiFunctionEnv, WasiModuleInstanceHandles, WasiModuleTreeHandles, WasiRuntimeError, WasiThreadError,
};

use crate::corrections::{self, Facts};
use crate::{Module, interface, outcome, world};

/// A guest that waits to be run.
pub enum Instance {
    /// It has not run yet.
    Ready(Box<Ready>),
    /// Its module's start function ended it already.
    Ended(Outcome),
}

/// A guest that has been linked with its world.
pub struct Ready {
    store: Store,
    env: WasiFunctionEnv,
    /// What to call; none: the process that wasmer-wasix makes of a command.
    functions: Vec<Function>,
}

impl Instance {
    /// Makes the world of `guest` and links `module` with it.
    pub(crate) fn new(engine: Engine, module: Module, guest: &Guest<'_>) -> Result<Self, EngineError> {
        let Module { module, entry } = module;
        let wasix = interface::is_wasix(&module);
        let (env, facts) = world::of(guest, &engine, wasix)?;
        let linked = if interface::is_dynamic(&module) {
            link_dynamic(&engine, &module, env)
        } else {
            link(&engine, &module, env, facts)
        };
        match linked {
            Ok((store, env, instance)) => {
                let functions = if wasix && entry == "_start" { Vec::new() } else { calls(instance.as_ref(), &entry) };
                Ok(Self::Ready(Box::new(Ready { store, env, functions })))
            }
            Err(WasiThreadError::InstanceCreateFailed(error)) => match *error {
                InstantiationError::Start(error) => Ok(Self::Ended(outcome::of_error(&error))),
                error => Err(not_linked(&error)),
            },
            Err(WasiThreadError::MemoryCreateFailed(error)) => Err(EngineError::new(
                ErrorKind::Limit,
                format_args!("the memory that the module imports can't be made: {error}"),
            )),
            Err(error) => Err(EngineError::failed(error)),
        }
    }

    /// Runs the guest to its end.
    pub(crate) fn run(self) -> Outcome {
        match self {
            Self::Ended(outcome) => outcome,
            Self::Ready(ready) if ready.functions.is_empty() => ready.run_process(),
            Self::Ready(ready) => ready.call(),
        }
    }
}

impl Ready {
    /// Calls the functions, one after the other.
    fn call(mut self) -> Outcome {
        for function in &self.functions {
            if let Err(error) = function.call(&mut self.store, &[]) {
                return outcome::of_error(&error);
            }
        }
        Outcome::Exited(0)
    }

    /// Runs a command of WASIX, which may fork, replace itself and switch contexts: wasmer-wasix has its own way.
    fn run_process(self) -> Outcome {
        let end = self.env.data(&self.store).thread.join_handle();
        run_exec(TaskWasmRunProperties { ctx: self.env, store: self.store, trigger_result: None, recycle: None });
        match end.status() {
            TaskStatus::Finished(Ok(code)) => Outcome::Exited(code.raw() & 0xff),
            TaskStatus::Finished(Err(error)) => match &*error {
                WasiRuntimeError::Runtime(error) => outcome::of_error(error),
                error => Outcome::Failed(error.to_string()),
            },
            TaskStatus::Pending | TaskStatus::Running => {
                Outcome::Failed("wasmer-wasix returned from a guest that has not ended".into())
            }
        }
    }
}

/// What `entry` takes: itself, the start function that was kept for now, and in a reactor the initialisation before.
fn calls(instance: Option<&wasmer::Instance>, entry: &str) -> Vec<Function> {
    let initialize = (entry != "_start").then_some("_initialize");
    let names = [start::EXPORT].into_iter().chain(initialize).chain([entry]);
    names.filter_map(|name| instance?.exports.get_function(name).ok().cloned()).collect()
}

/// A module that is made of others has no single instance.
type Linked = Result<(Store, WasiFunctionEnv, Option<wasmer::Instance>), WasiThreadError>;

/// Links a module that stands alone. Unlike wasmer-wasix's own way it takes one without a memory, and makes no
/// functions of versions of WASI that the module does not use.
fn link(engine: &Engine, module: &wasmer::Module, env: WasiEnv, facts: Facts) -> Linked {
    let mut store = Store::new(engine.clone());
    let mut env = WasiFunctionEnv { env: FunctionEnv::new(&mut store, env) };
    let mut imports = interface::functions(module, &mut store, &env.env);
    corrections::apply(&mut imports, &mut store, &env.env, facts);
    let imported = memory(module, &mut store).map_err(WasiThreadError::MemoryCreateFailed)?;
    if let Some(memory) = &imported {
        imports.define("env", "memory", memory.clone());
    }
    let instance = wasmer::Instance::new(&mut store, module, &imports)
        .map_err(|error| WasiThreadError::InstanceCreateFailed(Box::new(error)))?;
    let exported = || {
        instance.exports.iter().find_map(|(_, export)| match export {
            Extern::Memory(memory) => Some(memory.clone()),
            _ => None,
        })
    };
    let memory = match imported.or_else(exported) {
        Some(memory) => memory,
        // wasmer-wasix can't be without one: calls of a guest that has none fail with a bad address.
        None => {
            Memory::new(&mut store, MemoryType::new(0, Some(0), false)).map_err(WasiThreadError::MemoryCreateFailed)?
        }
    };
    let handles = WasiModuleInstanceHandles::new(memory, &store, instance.clone(), None);
    let handles = WasiModuleTreeHandles::Static(handles);
    env.initialize_handles_and_layout(&mut store, instance.clone(), handles, None, true)
        .map_err(WasiThreadError::ExportError)?;
    Ok((store, env, Some(instance)))
}

/// Links a module that names others which it needs (section `dylink.0`).
fn link_dynamic(engine: &Engine, module: &wasmer::Module, env: WasiEnv) -> Linked {
    let mut store = Store::new(engine.clone());
    let given = match memory(module, &mut store).map_err(WasiThreadError::MemoryCreateFailed)? {
        Some(memory) => SpawnMemoryTypeOrStore::StoreAndMemory(store, memory),
        None => SpawnMemoryTypeOrStore::New,
    };
    let (env, store) = WasiFunctionEnv::new_with_store(module.clone(), env, None, given, true, false, None)?;
    Ok((store, env, None))
}

/// The memory that `module` wants to be given, made for it.
fn memory(module: &wasmer::Module, store: &mut Store) -> Result<Option<Memory>, MemoryError> {
    let wanted = module.imports().memories().next().map(|import| *import.ty());
    wanted.map(|wanted| Memory::new(store, wanted)).transpose()
}

fn not_linked(error: &InstantiationError) -> EngineError {
    let kind = match error {
        InstantiationError::Link(LinkError::Resource(_)) => ErrorKind::Limit,
        InstantiationError::Link(LinkError::Import(..)) => ErrorKind::MissingImport,
        InstantiationError::CpuFeature(_) | InstantiationError::DifferentArchOS => ErrorKind::Stale,
        _ => ErrorKind::Failed,
    };
    EngineError::new(kind, format_args!("the module can't be instantiated: {error}"))
}
