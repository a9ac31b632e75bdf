//! An engine that panics fails its step; the panic does not cross the table.
#![allow(clippy::unwrap_used)] // in a helper of a test, too, a panic is a failed test

use std::ffi::c_void;
use std::path::Path;
use std::ptr;

use multiwasm_engine::abi::{self, Bytes, EngineTable};
use multiwasm_engine::{
    Capabilities, Description, Engine, EngineError, ErrorKind, Guest, Outcome, Settings, Source, export,
};

/// Panics in the step that its module's name says, and in its destructors.
struct Panicking;

struct Module(String);

impl Drop for Module {
    fn drop(&mut self) {
        assert_ne!(self.0, "drop_module", "panic in drop_module");
    }
}

impl Drop for Panicking {
    fn drop(&mut self) {
        panic!("panic in close");
    }
}

impl Engine for Panicking {
    type Module = Module;
    type Instance = Module;

    fn describe() -> Description {
        Description { name: "panicking".into(), version: "1".into(), capabilities: Capabilities::MODULES }
    }

    fn open(settings: &Settings) -> Result<Self, EngineError> {
        assert_eq!(settings.optimize, multiwasm_engine::Optimize::Speed, "panic in open");
        Ok(Self)
    }

    fn fingerprint(&self) -> String {
        panic!("panic in fingerprint")
    }

    fn compile(&self, _: &Source<'_>, artifact: &Path) -> Result<(), EngineError> {
        panic!("panic in compile of {}", artifact.display())
    }

    fn load(&self, source: &Source<'_>) -> Result<Module, EngineError> {
        assert_ne!(source.name, "load", "panic in load");
        Ok(Module(source.name.to_owned()))
    }

    fn instantiate(&self, module: Module, _: &Guest<'_>) -> Result<Module, EngineError> {
        assert_ne!(module.0, "instantiate", "panic in instantiate");
        Ok(module)
    }

    fn run(&self, _: Module) -> Outcome {
        // No text at all: not every panic has one.
        std::panic::panic_any(7)
    }
}

unsafe extern "C" fn append(context: *mut c_void, data: *const u8, len: usize) {
    // SAFETY: the tests give a string as context and the table's functions give readable bytes.
    let (text, bytes) = unsafe { (&mut *context.cast::<String>(), std::slice::from_raw_parts(data, len)) };
    text.push_str(std::str::from_utf8(bytes).unwrap());
}

/// Calls a function of the table with a sink; gives what it wrote and returned.
fn told<R>(call: impl FnOnce(abi::Sink) -> R) -> (String, R) {
    let mut text = String::new();
    let returned = call(abi::Sink { context: (&raw mut text).cast(), write: Some(append) });
    (text, returned)
}

fn failed(text: &str) -> (String, u32) {
    (format!("the engine panicked: {text}"), ErrorKind::Failed as u32)
}

fn settings(optimize: u32) -> abi::Settings {
    abi::Settings { size: size_of::<abi::Settings>(), optimize, reserved: 0 }
}

fn source(name: &'static str) -> abi::Source {
    let none = Bytes::lend(&[]);
    let size = size_of::<abi::Source>();
    abi::Source {
        size,
        form: 0,
        component: 0,
        name: Bytes::lend(name.as_bytes()),
        bytes: none,
        artifact: none,
        function: none,
    }
}

fn guest() -> abi::Guest {
    let none = abi::List { items: ptr::null(), len: 0 };
    abi::Guest {
        size: size_of::<abi::Guest>(),
        args: none,
        env: none,
        cwd: Bytes::lend(b"/"),
        preopens: ptr::null(),
        preopens_len: 0,
        stdin_fd: 0,
        stdout_fd: 1,
        stderr_fd: 2,
        reserved: 0,
        memory_limit: 0,
    }
}

