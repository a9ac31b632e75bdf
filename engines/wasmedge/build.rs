//! Tells the plug-in where its library is at run time, and makes the stand-in for LLVM with which it starts quickly.
//!
//! WasmEdge as distributions package it needs libLLVM: 30 ms and some 50 MB at each load, for a compiler that only the
//! process that compiles ever calls. So the plug-in brings a library of the same name, found before the real one, that has
//! all symbols which WasmEdge's library wants, and does nothing. `compiler.rs` loads the real one where it is called.

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folders that the dynamic linker searches by itself.
const SYSTEM: &[&str] = &["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64"];
/// Where the stand-in lies, from the plug-in's own folder.
const STAND_IN: &str = "wasmedge-without-llvm";
/// Room for an object of unknown size, a table of virtual functions for one. The largest that 0.17.1 wants has 176 bytes.
const OBJECT: usize = 4096;

fn main() {
    println!("cargo::rerun-if-env-changed=WASMEDGE_LIB_DIR");
    println!("cargo::rerun-if-changed=build.rs");
    let folder = env::var_os("WASMEDGE_LIB_DIR").map(PathBuf::from);
    if let Some(stand_in) = library(folder.as_deref()).and_then(|library| stand_in(&library)) {
        println!("cargo::rustc-link-arg-cdylib=-Wl,-rpath,$ORIGIN/{STAND_IN}");
        for arg in ["-Wl,--push-state,--no-as-needed", &stand_in.display().to_string(), "-Wl,--pop-state"] {
            println!("cargo::rustc-link-arg-cdylib={arg}");
        }
    }
    // An installed plug-in may have a library of its own beside it.
    println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN");
    let Some(folder) = folder else { return };
    let multiarch = |path: &Path| path.parent().is_some_and(|parent| parent == Path::new("/usr/lib"));
    if SYSTEM.iter().any(|system| folder == Path::new(system)) || multiarch(&folder) {
        return;
    }
    println!("cargo::rustc-link-arg=-Wl,-rpath,{}", folder.display());
}

/// WasmEdge's library.
fn library(folder: Option<&Path>) -> Option<PathBuf> {
    let by_compiler = || {
        let said = cc::Build::new().get_compiler().to_command().arg("-print-file-name=libwasmedge.so").output().ok()?;
        Some(PathBuf::from(String::from_utf8(said.stdout).ok()?.trim()))
    };
    folder.map(|folder| folder.join("libwasmedge.so")).or_else(by_compiler).filter(|library| library.exists())
}

/// Makes the stand-in for the libLLVM that `library` needs, beside what cargo builds; none where it needs none.
fn stand_in(library: &Path) -> Option<PathBuf> {
    println!("cargo::rerun-if-changed={}", library.display());
    let said =
        Command::new("readelf").env("LC_ALL", "C").args(["--wide", "--dynamic", "--dyn-syms"]).arg(library).output();
    let said = said.expect("readelf, of binutils, is installed: no linker works without it");
    assert!(said.status.success(), "readelf can't read {}", library.display());
    let text = String::from_utf8_lossy(&said.stdout);
    let mut needed = text.lines().filter_map(|line| line.split("Shared library: [").nth(1)?.split(']').next());
    let name = needed.find(|name| name.starts_with("libLLVM"))?.to_owned();
    let (source, versions) = sources(&text)?;

    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let (c, script) = (out.join("stand_in.c"), out.join("stand_in.ver"));
    fs::write(&c, source).expect("the build's own folder can be written to");
    fs::write(&script, versions).expect("the build's own folder can be written to");
    // Beside the plug-in itself, which cargo puts three folders above: target/PROFILE/build/CRATE/out.
    let folder = out.ancestors().nth(3).expect("cargo's folders").join(STAND_IN);
    fs::create_dir_all(&folder).expect("the build's own folder can be written to");
    let made = folder.join(&name);
    let mut compiler = cc::Build::new().opt_level(1).get_compiler().to_command();
    compiler.args(["-shared", "-fPIC", "-w", "-s", "-o"]).arg(&made).arg(&c);
    compiler.arg(format!("-Wl,--version-script={}", script.display())).arg(format!("-Wl,-soname,{name}"));
    let done = compiler.status().expect("a C compiler is installed");
    assert!(done.success(), "the stand-in for {name} does not compile: {}", c.display());
    Some(made)
}

/// The stand-in's C source and linker script, from what readelf tells of WasmEdge's library.
fn sources(text: &str) -> Option<(String, String)> {
    let mut source = "/* Nothing of LLVM but its names. */\nint multiwasm_no_llvm = 1;\n".to_owned();
    let mut version = None;
    for line in text.lines() {
        // Num: Value Size Type Bind Vis Ndx Name@Version (number)
        let words: Vec<_> = line.split_whitespace().collect();
        let [number, _, _, kind, _, _, "UND", symbol, ..] = words[..] else { continue };
        let Some((name, found)) = symbol.split_once('@').filter(|(_, version)| version.starts_with("LLVM")) else {
            continue;
        };
        if version.get_or_insert(found) != &found {
            return None;
        }
        let number = number.trim_end_matches(':');
        let _ = match kind {
            "TLS" => writeln!(source, "__thread char s{number}[{OBJECT}] __asm__(\"{name}\");"),
            "OBJECT" => writeln!(source, "char s{number}[{OBJECT}] __asm__(\"{name}\") __attribute__((aligned(64)));"),
            _ => writeln!(source, "long s{number}(void) __asm__(\"{name}\");\nlong s{number}(void) {{ return 0; }}"),
        };
    }
    Some((source, format!("{} {{ global: *; }};\n", version?)))
}
