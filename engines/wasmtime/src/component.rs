//! Components that are commands: `wasi:cli/command` of preview 2.

use multiwasm_engine::{EngineError, ErrorKind, Guest, Outcome, Source};
use tokio::runtime::Runtime;
use wasmtime::component::{Component, Func, InstancePre, Linker, types::ComponentItem};
use wasmtime::{Engine, Store};
use wasmtime_wasi::p2::bindings::{Command, CommandPre};
use wasmtime_wasi::{ResourceTable, WasiCtx, WasiCtxView, WasiView};

use crate::{artifact, outcome, world};

/// What a store holds for the guest.
struct Host {
    wasi: WasiCtx,
    resources: ResourceTable,
    limits: world::Limits,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.resources }
    }
}

/// A component whose imports are found, and what of it is run.
pub(crate) struct Linked {
    name: String,
    entry: Entry,
}

enum Entry {
    Command(CommandPre<Host>),
    Function(InstancePre<Host>, String),
}

/// An instance in its world.
pub(crate) struct Ready {
    executor: Runtime,
    store: Store<Host>,
    call: Call,
}

enum Call {
    Command(Command),
    Function(Func),
}

/// Reads `source` and links it.
pub(crate) fn load(engine: &Engine, source: &Source<'_>) -> Result<Linked, EngineError> {
    let component = artifact::component(engine, source)?;
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)
        .map_err(|error| EngineError::failed(format_args!("preview 2: {error:#}")))?;
    let pre = linker.instantiate_pre(&component).map_err(|error| unlinked(engine, &component, source, &error))?;
    let entry = match source.function {
        Some(function) => {
            callable(engine, &component, source, function)?;
            Entry::Function(pre, function.to_owned())
        }
        None => Entry::Command(CommandPre::new(pre).map_err(|error| {
            EngineError::new(
                ErrorKind::MissingExport,
                format_args!("{} is no command, it does not export wasi:cli/run: {error:#}", source.name),
            )
        })?),
    };
    Ok(Linked { name: source.name.to_owned(), entry })
}

/// Instantiates a component in the world of `guest`.
pub(crate) fn instantiate(linked: Linked, guest: &Guest<'_>) -> Result<Ready, EngineError> {
    let host =
        Host { wasi: world::wasi(guest)?.build(), resources: ResourceTable::new(), limits: world::Limits::new(guest) };
    let engine = match &linked.entry {
        Entry::Command(pre) => pre.engine(),
        Entry::Function(pre, _) => pre.engine(),
    };
    let mut store = Store::new(engine, host);
    store.limiter(|host| &mut host.limits);
    let executor = world::executor()?;
    let made = executor.block_on(async {
        match &linked.entry {
            Entry::Command(pre) => pre.instantiate_async(&mut store).await.map(Call::Command),
            Entry::Function(pre, function) => {
                let instance = pre.instantiate_async(&mut store).await?;
                let function = instance.get_func(&mut store, function.as_str());
                function.map(Call::Function).ok_or_else(|| wasmtime::format_err!("the function to call is gone"))
            }
        }
    });
    match made {
        Ok(call) => Ok(Ready { executor, store, call }),
        Err(error) => Err(store.data().limits.blame(&linked.name, &error)),
    }
}

/// Runs an instance to its end.
pub(crate) fn run(ready: Ready) -> Outcome {
    let Ready { executor, mut store, call } = ready;
    let ended = executor.block_on(async {
        match call {
            // A command that says no more than "error" ends as a process does that says no more than that.
            Call::Command(command) => Ok(i32::from(command.wasi_cli_run().call_run(&mut store).await?.is_err())),
            Call::Function(function) => {
                let mut results = vec![wasmtime::component::Val::Bool(false); function.ty(&store).results().len()];
                function.call_async(&mut store, &[], &mut results).await.map(|()| 0)
            }
        }
    });
    outcome::of(ended)
}

fn unlinked(engine: &Engine, component: &Component, source: &Source<'_>, error: &wasmtime::Error) -> EngineError {
    let words = format!("{error:#}");
    // Wasmtime names the import in its words alone.
    let component = component.component_type();
    let import = component.imports(engine).find(|(import, _)| words.contains(&format!("`{import}`")));
    let import = import.map_or("something", |(import, _)| import);
    EngineError::new(
        ErrorKind::MissingImport,
        format_args!("{} imports {import}, which wasmtime does not offer: {words}", source.name),
    )
}

/// Whether the component exports `function`, without parameters.
fn callable(engine: &Engine, component: &Component, source: &Source<'_>, function: &str) -> Result<(), EngineError> {
    let name = source.name;
    match component.component_type().get_export(engine, function).map(|item| item.ty) {
        Some(ComponentItem::ComponentFunc(found)) if found.params().len() == 0 => Ok(()),
        Some(ComponentItem::ComponentFunc(found)) => {
            let count = found.params().len();
            Err(EngineError::new(
                ErrorKind::Unsupported,
                format_args!(
                    "{name}: function {function} takes parameters ({count}), only one without any can be called"
                ),
            ))
        }
        _ => {
            let words = format!("{name} exports no function {function}");
            Err(EngineError::new(ErrorKind::MissingExport, words))
        }
    }
}
