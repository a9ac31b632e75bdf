//! What a module imports and exports, against what is offered and wanted.

use std::borrow::Cow;
use std::fmt;

use multiwasm_engine::{EngineError, ErrorKind, Source, start};
use wasmer::{Engine, ExternType, FunctionEnv, Imports, Module, Store};
use wasmer_wasix::{WasiEnv, WasiVersion, generate_import_object_from_env, get_wasi_versions};

use crate::{invalid, world};

/// What every core module in binary format begins with: magic, version 1, layer 0.
const MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// What every component begins with: the same magic, layer 1.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// Whether `wasm` is a core module, by its first bytes. Native code, Wasmer's own artifacts among it, ends here.
pub(crate) fn check_binary(source: &Source<'_>, wasm: &[u8]) -> Result<(), EngineError> {
    let name = source.name;
    Err(match wasm {
        _ if wasm.starts_with(COMPONENT) => no_components(name),
        _ if wasm.starts_with(MODULE) && source.component => no_components(name),
        _ if wasm.starts_with(MODULE) => return Ok(()),
        [0x7f, b'E', b'L', b'F', ..] => {
            invalid(format_args!("{name} is native code (ELF), not WebAssembly; it is never executed"))
        }
        _ if wasm.starts_with(b"wasmer") => {
            invalid(format_args!("{name} is native code (a module precompiled by wasmer); it is never executed"))
        }
        _ if wasm.len() < MODULE.len() && MODULE.starts_with(wasm) => {
            invalid(format_args!("{name} is cut short after {} bytes", wasm.len()))
        }
        _ => invalid(format_args!("{name} is not WebAssembly: it does not begin with \\0asm and version 1")),
    })
}

/// `wasm` with its start function kept for later. Not where wasmer-wasix makes further instances of the module or links it
/// with others: each of those needs its own. What is torn is left for the compiler to say.
pub(crate) fn deferred(wasm: &[u8]) -> Cow<'_, [u8]> {
    let names = |word: &[u8]| wasm.windows(word.len()).any(|bytes| bytes == word);
    match start::deferred(wasm) {
        // Either word elsewhere than in its section does no harm.
        Some(changed @ Cow::Owned(_)) if !names(b"wasix_") && !names(b"dylink.0") => changed,
        _ => Cow::Borrowed(wasm),
    }
}

/// The error for a component.
pub(crate) fn no_components(name: &str) -> EngineError {
    EngineError::new(
        ErrorKind::Unsupported,
        format_args!("{name} is a component, and wasmer runs core modules alone: choose an engine with components"),
    )
}

/// Whether `module` imports functions of WASIX.
pub(crate) fn is_wasix(module: &Module) -> bool {
    get_wasi_versions(module, false).is_some_and(|versions| {
        versions.contains(&WasiVersion::Wasix32v1) || versions.contains(&WasiVersion::Wasix64v1)
    })
}

/// Whether `module` is to be linked with others when it is instantiated, so that its imports are not all known yet.
pub(crate) fn is_dynamic(module: &Module) -> bool {
    module.custom_sections("dylink.0").next().is_some()
}

/// The functions that `module` may import, of the versions of WASI that it names.
pub(crate) fn functions(module: &Module, store: &mut Store, env: &FunctionEnv<WasiEnv>) -> Imports {
    let mut versions = get_wasi_versions(module, false).unwrap_or_default();
    // Functions that belong to no version come along with each.
    if versions.is_empty() {
        versions.insert(WasiVersion::Snapshot1);
    }
    let mut offered = Imports::new();
    for version in versions {
        offered.extend(&generate_import_object_from_env(store, env, version));
    }
    offered
}

/// Whether all that `module` imports is offered, and with the type that it expects.
pub(crate) fn check_imports(engine: &Engine, name: &str, module: &Module) -> Result<(), EngineError> {
    if module.imports().next().is_none() || is_dynamic(module) {
        return Ok(());
    }
    let mut store = Store::new(engine.clone());
    let env = world::empty(engine)?;
    let env = FunctionEnv::new(&mut store, env);
    let offered = functions(module, &mut store, &env);
    for import in module.imports() {
        let missing = |why: fmt::Arguments<'_>| {
            let message = format_args!("{name} imports {}::{}, {why}", import.module(), import.name()).to_string();
            EngineError::new(ErrorKind::MissingImport, message)
        };
        match (import.ty(), offered.get_export(import.module(), import.name())) {
            (ExternType::Memory(_), None) if (import.module(), import.name()) == ("env", "memory") => {}
            (_, None) => return Err(missing(format_args!("which wasmer does not offer"))),
            (wanted, Some(found)) => {
                let found = found.ty(&store);
                if found != *wanted {
                    return Err(missing(format_args!("which wasmer offers with another type ({found:?})")));
                }
            }
        }
    }
    Ok(())
}

/// Whether `module` exports a function `entry` that can be called without parameters.
pub(crate) fn check_entry(name: &str, module: &Module, entry: &str) -> Result<(), EngineError> {
    match module.exports().functions().find(|export| export.name() == entry) {
        None => Err(EngineError::new(ErrorKind::MissingExport, format_args!("{name} exports no function {entry}"))),
        Some(export) if !export.ty().params().is_empty() => Err(EngineError::new(
            ErrorKind::Unsupported,
            format_args!("{name}: function {entry} wants parameters ({}), and none are given", export.ty()),
        )),
        Some(_) if entry != "_start" && is_dynamic(module) => Err(EngineError::new(
            ErrorKind::Unsupported,
            format_args!("{name} is dynamically linked: of such a module wasmer runs _start alone, not {entry}"),
        )),
        Some(_) => Ok(()),
    }
}
