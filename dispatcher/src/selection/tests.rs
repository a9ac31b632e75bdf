//! Tests of choosing an engine.

use super::*;
use crate::engines::Engines;
use crate::module::Module;
use std::cell::RefCell;

/// A node with engines of these capabilities, which remembers those that were opened.
struct Node {
    engines: Vec<(&'static str, Capabilities)>,
    order: Vec<String>,
    opened: RefCell<Vec<String>>,
}

impl Node {
    fn new(engines: &[(&'static str, Capabilities)]) -> Self {
        let order = ["wasmtime", "wasmer", "wasmedge"].map(str::to_owned).into();
        Self { engines: engines.into(), order, opened: RefCell::default() }
    }

    /// The three engines as they are.
    fn full() -> Self {
        let modules = Capabilities::MODULES;
        Self::new(&[
            ("wasmedge", modules.and(Capabilities::SOCKETS)),
            ("wasmer", modules.and(Capabilities::WASIX)),
            ("wasmtime", modules.and(Capabilities::COMPONENTS)),
        ])
    }

    fn select(&self, inputs: Inputs<'_>, wat: &str) -> Result<Choice, String> {
        let inputs = Inputs { file: "/app.wasm", order: &self.order, ..inputs };
        let facts = (!wat.is_empty()).then(|| Module::read(&wat::parse_str(wat).unwrap()).unwrap());
        let installed: Vec<_> = self.engines.iter().map(|(name, _)| name.to_string()).collect();
        select(&inputs, facts.as_ref(), &installed, |name| {
            self.opened.borrow_mut().push(name.to_owned());
            let found = self.engines.iter().find(|(engine, _)| *engine == name);
            let nowhere = Engines::at(vec!["/nonexistent".into()]);
            found.map(|(_, can)| *can).ok_or_else(|| nowhere.find(name).unwrap_err())
        })
        .map_err(|error| error.to_string())
    }

    fn auto(&self, wat: &str) -> Result<Choice, String> {
        self.select(Inputs::default(), wat)
    }
}

const PLAIN: &str = r#"(module (import "wasi_snapshot_preview1" "sock_accept" (func)))"#;
const SOCKETS: &str = r#"(module (import "wasi_snapshot_preview1" "sock_open" (func)))"#;
const WASIX: &str = r#"(module (import "wasix_32v1" "proc_fork" (func)))"#;
const COMPONENT: &str = "(component)";

fn named(name: &str) -> EngineChoice {
    EngineChoice::Named(name.to_owned())
}

#[test]
fn the_most_explicit_source_wins() {
    let node = Node::full();
    let (a, b) = (named("wasmedge"), named("wasmer"));
    let mut inputs = Inputs { config_file: Some(&a), ..Inputs::default() };
    let chosen = |inputs| node.select(inputs, PLAIN).map(|choice| (choice.engine, choice.source)).unwrap();
    assert_eq!(chosen(inputs), ("wasmedge".into(), Source::ConfigFile));
    inputs.runtime_options = Some(&b);
    assert_eq!(chosen(inputs), ("wasmer".into(), Source::RuntimeOptions));
    inputs.alias = Some("wasmtime");
    assert_eq!(chosen(inputs), ("wasmtime".into(), Source::Alias));
    inputs.handler = Some(&a);
    assert_eq!(chosen(inputs), ("wasmedge".into(), Source::Handler));
    inputs.annotation = Some(&b);
    assert_eq!(chosen(inputs), ("wasmer".into(), Source::Annotation));
    inputs.command_line = Some(&a);
    assert_eq!(chosen(inputs), ("wasmedge".into(), Source::CommandLine));
}

#[test]
fn an_explicit_auto_ends_the_search() {
    let (auto, edge) = (EngineChoice::Auto, named("wasmedge"));
    let inputs =
        Inputs { annotation: Some(&auto), alias: Some("wasmer"), config_file: Some(&edge), ..Inputs::default() };
    let choice = Node::full().select(inputs, PLAIN).unwrap();
    assert_eq!((choice.engine.as_str(), choice.source), ("wasmtime", Source::Auto));
}

#[test]
fn auto_reads_the_module_and_opens_one_engine() {
    for (wat, engine, reason) in [
        (PLAIN, "wasmtime", "wasmtime is the first installed of the order wasmtime, wasmer, wasmedge"),
        ("", "wasmtime", "wasmtime is the first installed of the order wasmtime, wasmer, wasmedge"),
        (SOCKETS, "wasmedge", "it imports wasi_snapshot_preview1::sock_open, which wasmedge offers"),
        (WASIX, "wasmer", "it imports wasix_32v1::proc_fork, which wasmer offers"),
        (
            COMPONENT,
            "wasmtime",
            "it is a component, and wasmtime is the first of the order wasmtime, wasmer, wasmedge that offers \
             components",
        ),
    ] {
        let node = Node::full();
        let choice = node.auto(wat).unwrap();
        assert_eq!((choice.engine.as_str(), choice.reason.as_str()), (engine, reason));
        assert_eq!(*node.opened.borrow(), [engine]);
    }
}

#[test]
fn the_order_is_the_administrators() {
    let mut node = Node::full();
    node.order = vec!["wasmer".into(), "absent".into()];
    assert_eq!(node.auto(PLAIN).unwrap().engine, "wasmer");
    assert_eq!(node.auto(COMPONENT).unwrap().engine, "wasmtime");
}

#[test]
fn a_fourth_engine_is_taken_for_what_it_can() {
    let all = Capabilities::MODULES.and(Capabilities::SOCKETS).and(Capabilities::COMPONENTS);
    let node = Node::new(&[("fourth", all), ("wasmtime", Capabilities::MODULES)]);
    for wat in [SOCKETS, COMPONENT] {
        assert_eq!(node.auto(wat).unwrap().engine, "fourth");
    }
    assert_eq!(node.auto(PLAIN).unwrap().engine, "wasmtime");
}

#[test]
fn an_engine_that_cant_is_refused_with_those_that_can() {
    let edge = named("wasmedge");
    let inputs = Inputs { annotation: Some(&edge), ..Inputs::default() };
    assert_eq!(
        Node::full().select(inputs, COMPONENT).unwrap_err(),
        "/app.wasm: it is a component, but engine wasmedge (chosen by annotation io.containerd.multiwasm.engine) \
         does not offer components; installed engines that do: wasmtime"
    );
    let alone = Node::new(&[("wasmedge", Capabilities::MODULES)]);
    assert!(alone.select(inputs, COMPONENT).unwrap_err().ends_with("; install the package multiwasm-engine-wasmtime"));
    assert_eq!(
        alone.auto(WASIX).unwrap_err(),
        "/app.wasm: it imports wasix_32v1::proc_fork, and no installed engine (wasmedge) offers WASIX; install \
         the package multiwasm-engine-wasmer"
    );
}

#[test]
fn a_missing_engine_is_told_with_its_source() {
    let inputs = Inputs { alias: Some("wasmer"), ..Inputs::default() };
    let error = Node::new(&[]).select(inputs, PLAIN).unwrap_err();
    assert!(error.starts_with("/app.wasm: the runtime's name: engine wasmer is not installed"), "{error}");
    let error = Node::new(&[]).auto(PLAIN).unwrap_err();
    assert!(error.starts_with("/app.wasm: auto: engine wasmtime is not installed; installed: none"), "{error}");
}

#[test]
fn aliases() {
    for (program, alias) in [
        ("/usr/bin/containerd-shim-wasmedge-v1", Some("wasmedge")),
        ("containerd-shim-my-own-v12", Some("my-own")),
        ("containerd-shim-multiwasm-v1", None),
        ("containerd-shim-wasmedge", None),
        ("containerd-shim-wasmedge-v", None),
        ("multiwasm", None),
    ] {
        assert_eq!(alias_of(program).as_deref(), alias, "{program}");
    }
}
