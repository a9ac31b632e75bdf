//! Which engines are installed, where, and how they are opened.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use multiwasm_engine::Capabilities;
use multiwasm_engine::loader::{Plugin, PluginError};

use crate::config::Config;
use crate::options::is_engine_name;

/// Engines that have a package of ours; any other is welcome as well.
const PACKAGED: &[&str] = &["wasmtime", "wasmedge", "wasmer"];

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EnginesError {
    /// The engine is one of ours, but not here.
    #[error(
        "engine {engine} is not installed; installed: {}; looked for {} in {}: install the package multiwasm-engine-{engine}",
        list(.installed), file_name(.engine), paths(.folders)
    )]
    NotInstalled {
        /// The engine that was asked for.
        engine: String,
        /// Those that are there.
        installed: Vec<String>,
        /// Where it was looked for.
        folders: Vec<PathBuf>,
    },
    /// Nobody has heard of the engine.
    #[error(
        "unknown engine {engine}; installed: {}; known: {}; looked for {} in {}: install that plug-in, or name another \
         engine (packages are called multiwasm-engine-<engine>)",
        list(.installed), PACKAGED.join(", "), file_name(.engine), paths(.folders)
    )]
    Unknown {
        /// The engine that was asked for.
        engine: String,
        /// Those that are there.
        installed: Vec<String>,
        /// Where it was looked for.
        folders: Vec<PathBuf>,
    },
    /// The plug-in is there and can't be used.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// The plug-in is another engine than its file name says.
    #[error("engine plug-in {path} says it is engine {found}, wanted {wanted}: its file must be called {}", file_name(.found))]
    Misnamed {
        /// The plug-in.
        path: PathBuf,
        /// The engine by its own account.
        found: String,
        /// The engine by its file name.
        wanted: String,
    },
}

/// The file of an engine; a library's name has no `-`.
fn file_name(engine: &str) -> String {
    format!("libmultiwasm_{}.so", engine.replace('-', "_"))
}

fn engine_of(file_name: &str) -> Option<String> {
    let name = file_name.strip_prefix("libmultiwasm_")?.strip_suffix(".so")?.replace('_', "-");
    is_engine_name(&name).then_some(name)
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Folders, with the reason behind each that is there and can't be read: what lies in it is missed by this user alone.
fn paths(folders: &[PathBuf]) -> String {
    let shown = |folder: &PathBuf| match folder.read_dir() {
        Err(error) if error.kind() != ErrorKind::NotFound => format!("{} ({error})", folder.display()),
        _ => folder.display().to_string(),
    };
    list(&folders.iter().map(shown).collect::<Vec<_>>())
}

/// An engine by its file; it is not opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Its name.
    pub name: String,
    /// Its plug-in.
    pub path: PathBuf,
}

/// The folders in which engines are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engines {
    folders: Vec<PathBuf>,
}

impl Engines {
    /// The folders of the configuration.
    pub fn of(config: &Config) -> Self {
        Self::at(config.engine_path.clone())
    }

    /// These folders; the first that has an engine wins.
    pub fn at(folders: Vec<PathBuf>) -> Self {
        Self { folders }
    }

    /// That none is installed: where it was looked, and what to install.
    pub fn none_installed(&self) -> String {
        format!(
            "no engine is installed; looked for libmultiwasm_<engine>.so in {}: install the package multiwasm-engine-wasmtime, \
             multiwasm-engine-wasmedge or multiwasm-engine-wasmer",
            paths(self.folders())
        )
    }

    /// Where engines are looked for.
    pub fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// What is there, by name, without opening any.
    pub fn installed(&self) -> Vec<Installed> {
        let mut found = BTreeMap::new();
        for folder in &self.folders {
            let Ok(entries) = folder.read_dir() else { continue };
            for entry in entries.flatten() {
                if let Some(name) = entry.file_name().to_str().and_then(engine_of) {
                    found.entry(name).or_insert_with(|| entry.path());
                }
            }
        }
        found.into_iter().map(|(name, path)| Installed { name, path }).collect()
    }

    /// The names of what is there.
    pub fn names(&self) -> Vec<String> {
        self.installed().into_iter().map(|installed| installed.name).collect()
    }

