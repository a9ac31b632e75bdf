//! Tells the plug-in where its library is at run time, so that nobody has to set `LD_LIBRARY_PATH`.

use std::env;
use std::path::Path;

/// Folders that the dynamic linker searches by itself.
const SYSTEM: &[&str] = &["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64"];

fn main() {
    println!("cargo::rerun-if-env-changed=WASMEDGE_LIB_DIR");
    // An installed plug-in may have a library of its own beside it.
    println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN");
    let Some(folder) = env::var_os("WASMEDGE_LIB_DIR") else { return };
    let folder = Path::new(&folder);
    let multiarch = |path: &Path| path.parent().is_some_and(|parent| parent == Path::new("/usr/lib"));
    if SYSTEM.iter().any(|system| folder == Path::new(system)) || multiarch(folder) {
        return;
    }
    println!("cargo::rustc-link-arg=-Wl,-rpath,{}", folder.display());
}
