//! Tells the crate which Wasmtime it is built with: the crate has no constant for it, the workspace's lock file does.

use std::path::Path;

fn main() {
    let manifest = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it for build scripts");
    let lock = Path::new(&manifest)
        .ancestors()
        .map(|folder| folder.join("Cargo.lock"))
        .find(|lock| lock.exists())
        .expect("cargo writes the lock file before it builds");
    println!("cargo::rerun-if-changed={}", lock.display());
    let text = std::fs::read_to_string(&lock).expect("the lock file is readable");
    let version = version_of(&text, "wasmtime").expect("the lock file has wasmtime, a dependency of this crate");
    println!("cargo::rustc-env=WASMTIME_VERSION={version}");
}

/// The version on the line below `name = "<package>"`.
fn version_of<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let mut lines = lock.lines();
    lines.find(|line| line.strip_prefix("name = ").is_some_and(|name| name.trim_matches('"') == package))?;
    Some(lines.next()?.strip_prefix("version = ")?.trim_matches('"'))
}
