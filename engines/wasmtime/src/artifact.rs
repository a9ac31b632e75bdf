//! WebAssembly to native code in a file, and back by mapping it.

use std::borrow::Cow;
use std::fs::File;
use std::io::{ErrorKind as IoError, Write};
use std::path::Path;

use multiwasm_engine::{EngineError, ErrorKind, Source, SourceForm, start};
use wasmtime::component::Component;
use wasmtime::{Engine, Module, Precompiled};

const MAGIC: &[u8] = b"\0asm";

/// Compiles `source` and writes the artifact to `path`, which does not exist yet.
pub(crate) fn compile(engine: &Engine, source: &Source<'_>, path: &Path) -> Result<(), EngineError> {
    let SourceForm::Bytes(bytes) = source.form else {
        return Err(EngineError::failed(format_args!("{}: only bytes can be compiled, not an artifact", source.name)));
    };
    let wasm = checked(source, bytes)?;
    let compiled = if source.component { engine.precompile_component(&wasm) } else { engine.precompile_module(&wasm) };
    let compiled = compiled.map_err(|error| refused(source, &error))?;
    File::create_new(path)
        .and_then(|mut file| file.write_all(&compiled))
        .map_err(|error| EngineError::failed(format_args!("artifact {}: {error}", path.display())))
}

/// The core module of `source`, compiled here and now or mapped from an artifact.
pub(crate) fn module(engine: &Engine, source: &Source<'_>) -> Result<Module, EngineError> {
    match source.form {
        SourceForm::Bytes(bytes) => {
            Module::from_binary(engine, &checked(source, bytes)?).map_err(|error| refused(source, &error))
        }
        SourceForm::Artifact(path) => {
            expect(path, Precompiled::Module)?;
            // SAFETY: the contract: the file is what `compile` wrote, and nobody changes it while it is mapped.
            unsafe { Module::deserialize_file(engine, path) }.map_err(|error| stale(path, &error))
        }
    }
}

/// The component of `source`, compiled here and now or mapped from an artifact.
pub(crate) fn component(engine: &Engine, source: &Source<'_>) -> Result<Component, EngineError> {
    match source.form {
        SourceForm::Bytes(bytes) => {
            Component::from_binary(engine, &checked(source, bytes)?).map_err(|error| refused(source, &error))
        }
        SourceForm::Artifact(path) => {
            expect(path, Precompiled::Component)?;
            // SAFETY: the contract: the file is what `compile` wrote, and nobody changes it while it is mapped.
            unsafe { Component::deserialize_file(engine, path) }.map_err(|error| stale(path, &error))
        }
    }
}

/// Refuses what is no WebAssembly of the kind that `source` says, before Wasmtime sees it: native code that somebody
/// precompiled is never taken from bytes. Gives the bytes in the form that is compiled.
fn checked<'a>(source: &Source<'_>, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>, EngineError> {
    let name = source.name;
    let invalid = |text: std::fmt::Arguments<'_>| Err(EngineError::new(ErrorKind::Invalid, text));
    if Engine::detect_precompiled(bytes).is_some() {
        return invalid(format_args!(
            "{name} is native code precompiled for Wasmtime, not WebAssembly: put the module itself into the image"
        ));
    }
    if !bytes.starts_with(MAGIC) {
        return invalid(format_args!("{name} is not WebAssembly: it does not begin with \\0asm"));
    }
    // Behind the magic: version and layer, 16 bits each.
    match (bytes.get(4..8), source.component) {
        (Some([1, 0, 0, 0]), false) => start::deferred(bytes)
            .map(Ok)
            .unwrap_or_else(|| invalid(format_args!("{name} is torn: it ends within a section"))),
        (Some([_, _, 1, 0]), true) => Ok(Cow::Borrowed(bytes)),
        (Some([1, 0, 0, 0]), true) => invalid(format_args!("{name} is a core module, not a component")),
        (Some([_, _, 1, 0]), false) => invalid(format_args!("{name} is a component, not a core module")),
        (Some([version @ .., _, _]), _) => invalid(format_args!(
            "{name} has WebAssembly version {}, known is 1",
            u16::from_le_bytes([version[0], version[1]])
        )),
        _ => invalid(format_args!("{name} is torn: it ends after {} bytes, within the header", bytes.len())),
    }
}

/// What Wasmtime says of WebAssembly that it won't compile.
fn refused(source: &Source<'_>, error: &wasmtime::Error) -> EngineError {
    let words = format!("{error:#}");
    // Wasmtime tells a missing feature from a fault in its words alone.
    let lacking = ["not enabled", "not supported", "unsupported", "disabled"].iter().any(|word| words.contains(word));
    let kind = if lacking { ErrorKind::Unsupported } else { ErrorKind::Invalid };
    EngineError::new(kind, format_args!("{}: {words}", source.name))
}

/// Whether `path` holds an artifact of Wasmtime's at all, and which.
fn expect(path: &Path, wanted: Precompiled) -> Result<(), EngineError> {
    match Engine::detect_precompiled_file(path) {
        Ok(Some(found)) if found == wanted => Ok(()),
        Ok(found) => {
            let found = match found {
                None => "no artifact of wasmtime, or a torn one",
                Some(Precompiled::Module) => "the artifact of a core module, not of a component",
                Some(Precompiled::Component) => "the artifact of a component, not of a core module",
            };
            Err(EngineError::new(ErrorKind::Stale, format_args!("{}: {found}: compile it again", path.display())))
        }
        // Only a file that can't be read is not helped by compiling again.
        Err(error) if error.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() != IoError::UnexpectedEof) => {
            Err(EngineError::failed(format_args!("artifact {}: {error:#}", path.display())))
        }
        Err(error) => Err(stale(path, &error)),
    }
}

fn stale(path: &Path, error: &wasmtime::Error) -> EngineError {
    EngineError::new(ErrorKind::Stale, format_args!("artifact {}: {error:#}: compile it again", path.display()))
}
