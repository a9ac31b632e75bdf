//! The node's configuration: `/etc/multiwasm/config.toml`, and above it what containerd hands a runtime as its options.
//!
//! Each layer is TOML. A key that the upper one (ConfigPath's file, or ConfigBody) does not set comes from the file of
//! the node. Like options, keys stand in one table, from which parsing, checking and docs/configuration.md come.
#![forbid(unsafe_code)]

mod keys;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use prost::Message;
use toml::{Table, Value};

use crate::artifact::Limits;
use crate::options::{DEFINITIONS, EngineChoice, Options, meant, nearest};
use keys::{KEYS, TOLERATED, is_table, paths, scalar};
pub use keys::{commented_defaults, documentation};

/// The file of the node; that it is missing means defaults.
pub const DEFAULT_PATH: &str = "/etc/multiwasm/config.toml";

/// Another file of the node than [`DEFAULT_PATH`], for development and tests: an absolute path.
pub const CONFIG_VARIABLE: &str = "MULTIWASM_CONFIG_PATH";
/// Folders with engines in place of the default ones, for development: a list with colons.
pub const ENGINE_PATH_VARIABLE: &str = "MULTIWASM_ENGINE_PATH";
/// The folder of the cache in place of the default one, for development.
pub const CACHE_VARIABLE: &str = "MULTIWASM_CACHE_PATH";

/// Which containers share a shim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Group {
    /// None: each has its own.
    Container,
    /// Those of a pod.
    #[default]
    Pod,
    /// All of a namespace that were asked for by the same runtime name.
    Node,
}

/// The configuration that holds for a shim or a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// What holds for a container whose annotations say nothing; its `engine` is always none, see the next two.
    pub options: Options,
    /// The engine by runtime options.
    pub runtime_engine: Option<EngineChoice>,
    /// The engine by the node's file.
    pub file_engine: Option<EngineChoice>,
    /// In which order `auto` tries engines; installed ones that are not named come last.
    pub order: Vec<String>,
    /// Folders with engines, the first that has one wins.
    pub engine_path: Vec<PathBuf>,
    /// Whether native code from an image may run in place of the module.
    pub allow_native_code: bool,
    /// Which containers share a shim.
    pub group: Group,
    /// What a compiler may use.
    pub compile: Limits,
    /// The folder of the compile cache.
    pub cache: PathBuf,
    /// The least important events that are logged.
    pub log: tracing::Level,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            options: Options::default(),
            runtime_engine: None,
            file_engine: None,
            order: ["wasmtime", "wasmer", "wasmedge"].map(str::to_owned).into(),
            engine_path: ["/usr/lib/multiwasm/engines", "/usr/local/lib/multiwasm/engines"].map(PathBuf::from).into(),
            allow_native_code: false,
            group: Group::default(),
            compile: Limits::default(),
            cache: PathBuf::from("/var/cache/multiwasm"),
            log: tracing::Level::INFO,
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file can't be read.
    #[error("configuration {origin} can't be read: {reason}")]
    Unreadable {
        /// The file.
        origin: String,
        /// What the kernel said.
        reason: io::Error,
    },
    /// Not TOML.
    #[error("configuration {origin}, line {line}: not TOML: {reason}")]
    Syntax {
        /// The file, or the runtime options.
        origin: String,
        /// Where, from 1.
        line: usize,
        /// What the parser said.
        reason: String,
    },
    /// A key that nobody knows.
    #[error("configuration {origin}: unknown key {key}{}; allowed are {allowed}", meant(.nearest))]
    Unknown {
        /// The file, or the runtime options.
        origin: String,
        /// With the tables before it.
        key: String,
        /// The key that looks most like it.
        nearest: Option<String>,
        /// All keys.
        allowed: String,
    },
    /// A value that its key does not take.
    #[error("configuration {origin}: key {key} has the value {value}; allowed is {allowed}")]
    BadValue {
        /// The file, or the runtime options.
        origin: String,
        /// With the tables before it.
        key: String,
        /// The value as TOML.
        value: String,
        /// What the key takes.
        allowed: &'static str,
    },
    /// A variable of the environment names a folder from nowhere.
    #[error("{variable} in the environment names {path}, which is relative: an absolute path is needed")]
    Relative {
        /// The variable.
        variable: &'static str,
        /// What it names.
        path: String,
    },
    /// Runtime options that are not what their type says.
    #[error("runtime options of type {type_url} can't be decoded: {reason}")]
    Options {
        /// The type.
        type_url: String,
        /// What the decoder said.
        reason: String,
    },
}

/// containerd's `runtimeoptions.v1.Options`, field numbers as in its runtimeoptions API.
#[derive(Clone, PartialEq, Message)]
struct RuntimeOptions {
    /// The type of what the configuration holds; ours has one form.
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(string, tag = "2")]
    config_path: String,
    #[prost(bytes = "vec", tag = "3")]
    config_body: Vec<u8>,
}

fn absolute(variable: &'static str, path: PathBuf) -> Result<PathBuf, ConfigError> {
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(ConfigError::Relative { variable, path: path.display().to_string() })
    }
}

/// The file of the node, by the environment that [`CONFIG_VARIABLE`] is in.
pub fn node_file(variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    let named = variable(CONFIG_VARIABLE).map(PathBuf::from).filter(|file| file.is_absolute());
    named.unwrap_or_else(|| PathBuf::from(DEFAULT_PATH))
}

