//! Every key of the configuration that is not also a container's option, and docs/configuration.md.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use toml::Value;

use super::{CONFIG_VARIABLE, Config, DEFAULT_PATH, Group};
use crate::options::{DEFINITIONS, FLAG, SIZE, is_engine_name, parse_size};

/// Keys that containerd's configuration, and with it ConfigBody, carries for other shims, or for the way to us.
pub(super) const TOLERATED: &[&str] = &[
    "BinaryName",
    "ConfigBody",
    "ConfigPath",
    "CriuImagePath",
    "CriuPath",
    "CriuWorkPath",
    "IoGid",
    "IoUid",
    "NoNewKeyring",
    "NoPivotRoot",
    "Root",
    "ShimCgroup",
    "SystemdCgroup",
    "TaskApiAddress",
    "TaskApiVersion",
    "TypeUrl",
];

/// A key that is not also a container's option; those are in [`DEFINITIONS`].
pub(super) struct Key {
    pub(super) path: &'static str,
    pub(super) allowed: &'static str,
    pub(super) default: &'static str,
    doc: &'static str,
    pub(super) set: fn(&mut Config, &Value) -> Option<()>,
}

const SECONDS: &str = "seconds, at least 1";

pub(super) const KEYS: &[Key] = &[
    Key {
        path: "order",
        allowed: "a list of engine names",
        default: "[\"wasmtime\", \"wasmer\", \"wasmedge\"]",
        doc: "In which order `auto` tries engines. Installed engines that are not named come last.",
        set: |config, value| {
            config.order = list(value)?;
            config.order.iter().all(|name| is_engine_name(name)).then_some(())
        },
    },
    Key {
        path: "engine_path",
        allowed: "a list of absolute paths",
        default: "[\"/usr/lib/multiwasm/engines\", \"/usr/local/lib/multiwasm/engines\"]",
        doc: "Folders with engines; the first that has one wins. `MULTIWASM_ENGINE_PATH` in the environment of \
              containerd, a list with colons, sets another default.",
        set: |config, value| {
            config.engine_path = list(value)?.iter().map(|path| absolute(path)).collect::<Option<_>>()?;
            Some(())
        },
    },
    Key {
        path: "allow_native_code",
        allowed: FLAG,
        default: "false",
        doc: "Whether native code that an image brings in place of a module (precompiled modules, WasmEdge's custom \
              section, shared objects) may be run. It is not confined as a module is.",
        set: |config, value| {
            config.allow_native_code = value.as_bool()?;
            Some(())
        },
    },
    Key {
        path: "group",
        allowed: "container, pod or node",
        default: "pod",
        doc: "Which containers share a shim: none, those of a Kubernetes pod, or all of a containerd namespace that were \
              asked for by the same runtime name. A shim that all share takes the least memory, and all of them with it \
              where it is killed.",
        set: |config, value| {
            config.group = match value.as_str()? {
                "container" => Group::Container,
                "pod" => Group::Pod,
                "node" => Group::Node,
                _ => return None,
            };
            Some(())
        },
    },
    Key {
        path: "compile.memory",
        allowed: SIZE,
        default: "4g",
        doc: "The most memory that a compiler may use. It is not part of the container's own memory.",
        set: |config, value| {
            config.compile.memory = parse_size(&scalar(value)?)?;
            Some(())
        },
    },
    Key {
        path: "compile.cpu_seconds",
        allowed: SECONDS,
        default: "1200",
        doc: "The most CPU time that a compiler may use, all its threads together.",
        set: |config, value| {
            config.compile.cpu_seconds = seconds(value)?;
            Some(())
        },
    },
    Key {
        path: "compile.timeout",
        allowed: SECONDS,
        default: "600",
        doc: "The most time that a compiler may take.",
        set: |config, value| {
            config.compile.timeout = Duration::from_secs(seconds(value)?);
            Some(())
        },
    },
    Key {
        path: "cache.path",
        allowed: "an absolute path",
        default: "/var/cache/multiwasm",
        doc: "The folder of the compile cache. Root's, and writable by root alone. `MULTIWASM_CACHE_PATH` in the \
              environment of containerd sets another default.",
        set: |config, value| {
            config.cache = absolute(value.as_str()?)?;
            Some(())
        },
    },
    Key {
        path: "cache.limit",
        allowed: SIZE,
        default: "4g",
        doc: "The most that the compile cache may hold. Beyond it the artifacts that were not used for longest go; a container \
              that runs keeps its own.",
        set: |config, value| {
            config.compile.cache = parse_size(&scalar(value)?)?;
            Some(())
        },
    },
    Key {
        path: "log.level",
        allowed: "error, warn, info, debug or trace",
        default: "info",
        doc: "The least important events that are logged; what containerd's own debug level asks for comes on top.",
        set: |config, value| {
            config.log = match value.as_str()? {
                "error" => tracing::Level::ERROR,
                "warn" => tracing::Level::WARN,
                "info" => tracing::Level::INFO,
                "debug" => tracing::Level::DEBUG,
                "trace" => tracing::Level::TRACE,
                _ => return None,
            };
            Some(())
        },
    },
];

