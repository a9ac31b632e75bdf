//! Tests of reading modules.

use super::*;

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

fn custom_section(name: &str, data: &[u8]) -> Vec<u8> {
    let mut section = vec![0, (1 + name.len() + data.len()) as u8, name.len() as u8];
    section.extend_from_slice(name.as_bytes());
    section.extend_from_slice(data);
    section
}

const MODULE: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
    (import "env" "memory" (memory 1))
    (func (export "_start"))
    (table (export "t") 1 funcref))"#;

#[test]
fn a_module() {
    let facts = Module::read(&wat(MODULE)).unwrap();
    assert_eq!((facts.kind, facts.native), (Kind::Module, None));
    let import = |module: &str, name: &str, kind| Import { module: module.into(), name: name.into(), kind };
    assert_eq!(
        facts.imports,
        [import("wasi_snapshot_preview1", "fd_write", "func"), import("env", "memory", "memory")]
    );
    assert!(facts.exports_function("_start"));
    assert!(!facts.exports_function("t"));
}

#[test]
fn a_component_with_a_module_inside() {
    let facts = Module::read(&wat(r#"(component
        (import "wasi:cli/environment@0.2.0" (instance))
        (core module (import "inner" "hidden" (func)))
        (import "f" (func))
        (instance $run)
        (export "wasi:cli/run@0.2.0" (instance $run)))"#))
    .unwrap();
    assert_eq!(facts.kind, Kind::Component);
    let names: Vec<_> = facts.imports.iter().map(|import| (import.module.as_str(), import.kind)).collect();
    assert_eq!(names, [("wasi:cli/environment@0.2.0", "instance"), ("f", "func")]);
    assert_eq!(facts.exports, [Export { name: "wasi:cli/run@0.2.0".into(), kind: "instance" }]);
}

#[test]
fn what_is_lacking_is_named_with_what_there_is() {
    let facts = Module::read(&wat(MODULE)).unwrap();
    assert_eq!(facts.lacks(None), None);
    assert_eq!(facts.lacks(Some("t")).unwrap(), "exports no function t: it exports _start");
    let empty = Module::read(&wat("(module)")).unwrap();
    assert_eq!(empty.lacks(None).unwrap(), "exports no function _start: it exports none at all");
    let many: String = (0..10).map(|number| format!(r#"(func (export "f{number}"))"#)).collect();
    let many = Module::read(&wat(&format!("(module {many})"))).unwrap();
    assert!(many.lacks(Some("x")).unwrap().ends_with("f0, f1, f2, f3, f4, f5, f6, f7 and 2 more"));

    let component = |export: &str| {
        let text = format!(r#"(component (instance $i) (export "{export}" (instance $i)))"#);
        Module::read(&wat(&text)).unwrap()
    };
    assert_eq!(component("wasi:cli/run@0.2.6").lacks(None), None);
    let words = component("wasi:http/incoming-handler@0.2.0").lacks(None).unwrap();
    assert!(words.contains("wasi:cli/run") && words.ends_with("wasi:http/incoming-handler@0.2.0"), "{words}");
}

#[test]
fn the_import_of_a_message_is_found() {
    let facts = Module::read(&wat(r#"(module (import "env" "f" (func)) (import "env" "ff" (global i32)))"#)).unwrap();
    let found = |message| facts.import_in(message).map(ToString::to_string);
    assert_eq!(found("nobody offers the import env::f here").as_deref(), Some("the function env::f"));
    assert_eq!(found("imports env::ff, alas").as_deref(), Some("the global env::ff"));
    assert_eq!(found("something else"), None);
}

#[test]
fn native_code_in_a_custom_section() {
    let mut bytes = wat(MODULE);
    bytes.extend(custom_section("wasmedge-like", b"x"));
    assert_eq!(Module::read(&bytes).unwrap().native, None);
    bytes.extend(custom_section("wasmedge", b"\x01\x02"));
    assert_eq!(Module::read(&bytes).unwrap().native, Some("wasmedge"));
}

#[test]
fn no_cut_goes_unnoticed() {
    let whole = wat(MODULE);
    let mut boundaries = 0;
    for length in 0..whole.len() {
        match Module::read(&whole[..length]) {
            // Between two sections a cut can't be told from an end.
            Ok(_) => boundaries += 1,
            Err(ModuleError::Truncated { said, left, .. }) => assert!(said > left),
            Err(ModuleError::Damaged(reason)) => assert!(length < 8 && reason.contains("truncated"), "{reason}"),
            Err(ModuleError::NotWasm(EntryKind::Unknown)) => assert!(length < 4),
            Err(other) => panic!("{length}: {other}"),
        }
    }
    assert!(boundaries > 1 && boundaries < 8);
}

#[test]
fn a_cut_names_what_is_missing() {
    let mut bytes = wat("(module)");
    bytes.extend([10, 100, 1, 2, 3]);
    assert_eq!(
        Module::read(&bytes).unwrap_err().to_string(),
        "truncated: the section of id 10 at offset 10 says it has 100 bytes, and 3 are left of the file"
    );
}

#[test]
fn other_versions_are_refused() {
    let version = Module::read(b"\0asm\x02\0\0\0");
    assert_eq!(version, Err(ModuleError::Version { version: 2, layer: 0 }));
}

#[test]
fn what_is_not_wasm_is_named() {
    for (first, kind) in [
        (&b"\0asm\x01\0\0\0"[..], EntryKind::Wasm),
        (b"\x7fELF\x02\x01\x01\0\0", EntryKind::Elf),
        (b"\x7fELF\x02\x01\x01\xc8\0", EntryKind::Precompiled(Some("wasmtime"))),
        (b"wasmer-universal\0", EntryKind::Precompiled(Some("wasmer"))),
        (b"\0aot\x05", EntryKind::Precompiled(Some("wamr"))),
        (b"#!/bin/sh\n", EntryKind::Script),
        (b" ;; note\n(; another ;)\n(module)", EntryKind::WasmText),
        (b"(component", EntryKind::WasmText),
        (b"(; endless", EntryKind::Unknown),
        (b"hello", EntryKind::Unknown),
        (b"", EntryKind::Unknown),
    ] {
        assert_eq!(EntryKind::of(first), kind, "{first:?}");
        let error = match kind {
            EntryKind::Wasm => continue,
            EntryKind::WasmText => ModuleError::Text,
            kind => ModuleError::NotWasm(kind),
        };
        assert_eq!(Module::read(first), Err(error));
    }
    let elf = b"\x7fELF\x02\x01\x01\0\0";
    assert_eq!(EntryKind::of_file(Path::new("/app.wasm"), elf), EntryKind::Precompiled(None));
    assert_eq!(EntryKind::of_file(Path::new("/pause"), elf), EntryKind::Elf);
}
