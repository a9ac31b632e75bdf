//! Quick code first, the best code next: what `compile` promises of one start and of those after it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use multiwasm_conformance::command::LIMIT;
use multiwasm_conformance::ctr::{Container, await_true, lab};
use multiwasm_conformance::{each_engine, fat};

/// How long a background compilation may take, which gets what processors nobody else wants.
const IDLE: Duration = Duration::from_secs(300);

fn log() -> String {
    fs::read_to_string(&lab().log).unwrap_or_else(|error| panic!("{error}"))
}

/// How many starts of the module have said that they have quick code.
fn quick_starts(module: &str) -> usize {
    log().lines().filter(|line| line.contains(module) && line.contains(QUICK)).count()
}

/// Runs the container to its end, and until containerd has copied what its shim said of its creation: no one else waits for that.
fn run(container: Container) {
    let created = format!("created {} as process", container.id());
    container.run().expect_code(7);
    await_true("the shim's words are in the log", LIMIT, || log().contains(&created));
}

/// What a start says that has not the best code, whether that is compiled now or, as others are, later.
const QUICK: &str = ", its best code is ";
const FAILED: &str = ", its best code could not be compiled";

/// What runs a module of its own, which no cache has: its name, and the container as often as it is asked for.
fn module(
    folder: &std::path::Path,
    engine: multiwasm_conformance::targets::Target,
    mode: &str,
) -> (String, impl Fn() -> Container) {
    let id = Container::new(engine).id().to_owned();
    let name = format!("/module/{id}.wasm");
    let bytes = fat::unique(fat::Size { functions: 40, ..fat::COSTLY }, &id);
    fs::write(folder.join(format!("{id}.wasm")), bytes).unwrap_or_else(|error| panic!("{error}"));
    let (folder, mode, path) = (folder.to_owned(), mode.to_owned(), name.clone());
    let container = move || {
        let container = Container::new(engine).annotation("io.containerd.multiwasm.compile", &mode);
        container.mount(&folder, "/module", "ro").args([&path])
    };
    (name, container)
}

each_engine!(in_the_background_the_first_start_is_quick_and_a_later_one_has_the_best_code, |target| {
    let folder = tempfile::tempdir().unwrap();
    let (name, container) = module(folder.path(), target, "background");
    run(container());
    assert_eq!(quick_starts(&name), 1, "a first start says that it is quick");
    let mut before = 1;
    await_true("a start has the best code", IDLE, || {
        run(container());
        let now = quick_starts(&name);
        std::mem::replace(&mut before, now) == now
    });
    run(container());
    assert_eq!(quick_starts(&name), before, "it is there to stay");
    let failed = |line: &&str| line.contains(&name) && line.contains(FAILED);
    assert_eq!(log().lines().find(failed), None, "it could be compiled");
});

each_engine!(what_is_compiled_eagerly_is_never_quick, |target| {
    let folder = tempfile::tempdir().unwrap();
    let (name, container) = module(folder.path(), target, "eager");
    run(container());
    run(container());
    assert_eq!(quick_starts(&name), 0);
});

each_engine!(where_the_cache_is_not_safe_each_start_says_so_and_runs, |target| {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    fs::create_dir(&cache).unwrap();
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).unwrap();
    let config = folder.path().join("config.toml");
    fs::write(&config, format!("cache.path = {cache:?}\n")).unwrap();
    let (name, container) = module(folder.path(), target, "background");
    let told = || log().lines().filter(|line| line.contains(&name) && line.contains("others may change it")).count();
    for start in 1..=2 {
        run(container().flag("--runtime-config-path", &config.display().to_string()));
        assert_eq!(told(), start);
    }
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 0, "nothing was put where others may change it");
});
