//! Images by name: pulled from a registry, and without a container of containerd's, `multiwasm run IMAGE` and `multiwasm compile
//! IMAGE`.

#[cfg(test)]
mod layout;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use layout::{Layout, multiwasm, multiwasm_behind};
use multiwasm_conformance::command::{LIMIT, Output};
use multiwasm_conformance::ctr::{Container, await_true, ctr, lab};
use multiwasm_conformance::each_engine;
use multiwasm_conformance::guests::{self, WASM_IMAGE};
use multiwasm_conformance::image::Platform;
use multiwasm_conformance::registry::Registry;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

each_engine!(an_image_of_containerd_runs_without_a_container, |target| {
    let cache = tempfile::tempdir().unwrap();
    // Imports it.
    Container::new(target).probe(["hello"]).run().expect_code(0);
    let engine = format!("--engine={target}");
    let said = multiwasm(cache.path(), &["run", &engine, WASM_IMAGE, "--", "/probe.wasm", "hello"]);
    said.expect_code(0).expect_out("hello from a guest\n");
    multiwasm(cache.path(), &["run", &engine, WASM_IMAGE, "--", "/probe.wasm", "exit", "3"]).expect_code(3);
    let containers = ctr(&["containers", "ls", "-q"]);
    assert!(!containers.expect_code(0).out().contains("run-"), "{containers}");
});

each_engine!(an_image_that_was_compiled_is_found_by_its_first_start, |target| {
    let cache = tempfile::tempdir().unwrap();
    Container::new(target).probe(["hello"]).run().expect_code(0);
    let engine = format!("--engine={target}");
    let compiled = multiwasm(cache.path(), &["compile", &engine, WASM_IMAGE]);
    let path = cache.path().display().to_string();
    assert!(compiled.expect_code(0).out().starts_with(&format!("{target}: {path}")), "{compiled}");
    // The same module of another image is compiled already.
    let layout = Layout::new();
    layout.image(layout.config(""), vec![layout.probe()]);
    let again = multiwasm(cache.path(), &["compile", &engine, &layout.path()]);
    assert_eq!(again.expect_code(0).out().split(' ').nth(1), compiled.out().split(' ').nth(1));
    let listed = multiwasm(cache.path(), &["cache", "ls"]);
    assert!(listed.expect_code(0).out().contains(&target.to_string()), "{listed}");
    multiwasm(cache.path(), &["cache", "verify"]).expect_code(0).expect_out("1 sound, 0 removed\n");
});

