//! A container's memory limit is the guest's: what a compiler needs is not counted in it.

use std::fs;
use std::sync::OnceLock;
use std::time::Duration;

use multiwasm_conformance::ctr::Container;
use multiwasm_conformance::{each_engine, each_target, fat};

/// The fat module in a folder that containers mount.
fn fat_folder() -> &'static tempfile::TempDir {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let written = fs::write(folder.path().join("fat.wasm"), fat::module(fat::COSTLY));
        written.unwrap_or_else(|error| panic!("{error}"));
        folder
    })
}

/// Compiling takes minutes of CPU time on a small machine.
const COMPILED: Duration = Duration::from_secs(600);

each_engine!(a_module_that_is_costly_to_compile_runs_in_64_mib, |target| {
    for _ in ["compiled now", "from the cache"] {
        let running = Container::new(target)
            .flag("--memory-limit", &(64 << 20).to_string())
            .mount(fat_folder().path(), "/fat", "ro")
            .args(["/fat/fat.wasm"])
            .start();
        running.finish_within(COMPILED).unwrap_or_else(|error| panic!("{error}")).expect_code(7);
    }
});

each_target!(a_guest_that_eats_more_than_its_limit_ends_with_137, |target| {
    let container = Container::new(target).flag("--memory-limit", &(64 << 20).to_string());
    container.probe(["eat", "256"]).run().expect_code(137);
});

each_target!(a_guest_within_its_limit_is_left_alone, |target| {
    let container = Container::new(target).flag("--memory-limit", &(64 << 20).to_string());
    container.probe(["eat", "16"]).run().expect_code(0).expect_out("ate 16 MiB\n");
});
