//! `alone-wasmer MODULE ARGUMENT...`: a command on Wasmer as its own defaults have it, with nothing of multiwasm.
#![forbid(unsafe_code)]

use std::env;
use std::error::Error;
use std::io::copy;

use wasmer::{Engine, Module, Store};
use wasmer_wasix::{Pipe, WasiEnv};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let path = args.first().ok_or("usage: alone-wasmer MODULE ARGUMENT...")?;
    // Wasmer's functions that wait are driven by this one.
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let _entered = tokio.enter();
    let engine = Engine::default();
    let mut store = Store::new(engine.clone());
    let module = Module::from_file(&engine, path)?;
    // Without a file system of the host's, which the workspace's Wasmer has no use for, stdio is nowhere unless told.
    let (guests, mut ours) = Pipe::channel();
    let builder = WasiEnv::builder(path).args(&args[1..]).stderr(Box::new(guests)).engine(engine);
    let (instance, env) = builder.instantiate(module, &mut store)?;
    let ended = instance.exports.get_function("_start")?.call(&mut store, &[]);
    env.on_exit(&mut store, None);
    drop((env, instance, store));
    copy(&mut ours, &mut std::io::stderr())?;
    match ended.map_err(|error| error.downcast::<wasmer_wasix::WasiError>()) {
        Ok(_) => Ok(()),
        Err(Ok(wasmer_wasix::WasiError::Exit(status))) => std::process::exit(status.raw()),
        Err(Ok(error)) => Err(error.into()),
        Err(Err(error)) => Err(error.into()),
    }
}
