//! Names for the numbers in WasmEdge's log: functions of a module by index and by place in the file.

use std::ffi::{CStr, c_void};
use std::fmt::Write;

use wasmparser::{BinaryReader, KnownCustom, Name, NameSectionReader, Parser, Payload, TypeRef};

/// What is kept of a module to name its functions.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// The content of the custom section `name`.
    section: Vec<u8>,
    /// Where each function body begins, in the order of the code section: in the file, or, of an artifact, in its skeleton.
    bodies: Vec<u32>,
    /// Functions that are imported; indices begin with them.
    imported: u32,
}

impl Names {
    /// Reads a module; one that can't be read has no names.
    pub(crate) fn of(wasm: &[u8]) -> Self {
        let mut names = Self::default();
        for payload in Parser::new(0).parse_all(wasm).map_while(Result::ok) {
            match payload {
                Payload::ImportSection(imports) => {
                    let kinds = imports.into_imports().map_while(Result::ok).map(|import| import.ty);
                    names.imported = kinds.filter(|kind| matches!(kind, TypeRef::Func(_))).count() as u32;
                }
                Payload::CodeSectionEntry(body) => names.bodies.push(body.range().start as u32),
                Payload::CustomSection(section) if matches!(section.as_known(), KnownCustom::Name(_)) => {
                    names.section = section.data().to_vec();
                }
                _ => {}
            }
        }
        names
    }

    /// The index of the function whose body has this offset in the file.
    pub(crate) fn at(&self, offset: u32) -> Option<u32> {
        let bodies = self.bodies.partition_point(|start| *start <= offset) as u32;
        bodies.checked_sub(1).map(|body| self.imported + body)
    }

    /// A backtrace of these functions, the innermost first.
    pub(crate) fn backtrace(&self, functions: &[u32]) -> String {
        let mut text = "backtrace:".to_owned();
        for (frame, function) in functions.iter().enumerate() {
            let name = self.name(*function).unwrap_or_default();
            // Writing to a string can't fail.
            let _ = write!(text, "\n  {frame}: function {function} {name}");
        }
        text
    }

    fn name(&self, function: u32) -> Option<&str> {
        let subsections = NameSectionReader::new(BinaryReader::new(&self.section, 0));
        let functions = subsections.map_while(Result::ok).find_map(|subsection| match subsection {
            Name::Function(names) => Some(names),
            _ => None,
        })?;
        functions.into_iter().map_while(Result::ok).find(|naming| naming.index == function).map(|naming| naming.name)
    }
}

/// The module that an artifact was made from: it is part of the shared object and mapped with it.
pub(crate) struct Embedded {
    handle: *mut c_void,
}

impl Embedded {
    /// The artifact at `path`, which must be loaded already; none where it is not.
    pub(crate) fn in_artifact(path: &CStr) -> Option<Self> {
        // SAFETY: nothing is loaded, only looked up among what is, and counted once more.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
        (!handle.is_null()).then(|| Self { handle })
    }

    /// Its functions' names.
    pub(crate) fn names(&self) -> Names {
        // SAFETY: the handle is open; what the compiler wrote has these two objects: the module and its length.
        let wasm = unsafe {
            let code = libc::dlsym(self.handle, c"wasm.code".as_ptr()).cast::<u8>();
            let size = libc::dlsym(self.handle, c"wasm.size".as_ptr()).cast::<u32>();
            if code.is_null() || size.is_null() {
                return Names::default();
            }
            std::slice::from_raw_parts(code, size.read() as usize)
        };
        Names::of(wasm)
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        // SAFETY: opened once by us.
        unsafe { libc::dlclose(self.handle) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_named_by_index_and_offset() {
        let wasm = wat::parse_str(r#"(module (import "a" "b" (func $far)) (func $near unreachable) (func $last))"#);
        let wasm = wasm.unwrap();
        let names = Names::of(&wasm);
        let unreachable = wasm.windows(2).position(|bytes| bytes == [0x00, 0x0b]).unwrap();
        assert_eq!(names.at(unreachable as u32), Some(1));
        assert_eq!(names.at(0), None);
        assert_eq!(
            names.backtrace(&[1, 0, 9]),
            "backtrace:\n  0: function 1 near\n  1: function 0 far\n  2: function 9 "
        );
    }
}
