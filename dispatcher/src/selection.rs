//! Which engine runs a container, and why.
//!
//! Of six sources the most explicit one that speaks wins; `auto` reads the module. Whatever source it was, the engine
//! must be able to do what the module needs, which is judged by the capabilities that the plug-in itself states, so a
//! fourth engine needs no line here.
#![forbid(unsafe_code)]

use std::fmt;

use multiwasm_engine::Capabilities;

use crate::engines::EnginesError;
use crate::module::{Facts, Import, Kind};
use crate::options::{EngineChoice, PREFIX, is_engine_name};

/// Where a choice came from, the most explicit first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `--engine` of the command `multiwasm`.
    CommandLine,
    /// `io.containerd.multiwasm.engine`.
    Annotation,
    /// `run.oci.handler`.
    Handler,
    /// The name that the shim was called by.
    Alias,
    /// containerd's options of the runtime.
    RuntimeOptions,
    /// The node's file.
    ConfigFile,
    /// The module itself, and the configured order.
    Auto,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => f.write_str("--engine"),
            Self::Annotation => write!(f, "annotation {PREFIX}engine"),
            Self::Handler => write!(f, "annotation {}", crate::options::HANDLER),
            Self::Alias => f.write_str("the runtime's name"),
            Self::RuntimeOptions => f.write_str("the runtime options"),
            Self::ConfigFile => f.write_str("the config file"),
            Self::Auto => f.write_str("auto"),
        }
    }
}

/// What each source says, and what `auto` goes by.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inputs<'a> {
    /// What people call the module, for messages.
    pub file: &'a str,
    /// `--engine`.
    pub command_line: Option<&'a EngineChoice>,
    /// [`crate::options::Options::engine`] of the annotations.
    pub annotation: Option<&'a EngineChoice>,
    /// [`crate::options::Annotations::handler`].
    pub handler: Option<&'a EngineChoice>,
    /// [`alias_of`] the shim's name.
    pub alias: Option<&'a str>,
    /// [`crate::config::Config::runtime_engine`].
    pub runtime_options: Option<&'a EngineChoice>,
    /// [`crate::config::Config::file_engine`].
    pub config_file: Option<&'a EngineChoice>,
    /// [`crate::config::Config::order`].
    pub order: &'a [String],
}

/// The engine that runs a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Its name.
    pub engine: String,
    /// Who decided.
    pub source: Source,
    /// Why, for people.
    pub reason: String,
}

/// Why no engine was chosen.
#[derive(Debug, thiserror::Error)]
pub enum SelectionError {
    /// The engine that was asked for is not there, or can't be opened.
    #[error("{file}: {asked}: {reason}")]
    Engine {
        /// The module.
        file: String,
        /// Who asked for it.
        asked: Source,
        /// What is wrong with it.
        reason: Box<EnginesError>,
    },
    /// The engine that was asked for can't run the module.
    #[error("{file}: {because}, but engine {engine} (chosen by {chosen_by}) does not offer {what}; {}", others(.able, .package))]
    Incapable {
        /// The module.
        file: String,
        /// The engine that was asked for.
        engine: String,
        /// Who asked for it.
        chosen_by: Source,
        /// What it lacks.
        what: &'static str,
        /// Why the module needs it.
        because: String,
        /// Installed engines that can.
        able: Box<[String]>,
        /// The engine of ours that can, for the package's name.
        package: &'static str,
    },
    /// No installed engine can run the module.
    #[error("{file}: {because}, and no installed engine ({}) offers {what}; {}", installed.join(", "), others(&[], .package))]
    Nobody {
        /// The module.
        file: String,
        /// What all engines lack.
        what: &'static str,
        /// Why the module needs it.
        because: String,
        /// Those that were asked.
        installed: Vec<String>,
        /// The engine of ours that can, for the package's name.
        package: &'static str,
    },
}

fn others(able: &[String], package: &str) -> String {
    match able {
        [] => format!("install the package multiwasm-engine-{package}"),
        able => format!("installed engines that do: {}", able.join(", ")),
    }
}

