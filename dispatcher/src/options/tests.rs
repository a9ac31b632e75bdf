//! Tests of a container's options.

use super::*;

fn read(pairs: &[(&str, &str)]) -> Result<Annotations, OptionError> {
    read_over(pairs, &Options::default())
}

fn read_over(pairs: &[(&str, &str)], base: &Options) -> Result<Annotations, OptionError> {
    let pairs: Vec<_> = pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    Annotations::read(pairs.iter().map(|(key, value)| (key, value)), base)
}

#[test]
fn every_option_is_read() {
    let read = read(&[
        ("io.containerd.multiwasm.engine", "wasmedge"),
        ("io.containerd.multiwasm.function", "serve"),
        ("io.containerd.multiwasm.memory-limit", "64m"),
        ("io.containerd.multiwasm.compile", "off"),
        ("io.containerd.multiwasm.optimize", "quick"),
        ("io.containerd.multiwasm.kernel-filesystems", "true"),
        ("io.kubernetes.cri.sandbox-id", "abc"),
    ]);
    let options = Options {
        engine: Some(EngineChoice::Named("wasmedge".into())),
        function: Some("serve".into()),
        memory_limit: Some(64 << 20),
        compile: Compile::Off,
        optimize: Optimize::Quick,
        kernel_filesystems: true,
    };
    assert_eq!(read, Ok(Annotations { options, handler: None, wasm: false }));
}

#[test]
fn the_configuration_holds_where_no_annotation_speaks() {
    let base = Options {
        engine: Some(EngineChoice::Auto),
        memory_limit: Some(1),
        optimize: Optimize::Quick,
        ..Options::default()
    };
    let read = read_over(&[("io.containerd.multiwasm.optimize", "speed")], &base).unwrap();
    assert_eq!(read.options, Options { memory_limit: Some(1), ..Options::default() });
}

#[test]
fn an_unknown_annotation_names_the_key_and_what_is_allowed() {
    assert_eq!(
        read(&[("io.containerd.multiwasm.engin", "wasmtime")]).unwrap_err().to_string(),
        "unknown annotation io.containerd.multiwasm.engin (did you mean io.containerd.multiwasm.engine?); allowed \
         are io.containerd.multiwasm.<option> with option one of engine, function, memory-limit, compile, \
         optimize, kernel-filesystems"
    );
    let error = read(&[("io.containerd.multiwasm.xyz", "")]).unwrap_err().to_string();
    assert!(error.starts_with("unknown annotation io.containerd.multiwasm.xyz; allowed"), "{error}");
}

#[test]
fn a_bad_value_names_the_key_the_value_and_what_is_allowed() {
    for (name, value) in [
        ("engine", "Wasm Edge"),
        ("engine", "../x"),
        ("engine", ""),
        ("function", ""),
        ("memory-limit", "0"),
        ("memory-limit", "much"),
        ("memory-limit", "-1"),
        ("memory-limit", "99999999999g"),
        ("compile", "yes"),
        ("optimize", "Speed"),
        ("kernel-filesystems", "1"),
    ] {
        let key = format!("{PREFIX}{name}");
        let error = read(&[(&key, value)]).unwrap_err().to_string();
        let allowed = DEFINITIONS.iter().find(|definition| definition.name == name).unwrap().allowed;
        assert_eq!(error, format!("annotation {key} has the value {value:?}; allowed is {allowed}"));
    }
}

#[test]
fn annotations_of_others_are_understood() {
    let handler = read(&[("run.oci.handler", "wasmer")]).unwrap();
    assert_eq!((handler.handler, handler.wasm), (Some(EngineChoice::Named("wasmer".into())), true));
    let wasm = read(&[("run.oci.handler", "wasm")]).unwrap();
    assert_eq!((wasm.handler, wasm.wasm), (None, true));
    assert!(read(&[("module.wasm.image/variant", "compat")]).unwrap().wasm);
    let cri = |kind| read(&[("run.oci.handler", "wasm"), ("io.kubernetes.cri.container-type", kind)]).unwrap().wasm;
    assert!(cri("container") && !cri("sandbox"));
    assert!(!read(&[("module.wasm.image/variant", "compat-smart")]).unwrap().wasm);
    assert!(read(&[("module.wasm.image/variant", "smart")]).is_err());
    assert!(read(&[("run.oci.handler", "auto")]).is_err());
}

#[test]
fn sizes() {
    for (text, bytes) in [
        ("1", Some(1)),
        ("65536b", Some(65536)),
        ("64k", Some(65536)),
        ("3Mi", Some(3 << 20)),
        ("2G", Some(2 << 30)),
        ("", None),
        ("k", None),
        ("1.5g", None),
        ("1t", None),
    ] {
        assert_eq!(parse_size(text), bytes, "{text}");
    }
}

#[test]
fn compiling_follows_the_engine() {
    let interpreter_too = Capabilities::MODULES.and(Capabilities::AOT);
    let compiler_only = interpreter_too.and(Capabilities::NEEDS_AOT);
    assert!(!Compile::Auto.before_start(interpreter_too) && Compile::Auto.before_start(compiler_only));
    assert!(Compile::Eager.before_start(interpreter_too) && Compile::Eager.before_start(compiler_only));
    assert!(!Compile::Off.before_start(interpreter_too) && Compile::Off.before_start(compiler_only));
    assert!(!Compile::Eager.before_start(Capabilities::MODULES));
}

#[test]
fn what_is_slow_to_compile_and_what_can_be_interpreted_is_compiled_in_the_background() {
    let (compiles, interprets) = (Capabilities::AOT.and(Capabilities::NEEDS_AOT), Capabilities::AOT);
    for (mode, engine, length, background) in [
        (Compile::Auto, compiles, SLOW_TO_COMPILE - 1, false),
        (Compile::Auto, compiles, SLOW_TO_COMPILE, true),
        (Compile::Auto, interprets, 1, true),
        (Compile::Auto, Capabilities::MODULES, SLOW_TO_COMPILE, false),
        (Compile::Background, compiles, 1, true),
        (Compile::Eager, compiles, SLOW_TO_COMPILE, false),
        (Compile::Off, interprets, SLOW_TO_COMPILE, false),
    ] {
        assert_eq!(mode.in_background(engine, length), background, "{mode:?} {engine:?} {length}");
    }
}

#[test]
fn the_documentation_is_that_of_the_table() {
    crate::config::tests::compare_documentation("annotations.md", &documentation());
}
