//! What can't run is refused before the task exists, and the user reads which file, which engine and why.

use std::fs;
use std::path::Path;

use multiwasm_conformance::ctr::{Container, lab};
use multiwasm_conformance::guests::bad;
use multiwasm_conformance::refused::{OtherEngines, Refused, set_mode};
use multiwasm_conformance::{command, each_engine, fat};

each_engine!(a_missing_entrypoint, |target| {
    let refused = Refused::entrypoint("/nowhere.wasm").on(target.engine().unwrap());
    refused.says(&["nowhere.wasm"]);
    refused.by_ctr(&["entrypoint /nowhere.wasm", "not found in the container", "looked for"]);
});

each_engine!(text_under_a_modules_name, |target| {
    let refused = Refused::entrypoint(bad::NOT_WASM).on(target.engine().unwrap());
    refused.says(&[bad::NOT_WASM, "neither WebAssembly nor a native program", "this is"]);
});

each_engine!(a_truncated_module, |target| {
    Refused::entrypoint(bad::TRUNCATED).on(target.engine().unwrap()).says(&[bad::TRUNCATED, "truncated", "bytes"]);
});

each_engine!(an_import_that_nobody_offers, |target| {
    let engine = target.engine().unwrap();
    Refused::entrypoint(bad::MISSING_IMPORT).on(engine).says(&[
        bad::MISSING_IMPORT,
        engine,
        "env",
        "nobody_offers_this",
    ]);
});

each_engine!(an_import_with_a_name_that_no_message_can_hold, |target| {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("long.wasm"), fat::importing(&"long".repeat(22_000))).unwrap();
    let container = Container::new(target).mount(folder.path(), "/long", "ro").args(["/long/long.wasm"]);
    container.run().expect_code(1).expect_err(&["/long/long.wasm", "longlonglong"]);
});

each_engine!(no_start_function, |target| {
    let engine = target.engine().unwrap();
    Refused::entrypoint(bad::NO_START).on(engine).says(&[bad::NO_START, engine, "_start"]);
});

each_engine!(a_function_that_is_not_exported, |target| {
    let engine = target.engine().unwrap();
    Refused::entrypoint("/probe.wasm#nothing_like_it").on(engine).says(&["/probe.wasm", engine, "nothing_like_it"]);
});

each_engine!(native_code_in_a_custom_section, |target| {
    let refused = Refused::entrypoint(bad::WASMEDGE_NATIVE).on(target.engine().unwrap());
    refused.says(&[bad::WASMEDGE_NATIVE, "native code", "wasmedge", "allow_native_code"]);
});

each_engine!(a_precompiled_module, |target| {
    let refused = Refused::entrypoint(bad::CWASM).on(target.engine().unwrap());
    refused.says(&[bad::CWASM, "native code", "wasmtime", "allow_native_code"]);
});

#[test]
fn a_component_on_an_engine_without_components() {
    let component = "/hello-component.wasm";
    for engine in ["wasmedge", "wasmer"] {
        Refused::entrypoint(component).on(engine).says(&[component, "component", engine, "wasmtime"]);
    }
}

#[test]
fn wasix_on_an_engine_without_it() {
    Refused::entrypoint("/wasix.wasm").on("wasmtime").says(&["/wasix.wasm", "wasix_32v1", "wasmtime", "wasmer"]);
}

#[test]
fn an_unknown_engine() {
    let engines = lab().engines.display().to_string();
    let parts = ["unknown engine nonesuch", "wasmedge", "wasmer", "wasmtime", "libmultiwasm_nonesuch.so", &engines];
    Refused::entrypoint("/probe.wasm").on("nonesuch").says(&parts);
}

#[test]
fn an_engine_by_a_name_that_is_none() {
    let key = "io.containerd.multiwasm.engine";
    let refused = Refused::entrypoint("/probe.wasm").annotation(key, "Wasm Time");
    refused.says(&["engine", "Wasm Time", "auto"]);
}