each_engine!(a_layout_is_unpacked_as_the_image_specification_says, |target| {
    let (layout, cache) = (Layout::new(), tempfile::tempdir().unwrap());
    layout.image(
        layout.config(r#","Cmd":["ls","/kept"],"Env":["FROM=image","SAID=image"],"WorkingDir":"/work","User":"guest""#),
        vec![
            layout.probe(),
            layout.layer(
                "",
                &[
                    ("kept/gone", b"1"),
                    ("kept/stays", b"1"),
                    ("emptied/old", b"1"),
                    ("etc/passwd", b"guest:x:7:8::/:/\n"),
                ],
            ),
            layout.layer(
                "+zstd",
                &[("kept/.wh.gone", b""), ("emptied/.wh..wh..opq", b""), ("emptied/new", b"2"), ("lib", b"-> /kept")],
            ),
            layout.layer("+gzip", &[("lib/through", b"3")]),
        ],
    );
    let engine = format!("--engine={target}");
    let run = |words: &[&str]| {
        let flags = ["run", &engine, "--env=SAID=user"];
        multiwasm(cache.path(), &[&flags[..], &[&layout.path()], words].concat())
    };
    let names = |output: &Output| {
        let mut names: Vec<_> = output.expect_code(0).out().split_whitespace().map(str::to_owned).collect();
        names.sort();
        names
    };
    assert_eq!(names(&run(&[])), ["stays", "through"]);
    assert_eq!(names(&run(&["--", "ls", "/emptied"])), ["new"]);
    let env = run(&["--", "env"]);
    for variable in ["FROM=image", "SAID=user"] {
        assert!(env.expect_code(0).out().lines().any(|line| line == variable), "{env}");
    }
    // By its name, and as an archive.
    let named = format!("{}:one", layout.path());
    multiwasm(cache.path(), &["run", &engine, &named, "--", "hello"]).expect_code(0);
    let archive = cache.path().join("layout.tar");
    let mut tar = tar::Builder::new(fs::File::create(&archive).unwrap());
    tar.append_dir_all(".", layout.path()).unwrap();
    tar.into_inner().unwrap();
    multiwasm(cache.path(), &["run", &engine, &archive.display().to_string(), "--", "hello"]).expect_code(0);
});

#[test]
fn an_images_names_and_links_mean_its_own_files() {
    let (layout, cache, outside) = (Layout::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(outside.path().join("file"), "the host's").unwrap();
    let link = format!("-> {}", outside.path().display());
    layout.image(
        layout.config(r#","Cmd":["hello"]"#),
        vec![
            layout.probe(),
            layout.layer("", &[("link", link.as_bytes()), ("up", b"-> ../../../../..")]),
            layout.layer("", &[("link/.wh.file", b""), ("link/new", b"x"), ("up/tmp/multiwasm-escaped", b"x")]),
        ],
    );
    // Whether it runs is not the question: its links lead nowhere.
    multiwasm(cache.path(), &["run", &layout.path()]);
    assert_eq!(fs::read_to_string(outside.path().join("file")).unwrap(), "the host's");
    assert!(!outside.path().join("new").exists() && !Path::new("/tmp/multiwasm-escaped").exists());
}

#[test]
fn an_artifact_of_a_layout_runs_too() {
    let (layout, cache) = (Layout::new(), tempfile::tempdir().unwrap());
    let config = layout.blob("application/vnd.wasm.config.v0+json", b"{}");
    layout.image(config, vec![layout.blob("application/wasm", &guests::read("probe.wasm"))]);
    let said = multiwasm(cache.path(), &["run", &layout.path(), "--", "hello"]);
    said.expect_code(0).expect_out("hello from a guest\n");
    let compiled = multiwasm(cache.path(), &["compile", "--engine=wasmtime", &layout.path()]);
    compiled.expect_code(0);
}

#[test]
fn what_is_wrong_with_an_image_is_said_and_nothing_is_left() {
    let (layout, cache) = (Layout::new(), tempfile::tempdir().unwrap());
    let said = |words: &[&str], parts: &[&str]| {
        multiwasm(cache.path(), words).expect_code(1).expect_err(parts);
    };
    said(&["run", "nobody/has-this"], &["no file nobody/has-this", "namespace conformance", "pull it"]);
    said(&["run", "./missing"], &["./missing: No such file or directory"]);
    said(&["run", "--address=/nonexistent.sock", "some-image"], &["no file some-image", "/nonexistent.sock"]);
    let probe = layout.probe();
    layout.image(layout.config(""), vec![probe.clone()]);
    said(&["run", &format!("{}:two", layout.path())], &["has no image two, it has: one"]);
    // Damage is found out though the archive itself is whole.
    let blob = layout.folder().join("blobs/sha256").join(probe.as_digest_sha256().unwrap());
    let other = layout.layer("+gzip", &[("probe.wasm", b"\0asm\x01\0\0\0")]);
    fs::copy(layout.folder().join("blobs/sha256").join(other.as_digest_sha256().unwrap()), &blob).unwrap();
    said(&["run", &layout.path(), "--", "hello"], &["damaged", probe.digest().as_ref()]);
    fs::remove_file(&blob).unwrap();
    said(&["run", &layout.path()], &["is not in the image layout", &layout.path()]);
    layout.image(layout.config(""), vec![layout.layer("", &[("probe.wasm", b"#!/bin/sh\n")])]);
    said(&["compile", &layout.path()], &["script"]);
    let left: Vec<_> = fs::read_dir(cache.path().join("temporary")).unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn an_image_that_was_pulled_runs() {
    let registry = Registry::start();
    for (name, platform) in registry.images() {
        ctr(&["images", "pull", "--plain-http", "--platform", &platform.name(), &name]).expect_code(0);
        let said = Container::auto().image(&name, platform).probe(["hello"]).run();
        said.expect_code(0).expect_out("hello from a guest\n");
        ctr(&["images", "rm", &name]).expect_code(0);
    }
}

#[test]
fn an_image_is_inspected_by_its_entrypoint() {
    let (layout, cache) = (Layout::new(), tempfile::tempdir().unwrap());
    layout.image(layout.config(""), vec![layout.probe()]);
    let said = multiwasm(cache.path(), &["inspect", &layout.path()]);
    let shown = said.expect_code(0).out();
    assert!(shown.contains(&format!("/probe.wasm of {}\n", layout.path())) && shown.contains("auto takes"), "{said}");
}

#[test]
fn what_a_killed_run_has_left_goes_with_the_next() {
    let (layout, cache) = (Layout::new(), tempfile::tempdir().unwrap());
    layout.image(layout.config(""), vec![layout.probe()]);
    let left = cache.path().join("temporary/multiwasm-image-left");
    fs::create_dir_all(left.join("rootfs")).unwrap();
    // A process that has ended between its state folder and the record in it.
    let mut ended = Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    let begun = PathBuf::from(format!("/run/multiwasm/multiwasm-run/run-{}", ended.id()));
    fs::create_dir_all(&begun).unwrap();
    multiwasm(cache.path(), &["run", &layout.path(), "--", "hello"]).expect_code(0);
    assert!(!left.exists() && !begun.exists());
}

#[test]
fn an_artifact_that_was_pulled_runs() {
    let (registry, cache) = (Registry::start(), tempfile::tempdir().unwrap());
    // It would unpack a module as a layer.
    let old = lab().containerd_version().unwrap().trim_start_matches('v').starts_with("1.6");
    for artifact in registry.artifacts() {
        let platform = artifact.platform.unwrap_or("wasi/wasm");
        let verb: &[&str] = if old { &["content", "fetch"] } else { &["images", "pull"] };
        ctr(&[verb, &["--plain-http", "--platform", platform, &artifact.name]].concat()).expect_code(0);
        let by_name = multiwasm(cache.path(), &["run", &artifact.name, "--", "hello"]);
        let by_ctr = Container::auto().image(&artifact.name, Platform::Wasi).args(["hello"]).run();
        ctr(&["images", "rm", &artifact.name]);
        by_name.expect_code(0).expect_out("hello from a guest\n");
        if old {
            by_ctr.expect_code(1).expect_err(&["mismatched image rootfs and manifest layers"]);
        } else if artifact.has_entrypoint {
            by_ctr.expect_code(0).expect_out("hello from a guest\n");
        } else {
            by_ctr.expect_code(1).expect_err(&["unknown image config media type"]);
        }
    }
}

#[test]
fn a_run_outlives_who_has_started_it() {
    let (layout, cache) = (Layout::new(), tempfile::tempdir().unwrap());
    layout.image(layout.config(""), vec![layout.probe()]);
    let said = cache.path().join("said");
    let words = ["run", &layout.path(), "--", "hello", "then", "sleep", "1", "then", "hello"];
    multiwasm_behind(cache.path(), &said, &words).expect_code(0);
    // Who has started it has ended; the container goes on, and its end is seen to.
    let temporary = cache.path().join("temporary");
    await_true("the run's temporary folder goes", LIMIT, || fs::read_dir(&temporary).unwrap().count() == 0);
    assert_eq!(fs::read_to_string(&said).unwrap(), "hello from a guest\nsleeping\nawake\nhello from a guest\n");
}

#[test]
fn the_container_of_a_killed_run_goes_with_the_next() {
    let (layout, cache) = (Layout::new(), tempfile::tempdir().unwrap());
    layout.image(layout.config(""), vec![layout.probe()]);
    let said = cache.path().join("said");
    let words = ["run", &layout.path(), "--", "hello", "then", "sleep", "3600"];
    let started = multiwasm_behind(cache.path(), &said, &words);
    let pid: i32 = started.expect_code(0).out().trim().parse().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    let ended = || !fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    await_true("the killed run ends", LIMIT, ended);
    multiwasm(cache.path(), &["run", &layout.path(), "--", "hello"]).expect_code(0);
    assert!(!Path::new(&format!("/run/multiwasm/multiwasm-run/run-{pid}")).exists());
    // Its guest has kept the temporary folder locked for as long as it ran.
    let left: Vec<_> = fs::read_dir(cache.path().join("temporary")).unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}
