//! What a shared object keeps of the module that it was made of: all but what is in it as native code.
//!
//! WasmEdge's compiler puts the whole module into its output, and its loader copies that twice to read the types, imports and
//! data, passing over each function's body: 25 ms for 20 MB, at each start. So bodies, and sections that only debuggers read,
//! are taken out once, when the module is compiled.

use std::fs::{self, File};
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
pub(crate) fn keep(path: &Path) -> Result<(), EngineError> {
    let about = |error| EngineError::failed(format_args!("can't shorten {}: {error}", path.display()));
    let bytes = fs::read(path).map_err(about)?;
    let Some([code, size]) = places(&bytes) else { return Ok(()) };
    let Some(skeleton) = bytes.get(code.clone()).and_then(skeleton).filter(|it| it.len() < code.len()) else {
        return Ok(());
    };
    let (Ok(length), 4) = (u32::try_from(skeleton.len()), size.len()) else { return Ok(()) };
    let file = File::options().write(true).open(path).map_err(about)?;
    let mut module = skeleton;
    module.resize(code.len(), 0);
    file.write_all_at(&module, code.start as u64).map_err(about)?;
    file.write_all_at(&length.to_le_bytes(), size.start as u64).map_err(about)
}

/// Where in the file the objects are.
fn places(bytes: &[u8]) -> Option<[std::ops::Range<usize>; 2]> {
    let file = object::File::parse(bytes).ok()?;
    let place = |name: &str| {
        let symbol = file.dynamic_symbols().find(|symbol| symbol.name() == Ok(name))?;
        let segment = file.segments().find(|segment| {
            (segment.address()..segment.address().saturating_add(segment.size())).contains(&symbol.address())
        })?;
        let (offset, length) = segment.file_range();
        let start = symbol.address() - segment.address();
        let end = start.checked_add(symbol.size()).filter(|end| *end <= length)?;
        Some((offset + start) as usize..(offset + end) as usize)
    };
    Some([place(OBJECTS[0])?, place(OBJECTS[1])?])
}

/// The module with empty functions, and of its custom sections only that with names.
fn skeleton(wasm: &[u8]) -> Option<Vec<u8>> {
    let mut module = Module::new();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.ok()? {
            Payload::CodeSectionStart { count, .. } => {
                let mut empty = Function::new([]);
                empty.instructions().end();
                let mut code = CodeSection::new();
                for _ in 0..count {
                    code.function(&empty);
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
    fn all_but_bodies_and_debugging_stays() {
        let text = r#"(module (import "a" "b" (func)) (memory 1) (data (i32.const 8) "data")
            (func $near (export "near") (param i32) (result i32) (local i64) local.get 0)
            (@custom ".debug_info" "much"))"#;
        let stays = r#"(module (import "a" "b" (func)) (memory 1) (data (i32.const 8) "data")
            (func $near (export "near") (param i32) (result i32)))"#;
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
