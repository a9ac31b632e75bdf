//! Builds the guests that no C compiler makes: text modules, and components around preview 1 modules.
//!
//! `assemble FOLDER [MODULE COMPONENT]...`: each FOLDER/*.wat becomes its *.wasm, each MODULE the file FOLDER/COMPONENT.

use std::error::Error;
use std::path::Path;

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
};
use wit_component::ComponentEncoder;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let [folder, pairs @ ..] = words.as_slice() else {
        return Err("wanted: assemble FOLDER [MODULE COMPONENT]...".into());
    };
    let folder = Path::new(folder);
    let (pairs, []) = pairs.as_chunks() else { return Err("a module has no name for its component".into()) };
    for [module, name] in pairs {
        std::fs::write(folder.join(name), component(&std::fs::read(module)?)?)?;
    }
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wat") {
            std::fs::write(path.with_extension("wasm"), wat::parse_file(&path)?)?;
        }
    }
    Ok(())
}

/// A preview 2 command around a preview 1 module.
fn component(module: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let encoded = ComponentEncoder::default()
        .module(module)?
        .adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER)?
        .validate(true)
        .encode()?;
    Ok(encoded)
}
