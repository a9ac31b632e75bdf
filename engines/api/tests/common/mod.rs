//! Builds C sources against the header, as somebody does who writes an engine in C.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles `tests/c/<source>` to `output` with the system's C compiler, warnings being errors.
pub(crate) fn cc(source: &str, output: &Path, flags: &[&str]) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let made = Command::new("cc")
        .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-I"])
        .arg(here.join("include"))
        .args(flags)
        .arg("-o")
        .arg(output)
        .arg(here.join("tests/c").join(source))
        .output()
        .expect("cc, the system's C compiler, is installed");
    assert!(made.status.success(), "cc {source}: {}", String::from_utf8_lossy(&made.stderr));
    output.to_owned()
}

/// A plug-in of the small engine in `folder`, made wrong by `defines`.
#[allow(dead_code)] // not every test that includes this module builds plug-ins
pub(crate) fn tiny_engine(folder: &Path, defines: &[&str]) -> PathBuf {
    let flags: Vec<_> = ["-shared", "-fPIC"].iter().chain(defines).copied().collect();
    cc("tiny_engine.c", &folder.join("libmultiwasm_tiny.so"), &flags)
}