    /// The plug-in of an engine.
    ///
    /// # Errors
    /// [`EnginesError::NotInstalled`] or [`EnginesError::Unknown`].
    pub fn find(&self, engine: &str) -> Result<PathBuf, EnginesError> {
        let file = file_name(engine);
        let found = self.folders.iter().map(|folder| folder.join(&file)).find(|path| path.symlink_metadata().is_ok());
        match found {
            Some(path) if is_engine_name(engine) => Ok(path),
            _ => Err(self.missing(engine)),
        }
    }

    fn missing(&self, engine: &str) -> EnginesError {
        let (engine, installed, folders) = (engine.to_owned(), self.names(), self.folders.clone());
        if PACKAGED.contains(&engine.as_str()) {
            EnginesError::NotInstalled { engine, installed, folders }
        } else {
            EnginesError::Unknown { engine, installed, folders }
        }
    }

    /// Opens an engine. Opening it again is cheap, as plug-ins are never unloaded.
    ///
    /// # Errors
    /// Each of [`EnginesError`].
    pub fn open(&self, engine: &str) -> Result<Plugin, EnginesError> {
        open_at(&self.find(engine)?, engine)
    }

    /// What an engine can do. It is opened for that.
    ///
    /// # Errors
    /// As [`Engines::open`].
    pub fn capabilities(&self, engine: &str) -> Result<Capabilities, EnginesError> {
        Ok(self.open(engine)?.description().capabilities)
    }
}

/// Opens the plug-in at `path`, which must be that engine's.
pub(crate) fn open_at(path: &Path, engine: &str) -> Result<Plugin, EnginesError> {
    let plugin = Plugin::open(path)?;
    let found = &plugin.description().name;
    if found != engine {
        return Err(EnginesError::Misnamed { path: path.to_owned(), found: found.clone(), wanted: engine.to_owned() });
    }
    Ok(plugin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            std::fs::write(folder.path().join(file), b"no plug-in").unwrap();
        }
        folder
    }

    #[test]
    fn installed_engines_are_listed_and_the_first_folder_wins() {
        let first = folder(&["libmultiwasm_wasmer.so", "libother.so", "libmultiwasm_.so"]);
        let second = folder(&["libmultiwasm_wasmer.so", "libmultiwasm_my_own.so", "libmultiwasm_UP.so"]);
        let engines = Engines::at(vec!["/nonexistent/engines".into(), first.path().into(), second.path().into()]);
        assert_eq!(engines.names(), ["my-own", "wasmer"]);
        assert_eq!(engines.find("wasmer").unwrap(), first.path().join("libmultiwasm_wasmer.so"));
        assert_eq!(engines.find("my-own").unwrap(), second.path().join("libmultiwasm_my_own.so"));
    }

    #[test]
    fn a_missing_engine_says_what_there_is_where_and_what_to_install() {
        let folder = folder(&["libmultiwasm_wasmtime.so"]);
        let engines = Engines::at(vec![folder.path().into(), "/nonexistent".into()]);
        let place = folder.path().display();
        assert_eq!(
            engines.open("wasmedge").err().unwrap().to_string(),
            format!(
                "engine wasmedge is not installed; installed: wasmtime; looked for libmultiwasm_wasmedge.so in {place}, \
                 /nonexistent: install the package multiwasm-engine-wasmedge"
            )
        );
        assert_eq!(
            engines.open("wasmtim").err().unwrap().to_string(),
            format!(
                "unknown engine wasmtim; installed: wasmtime; known: wasmtime, wasmedge, wasmer; looked for \
                 libmultiwasm_wasmtim.so in {place}, /nonexistent: install that plug-in, or name another engine \
                 (packages are called multiwasm-engine-<engine>)"
            )
        );
        assert!(engines.find("../x").is_err());
    }

    #[test]
    fn a_folder_that_cannot_be_read_is_told_as_such() {
        let folder = folder(&["engines"]);
        let engines = Engines::at(vec![folder.path().join("engines"), "/nonexistent".into()]);
        let place = folder.path().display();
        for said in [engines.find("wasmtime").err().unwrap().to_string(), engines.none_installed()] {
            assert!(
                said.contains(&format!("{place}/engines (Not a directory (os error 20)), /nonexistent: ")),
                "{said}"
            );
        }
    }

    #[test]
    fn a_file_that_is_no_plugin_is_named() {
        let folder = folder(&["libmultiwasm_wasmtime.so"]);
        let error = Engines::at(vec![folder.path().into()]).open("wasmtime").err().unwrap().to_string();
        assert!(error.contains("libmultiwasm_wasmtime.so"), "{error}");
    }
}