/// Every key.
pub(super) fn paths() -> impl Iterator<Item = &'static str> {
    DEFINITIONS.iter().filter_map(|definition| definition.config).chain(KEYS.iter().map(|key| key.path))
}

/// Whether keys are in a table of this name.
pub(super) fn is_table(name: &str) -> bool {
    paths().any(|path| path.split_once('.').is_some_and(|(table, _)| table == name))
}

/// The text of a value that is no list and no table, as an annotation would say it.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(flag) => Some(flag.to_string()),
        _ => None,
    }
}

fn list(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

fn absolute(path: &str) -> Option<PathBuf> {
    path.starts_with('/').then(|| PathBuf::from(path))
}

fn seconds(value: &Value) -> Option<u64> {
    u64::try_from(value.as_integer()?).ok().filter(|seconds| *seconds > 0)
}

/// docs/configuration.md.
pub fn documentation() -> String {
    let mut text = format!(
        "# Configuration\n\n\
         <!-- Generated from the tables in dispatcher/src/config/keys.rs and options.rs: UPDATE_DOCS=1 cargo test -p multiwasm --lib -->\n\n\
         The node's file is `{DEFAULT_PATH}` (`{CONFIG_VARIABLE}` in the environment of containerd names\n\
         another); where it is missing, the defaults below hold. A runtime of containerd's\n\
         configuration can have its own on top: the file that its options name as `ConfigPath`, or else the options\n\
         themselves (containerd hands them over as `ConfigBody`). A key that is not set there comes from the node's\n\
         file.\n\n\
         An unknown key or a value that is not allowed fails each container's creation, with a message that says what\n\
         is allowed. `multiwasm doctor --config FILE` checks a file before it is put there.\n\n\
         | key | allowed | default | meaning |\n|---|---|---|---|\n"
    );
    let mut row = |path: &str, allowed: &str, default: &str, doc: &str| {
        let _ = writeln!(text, "| `{path}` | {allowed} | {default} | {doc} |");
    };
    for definition in DEFINITIONS {
        if let Some(path) = definition.config {
            let doc = match path {
                "engine" => "The engine of containers that name none.",
                _ => definition.doc,
            };
            row(path, definition.allowed, definition.default, doc);
        }
    }
    for key in KEYS {
        row(key.path, key.allowed, &format!("`{}`", key.default), key.doc);
    }
    let _ = write!(
        text,
        "\nA key with a dot stands in a table: `compile.memory` is `memory` below `[compile]`.\n\n\
         Keys of other shims are tolerated at the top and mean nothing here: {}.\n",
        TOLERATED.join(", ")
    );
    text
}

/// `/etc/multiwasm/config.toml` as packages bring it: each key with what it means and its default, commented out.
pub fn commented_defaults() -> String {
    let options = DEFINITIONS.iter().filter_map(|definition| {
        let path = definition.config?;
        // These two have no value that says the same as silence.
        let (default, doc) = match path {
            "engine" => ("auto", "The engine of containers that name none."),
            "memory_limit" => ("1g", definition.doc),
            _ => (definition.default, definition.doc),
        };
        Some((path, definition.allowed, default, doc))
    });
    let keys = KEYS.iter().map(|key| (key.path, key.allowed, key.default, key.doc));
    let mut all: Vec<_> = options.chain(keys).collect();
    // TOML's tables come after the keys that stand in none, and each but once.
    let table = |path: &'static str| path.split_once('.').map_or("", |(table, _)| table);
    all.sort_by_key(|(path, ..)| table(path));

    let mut text = String::from(
        "# The configuration of multiwasm on this node. Each key stands here with its default, commented out (memory_limit\n\
         # has none: the engine's own limit holds). `multiwasm doctor` checks this file.\n",
    );
    let mut before = "";
    for (path, allowed, default, doc) in all {
        if table(path) != before {
            before = table(path);
            let _ = write!(text, "\n[{before}]\n");
        }
        let name = path.rsplit('.').next().unwrap_or(path);
        let _ = write!(text, "\n{}#{name} = {}\n", comment(&format!("{doc} Allowed: {allowed}.")), toml_of(default));
    }
    text
}

/// A default of the tables as TOML.
fn toml_of(default: &str) -> String {
    match default {
        "true" | "false" => default.to_owned(),
        _ if default.starts_with('[') || default.parse::<u64>().is_ok() => default.to_owned(),
        _ => format!("{default:?}"),
    }
}

/// Text as lines of a comment.
fn comment(text: &str) -> String {
    const WIDTH: usize = 118;
    let mut lines = vec![String::from("#")];
    for word in text.split_whitespace() {
        if lines.last().is_some_and(|line| line.len() + 1 + word.len() > WIDTH) {
            lines.push(String::from("#"));
        }
        if let Some(line) = lines.last_mut() {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.join("\n") + "\n"
}
