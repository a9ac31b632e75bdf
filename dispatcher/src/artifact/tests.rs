//! The cache and the compile process, with an engine in C that does what the module says.
//!
//! These run as root, as the shim does.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};
use std::time::Duration;

use multiwasm_engine::Settings;
use multiwasm_engine::loader::Plugin;
use nix::fcntl::{Flock, FlockArg};

use super::*;

/// A folder with the odd engine and a cache.
struct Lab {
    folder: tempfile::TempDir,
    engine: LoadedEngine,
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let built = Command::new("cc")
            .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"])
            .arg(folder.path().join("odd.so"))
            .arg("-I")
            .arg(here.join("../engines/api/include"))
            .arg(here.join("tests/engines/odd_engine.c"))
            .status();
        assert!(built.unwrap().success());
        let engine = started(folder.path());
        Self { folder, engine }
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn cache(&self) -> Cache {
        Cache::open(&self.dir()).unwrap()
    }

    fn key(&self, module: &str) -> Key {
        Key::of(module.as_bytes(), &self.engine)
    }

    fn obtain(&self, module: &str) -> Result<Artifact, CompileError> {
        obtain(&self.engine, &source(module), None, Some(&self.cache()), &limits())
    }

    /// Stores an artifact and waits until it is believed without being hashed.
    fn settled(&self, module: &str) -> PathBuf {
        let path = self.obtain(module).unwrap().path().to_owned();
        // Time itself is what is awaited: the kernel's clock must have moved on.
        std::thread::sleep(Duration::from_millis(30));
        assert!(self.cache().find(&self.key(module)).is_some());
        path
    }

    /// The cache's files, folders left out.
    fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        for folder in fs::read_dir(self.dir()).unwrap() {
            for file in fs::read_dir(folder.unwrap().path()).unwrap() {
                files.push(file.unwrap().file_name().into_string().unwrap());
            }
        }
        files
    }
}

fn started(folder: &Path) -> LoadedEngine {
    Plugin::open(&folder.join("odd.so")).unwrap().start(&Settings::default()).unwrap()
}

fn source(module: &str) -> Source<'_> {
    Source { name: "/app.wasm", form: SourceForm::Bytes(module.as_bytes()), component: false, function: None }
}

