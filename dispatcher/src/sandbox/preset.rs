//! What the shim knows before any container: configuration, alias, the first container's annotations, engines loaded early.

use std::cell::RefCell;
use std::collections::HashMap;

use multiwasm_engine::loader::LoadedEngine;
use multiwasm_engine::{Capabilities, Optimize, Settings};

use super::SandboxError;
use crate::config::{Config, ConfigError};
use crate::engines::{Engines, EnginesError};
use crate::options::{Annotations, EngineChoice};
use crate::selection::{Inputs, select};

/// What the shim knows before any container.
pub struct Preset {
    config: Config,
    alias: Option<String>,
    /// What the command `multiwasm` was told; a shim never is.
    command_line: Option<EngineChoice>,
    /// The gRPC address of the containerd that containers come from; none without a daemon.
    containerd: Option<String>,
    /// Those of the first container of the group: what it asks for is worth loading.
    annotations: HashMap<String, String>,
    engines: RefCell<HashMap<(String, Optimize), LoadedEngine>>,
}

impl Preset {
    /// A preset with no engine loaded yet.
    pub fn new(config: Config, alias: Option<String>, annotations: HashMap<String, String>) -> Self {
        Self { config, alias, command_line: None, containerd: None, annotations, engines: RefCell::default() }
    }

    /// With an engine that overrides all other sources.
    #[must_use]
    pub fn with_engine(self, command_line: Option<EngineChoice>) -> Self {
        Self { command_line, ..self }
    }

    /// With the gRPC address of the containerd that containers come from.
    #[must_use]
    pub fn with_containerd(self, address: String) -> Self {
        Self { containerd: Some(address).filter(|address| !address.is_empty()), ..self }
    }

    /// The gRPC address of the containerd that containers come from.
    pub(super) fn containerd(&self) -> Option<&str> {
        self.containerd.as_deref()
    }

    /// What the command line says.
    pub(super) fn command_line(&self) -> Option<&EngineChoice> {
        self.command_line.as_ref()
    }

    /// The engine that the shim was called by.
    pub(super) fn alias(&self) -> Option<&str> {
        self.alias.as_deref()
    }

    /// The configuration of a container: the shim's own, unless it brings runtime options.
    ///
    /// # Errors
    /// What is wrong with its options.
    pub(super) fn config(&self, options: Option<(&str, &[u8])>) -> Result<Config, ConfigError> {
        match options {
            Some(options) => Config::load(Some(options)),
            None => Ok(self.config.clone()),
        }
    }

    /// Loads the engine that the first container will probably run on. What goes wrong will go wrong again at its
    /// Create, and is told there.
    pub fn warm(&mut self) {
        let Ok(annotations) = Annotations::read(&self.annotations, &self.config.options) else { return };
        let engines = Engines::of(&self.config);
        let inputs = Inputs {
            annotation: annotations.options.engine.as_ref(),
            handler: annotations.handler.as_ref(),
            alias: self.alias(),
            runtime_options: self.config.runtime_engine.as_ref(),
            config_file: self.config.file_engine.as_ref(),
            order: &self.config.order,
            ..Inputs::default()
        };
        // Without a module there is nothing that an engine could lack.
        let able = |_: &str| Ok(Capabilities(u64::MAX));
        if let Ok(choice) = select(&inputs, None, &engines.names(), able) {
            let loaded = self.engine(&engines, &choice.engine, annotations.options.optimize);
            if let Err(error) = loaded {
                tracing::debug!("engine {} is not loaded ahead: {error}", choice.engine);
            }
        }
    }

    /// The engine of this name, loaded now if it was not.
    ///
    /// # Errors
    /// Why it can't be had.
    pub(super) fn engine(
        &self,
        engines: &Engines,
        name: &str,
        optimize: Optimize,
    ) -> Result<LoadedEngine, SandboxError> {
        // A path that another configuration gives is another plug-in, perhaps; so loaded ones count by where they are.
        let path = engines.find(name)?;
        let key = (name.to_owned(), optimize);
        let same = |loaded: &&LoadedEngine| path.canonicalize().is_ok_and(|path| path == loaded.plugin().path());
        if let Some(loaded) = self.engines.borrow().get(&key).filter(same) {
            return Ok(loaded.clone());
        }
        let started = engines.open(name)?.start(&Settings { optimize });
        let loaded = started.map_err(|source| SandboxError::Engine {
            file: path.display().to_string(),
            engine: name.to_owned(),
            source,
        })?;
        self.engines.borrow_mut().insert(key, loaded.clone());
        Ok(loaded)
    }

    /// What an engine can do, without loading again what is loaded.
    ///
    /// # Errors
    /// Why it can't be had.
    pub(super) fn capabilities(&self, engines: &Engines, name: &str) -> Result<Capabilities, EnginesError> {
        let path = engines.find(name)?.canonicalize().ok();
        let loaded = self.engines.borrow();
        let known = loaded.values().map(LoadedEngine::plugin).find(|plugin| Some(plugin.path()) == path.as_deref());
        match known {
            Some(plugin) => Ok(plugin.description().capabilities),
            None => engines.capabilities(name),
        }
    }
}
