//! From the trait [`Engine`] to the C table: one generic function for each entry, through which no panic passes.

use std::any::Any;
use std::ffi::{OsStr, c_void};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::abi;
use crate::engine::{Engine, EngineError, ErrorKind, Guest, Optimize, Outcome, Preopen, Settings, Source, SourceForm};

/// Exports a type that implements [`Engine`] as a plug-in: `export_engine!(MyEngine);`, once in a cdylib.
#[macro_export]
macro_rules! export_engine {
    ($engine:ty) => {
        /// The plug-in's table, as `multiwasm_engine.h` has it.
        // SAFETY: the name is the contract's own; a plug-in is loaded with local binding, so it meets no other.
        #[unsafe(no_mangle)]
        pub extern "C" fn multiwasm_engine_table() -> *const $crate::abi::EngineTable {
            static TABLE: ::std::sync::OnceLock<$crate::export::Table> = ::std::sync::OnceLock::new();
            TABLE.get_or_init($crate::export::table::<$engine>).as_ptr()
        }
    };
}

/// A table that may live in a static: it is never written after it was made.
pub struct Table(abi::EngineTable);

// SAFETY: the table holds function pointers and pointers to leaked, immutable text.
unsafe impl Sync for Table {}
// SAFETY: as above.
unsafe impl Send for Table {}

impl Table {
    /// The table, for the other side.
    pub fn as_ptr(&self) -> *const abi::EngineTable {
        &self.0
    }
}

/// The table of `E`. Its name and version are leaked, as they live as long as the plug-in.
pub fn table<E: Engine>() -> Table {
    let description = E::describe();
    Table(abi::EngineTable {
        abi: abi::ENGINE_ABI,
        size: size_of::<abi::EngineTable>() as u32,
        name: abi::Bytes::lend(description.name.leak().as_bytes()),
        version: abi::Bytes::lend(description.version.leak().as_bytes()),
        capabilities: description.capabilities.0,
        open: Some(open::<E>),
        fingerprint: Some(fingerprint::<E>),
        prepare_compile: Some(prepare_compile::<E>),
        compile: Some(compile::<E>),
        load: Some(load::<E>),
        instantiate: Some(instantiate::<E>),
        run: Some(run::<E>),
        drop_module: Some(drop_module::<E>),
        close: Some(close::<E>),
    })
}

unsafe extern "C" fn open<E: Engine>(
    settings: *const abi::Settings,
    engine: *mut *mut c_void,
    error: abi::Sink,
) -> u32 {
    guarded(error, || {
        // SAFETY: the contract: `settings` is a valid struct for the length of the call.
        let settings = unsafe { &*settings };
        let optimize = if settings.optimize == 0 { Optimize::Speed } else { Optimize::Quick };
        let opened = E::open(&Settings { optimize })?;
        // SAFETY: the contract: `engine` is valid for one write.
        unsafe { engine.write(Box::into_raw(Box::new(opened)).cast()) };
        Ok(())
    })
}

unsafe extern "C" fn fingerprint<E: Engine>(engine: *mut c_void, text: abi::Sink) {
    // SAFETY: the contract: `engine` is what `open` gave.
    let print = catch_unwind(AssertUnwindSafe(|| unsafe { &*engine.cast::<E>() }.fingerprint()));
    write(text, &print.unwrap_or_default());
}

unsafe extern "C" fn prepare_compile<E: Engine>(engine: *mut c_void, error: abi::Sink) -> u32 {
    // SAFETY: the contract: `engine` is what `open` gave.
    guarded(error, || unsafe { &*engine.cast::<E>() }.prepare_compile())
}

unsafe extern "C" fn compile<E: Engine>(
    engine: *mut c_void,
    source: *const abi::Source,
    path: abi::Bytes,
    error: abi::Sink,
) -> u32 {
    guarded(error, || {
        // SAFETY: the contract: `engine` is what `open` gave.
        let engine = unsafe { &*engine.cast::<E>() };
        // SAFETY: the contract: `source` and all it points to are valid for the length of the call.
        let source = unsafe { source_of(source) }?;
        // SAFETY: the contract: `path` is valid for the length of the call.
        engine.compile(&source, unsafe { path_of(path) })
    })
}