fn limits() -> Limits {
    Limits { memory: 64 << 20, cpu_seconds: 30, timeout: Duration::from_secs(60), cache: 1 << 30 }
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// Compiles in the background, and waits for what `of` sees of it: it is nobody's child, so there is nothing else to wait for.
fn compiled_later<T>(lab: &Lab, module: &str, of: impl Fn(&Cache, &Key) -> Option<T>) -> T {
    let (key, found) = look_up(&lab.engine, module.as_bytes(), None, &lab.cache());
    assert!(found.is_none() && key == lab.key(module));
    compile_later(&lab.engine, &source(module), false, &key, &lab.cache(), &limits()).unwrap().begin();
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(seen) = of(&lab.cache(), &key) {
            return seen;
        }
        assert!(std::time::Instant::now() < deadline, "nothing came of it");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_is_compiled_later_is_found_by_the_next_start() {
    let lab = Lab::new();
    compiled_later(&lab, "good", Cache::find);
    assert!(text(look_up(&lab.engine, b"good", None, &lab.cache()).1.unwrap().path()).ends_with("compiled good"));
}

#[test]
fn what_is_compiled_later_yields_to_everything() {
    let lab = Lab::new();
    let seen = text(compiled_later(&lab, "look around", Cache::find).path());
    assert!(seen.contains(&format!("\nidle 1{}\n", group_of_nice(19))), "{seen}");
}

#[test]
fn what_could_not_be_compiled_later_is_told_and_not_tried_at_each_start() {
    let lab = Lab::new();
    let said = compiled_later(&lab, "refuse", |cache, key| cache.failure(key, &limits()));
    assert_eq!(said, "/app.wasm: odd can't compile it: not to my taste");
    let key = lab.key("refuse");
    let more = Limits { memory: limits().memory + 1, ..limits() };
    assert_eq!(lab.cache().failure(&key, &more), None, "with other limits it is tried again");
    let listed: Vec<_> = lab.cache().failures().into_iter().map(|failure| (failure.engine, failure.message)).collect();
    assert_eq!(listed, [("odd".to_owned(), said)]);
    // One that is compiled after all has not failed.
    let file = fs::File::open(lab.obtain("good").unwrap().path()).unwrap();
    lab.cache().store(&lab.cache().lock(&key).unwrap(), &key, "m.wasm", &file).unwrap();
    assert_eq!(lab.cache().failure(&key, &limits()), None);
    // And it does not stand for ever.
    let said = compiled_later(&lab, "nothing", |cache, key| cache.failure(key, &limits()));
    assert!(said.contains("no artifact"), "{said}");
    let note = lab.cache().failures().remove(0).path;
    let old = std::time::SystemTime::now() - Duration::from_secs(25 * 60 * 60);
    fs::File::options().write(true).open(&note).unwrap().set_modified(old).unwrap();
    assert_eq!(lab.cache().failure(&lab.key("nothing"), &limits()), None);
    lab.cache().prune(u64::MAX, None).unwrap();
    assert!(!note.exists());
}

#[test]
fn a_large_artifact_is_not_hashed_by_the_second_start() {
    let lab = Lab::new();
    let key = lab.key("large");
    let made = tempfile::tempfile().unwrap();
    made.set_len(16 << 20).unwrap();
    let artifact = lab.cache().store(&lab.cache().lock(&key).unwrap(), &key, "m.wasm", &made).unwrap();
    let record = || fs::metadata(cache::beside(artifact.path(), ".sum")).unwrap().ino();
    let before = record();
    assert!(lab.cache().find(&key).is_some());
    assert_eq!(record(), before, "who hashes writes the record anew");
}

#[test]
fn the_second_start_finds_what_the_first_compiled() {
    let lab = Lab::new();
    assert!(lab.cache().find(&lab.key("good")).is_none());
    let first = lab.obtain("good").unwrap();
    assert!(first.is_cached() && text(first.path()).ends_with("compiled good"));
    let again = lab.obtain("good").unwrap();
    assert_eq!((again.path(), text(again.path())), (first.path(), text(first.path())));
    assert_ne!(lab.obtain("good too").unwrap().path(), first.path());
    assert_eq!(lab.files().len(), 4, "{:?}", lab.files());
    let mode = first.path().metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0);
}

#[test]
fn a_key_depends_on_module_engine_and_fingerprint() {
    let key = Key::new(blake3::hash(b"module"), "engine", "1");
    assert_eq!(key, Key::new(blake3::hash(b"module"), "engine", "1"));
    for other in [
        Key::new(blake3::hash(b"modul"), "engine", "1"),
        Key::new(blake3::hash(b"module"), "engin", "e1"),
        Key::new(blake3::hash(b"module"), "engine", "2"),
    ] {
        assert_ne!(other.digest, key.digest);
    }
    assert!(Key::new(blake3::hash(b""), "a/../b", "").file_name().ends_with(".a____b"));
}

#[test]
fn a_torn_or_altered_artifact_is_compiled_again() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 6] = [
        ("truncated", |path| fs::write(path, &text(path)[..3]).unwrap()),
        ("one byte flipped", |path| {
            let mut bytes = fs::read(path).unwrap();
            bytes[2] ^= 1;
            fs::write(path, bytes).unwrap();
        }),
        ("exchanged", |path| {
            fs::write(path.with_extension("x"), "another").unwrap();
            fs::rename(path.with_extension("x"), path).unwrap();
        }),
        ("without its record", |path| fs::remove_file(format!("{}.sum", path.display())).unwrap()),
        ("with half a record", |path| {
            let record = format!("{}.sum", path.display());
            let whole = fs::read(&record).unwrap();
            fs::write(record, &whole[..whole.len() / 2]).unwrap();
        }),
        ("with a record of another format", |path| {
            fs::write(format!("{}.sum", path.display()), "multiwasm artifact 0\n").unwrap();
        }),
    ];
    let lab = Lab::new();
    for (what, harm) in harms {
        for settle in [true, false] {
            let module = format!("good {what} {settle}");
            let path = if settle { lab.settled(&module) } else { lab.obtain(&module).unwrap().path().to_owned() };
            harm(&path);
            assert!(lab.cache().find(&lab.key(&module)).is_none(), "{what}");
            assert!(!path.exists(), "{what}");
            assert!(text(lab.obtain(&module).unwrap().path()).ends_with(&module), "{what}");
        }
    }
}

#[test]
fn an_artifact_that_was_only_touched_is_hashed_and_kept() {
    let lab = Lab::new();
    let path = lab.settled("good");
    let content = fs::read(&path).unwrap();
    fs::write(&path, content).unwrap();
    assert!(lab.cache().find(&lab.key("good")).is_some());
}

#[test]
fn a_stale_artifact_is_compiled_again_in_its_place() {
    let lab = Lab::new();
    let first = text(lab.obtain("good").unwrap().path());
    let renewed = renew(&lab.engine, &source("good"), Some(&lab.cache()), &limits()).unwrap();
    assert!(renewed.is_cached() && text(renewed.path()) != first);
    assert_eq!(text(lab.obtain("good").unwrap().path()), text(renewed.path()));
}

#[test]
fn what_a_dead_writer_left_is_no_artifact_and_is_swept() {
    let lab = Lab::new();
    let path = lab.dir().join(lab.key("good").folder());
    lab.cache();
    fs::create_dir(&path).unwrap();
    fs::write(path.join("dead.odd.new"), "half").unwrap();
    lab.obtain("good").unwrap();
    assert!(lab.files().iter().all(|file| !file.ends_with(".new")), "{:?}", lab.files());
}

