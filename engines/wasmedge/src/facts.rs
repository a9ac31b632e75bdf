//! What has to be known of a module that WasmEdge does not tell: read from its sections, before WasmEdge sees it.

use multiwasm_engine::{EngineError, ErrorKind};
use wasmparser::{Encoding, Parser, Payload};

/// The custom section in which WasmEdge puts native code ("universal" modules).
const NATIVE_SECTION: &str = "wasmedge";

/// A module's facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Facts {
    /// Pages of 64 KiB that its largest memory starts with.
    pub(crate) memory_pages: u64,
    /// Instantiating it runs code of it.
    pub(crate) has_start: bool,
}

impl Facts {
    /// Reads them from a module in binary format.
    ///
    /// # Errors
    /// Where the bytes are none, are a component, or hold native code.
    pub(crate) fn of(wasm: &[u8]) -> Result<Self, EngineError> {
        if !wasm.starts_with(b"\0asm") {
            return Err(EngineError::new(ErrorKind::Invalid, not_wasm(wasm)));
        }
        let mut facts = Self::default();
        for payload in Parser::new(0).parse_all(wasm) {
            match payload.map_err(|error| EngineError::new(ErrorKind::Invalid, error))? {
                Payload::Version { encoding: Encoding::Component, .. } => return Err(component()),
                Payload::CustomSection(section) if section.name() == NATIVE_SECTION => {
                    return Err(EngineError::new(
                        ErrorKind::Invalid,
                        format_args!(
                            "the module carries native code (custom section {NATIVE_SECTION:?} at offset {:#x}), which \
                             is not run: give the module as it was before it was compiled",
                            section.range().start
                        ),
                    ));
                }
                Payload::MemorySection(memories) => {
                    for memory in memories {
                        let memory = memory.map_err(|error| EngineError::new(ErrorKind::Invalid, error))?;
                        facts.memory_pages = facts.memory_pages.max(memory.initial);
                    }
                }
                Payload::StartSection { .. } => facts.has_start = true,
                _ => {}
            }
        }
        Ok(facts)
    }
}

/// Says that components are not for this engine.
fn component() -> EngineError {
    EngineError::new(
        ErrorKind::Unsupported,
        "wasmedge runs core modules, not components: choose an engine that runs components, or build a core module \
         (target wasm32-wasip1)",
    )
}

/// Says what the bytes are instead of WebAssembly.
fn not_wasm(bytes: &[u8]) -> String {
    match bytes {
        [] => "the file is empty".to_owned(),
        [0x7f, b'E', b'L', b'F', ..] => {
            "native code (an ELF file) in place of WebAssembly, which is not run: give the module as it was before it \
             was compiled"
                .to_owned()
        }
        _ => {
            let head: Vec<_> = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
            format!("not WebAssembly: it begins with the bytes {}, wanted 00 61 73 6d", head.join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(wat: &str) -> Result<Facts, EngineError> {
        Facts::of(&wat::parse_str(wat).unwrap())
    }

    #[test]
    fn memory_and_start_are_seen() {
        assert_eq!(facts("(module)").unwrap(), Facts::default());
        let both = facts("(module (memory 3) (memory 7 9) (func $f) (start $f))").unwrap();
        assert_eq!(both, Facts { memory_pages: 7, has_start: true });
    }

    #[test]
    fn native_code_is_refused() {
        let section = facts(r#"(module (@custom "wasmedge" "code"))"#).unwrap_err();
        assert_eq!(section.kind, ErrorKind::Invalid);
        assert!(section.message.contains("native code"), "{section}");
        let object = Facts::of(b"\x7fELF\x02\x01\x01").unwrap_err();
        assert_eq!(object.kind, ErrorKind::Invalid);
        assert!(object.message.contains("native code"), "{object}");
    }

    #[test]
    fn what_is_no_module_is_refused() {
        assert_eq!(facts("(component)").unwrap_err().kind, ErrorKind::Unsupported);
        let whole = wat::parse_str("(module (memory 1) (func (export \"f\")))").unwrap();
        for length in (0..whole.len()).filter(|length| *length != 8) {
            // Between two sections a torn module is a whole one.
            if let Err(error) = Facts::of(&whole[..length]) {
                assert_eq!(error.kind, ErrorKind::Invalid, "{length} bytes: {error}");
            }
        }
        assert!(Facts::of(b"").unwrap_err().message.contains("empty"));
    }
}
