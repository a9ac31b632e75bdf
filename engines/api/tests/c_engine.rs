//! A plug-in written in C goes through every step: what Rust gives, C receives, and the other way round.
#![allow(clippy::unwrap_used)] // in a helper of a test, too, a panic is a failed test

mod common;

use std::fs::{File, read_to_string};
use std::io::{Seek, Write};
use std::os::fd::AsFd;
use std::path::Path;

use multiwasm_engine::loader::{LoadedEngine, LoadedModule, Plugin};
use multiwasm_engine::{
    Capabilities, ErrorKind, Guest, Optimize, Outcome, Preopen, Settings, Source, SourceForm, Trap,
};

fn started(folder: &Path, optimize: Optimize) -> LoadedEngine {
    Plugin::open(&common::tiny_engine(folder, &[])).unwrap().start(&Settings { optimize }).unwrap()
}

fn source<'a>(form: SourceForm<'a>, function: Option<&'a str>) -> Source<'a> {
    Source { name: "/app.wasm", form, component: false, function }
}

/// Runs a module with "input" on its stdin; gives the outcome, and what it wrote to stdout and stderr.
fn run(folder: &Path, module: LoadedModule) -> (Outcome, String, String) {
    let (output, errors) = (folder.join("stdout"), folder.join("stderr"));
    let mut input =
        File::options().read(true).write(true).create(true).truncate(true).open(folder.join("stdin")).unwrap();
    input.write_all(b"input").unwrap();
    input.rewind().unwrap();
    let (stdout, stderr) = (File::create(&output).unwrap(), File::create(&errors).unwrap());
    let guest = Guest {
        args: &["/app.wasm".into(), String::new(), "two words".into()],
        env: &["A=1".into(), "EMPTY=".into()],
        cwd: "/work",
        preopens: &[
            Preopen { guest: "/", host: Path::new("/container"), read_only: true },
            Preopen { guest: "/data", host: Path::new("/volume"), read_only: false },
        ],
        stdin: input.as_fd(),
        stdout: stdout.as_fd(),
        stderr: stderr.as_fd(),
        memory_limit: Some(5 << 32),
    };
    let outcome = module.instantiate(&guest).unwrap().run();
    (outcome, read_to_string(output).unwrap(), read_to_string(errors).unwrap())
}

#[test]
fn describes_itself() {
    let folder = tempfile::tempdir().unwrap();
    let engine = started(folder.path(), Optimize::Quick);
    let description = engine.plugin().description();
    assert_eq!((description.name.as_str(), description.version.as_str()), ("tiny", "1.2.3"));
    assert_eq!(description.capabilities.to_string(), "modules aot memory-limit");
    assert!(!description.capabilities.has(Capabilities::COMPONENTS));
    assert_eq!(engine.fingerprint(), "tiny 1.2.3 quick");
}

#[test]
fn guest_gets_its_world() {
    let folder = tempfile::tempdir().unwrap();
    let engine = started(folder.path(), Optimize::Speed);
    let module = engine.load(&source(SourceForm::Bytes(b"exit 42"), None)).unwrap();
    let (outcome, stdout, stderr) = run(folder.path(), module);
    assert_eq!(outcome, Outcome::Exited(42));
    let world = "module exit 42\narg /app.wasm\narg \narg two words\nenv A=1\nenv EMPTY=\n\
                 preopen /=/container read-only\npreopen /data=/volume\ncwd /work\nmemory 21474836480\nstdin input\n";
    assert_eq!(stdout, world);
    assert_eq!(stderr, "instantiated\n");
}

#[test]
fn artifact_is_written_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let engine = started(folder.path(), Optimize::Speed);
    let artifact = folder.path().join("artifact");
    engine.compile(&source(SourceForm::Bytes(b"exit 7"), None), &artifact).unwrap();
    let again = engine.compile(&source(SourceForm::Bytes(b"exit 7"), None), &artifact).unwrap_err();
    assert_eq!((again.kind, again.message.as_str()), (ErrorKind::Failed, "the artifact can't be written"));
    let module = engine.load(&source(SourceForm::Artifact(&artifact), None)).unwrap();
    assert_eq!(run(folder.path(), module).0, Outcome::Exited(7));
}

#[test]
fn ends_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let engine = started(folder.path(), Optimize::Speed);
    let ended = |module: &[u8]| run(folder.path(), engine.load(&source(SourceForm::Bytes(module), None)).unwrap()).0;
    assert_eq!(ended(b"exit 0"), Outcome::Exited(0));
    assert_eq!(ended(b"exit 255"), Outcome::Exited(255));
    assert_eq!(ended(b"trap"), Outcome::Trapped(Trap::Arithmetic, "integer divide by zero\n  0: main".into()));
    assert_eq!(ended(b"?"), Outcome::Failed("out of ideas".into()));
}

#[test]
fn errors_keep_kind_and_words() {
    let folder = tempfile::tempdir().unwrap();
    let engine = started(folder.path(), Optimize::Speed);
    let missing = engine.load(&source(SourceForm::Bytes(b"exit 0"), Some("main"))).err().unwrap();
    assert_eq!(missing.kind, ErrorKind::MissingExport);
    assert_eq!(missing.to_string(), "/app.wasm exports no function main");
    let stale = engine.load(&source(SourceForm::Artifact(&folder.path().join("none")), None)).err().unwrap();
    assert_eq!((stale.kind, stale.message.as_str()), (ErrorKind::Stale, "no such artifact"));
}

#[test]
fn loaded_module_may_go_unused() {
    let folder = tempfile::tempdir().unwrap();
    let engine = started(folder.path(), Optimize::Speed);
    drop(engine.load(&source(SourceForm::Bytes(b"exit 0"), None)).unwrap());
}