#[test]
fn two_processes_that_want_the_same_compile_it_once() {
    let lab = Lab::new();
    let folder = lab.dir().join(lab.key("good").folder());
    lab.cache();
    fs::create_dir(&folder).unwrap();
    // Both are made to meet at the lock: it is let go when both wait for it.
    let lock = Flock::lock(File::open(&folder).unwrap(), FlockArg::LockExclusive).unwrap();
    let helper = concat!(module_path!(), "::helper_compiles_good");
    let helper = helper.split_once("::").unwrap().1;
    let helpers = [(); 2].map(|()| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", helper, "--ignored", "--nocapture"])
            .env("MULTIWASM_TEST_LAB", lab.folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    });
    let waits = |pid: u32| {
        let locks = fs::read_to_string("/proc/locks").unwrap();
        locks
            .lines()
            .any(|line| line.contains("-> FLOCK") && line.split_whitespace().any(|word| word == pid.to_string()))
    };
    while !helpers.iter().all(|helper| waits(helper.id())) {
        std::thread::yield_now();
    }
    drop(lock);
    let artifacts = helpers.map(|helper| {
        let lines = BufReader::new(helper.stdout.unwrap()).lines().map(Result::unwrap);
        lines.filter(|line| line.contains("compiled good")).collect::<String>()
    });
    assert!(!artifacts[0].is_empty());
    assert_eq!(artifacts[0], artifacts[1], "the pid in the artifact says who compiled it");
}

#[test]
#[ignore = "started by two_processes_that_want_the_same_compile_it_once"]
fn helper_compiles_good() {
    let Some(folder) = std::env::var_os("MULTIWASM_TEST_LAB").map(PathBuf::from) else { return };
    let cache = Cache::open(&folder.join("cache")).unwrap();
    let artifact = obtain(&started(&folder), &source("good"), None, Some(&cache), &limits()).unwrap();
    println!("\n{}", text(artifact.path()));
}

#[test]
fn the_compiler_is_confined() {
    let lab = Lab::new();
    let seen = text(lab.obtain("look around").unwrap().path());
    // One descriptor: the one to report by, and the artifact's own.
    let wanted = "uid 65534 gid 65534 groups 0 descriptors 2 interfaces 0 no-new-privileges 1 shadow 0 session 1\n";
    assert!(seen.starts_with(wanted), "{seen}");
    assert!(seen.contains(&format!("\nidle 0{}\n", group_of_nice(0))), "{seen}");
}

/// What the odd engine says of its session's scheduling group where the kernel has such groups.
fn group_of_nice(nice: i32) -> String {
    let grouped = Path::new("/proc/self/autogroup").exists();
    if grouped { format!(" group nice {nice}\n") } else { String::new() }
}

#[test]
fn what_the_compiler_started_ends_with_it() {
    let lab = Lab::new();
    let seen = text(lab.obtain("child").unwrap().path());
    let pid = seen.split(|c: char| !c.is_ascii_digit()).next().unwrap();
    // The kernel has sent the signal; the end itself may take a moment, and then init may take one to reap.
    let ended = || fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "));
    while !ended() {
        std::thread::yield_now();
    }
}

#[test]
fn each_limit_and_each_fault_has_its_error_and_leaves_nothing() {
    let lab = Lab::new();
    let within = |module: &str, limits: &Limits| {
        let error = obtain(&lab.engine, &source(module), None, Some(&lab.cache()), limits).unwrap_err();
        assert!(error.to_string().starts_with("/app.wasm: "), "{error}");
        error
    };
    let said = |module: &str| within(module, &limits()).to_string();

    assert_eq!(said("refuse"), "/app.wasm: odd can't compile it: not to my taste");
    assert!(said("nothing").contains("it wrote no artifact"));
    let error = within("memory", &limits());
    assert!(matches!(error, CompileError::Memory { .. }), "{error}");
    assert!(error.to_string().contains("limit of 64 MiB: raise compile.memory"), "{error}");
    let error = within("large", &limits());
    assert!(matches!(error, CompileError::Memory { .. }), "{error}");
    let error = within("spin", &Limits { cpu_seconds: 1, ..limits() });
    assert!(error.to_string().contains("limit of 1 s of CPU time: raise compile.cpu_seconds"), "{error}");
    for endless in ["hang", "print"] {
        let error = within(endless, &Limits { timeout: Duration::from_millis(200), ..limits() });
        assert!(error.to_string().contains("within 200ms: raise compile.timeout"), "{error}");
    }
    let error = said("crash");
    assert!(error.contains("killed by SIGSEGV: about to fall"), "{error}");

    assert!(lab.files().is_empty(), "{:?}", lab.files());
}