#[test]
fn an_unknown_annotation() {
    let key = "io.containerd.multiwasm.memory-limt";
    let refused = Refused::entrypoint("/probe.wasm").annotation(key, "64m");
    refused.says(&["unknown annotation", key, "io.containerd.multiwasm.memory-limit", "engine", "function"]);
}

#[test]
fn a_bad_value_of_an_annotation() {
    let key = "io.containerd.multiwasm.memory-limit";
    Refused::entrypoint("/probe.wasm").annotation(key, "a lot").says(&[key, "a lot", "bytes"]);
}

#[test]
fn a_bad_value_of_a_handler() {
    Refused::entrypoint("/probe.wasm").annotation("run.oci.handler", "Wasm!").says(&[
        "run.oci.handler",
        "Wasm!",
        "wasm",
    ]);
}

/// A configuration file of this text.
fn config(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    fs::write(file.path(), text).expect("it can be written");
    file
}

#[test]
fn an_unknown_key_of_the_configuration() {
    let file = config("alow_native_code = true\n");
    let path = file.path().display().to_string();
    let refused = Refused::entrypoint("/probe.wasm").config(file.path());
    refused.says(&[&path, "unknown key alow_native_code", "did you mean allow_native_code?"]);
}

#[test]
fn a_bad_value_in_the_configuration() {
    let file = config("[compile]\nmemory = \"none\"\n");
    let path = file.path().display().to_string();
    Refused::entrypoint("/probe.wasm").config(file.path()).says(&[&path, "compile.memory", "none", "bytes"]);
}

#[test]
fn a_configuration_that_is_not_toml() {
    let file = config("engine = wasmtime\n");
    let path = file.path().display().to_string();
    Refused::entrypoint("/probe.wasm").config(file.path()).says(&[&path, "line 1", "not TOML"]);
}

#[test]
fn a_configuration_that_is_not_there() {
    let path = Path::new("/nonexistent/multiwasm.toml");
    Refused::entrypoint("/probe.wasm").config(path).says(&["/nonexistent/multiwasm.toml", "can't be read"]);
}

each_engine!(an_engine_that_is_not_installed, |target| {
    let engine = target.engine().unwrap();
    let engines = OtherEngines::none();
    let file = format!("libmultiwasm_{engine}.so");
    let folder = engines.plugin(engine).parent().unwrap().display().to_string();
    engines.refuse(engine, &["not installed", engine, &file, &folder, &format!("multiwasm-{engine}")]);
});

each_engine!(a_plugin_that_others_may_write, |target| {
    let engine = target.engine().unwrap();
    let engines = OtherEngines::none();
    let plugin = engines.plugin(engine);
    fs::copy(lab().engines.join(plugin.file_name().unwrap()), &plugin).unwrap();
    set_mode(&plugin, 0o666);
    engines.refuse(engine, &[&plugin.display().to_string(), "0666", "owner 0"]);
});

each_engine!(a_plugin_that_is_none, |target| {
    let engine = target.engine().unwrap();
    let engines = OtherEngines::none();
    let plugin = engines.plugin(engine);
    fs::write(&plugin, "no library").unwrap();
    set_mode(&plugin, 0o644);
    engines.refuse(engine, &[&plugin.display().to_string(), "can't be loaded"]);
});

#[test]
fn a_plugin_of_another_abi() {
    let engines = OtherEngines::none();
    let plugin = engines.plugin("wasmtime");
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("old.c");
    let text = "static const struct { unsigned abi, size; char rest[256]; } table = {4711, 264, {0}};\n\
                const void *multiwasm_engine_table(void) { return &table; }\n";
    fs::write(&source, text).unwrap();
    let command = ["cc", "-shared", "-fPIC", "-o", &plugin.to_string_lossy(), &source.to_string_lossy()];
    command::run(&command).and_then(command::Output::success).unwrap();
    set_mode(&plugin, 0o755);
    engines.refuse("wasmtime", &[&plugin.display().to_string(), "ABI 4711", "wanted 1"]);
}
