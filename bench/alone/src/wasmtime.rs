//! `alone-wasmtime MODULE ARGUMENT...`: a command on Wasmtime as its own defaults have it, with nothing of multiwasm.
#![forbid(unsafe_code)]

use std::env;

use wasmtime::{Engine, Linker, Module, Result, Store};
use wasmtime_wasi::p1::{WasiP1Ctx, add_to_linker_sync};
use wasmtime_wasi::{I32Exit, WasiCtxBuilder};

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let path = args.first().ok_or_else(|| wasmtime::format_err!("usage: alone-wasmtime MODULE ARGUMENT..."))?;
    let engine = Engine::default();
    let module = Module::from_file(&engine, path)?;
    let mut linker: Linker<WasiP1Ctx> = Linker::new(&engine);
    add_to_linker_sync(&mut linker, |wasi| wasi)?;
    let mut store = Store::new(&engine, WasiCtxBuilder::new().args(&args).inherit_stdio().build_p1());
    let instance = linker.instantiate(&mut store, &module)?;
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
    match start.call(&mut store, ()).map_err(|error| (error.downcast_ref::<I32Exit>().map(|exit| exit.0), error)) {
        Ok(()) => Ok(()),
        Err((Some(status), _)) => std::process::exit(status),
        Err((None, error)) => Err(error),
    }
}
