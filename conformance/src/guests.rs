//! The modules and programs that run in the containers, and the images that hold them.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::command::run;
use crate::image::{Image, ImageError, Platform};
use crate::lab::Lab;

/// The folder of the guests' sources and built modules.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("guests")
}

/// A built guest by its file name.
#[track_caller]
pub fn read(name: &str) -> Vec<u8> {
    let path = folder().join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The guests' image for Wasm engines. It has every guest at its root, `/data` to write to, and starts `/probe.wasm`.
pub const WASM_IMAGE: &str = "docker.io/library/multiwasm-guests:wasm";
/// The same files as an image for the machine itself; it starts `/probe`.
pub const LINUX_IMAGE: &str = "docker.io/library/multiwasm-guests:linux";

/// Modules that are wrong, each in its own way, by their path in the images.
pub mod bad {
    /// Text, with a name that says otherwise.
    pub const NOT_WASM: &str = "/not-wasm.wasm";
    /// `probe.wasm` without its second half.
    pub const TRUNCATED: &str = "/truncated.wasm";
    /// Wants `env::nobody_offers_this`.
    pub const MISSING_IMPORT: &str = "/missing-import.wasm";
    /// Has no `_start`.
    pub const NO_START: &str = "/no-start.wasm";
    /// Bears native code in a custom section named `wasmedge`.
    pub const WASMEDGE_NATIVE: &str = "/wasmedge-native.wasm";
    /// An ELF file as Wasmtime precompiles into.
    pub const CWASM: &str = "/precompiled.cwasm";
}

/// The guests as an image of `name` for `platform`.
pub fn image(lab: &Lab, name: &str, platform: Platform) -> Result<Image, ImageError> {
    let start = if platform == Platform::Linux { "/probe" } else { "/probe.wasm" };
    let probe = read("probe.wasm");
    let mut image = Image::new(name, platform)
        .folder("/data")
        .folder("/tmp")
        .bytes("/data/file", 0o644, "what /data/file holds\n")
        .bytes(bad::NOT_WASM, 0o644, "this is no module\n")
        .bytes(bad::TRUNCATED, 0o644, &probe[..probe.len() / 2])
        .bytes(bad::WASMEDGE_NATIVE, 0o644, with_custom_section(&probe, "wasmedge", &[0x7f; 64]))
        .bytes(bad::CWASM, 0o755, cwasm())
        .file("/probe", 0o755, native(lab))?
        .file("/bin/busybox", 0o755, &lab.busybox)?
        .cmd(&[start]);
    for name in ["probe", "serve", "tiny", "hello-component", "missing-import", "no-start", "wasix"] {
        image = image.bytes(&format!("/{name}.wasm"), 0o644, read(&format!("{name}.wasm")));
    }
    Ok(image)
}

/// Writes both images as archives and hands them to `with`, name, platform and path: to whatever loads them.
pub fn each_archive(lab: &Lab, mut with: impl FnMut(&str, Platform, &Path)) -> Result<(), ImageError> {
    for (name, platform) in [(WASM_IMAGE, Platform::Wasi), (LINUX_IMAGE, Platform::Linux)] {
        let folder = tempfile::tempdir().map_err(|cause| ImageError::File { path: std::env::temp_dir(), cause })?;
        let archive = folder.path().join("image.tar");
        image(lab, name, platform)?.write(&archive)?;
        with(name, platform, &archive);
    }
    Ok(())
}

/// `module` with one more custom section at its end.
pub fn with_custom_section(module: &[u8], name: &str, content: &[u8]) -> Vec<u8> {
    use wasm_encoder::{CustomSection, Encode};
    let mut section = vec![0]; // the id of a custom section
    CustomSection { name: name.into(), data: content.into() }.encode(&mut section);
    [module, &section].concat()
}

/// The head of an ELF file as Wasmtime writes it: its own OS ABI (200) and type, and a section that is named for it.
fn cwasm() -> Vec<u8> {
    let mut elf = vec![0; 64];
    elf[..8].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 200]);
    elf[16] = 1; // relocatable
    elf[18] = 62; // x86-64
    elf[20] = 1;
    elf[52] = 64;
    elf.extend_from_slice(b"\0.wasmtime.engine\0.wasmtime.bti\0.text\0");
    elf
}

/// The probe as a static program for this machine, compiled when first asked for.
#[track_caller]
pub fn native(lab: &Lab) -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let (sources, built) = (folder().join("probe"), lab.cache.join("probe"));
        let scratch = lab.cache.join(format!("probe.{}", std::process::id()));
        let command = format!("cc -static -O2 -Wall -o {} {}/*.c", scratch.display(), sources.display());
        if let Err(error) = run(&["sh", "-c", &command]).and_then(|output| output.success()) {
            panic!("{error}");
        }
        // Others may run the one that is there: it is replaced whole.
        std::fs::rename(&scratch, &built).unwrap_or_else(|error| panic!("{}: {error}", built.display()));
        built
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use sha2::{Digest, Sha256};

    use super::*;

    /// The built modules, by file name.
    fn modules() -> BTreeMap<String, Vec<u8>> {
        let names = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".wasm")).map(|name| (name.clone(), read(&name))).collect()
    }

    #[test]
    fn each_module_is_what_its_checksum_says() {
        let sums = String::from_utf8(read("SHA256SUMS")).unwrap();
        let written: BTreeMap<_, _> = sums
            .lines()
            .map(|line| line.split_once("  ./").unwrap_or_else(|| panic!("SHA256SUMS: {line:?}")))
            .map(|(sum, name)| (name.to_owned(), sum.to_owned()))
            .collect();
        let found: BTreeMap<_, _> =
            modules().into_iter().map(|(name, bytes)| (name, hex::encode(Sha256::digest(bytes)))).collect();
        assert_eq!(found, written, "make guests builds them and writes their checksums");
    }

    #[test]
    fn each_module_is_in_the_table_of_guests() {
        let table = toml::from_slice::<toml::Table>(&read("guests.toml")).unwrap();
        let listed: BTreeSet<_> =
            table["guest"].as_array().unwrap().iter().map(|row| row["wasm"].as_str().unwrap()).collect();
        let modules = modules();
        assert_eq!(modules.keys().map(String::as_str).collect::<BTreeSet<_>>(), listed);
    }

    #[test]
    fn the_modules_are_small_enough_for_a_source_tree() {
        let bytes: usize = modules().values().map(Vec::len).sum();
        assert!(bytes <= 15 << 20, "{bytes} bytes");
    }
}
