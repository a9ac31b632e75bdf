//! Core modules with `wasi_snapshot_preview1`.

use multiwasm_engine::{EngineError, ErrorKind, Guest, Outcome, Source, start};
use tokio::runtime::Runtime;
use wasmtime::{Engine, ExternType, Func, InstancePre, Linker, Module, Store, UnknownImportError};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p1::{self, WasiP1Ctx};

use crate::{artifact, outcome, world};

const PREVIEW1: &str = "wasi_snapshot_preview1";
/// The export of a command.
const COMMAND: &str = "_start";
/// The export that a library wants to be called before any other.
const INITIALIZE: &str = "_initialize";
/// Most exports that an error message lists.
const LISTED: usize = 8;

/// What a store holds for the guest.
struct Host {
    wasi: WasiP1Ctx,
    limits: world::Limits,
}

/// A module whose imports are found.
pub(crate) struct Linked {
    name: String,
    pre: InstancePre<Host>,
    /// The exports that make a run, in their order.
    calls: Vec<String>,
}

/// An instance in its world.
pub(crate) struct Ready {
    executor: Runtime,
    store: Store<Host>,
    calls: Vec<Func>,
}

/// Reads `source` and links it.
pub(crate) fn load(engine: &Engine, source: &Source<'_>) -> Result<Linked, EngineError> {
    let module = artifact::module(engine, source)?;
    let calls = calls(&module, source)?;
    let pre = linker(engine)
        .map_err(|error| EngineError::failed(format_args!("preview 1: {error:#}")))?
        .instantiate_pre(&module)
        .map_err(|error| unlinked(source, &error))?;
    Ok(Linked { name: source.name.to_owned(), pre, calls })
}

/// Instantiates a module in the world of `guest`.
pub(crate) fn instantiate(linked: Linked, guest: &Guest<'_>) -> Result<Ready, EngineError> {
    let host = Host { wasi: world::wasi(guest)?.build_p1(), limits: world::Limits::new(guest) };
    let mut store = Store::new(linked.pre.module().engine(), host);
    store.limiter(|host| &mut host.limits);
    let executor = world::executor()?;
    let instance = match executor.block_on(linked.pre.instantiate_async(&mut store)) {
        Ok(instance) => instance,
        Err(error) => return Err(store.data().limits.blame(&linked.name, &error)),
    };
    let calls = linked.calls.iter().filter_map(|name| instance.get_func(&mut store, name)).collect();
    Ok(Ready { executor, store, calls })
}

/// Runs an instance to its end.
pub(crate) fn run(ready: Ready) -> Outcome {
    let Ready { executor, mut store, calls } = ready;
    let ended = executor.block_on(async {
        for call in calls {
            let mut results = vec![wasmtime::Val::I32(0); call.ty(&store).results().len()];
            call.call_async(&mut store, &[], &mut results).await?;
        }
        Ok(0)
    });
    outcome::of(ended)
}

/// Preview 1, but for one function: Wasmtime's own `proc_exit` takes codes of 126 and more for a fault.
fn linker(engine: &Engine) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    p1::add_to_linker_async(&mut linker, |host: &mut Host| &mut host.wasi)?;
    linker.allow_shadowing(true);
    linker.func_wrap(PREVIEW1, "proc_exit", |code: i32| -> wasmtime::Result<()> { Err(I32Exit(code).into()) })?;
    Ok(linker)
}

/// Which exports a run calls, checked to be there and to be callable.
fn calls(module: &Module, source: &Source<'_>) -> Result<Vec<String>, EngineError> {
    let wanted = source.function.unwrap_or(COMMAND);
    match module.get_export(wanted) {
        Some(ExternType::Func(function)) if function.params().len() == 0 => {}
        Some(ExternType::Func(function)) => {
            let (name, count) = (source.name, function.params().len());
            return Err(EngineError::new(
                ErrorKind::Unsupported,
                format_args!(
                    "{name}: function {wanted} takes parameters ({count}), only one without any can be called"
                ),
            ));
        }
        _ => {
            return Err(EngineError::new(ErrorKind::MissingExport, missing(module, source, wanted)));
        }
    }
    // A command initialises itself; of a library any other function is called, and never the initialiser twice.
    let before = [start::EXPORT, INITIALIZE];
    let before = before.into_iter().filter(|name| {
        let applies = *name == start::EXPORT || source.function.is_some();
        applies && *name != wanted && matches!(module.get_export(name), Some(ExternType::Func(_)))
    });
    Ok(before.chain([wanted]).map(str::to_owned).collect())
}

fn missing(module: &Module, source: &Source<'_>, wanted: &str) -> String {
    let functions = module.exports().filter(|export| export.ty().func().is_some()).map(|export| export.name());
    let functions: Vec<_> = functions.filter(|name| *name != start::EXPORT).collect();
    let offered = match functions.len() {
        0 => "it exports no function at all".to_owned(),
        n if n > LISTED => format!("it exports {} and {} more", functions[..LISTED].join(", "), n - LISTED),
        _ => format!("it exports {}", functions.join(", ")),
    };
    format!("{} exports no function {wanted}: {offered}", source.name)
}

fn unlinked(source: &Source<'_>, error: &wasmtime::Error) -> EngineError {
    let Some(import) = error.downcast_ref::<UnknownImportError>() else {
        // An import that is there, but of another type; Wasmtime names it and both types.
        return EngineError::new(ErrorKind::MissingImport, format_args!("{}: {error:#}", source.name));
    };
    let kind = match import.ty() {
        ExternType::Func(_) => "function",
        ExternType::Global(_) => "global",
        ExternType::Table(_) => "table",
        ExternType::Memory(_) => "memory",
        ExternType::Tag(_) => "tag",
    };
    let (module, name) = (import.module(), import.name());
    EngineError::new(
        ErrorKind::MissingImport,
        format_args!("{} imports the {kind} {module}::{name}, which wasmtime does not offer", source.name),
    )
}
