//! What cases run on: an engine through our shim, a native program through our shim, or another runtime by its name.

use std::fmt;

use crate::targets::{ENGINE_ANNOTATION, RUNTIME};

/// What cases run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What reports call it.
    pub name: String,
    /// The runtime that containerd is given.
    pub runtime: String,
    /// The engine that the annotation asks for.
    pub engine: Option<String>,
    /// Whether it runs native twins, not modules.
    pub native: bool,
}

/// What each engine can do of that which not all can, as it says itself (`multiwasm engines`).
const OFFERS: [(&str, &[&str]); 3] = [
    ("wasmtime", &["modules", "preview1", "aot", "memory-limit", "components", "preview2", "needs-aot"]),
    ("wasmedge", &["modules", "preview1", "aot", "memory-limit", "sockets"]),
    ("wasmer", &["modules", "preview1", "aot", "memory-limit", "wasix", "threads", "needs-aot"]),
];

impl Target {
    /// The names that `--engine` takes, in the order of the columns.
    pub const NAMES: [&str; 5] = ["wasmtime", "wasmedge", "wasmer", "native", "runc"];

    /// A target by the name that `--engine` takes; none where there is none of that name.
    pub fn named(name: &str) -> Option<Self> {
        let of = |runtime: &str, engine: Option<&str>, native| Self {
            name: name.to_owned(),
            runtime: runtime.to_owned(),
            engine: engine.map(str::to_owned),
            native,
        };
        match name {
            "wasmtime" | "wasmedge" | "wasmer" => Some(of(RUNTIME, Some(name), false)),
            "native" => Some(of(RUNTIME, None, true)),
            "runc" => Some(of("io.containerd.runc.v2", None, true)),
            _ => None,
        }
    }

    /// A runtime by the name that containerd takes, or the path of its shim. Those that are known to run nothing but native
    /// programs get native twins.
    pub fn runtime(runtime: &str) -> Self {
        if runtime == "io.containerd.runc.v2" {
            return Self { name: "runc".to_owned(), runtime: runtime.to_owned(), engine: None, native: true };
        }
        let native = ["runc", "crun", "runsc", "kata"].iter().any(|known| runtime.contains(known));
        Self { name: runtime.to_owned(), runtime: runtime.to_owned(), engine: None, native }
    }

    /// The annotation that asks for its engine.
    pub fn annotation(&self) -> Option<(String, String)> {
        self.engine.as_ref().map(|engine| (ENGINE_ANNOTATION.to_owned(), engine.clone()))
    }

    /// Whether a word of a case's `targets` means it.
    pub fn is(&self, word: &str) -> bool {
        match word {
            "engines" => !self.native,
            "runc" => self.native && self.runtime != RUNTIME,
            word => self.name == word,
        }
    }

    /// The first of these that its engine can't do. Of runtimes that are not ours nothing is known, so they lack nothing.
    pub fn lacks<'a>(&self, needs: impl IntoIterator<Item = &'a String>) -> Option<&'a str> {
        let (_, offers) = OFFERS.iter().find(|(engine, _)| self.engine.as_deref() == Some(engine))?;
        needs.into_iter().find(|need| !offers.contains(&need.as_str())).map(String::as_str)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