/// The engine that the shim's name stands for: `containerd-shim-wasmedge-v1` → `wasmedge`.
pub fn alias_of(program: &str) -> Option<String> {
    let file = program.rsplit('/').next().unwrap_or(program);
    let (name, version) = file.strip_prefix("containerd-shim-")?.rsplit_once("-v")?;
    let digits = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
    (digits && name != "multiwasm" && is_engine_name(name)).then(|| name.to_owned())
}

/// Chooses.
///
/// `facts` are those of the module; none while it is not known yet (an engine is loaded ahead). `installed` are the
/// names of what is there, `capabilities` opens an engine and tells what it can; it is asked about the engine that is
/// taken, and about others only where `auto` or a message needs to know.
///
/// # Errors
/// [`SelectionError`]: an engine that is not there or can't be opened, or one that can't run this module.
pub fn select(
    inputs: &Inputs<'_>,
    facts: Option<&Facts>,
    installed: &[String],
    mut capabilities: impl FnMut(&str) -> Result<Capabilities, EnginesError>,
) -> Result<Choice, SelectionError> {
    let need = facts.and_then(Need::of);
    match asked(inputs) {
        Some((source, engine)) => explicit(inputs, source, engine, need, installed, &mut capabilities),
        None => auto(inputs, need, installed, &mut capabilities),
    }
}

/// The engine that the most explicit source names; none where it says `auto` or all are silent.
fn asked<'a>(inputs: &Inputs<'a>) -> Option<(Source, &'a str)> {
    let named = |choice: &'a EngineChoice| match choice {
        EngineChoice::Auto => None,
        EngineChoice::Named(name) => Some(name.as_str()),
    };
    let (source, engine) = [
        (Source::CommandLine, inputs.command_line.map(named)),
        (Source::Annotation, inputs.annotation.map(named)),
        (Source::Handler, inputs.handler.map(named)),
        (Source::Alias, inputs.alias.map(Some)),
        (Source::RuntimeOptions, inputs.runtime_options.map(named)),
        (Source::ConfigFile, inputs.config_file.map(named)),
    ]
    .into_iter()
    .find_map(|(source, said)| Some((source, said?)))?;
    Some((source, engine?))
}

type Lookup<'a> = &'a mut dyn FnMut(&str) -> Result<Capabilities, EnginesError>;

fn explicit(
    inputs: &Inputs<'_>,
    source: Source,
    engine: &str,
    need: Option<Need>,
    installed: &[String],
    capabilities: Lookup<'_>,
) -> Result<Choice, SelectionError> {
    let can = capabilities(engine).map_err(|reason| SelectionError::Engine {
        file: inputs.file.to_owned(),
        asked: source,
        reason: Box::new(reason),
    })?;
    if let Some(Need { rule, because }) = need.filter(|need| !can.has(need.rule.capability)) {
        let able = |other: &&String| capabilities(other).is_ok_and(|can| can.has(rule.capability));
        return Err(SelectionError::Incapable {
            file: inputs.file.to_owned(),
            engine: engine.to_owned(),
            chosen_by: source,
            what: rule.what,
            because,
            able: installed.iter().filter(able).cloned().collect(),
            package: rule.ours,
        });
    }
    Ok(Choice { engine: engine.to_owned(), source, reason: format!("{source} says so") })
}