impl Config {
    /// The node's file, and above it the runtime options: type URL and value, as containerd packed them.
    ///
    /// Options of other types, such as `containerd.runc.v1.Options`, which Docker and ctr may send to any runtime, are
    /// ignored.
    ///
    /// # Errors
    /// [`ConfigError`] names the file, the key and what is allowed.
    pub fn load(options: Option<(&str, &[u8])>) -> Result<Self, ConfigError> {
        Self::load_from(&node_file(|name| std::env::var_os(name)), options)
    }

    /// The node's file as a process with the environment `variable` would read it.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_in(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, ConfigError> {
        Self::load_layers(&node_file(&variable), variable, None)
    }

    /// As [`Config::load`], with another file of the node.
    ///
    /// # Errors
    /// As there.
    pub fn load_from(file: &Path, options: Option<(&str, &[u8])>) -> Result<Self, ConfigError> {
        Self::load_layers(file, |name| std::env::var_os(name), options)
    }

    fn load_layers(
        file: &Path,
        variable: impl Fn(&str) -> Option<OsString>,
        options: Option<(&str, &[u8])>,
    ) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        config.take_environment(variable)?;
        let origin = file.display().to_string();
        match std::fs::read_to_string(file) {
            Ok(text) => config.apply(&text, &origin)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(reason) => return Err(ConfigError::Unreadable { origin, reason }),
        }
        config.file_engine = config.options.engine.take();
        if let Some((type_url, value)) = options {
            config.apply_runtime_options(type_url, value)?;
            config.runtime_engine = config.options.engine.take();
        }
        Ok(config)
    }

    /// What development and tests need: other defaults by environment. The environment is containerd's own, so it is the
    /// administrator's as much as the file is.
    fn take_environment(&mut self, variable: impl Fn(&str) -> Option<OsString>) -> Result<(), ConfigError> {
        let value = |name| variable(name).filter(|value| !value.is_empty());
        if let Some(folders) = value(ENGINE_PATH_VARIABLE) {
            let named = std::env::split_paths(&folders).filter(|folder| folder != Path::new(""));
            self.engine_path = named.map(|folder| absolute(ENGINE_PATH_VARIABLE, folder)).collect::<Result<_, _>>()?;
        }
        if let Some(folder) = value(CACHE_VARIABLE) {
            self.cache = absolute(CACHE_VARIABLE, folder.into())?;
        }
        // Which file that is has been told by now (`node_file`).
        value(CONFIG_VARIABLE).map_or(Ok(()), |file| absolute(CONFIG_VARIABLE, file.into()).map(drop))
    }

    fn apply_runtime_options(&mut self, type_url: &str, value: &[u8]) -> Result<(), ConfigError> {
        // CRI plugins before containerd 1.7 had a prefix before the same name.
        if !type_url.ends_with("runtimeoptions.v1.Options") {
            return Ok(());
        }
        let undecodable = |reason: String| ConfigError::Options { type_url: type_url.to_owned(), reason };
        let options = RuntimeOptions::decode(value).map_err(|error| undecodable(error.to_string()))?;
        if !options.config_path.is_empty() {
            let origin = format!("{} (ConfigPath of the runtime options)", options.config_path);
            return match std::fs::read_to_string(&options.config_path) {
                Ok(text) => self.apply(&text, &origin),
                Err(reason) => Err(ConfigError::Unreadable { origin, reason }),
            };
        }
        let body = String::from_utf8(options.config_body)
            .map_err(|error| undecodable(format!("ConfigBody: {}", error.utf8_error())))?;
        self.apply(&body, "of the runtime options (ConfigBody)")
    }

    /// Sets what `text` sets.
    fn apply(&mut self, text: &str, origin: &str) -> Result<(), ConfigError> {
        let table = text.parse::<Table>().map_err(|error| ConfigError::Syntax {
            origin: origin.to_owned(),
            line: error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count()),
            reason: error.message().replace('\n', ", "),
        })?;
        for (name, value) in &table {
            match value {
                Value::Table(inner) if is_table(name) => {
                    inner.iter().try_for_each(|(key, value)| self.set(&format!("{name}.{key}"), value, origin))?;
                }
                _ if TOLERATED.contains(&name.as_str()) => {}
                _ => self.set(name, value, origin)?,
            }
        }
        Ok(())
    }

    fn set(&mut self, path: &str, value: &Value, origin: &str) -> Result<(), ConfigError> {
        let (done, allowed) = if let Some(key) = KEYS.iter().find(|key| key.path == path) {
            ((key.set)(self, value), key.allowed)
        } else if let Some(definition) = DEFINITIONS.iter().find(|definition| definition.config == Some(path)) {
            (scalar(value).and_then(|text| definition.set(&mut self.options, &text)), definition.allowed)
        } else if is_table(path) {
            (None, "a table")
        } else {
            let paths: Vec<_> = paths().collect();
            return Err(ConfigError::Unknown {
                origin: origin.to_owned(),
                key: path.to_owned(),
                nearest: nearest(path, &paths).map(str::to_owned),
                allowed: paths.join(", "),
            });
        };
        done.ok_or_else(|| ConfigError::BadValue {
            origin: origin.to_owned(),
            key: path.to_owned(),
            value: value.to_string(),
            allowed,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