#[test]
fn a_module_that_changes_under_its_key_is_not_compiled() {
    let lab = Lab::new();
    let result = compile(&lab.engine, &source("evil"), &lab.key("good"), Some(&lab.cache()), &limits());
    assert!(matches!(result, Err(CompileError::Changed { .. })));
    assert!(lab.cache().find(&lab.key("good")).is_none());
}

#[test]
fn without_a_cache_that_takes_it_an_artifact_is_sealed_memory() {
    let lab = Lab::new();
    let artifact = obtain(&lab.engine, &source("good"), None, None, &limits()).unwrap();
    assert!(!artifact.is_cached());
    assert!(text(artifact.path()).ends_with("compiled good"));
    assert!(fs::write(artifact.path(), "evil").is_err());
}

/// Mounts a small tmpfs on `dir`, for this thread's eyes alone.
fn small_disk(dir: &Path, options: &str) {
    use nix::mount::{MsFlags, mount};
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
    fs::create_dir_all(dir).unwrap();
    mount(Some("small"), dir, Some("tmpfs"), MsFlags::empty(), Some(options)).unwrap();
}

#[test]
fn a_full_cache_stops_no_container() {
    let lab = Lab::new();
    small_disk(&lab.dir(), "size=64k,mode=0700");
    fs::write(lab.dir().join("filler"), vec![0; 60 << 10]).unwrap();
    let artifact = lab.obtain(&format!("good {}", "x".repeat(20 << 10))).unwrap();
    assert!(!artifact.is_cached() && text(artifact.path()).contains("compiled good"));
    fs::remove_file(lab.dir().join("filler")).unwrap();
    assert!(lab.files().is_empty(), "{:?}", lab.files());
}

#[test]
fn a_read_only_cache_is_read_and_stops_no_container() {
    use nix::mount::{MsFlags, mount};
    let lab = Lab::new();
    small_disk(&lab.dir(), "size=1m,mode=0700");
    let stored = lab.obtain("good").unwrap();
    mount(None::<&str>, &lab.dir(), None::<&str>, MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, None::<&str>).unwrap();
    assert_eq!(lab.obtain("good").unwrap().path(), stored.path());
    assert!(!lab.obtain("good as new").unwrap().is_cached());
}

#[test]
fn a_folder_that_others_can_change_is_refused() {
    let lab = Lab::new();
    lab.cache();
    fs::set_permissions(lab.dir(), fs::Permissions::from_mode(0o720)).unwrap();
    let error = Cache::open(&lab.dir()).unwrap_err().to_string();
    assert!(error.contains(lab.dir().to_str().unwrap()) && error.contains("mode 0720"), "{error}");
    fs::set_permissions(lab.dir(), fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::chown(lab.dir(), Some(65534), None).unwrap();
    assert!(matches!(Cache::open(&lab.dir()), Err(CacheError::Unsafe { owner: 65534, .. })));
    let file = lab.folder.path().join("odd.so");
    assert!(Cache::open(&file).unwrap_err().to_string().contains("odd.so"));
}

#[test]
fn looking_at_the_cache_is_no_use_of_it() {
    let lab = Lab::new();
    let (old, new) = (lab.obtain("good old").unwrap(), lab.obtain("good new").unwrap());
    let record = fs::File::open(cache::beside(old.path(), ".sum")).unwrap();
    let then = std::time::SystemTime::now() - Duration::from_secs(30 * 24 * 60 * 60);
    record.set_times(fs::FileTimes::new().set_accessed(then)).unwrap();
    for entry in lab.cache().entries() {
        assert_eq!(entry.module, "/app.wasm");
        assert!(lab.cache().verify(&entry).unwrap());
    }
    let pruned = lab.cache().prune(u64::MAX, Some(Duration::from_secs(7 * 24 * 60 * 60))).unwrap();
    assert_eq!((pruned.artifacts, old.path().exists(), new.path().exists()), (1, false, true));
}

#[test]
fn the_same_module_is_compiled_in_the_background_once_at_a_time() {
    let lab = Lab::new();
    let (key, other) = (lab.key("good once"), lab.key("good other"));
    let held = background::slot(&lab.cache(), &key).unwrap();
    assert!(matches!(background::slot(&lab.cache(), &key), Err(NotBegun::Already)));
    let places = std::thread::available_parallelism().unwrap().get().div_ceil(2);
    let others: Vec<_> =
        (0..places).map(|at| background::slot(&lab.cache(), &lab.key(&format!("good {at}")))).collect();
    assert_eq!(others.iter().filter(|slot| slot.is_ok()).count(), places - 1);
    assert!(matches!(background::slot(&lab.cache(), &other), Err(NotBegun::Busy)));
    drop(held);
    background::slot(&lab.cache(), &key).unwrap();
}
