//! The module in a shared object, shortened to what a start needs of it: all but what is there as native code.
//!
//! WasmEdge's compiler puts the whole module into its output, and its loader copies that twice to read the types, imports and
//! data, passing over each function's body: 25 ms for 20 MB, at each start. So bodies, and sections that only debuggers read,
//! are taken out once, when the module is compiled.

use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use multiwasm_engine::EngineError;
use object::{Object, ObjectSegment, ObjectSymbol};
use wasm_encoder::{CodeSection, Function, Module, RawSection};
use wasmparser::{KnownCustom, Parser, Payload};

/// The names of the module and of its length, a u32, in a shared object (WasmEdge, lib/llvm/compiler.cpp).
const OBJECTS: [&str; 2] = ["wasm.code", "wasm.size"];

/// Takes out of the shared object at `path` what no start needs of the module in it. One that is not as expected stays as it is.
///
/// # Errors
/// The file can't be read or written.
pub(crate) fn shorten(path: &Path) -> Result<(), EngineError> {
    let about = |error| EngineError::failed(format_args!("can't shorten {}: {error}", path.display()));
    let bytes = fs::read(path).map_err(about)?;
    let Some((code, mut module, size)) = shortened(&bytes) else { return Ok(()) };
    let Ok(length) = u32::try_from(module.len()) else { return Ok(()) };
    let file = File::options().write(true).open(path).map_err(about)?;
    module.resize(code.len(), 0);
    file.write_all_at(&module, code.start as u64).map_err(about)?;
    file.write_all_at(&length.to_le_bytes(), size.start as u64).map_err(about)
}

/// Where the module is in the file, its shorter form, and where its length is.
fn shortened(bytes: &[u8]) -> Option<(Range<usize>, Vec<u8>, Range<usize>)> {
    let [code, size] = places(bytes)?;
    let length: [u8; 4] = bytes.get(size.clone())?.try_into().ok()?;
    let is_apart = code.end <= size.start || size.end <= code.start;
    let module = bytes.get(code.clone()).filter(|it| is_apart && it.len() == u32::from_le_bytes(length) as usize)?;
    let skeleton = skeleton(module).filter(|it| it.len() < module.len())?;
    Some((code, skeleton, size))
}

/// Where in the file the objects are.
fn places(bytes: &[u8]) -> Option<[Range<usize>; 2]> {
    let file = object::File::parse(bytes).ok()?;
    let place = |name: &str| {
        let symbol = file.dynamic_symbols().find(|symbol| symbol.name() == Ok(name))?;
        let segment = file.segments().find(|segment| {
            (segment.address()..segment.address().saturating_add(segment.size())).contains(&symbol.address())
        })?;
        let (offset, length) = segment.file_range();
        let start = symbol.address() - segment.address();
        let end = start.checked_add(symbol.size()).filter(|end| *end <= length)?;
        let in_file = |at: u64| offset.checked_add(at).and_then(|at| usize::try_from(at).ok());
        Some(in_file(start)?..in_file(end)?)
    };
    Some([place(OBJECTS[0])?, place(OBJECTS[1])?])
}

/// The module with functions that do nothing but trap, should anybody interpret them, and of its custom sections only that with names.
fn skeleton(wasm: &[u8]) -> Option<Vec<u8>> {
    let mut module = Module::new();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.ok()? {
            Payload::CodeSectionStart { count, .. } => {
                let mut body = Function::new([]);
                body.instructions().unreachable().end();
                let mut code = CodeSection::new();
                for _ in 0..count {
                    code.function(&body);
                }
                module.section(&code);
            }
            Payload::CustomSection(section) if !matches!(section.as_known(), KnownCustom::Name(_)) => {}
            payload => {
                if let Some((id, range)) = payload.as_section() {
                    module.section(&RawSection { id, data: wasm.get(range.start as usize..range.end as usize)? });
                }
            }
        }
    }
    Some(module.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_object_is_shortened_once_and_keeps_its_code() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("module.so");
        let body = "i32.const 8 i32.load drop ".repeat(100);
        let wasm = wat::parse_str(format!(r#"(module (memory 1) (func (export "_start") {body}))"#)).unwrap();
        crate::compiler::compile(&wasm, &crate::ffi::c_path(&path).unwrap(), 0).unwrap();
        let whole = fs::read(&path).unwrap();
        let (code, module, size) = shortened(&whole).unwrap();
        assert_eq!(whole[code.clone()], wasm);
        shorten(&path).unwrap();
        let short = fs::read(&path).unwrap();
        assert_eq!(short[code.clone()][..module.len()], module);
        assert_eq!(short[size.clone()], (module.len() as u32).to_le_bytes());
        let native = |bytes: &[u8]| {
            let others = (0..bytes.len()).filter(|at| !code.contains(at) && !size.contains(at));
            others.map(|at| bytes[at]).collect::<Vec<_>>()
        };
        assert!(native(&short) == native(&whole), "all else is as it was");
        // Its length is not that of the symbol any more.
        shorten(&path).unwrap();
        assert!(fs::read(&path).unwrap() == short);
        fs::write(&path, b"\x7fELF").unwrap();
        shorten(&path).unwrap();
    }

    #[test]
    fn all_but_bodies_and_debugging_stays() {
        let text = r#"(module (import "a" "b" (func)) (memory 1) (data (i32.const 8) "data")
            (func $near (export "near") (param i32) (result i32) (local i64) local.get 0)
            (@custom ".debug_info" "much"))"#;
        let stays = r#"(module (import "a" "b" (func)) (memory 1) (data (i32.const 8) "data")
            (func $near (export "near") (param i32) (result i32) unreachable))"#;
        let shortened = skeleton(&wat::parse_str(text).unwrap()).unwrap();
        // Names of locals are in the section of names.
        let sections = |wasm: &[u8]| -> Vec<(u8, Vec<u8>)> {
            let all = Parser::new(0).parse_all(wasm).map(Result::unwrap);
            let of = |payload: Payload<'_>| {
                payload.as_section().map(|(id, range)| (id, wasm[range.start as usize..range.end as usize].to_vec()))
            };
            all.filter_map(of).filter(|(id, _)| *id != 0).collect()
        };
        assert_eq!(sections(&shortened), sections(&wat::parse_str(stays).unwrap()));
        assert!(
            shortened.windows(4).any(|bytes| bytes == b"near") && !shortened.windows(4).any(|bytes| bytes == b"much")
        );
        assert_eq!(skeleton(b"\0asm\x01\0\0\0\x0a"), None);
    }
}