unsafe extern "C" fn load<E: Engine>(
    engine: *mut c_void,
    source: *const abi::Source,
    module: *mut *mut c_void,
    error: abi::Sink,
) -> u32 {
    guarded(error, || {
        // SAFETY: the contract: `engine` is what `open` gave.
        let engine = unsafe { &*engine.cast::<E>() };
        // SAFETY: the contract: `source` and all it points to are valid for the length of the call.
        let loaded = engine.load(&unsafe { source_of(source) }?)?;
        // SAFETY: the contract: `module` is valid for one write.
        unsafe { module.write(Box::into_raw(Box::new(loaded)).cast()) };
        Ok(())
    })
}

unsafe extern "C" fn instantiate<E: Engine>(
    engine: *mut c_void,
    module: *mut c_void,
    guest: *const abi::Guest,
    instance: *mut *mut c_void,
    error: abi::Sink,
) -> u32 {
    guarded(error, || {
        // SAFETY: the contract: `engine` is what `open` gave.
        let engine = unsafe { &*engine.cast::<E>() };
        // SAFETY: the contract: `module` is what `load` gave and is consumed here.
        let module = *unsafe { Box::from_raw(module.cast::<E::Module>()) };
        // SAFETY: the contract: `guest` and all it points to are valid for the length of the call.
        let guest = unsafe { &*guest };
        // SAFETY: as above.
        let (args, env) = unsafe { (texts_of(guest.args)?, texts_of(guest.env)?) };
        // SAFETY: as above.
        let preopens = unsafe { preopens_of(guest) }?;
        let made = engine.instantiate(
            module,
            &Guest {
                args: &args,
                env: &env,
                // SAFETY: as above.
                cwd: unsafe { text_of(guest.cwd) }?,
                preopens: &preopens,
                // SAFETY: the contract: the descriptors are open for as long as the guest runs.
                stdin: unsafe { BorrowedFd::borrow_raw(guest.stdin_fd) },
                // SAFETY: as above.
                stdout: unsafe { BorrowedFd::borrow_raw(guest.stdout_fd) },
                // SAFETY: as above.
                stderr: unsafe { BorrowedFd::borrow_raw(guest.stderr_fd) },
                memory_limit: (guest.memory_limit != 0).then_some(guest.memory_limit),
            },
        )?;
        // SAFETY: the contract: `instance` is valid for one write.
        unsafe { instance.write(Box::into_raw(Box::new(made)).cast()) };
        Ok(())
    })
}

unsafe extern "C" fn run<E: Engine>(
    engine: *mut c_void,
    instance: *mut c_void,
    outcome: *mut abi::Outcome,
    message: abi::Sink,
) {
    let ended = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the contract: `engine` is what `open` gave.
        let engine = unsafe { &*engine.cast::<E>() };
        // SAFETY: the contract: `instance` is what `instantiate` gave and is consumed here.
        engine.run(*unsafe { Box::from_raw(instance.cast::<E::Instance>()) })
    }))
    .unwrap_or_else(|panic| Outcome::Failed(panic_text(&*panic)));
    let (end, code) = match &ended {
        Outcome::Exited(code) => (abi::EXITED, *code),
        Outcome::Trapped(trap, text) => {
            write(message, text);
            (abi::TRAPPED, *trap as i32)
        }
        Outcome::Failed(text) => {
            write(message, text);
            (abi::BROKE, 0)
        }
    };
    // SAFETY: the contract: `outcome` is valid for one write.
    unsafe { outcome.write(abi::Outcome { size: size_of::<abi::Outcome>(), end, code }) };
}

unsafe extern "C" fn drop_module<E: Engine>(_engine: *mut c_void, module: *mut c_void) {
    // SAFETY: the contract: `module` is what `load` gave and is consumed here.
    let module = unsafe { Box::from_raw(module.cast::<E::Module>()) };
    // A panic in a destructor has nobody to be told to; the module is gone either way.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(module)));
}

