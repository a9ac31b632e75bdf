//! Puts the cases and the guests into the library, so that the installed command needs no source tree.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it for a build script"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it for a build script"));
    let mut table = String::new();
    for (name, folder, kinds) in [("CASES", "cases", &["toml"][..]), ("GUESTS", "guests", &["toml", "wasm", "c", "h"])]
    {
        println!("cargo::rerun-if-changed={folder}");
        let mut files = Vec::new();
        collect(&root.join(folder), kinds, &mut files)?;
        files.sort();
        writeln!(table, "pub(super) static {name}: &[(&str, &[u8])] = &[").expect("a string takes all");
        for file in files {
            let short = file.strip_prefix(root.join(folder)).expect("it was found below the folder");
            // By the compiler's own view of where the package is: clones that share a target folder share this file.
            let path = format!("/{folder}/{}", short.display());
            writeln!(table, "    ({short:?}, include_bytes!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {path:?}))),")
                .expect("a string takes all");
        }
        table.push_str("];\n");
    }
    fs::write(out.join("embedded.rs"), table)
}

/// The files of these kinds in a folder and those below, but for what package managers and compilers put there.
fn collect(folder: &Path, kinds: &[&str], files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if !path.ends_with("target") && !path.ends_with("node_modules") {
                collect(&path, kinds, files)?;
            }
        } else if path.extension().is_some_and(|kind| kinds.iter().any(|wanted| kind == *wanted)) {
            files.push(path);
        }
    }
    Ok(())
}
