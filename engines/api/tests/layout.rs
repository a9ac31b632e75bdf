//! The header and the Rust types agree: sizes, offsets and constants are compared, each named once.
#![allow(clippy::unwrap_used)] // in a helper of a test, too, a panic is a failed test

mod common;

use std::fmt::Write as _;
use std::mem::offset_of;
use std::process::Command;

use multiwasm_engine::abi::{self, Bytes, EngineTable, Guest, List, Outcome, Preopen, Settings, Sink, Source};
use multiwasm_engine::{Capabilities, ErrorKind, Trap};

/// Asks C (`asked`) for what Rust has (`expected`).
#[derive(Default)]
struct Layout {
    asked: String,
    expected: String,
}

macro_rules! layout {
    ($layout:ident, $c:literal = $rust:ty { $($field:ident),* }) => {
        writeln!($layout.asked, "SIZE({})", $c).unwrap();
        writeln!($layout.expected, "{} {}", $c, size_of::<$rust>()).unwrap();
        $(
            writeln!($layout.asked, "OFFSET({}, {})", $c, stringify!($field)).unwrap();
            writeln!($layout.expected, "{}.{} {}", $c, stringify!($field), offset_of!($rust, $field)).unwrap();
        )*
    };
}

impl Layout {
    fn value(&mut self, name: &str, value: u64) {
        writeln!(self.asked, "VALUE(MULTIWASM_{name})").unwrap();
        writeln!(self.expected, "MULTIWASM_{name} {value}").unwrap();
    }
}

fn structs(layout: &mut Layout) {
    layout!(layout, "multiwasm_bytes" = Bytes { data, len });
    layout!(layout, "multiwasm_list" = List { items, len });
    layout!(layout, "multiwasm_sink" = Sink { context, write });
    layout!(layout, "multiwasm_settings" = Settings { size, optimize, reserved });
    layout!(layout, "multiwasm_source" = Source { size, form, component, name, bytes, artifact, function });
    layout!(layout, "multiwasm_preopen" = Preopen { guest, host, flags, reserved });
    layout!(
        layout,
        "multiwasm_guest" = Guest {
            size,
            args,
            env,
            cwd,
            preopens,
            preopens_len,
            stdin_fd,
            stdout_fd,
            stderr_fd,
            reserved,
            memory_limit
        }
    );
    layout!(layout, "multiwasm_outcome" = Outcome { size, end, code });
    layout!(
        layout,
        "multiwasm_engine" = EngineTable {
            abi,
            size,
            name,
            version,
            capabilities,
            open,
            fingerprint,
            prepare_compile,
            compile,
            load,
            instantiate,
            run,
            drop_module,
            close
        }
    );
}

fn constants(layout: &mut Layout) {
    layout.value("ENGINE_ABI", abi::ENGINE_ABI.into());
    for (bit, name) in Capabilities::NAMES {
        let prefix = if *bit == Capabilities::NEEDS_AOT { "" } else { "CAN_" };
        layout.value(&format!("{prefix}{}", name.to_uppercase().replace('-', "_")), bit.0);
    }
    layout.value("OK", abi::OK.into());
    for (name, kind) in [
        ("INVALID", ErrorKind::Invalid),
        ("UNSUPPORTED", ErrorKind::Unsupported),
        ("MISSING_IMPORT", ErrorKind::MissingImport),
        ("MISSING_EXPORT", ErrorKind::MissingExport),
        ("STALE", ErrorKind::Stale),
        ("LIMIT", ErrorKind::Limit),
        ("FAILED", ErrorKind::Failed),
    ] {
        layout.value(name, kind as u64);
        assert_eq!(ErrorKind::from_status(kind as u32), kind);
    }
    layout.value("FORM_BYTES", abi::FORM_BYTES.into());
    layout.value("FORM_ARTIFACT", abi::FORM_ARTIFACT.into());
    layout.value("PREOPEN_READ_ONLY", abi::PREOPEN_READ_ONLY.into());
    layout.value("EXITED", abi::EXITED.into());
    layout.value("TRAPPED", abi::TRAPPED.into());
    layout.value("BROKE", abi::BROKE.into());
    for (name, trap) in [
        ("OTHER", Trap::Other),
        ("UNREACHABLE", Trap::Unreachable),
        ("MEMORY", Trap::Memory),
        ("TABLE", Trap::Table),
        ("ARITHMETIC", Trap::Arithmetic),
        ("STACK", Trap::Stack),
        ("EXCEPTION", Trap::Exception),
        ("INTERRUPTED", Trap::Interrupted),
    ] {
        layout.value(&format!("TRAP_{name}"), trap as u64);
        assert_eq!(Trap::from_code(trap as i32), trap);
    }
}

#[test]
fn header_and_rust_agree() {
    let mut layout = Layout::default();
    structs(&mut layout);
    constants(&mut layout);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("layout.inc"), &layout.asked).unwrap();
    let include = format!("-I{}", folder.path().display());
    let program = common::cc("layout.c", &folder.path().join("layout"), &[&include]);
    let printed = Command::new(program).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&printed.stdout), layout.expected);
}

#[test]
fn header_is_cpp_too() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("header.cc");
    std::fs::write(&source, "#include \"multiwasm_engine.h\"\n").unwrap();
    let include = concat!("-I", env!("CARGO_MANIFEST_DIR"), "/include");
    let checked = Command::new("c++")
        .args(["-fsyntax-only", "-Wall", "-Wextra", "-Werror", include])
        .arg(&source)
        .output()
        .expect("c++, the system's C++ compiler, is installed");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