fn auto(
    inputs: &Inputs<'_>,
    need: Option<Need>,
    installed: &[String],
    capabilities: Lookup<'_>,
) -> Result<Choice, SelectionError> {
    let mut candidates: Vec<&String> = inputs.order.iter().filter(|name| installed.contains(name)).collect();
    candidates.extend(installed.iter().filter(|name| !inputs.order.contains(name)));
    if let Some(alone) = need.as_ref().filter(|need| need.rule.alone) {
        // Asked first, so that no other engine is opened in vain; it is no more than a guess.
        candidates.sort_by_key(|name| **name != alone.rule.ours);
    }
    let wanted = need.as_ref().map_or(Capabilities::MODULES, |need| need.rule.capability);
    let failed =
        |reason| SelectionError::Engine { file: inputs.file.to_owned(), asked: Source::Auto, reason: Box::new(reason) };
    for engine in &candidates {
        if capabilities(engine).map_err(failed)?.has(wanted) {
            let order = format!("of the order {}", inputs.order.join(", "));
            let reason = match &need {
                Some(Need { rule, because }) if rule.alone => format!("{because}, which {engine} offers"),
                Some(Need { rule, because }) => {
                    format!("{because}, and {engine} is the first {order} that offers {}", rule.what)
                }
                None => format!("{engine} is the first installed {order}"),
            };
            return Ok(Choice { engine: engine.to_string(), source: Source::Auto, reason });
        }
    }
    let package = need.as_ref().map_or("wasmtime", |need| need.rule.ours);
    if candidates.is_empty() {
        // Asking for what can't be there gives the message that says where it was looked.
        if let Err(reason) = capabilities(package) {
            return Err(failed(reason));
        }
    }
    Err(SelectionError::Nobody {
        file: inputs.file.to_owned(),
        what: need.as_ref().map_or("modules", |need| need.rule.what),
        because: need.map_or_else(|| "it is a module".to_owned(), |need| need.because),
        installed: installed.to_vec(),
        package,
    })
}

/// Something that not every engine has, and how one sees in a module that it needs it.
struct Rule {
    capability: Capabilities,
    /// What it is, for people.
    what: &'static str,
    /// The engine of ours that has it, for messages and as the first to ask.
    ours: &'static str,
    /// Only one engine is expected to have it.
    alone: bool,
    /// Why the module needs it, if it does.
    sign: fn(&Facts) -> Option<String>,
}

const RULES: &[Rule] = &[
    Rule {
        capability: Capabilities::COMPONENTS,
        what: "components",
        ours: "wasmtime",
        alone: false,
        sign: |facts| (facts.kind == Kind::Component).then(|| "it is a component".to_owned()),
    },
    Rule {
        capability: Capabilities::WASIX,
        what: "WASIX",
        ours: "wasmer",
        alone: true,
        sign: |facts| imported(facts, |import| matches!(import.module.as_str(), "wasix_32v1" | "wasix_64v1")),
    },
    Rule {
        capability: Capabilities::SOCKETS,
        what: "WasmEdge's sockets",
        ours: "wasmedge",
        alone: true,
        sign: |facts| {
            imported(facts, |import| {
                import.module == "wasi_snapshot_preview1" && WASMEDGE_SOCKETS.contains(&import.name.as_str())
            })
        },
    },
];

/// What WasmEdge adds to preview 1, whose own calls are `sock_accept`, `sock_recv`, `sock_send` and `sock_shutdown`.
const WASMEDGE_SOCKETS: &[&str] = &[
    "sock_open",
    "sock_bind",
    "sock_listen",
    "sock_connect",
    "sock_recv_from",
    "sock_send_to",
    "sock_getsockopt",
    "sock_setsockopt",
    "sock_getlocaladdr",
    "sock_getpeeraddr",
    "sock_getaddrinfo",
    "sock_open_v2",
    "sock_bind_v2",
    "sock_listen_v2",
    "sock_accept_v2",
    "sock_connect_v2",
    "sock_recv_v2",
    "sock_recv_from_v2",
    "sock_send_v2",
    "sock_send_to_v2",
    "sock_getlocaladdr_v2",
    "sock_getpeeraddr_v2",
];

fn imported(facts: &Facts, sign: impl Fn(&Import) -> bool) -> Option<String> {
    let import = facts.imports.iter().find(|import| sign(import))?;
    Some(format!("it imports {}::{}", import.module, import.name))
}

/// The first rule that a module meets.
struct Need {
    rule: &'static Rule,
    because: String,
}

impl Need {
    fn of(facts: &Facts) -> Option<Self> {
        RULES.iter().find_map(|rule| Some(Self { rule, because: (rule.sign)(facts)? }))
    }
}

#[cfg(test)]
mod tests;
