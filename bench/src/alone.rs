//! Engines with nothing of multiwasm: what a module's compute in a container is set against.

use std::path::{Path, PathBuf};

use multiwasm_conformance::command::run;

use crate::BenchError;
use crate::context::Context;

const WASMEDGE: &str = include_str!("../alone/wasmedge.c");

/// What an engine makes of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Its best.
    Compiled,
    /// None, as WasmEdge can do without.
    Interpreted,
}

/// What runs `module` with arguments behind on the engine of this name, in its own default settings: Wasmtime and Wasmer by
/// the programs of `alone/`, WasmEdge by its own command, which its library holds; what it shall not interpret, its `compile`
/// has compiled before.
///
/// # Errors
/// A program is not built, or WasmEdge can't compile the module.
pub fn command(context: &Context, engine: &str, code: Code, module: &Path) -> Result<Vec<String>, BenchError> {
    if engine == "wasmedge" {
        let program = wasmedge(context)?;
        let made = module.with_extension("so");
        if code == Code::Compiled && !made.exists() {
            let paths = [program.display().to_string(), module.display().to_string(), made.display().to_string()];
            run(&[&paths[0], "compile", &paths[1], &paths[2]])?.success()?;
        }
        let (mode, module) = match code {
            Code::Compiled => ("aot", made.as_path()),
            Code::Interpreted => ("interpreter", module),
        };
        let words = [&program.display().to_string(), "run", "--run-mode", mode, &module.display().to_string()];
        return Ok(words.map(str::to_owned).to_vec());
    }
    let this = std::env::current_exe().map_err(BenchError::file("this program"))?;
    let program = this.with_file_name(format!("alone-{engine}"));
    if !program.exists() {
        let missing = format!("{} is missing, which runs {engine} alone: make tools", program.display());
        return Err(BenchError::Unexpected(missing));
    }
    Ok(vec![program.display().to_string(), module.display().to_string()])
}

/// WasmEdge's command, compiled with the library that `scripts/get-wasmedge` got.
fn wasmedge(context: &Context) -> Result<PathBuf, BenchError> {
    let program = context.folder().join("alone-wasmedge");
    if !program.exists() {
        let source = context.on_host("alone-wasmedge.c", WASMEDGE.as_bytes())?.display().to_string();
        let got = context.lab.cache.with_file_name("wasmedge");
        let (include, library) = (got.join("include").display().to_string(), got.join("lib").display().to_string());
        let search = format!("-Wl,-rpath,{library}");
        let out = program.display().to_string();
        run(&["cc", "-O2", "-o", &out, &source, "-I", &include, "-L", &library, "-lwasmedge", &search])?.success()?;
    }
    Ok(program)
}
