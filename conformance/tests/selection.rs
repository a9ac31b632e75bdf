//! Which engine runs a container: the six sources, the most explicit first, and what `auto` makes of a module.
//!
//! A module that no engine can link tells in its error which engine tried.

use std::fs;

use multiwasm_conformance::command::Output;
use multiwasm_conformance::ctr::{Container, lab};
use multiwasm_conformance::each_engine;
use multiwasm_conformance::guests::bad;
use multiwasm_conformance::image::Platform;
use multiwasm_conformance::targets::ENGINE_ANNOTATION;

/// The engine that tried, by its error.
fn tried(container: Container) -> String {
    let output: Output = container.args([bad::MISSING_IMPORT]).run();
    let engine = output.err().split(" on ").nth(1).and_then(|rest| rest.split(':').next()).map(str::to_owned);
    engine.unwrap_or_else(|| panic!("the message does not name an engine\n{output}"))
}

/// A configuration file that chooses this engine.
fn config(engine: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap_or_else(|error| panic!("{error}"));
    fs::write(file.path(), format!("engine = \"{engine}\"\n")).unwrap_or_else(|error| panic!("{error}"));
    file
}

each_engine!(the_annotation_chooses, |target| {
    let engine = target.engine().unwrap();
    assert_eq!(tried(Container::auto().annotation(ENGINE_ANNOTATION, engine)), engine);
});

each_engine!(a_handler_chooses, |target| {
    let engine = target.engine().unwrap();
    assert_eq!(tried(Container::auto().annotation("run.oci.handler", engine)), engine);
});

each_engine!(the_runtimes_name_chooses, |target| {
    let engine = target.engine().unwrap();
    let runtime = format!("io.containerd.{engine}.v1");
    assert_eq!(tried(Container::of_runtime(&runtime, Platform::Wasi)), engine);
});

each_engine!(the_runtime_options_choose, |target| {
    let engine = target.engine().unwrap();
    let file = config(engine);
    assert_eq!(tried(Container::auto().flag("--runtime-config-path", &file.path().to_string_lossy())), engine);
});

#[test]
fn the_most_explicit_source_wins() {
    let file = config("wasmtime");
    let path = file.path().to_string_lossy();
    let by_name = Container::of_runtime("io.containerd.wasmer.v1", Platform::Wasi).flag("--runtime-config-path", &path);
    assert_eq!(tried(by_name.clone()), "wasmer", "the runtime's name before its options");
    let by_handler = by_name.annotation("run.oci.handler", "wasmedge");
    assert_eq!(tried(by_handler.clone()), "wasmedge", "a handler before the runtime's name");
    let by_annotation = by_handler.annotation(ENGINE_ANNOTATION, "wasmtime");
    assert_eq!(tried(by_annotation), "wasmtime", "the annotation before all");
}

#[test]
fn without_a_word_it_is_the_first_of_the_order() {
    assert_eq!(tried(Container::auto()), "wasmtime");
}

#[test]
fn the_order_is_the_configurations() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "order = [\"wasmedge\", \"wasmtime\"]\n").unwrap();
    assert_eq!(tried(Container::auto().flag("--runtime-config-path", &file.path().to_string_lossy())), "wasmedge");
}

#[test]
fn auto_takes_an_engine_with_components_for_a_component() {
    let output = Container::auto().args(["/hello-component.wasm", "3", "two words"]).run();
    // `exit` of wasi:cli 0.2 says success or failure, no number.
    output.expect_code(1).expect_out("hello from a component\n/hello-component.wasm\n3\ntwo words\n");
}

#[test]
fn auto_takes_wasmer_for_wasix() {
    Container::auto().args(["/wasix.wasm"]).run().expect_code(7);
}

#[test]
fn auto_takes_wasmedge_for_its_sockets() {
    let running = Container::auto().args(["/serve.wasm", "8081"]).start().await_out("listening on 8081");
    running.task.kill(nix::sys::signal::Signal::SIGTERM).expect_code(0);
    running.finish().expect_code(143);
}

#[test]
fn the_choice_and_its_reason_are_logged() {
    // A path of its own makes the line in containerd's log this container's.
    let folder = tempfile::tempdir().unwrap();
    let path = format!("/{}", folder.path().file_name().unwrap().to_string_lossy().replace('.', "x"));
    fs::copy(multiwasm_conformance::guests::folder().join("tiny.wasm"), folder.path().join("tiny.wasm")).unwrap();
    let module = format!("{path}/tiny.wasm");
    Container::auto().mount(folder.path(), &path, "ro").args([&module]).run().expect_code(0);
    let log = fs::read_to_string(&lab().log).unwrap();
    let line = log.lines().find(|line| line.contains(&module)).unwrap_or_else(|| panic!("no line of {module}"));
    assert!(line.contains("wasmtime") && line.contains("order"), "{line}");
}