/// The table with an opened engine.
fn opened(table: &EngineTable) -> *mut c_void {
    let mut engine = ptr::null_mut();
    // SAFETY: the contract; all arguments live until the call returns.
    let (text, status) = told(|error| unsafe { table.open.unwrap()(&settings(0), &mut engine, error) });
    assert_eq!((text.as_str(), status), ("", abi::OK));
    engine
}

fn load(table: &EngineTable, engine: *mut c_void, name: &'static str) -> (*mut c_void, (String, u32)) {
    let mut module = ptr::null_mut();
    // SAFETY: the contract; all arguments live until the call returns.
    let told = told(|error| unsafe { table.load.unwrap()(engine, &source(name), &mut module, error) });
    (module, told)
}

#[test]
fn steps_that_give_a_status() {
    let exported = export::table::<Panicking>();
    // SAFETY: the table lives as long as `exported`.
    let table = unsafe { &*exported.as_ptr() };
    let mut engine = ptr::null_mut();
    // SAFETY: the contract; all arguments live until the call returns.
    let (text, status) = told(|error| unsafe { table.open.unwrap()(&settings(1), &mut engine, error) });
    assert!(text.starts_with("the engine panicked: ") && text.contains("panic in open"), "{text}");
    assert_eq!((status, engine), (ErrorKind::Failed as u32, ptr::null_mut()));

    let engine = opened(table);
    let path = Bytes::lend(b"/artifact");
    // SAFETY: the contract; all arguments live until the call returns.
    let told_by = told(|error| unsafe { table.compile.unwrap()(engine, &source("app"), path, error) });
    assert_eq!(told_by, failed("panic in compile of /artifact"));

    let (module, (text, status)) = load(table, engine, "load");
    assert!(text.contains("panic in load"), "{text}");
    assert_eq!((module, status), (ptr::null_mut(), ErrorKind::Failed as u32));

    let (module, _) = load(table, engine, "instantiate");
    let mut instance = ptr::null_mut();
    // SAFETY: the contract; all arguments live until the call returns, and the module is given away.
    let (text, status) =
        told(|error| unsafe { table.instantiate.unwrap()(engine, module, &guest(), &mut instance, error) });
    assert!(text.contains("panic in instantiate"), "{text}");
    assert_eq!((instance, status), (ptr::null_mut(), ErrorKind::Failed as u32));
}

#[test]
fn run_breaks() {
    let exported = export::table::<Panicking>();
    // SAFETY: the table lives as long as `exported`.
    let table = unsafe { &*exported.as_ptr() };
    let engine = opened(table);
    let (module, _) = load(table, engine, "run");
    let mut instance = ptr::null_mut();
    // SAFETY: the contract; all arguments live until the call returns, and the module is given away.
    let (_, status) =
        told(|error| unsafe { table.instantiate.unwrap()(engine, module, &guest(), &mut instance, error) });
    assert_eq!(status, abi::OK);
    let mut outcome = abi::Outcome { size: size_of::<abi::Outcome>(), end: abi::EXITED, code: 1 };
    // SAFETY: the contract; the instance is given away.
    let (text, ()) = told(|message| unsafe { table.run.unwrap()(engine, instance, &mut outcome, message) });
    assert_eq!((text.as_str(), outcome.end), ("the engine panicked: no message", abi::BROKE));
}

#[test]
fn steps_that_give_nothing() {
    let exported = export::table::<Panicking>();
    // SAFETY: the table lives as long as `exported`.
    let table = unsafe { &*exported.as_ptr() };
    let engine = opened(table);
    // SAFETY: the contract.
    let (text, ()) = told(|text| unsafe { table.fingerprint.unwrap()(engine, text) });
    assert_eq!(text, "");
    let (module, _) = load(table, engine, "drop_module");
    // SAFETY: the contract; the module is given away.
    unsafe { table.drop_module.unwrap()(engine, module) };
    // SAFETY: the contract; nothing else of the engine is left.
    unsafe { table.close.unwrap()(engine) };
}