unsafe extern "C" fn close<E: Engine>(engine: *mut c_void) {
    // SAFETY: the contract: `engine` is what `open` gave and is consumed here.
    let engine = unsafe { Box::from_raw(engine.cast::<E>()) };
    // As in `drop_module`.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(engine)));
}

/// Runs one step; what it fails with goes to the sink, and a panic is a failure.
fn guarded(error: abi::Sink, step: impl FnOnce() -> Result<(), EngineError>) -> u32 {
    let failure = match catch_unwind(AssertUnwindSafe(step)) {
        Ok(Ok(())) => return abi::OK,
        Ok(Err(failure)) => failure,
        Err(panic) => EngineError::failed(panic_text(&*panic)),
    };
    write(error, &failure.message);
    failure.kind as u32
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the engine panicked: {}", text.unwrap_or("no message"))
}

fn write(sink: abi::Sink, text: &str) {
    if let Some(write) = sink.write {
        // SAFETY: the contract: a sink's function takes its own context and readable bytes.
        unsafe { write(sink.context, text.as_ptr(), text.len()) };
    }
}

fn not_text(bytes: &[u8]) -> EngineError {
    EngineError::new(ErrorKind::Unsupported, format_args!("not UTF-8: {:?}", String::from_utf8_lossy(bytes)))
}

/// # Safety
/// What the contract says of `multiwasm_bytes`: readable for `'a`.
unsafe fn text_of<'a>(bytes: abi::Bytes) -> Result<&'a str, EngineError> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { bytes.as_slice() };
    std::str::from_utf8(bytes).map_err(|_| not_text(bytes))
}

/// # Safety
/// What the contract says of `multiwasm_bytes`: readable for `'a`.
unsafe fn path_of<'a>(bytes: abi::Bytes) -> &'a Path {
    // SAFETY: the caller's promise.
    Path::new(OsStr::from_bytes(unsafe { bytes.as_slice() }))
}

/// # Safety
/// What the contract says of `multiwasm_list`: `len` readable items, each of them readable.
unsafe fn texts_of(list: abi::List) -> Result<Vec<String>, EngineError> {
    if list.len == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the caller's promise.
    let items = unsafe { std::slice::from_raw_parts(list.items, list.len) };
    // SAFETY: as above.
    items.iter().map(|item| unsafe { text_of(*item) }.map(str::to_owned)).collect()
}

/// # Safety
/// `guest`'s preopens are as the contract says.
unsafe fn preopens_of<'a>(guest: &abi::Guest) -> Result<Vec<Preopen<'a>>, EngineError> {
    if guest.preopens_len == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the caller's promise.
    let preopens = unsafe { std::slice::from_raw_parts(guest.preopens, guest.preopens_len) };
    preopens
        .iter()
        .map(|preopen| {
            Ok(Preopen {
                // SAFETY: the caller's promise.
                guest: unsafe { text_of(preopen.guest) }?,
                // SAFETY: the caller's promise.
                host: unsafe { path_of(preopen.host) },
                read_only: preopen.flags & abi::PREOPEN_READ_ONLY != 0,
            })
        })
        .collect()
}

/// # Safety
/// `source` and all it points to are as the contract says, for `'a`.
unsafe fn source_of<'a>(source: *const abi::Source) -> Result<Source<'a>, EngineError> {
    // SAFETY: the caller's promise.
    let source = unsafe { &*source };
    // SAFETY: the caller's promise.
    let function = unsafe { text_of(source.function) }?;
    Ok(Source {
        // SAFETY: the caller's promise.
        name: unsafe { text_of(source.name) }?,
        form: match source.form {
            // SAFETY: the caller's promise.
            abi::FORM_BYTES => SourceForm::Bytes(unsafe { source.bytes.as_slice() }),
            // SAFETY: the caller's promise.
            _ => SourceForm::Artifact(unsafe { path_of(source.artifact) }),
        },
        component: source.component == 1,
        function: (!function.is_empty()).then_some(function),
    })
}
