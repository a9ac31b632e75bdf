//! A node of its own for a case: our shim with another environment, as a runtime by the path of its shim.
//!
//! Where engines are and what the node's file says is the node's matter and no container's. containerd takes a runtime by
//! the path of its shim, so a script in a fresh folder, which runs the installed shim in that environment, is one.

use std::fmt::Write;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use tempfile::TempDir;

use crate::case::node::{Node, PluginFile};
use crate::command::{CommandError, run};

/// Where engines are installed, if nothing else is said.
const ENGINES: [&str; 2] = ["/usr/lib/multiwasm/engines", "/usr/local/lib/multiwasm/engines"];

/// Why there is no such node.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Its folder can't be made.
    #[error("the case's node: {}: {cause}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the kernel said.
        cause: io::Error,
    },
    /// The shim is nowhere.
    #[error("not run: {0}, the shim that the case's node runs, is not on PATH")]
    NoShim(String),
    /// An engine is nowhere.
    #[error("not run: {0} is in none of the folders of installed engines")]
    NoEngine(String),
    /// A plug-in from C source can't be had.
    #[error("not run: a plug-in of the case does not compile: {0}")]
    Compiler(String),
}

/// A node that is there until this is dropped.
#[derive(Debug)]
pub struct NodeFolder {
    /// The runtime that containerd is given.
    pub runtime: String,
    _folder: TempDir,
}

impl NodeFolder {
    /// Makes it for the runtime of this name; `engine` is the target's.
    ///
    /// # Errors
    /// Something of it can't be made.
    pub fn make(node: &Node, runtime: &str, engine: &str) -> Result<Self, NodeError> {
        let folder = tempfile::tempdir().map_err(|cause| NodeError::File { path: env::temp_dir(), cause })?;
        let mut script = "#!/bin/sh\n".to_owned();
        if let Some(config) = &node.config {
            let path = folder.path().join("config.toml");
            written(&path, config.as_bytes())?;
            let _ = writeln!(script, "export MULTIWASM_CONFIG_PATH={}", path.display());
        }
        if node.engines.is_some() || !node.plugins.is_empty() {
            let path = folder.path().join("engines");
            fs::create_dir(&path).map_err(|cause| NodeError::File { path: path.clone(), cause })?;
            for name in node.engines.iter().flatten() {
                let to = path.join(file_of(name));
                symlink(installed(name)?, &to).map_err(|cause| NodeError::File { path: to, cause })?;
            }
            for plugin in &node.plugins {
                put(plugin, &path, engine)?;
            }
            let _ = writeln!(script, "export MULTIWASM_ENGINE_PATH={}", path.display());
        }
        let name = shim_of(runtime);
        let _ = writeln!(script, "exec {} \"$@\"", on_path(&name)?.display());
        let wrapper = folder.path().join(&name);
        written(&wrapper, script.as_bytes())?;
        permit(&wrapper, 0o755)?;
        Ok(Self { runtime: wrapper.display().to_string(), _folder: folder })
    }
}

/// Puts a file under an engine's name.
fn put(plugin: &PluginFile, folder: &Path, engine: &str) -> Result<(), NodeError> {
    let named = |text: &str| text.replace("{engine}", engine);
    let path = folder.join(file_of(&named(&plugin.engine)));
    let failed = |cause| NodeError::File { path: path.clone(), cause };
    if let Some(to) = &plugin.link {
        return symlink(to, &path).map_err(failed);
    }
    if let Some(other) = &plugin.copy {
        fs::copy(installed(&named(other))?, &path).map_err(failed)?;
    } else if let Some(text) = &plugin.text {
        written(&path, text.as_bytes())?;
    } else if let Some(source) = &plugin.c {
        let file = folder.join("plugin.c");
        written(&file, source.as_bytes())?;
        let words = ["cc", "-shared", "-fPIC", "-o", &path.to_string_lossy(), &file.to_string_lossy()];
        let compiled = run(&words).and_then(|output| output.success());
        compiled.map_err(|error: CommandError| NodeError::Compiler(error.to_string()))?;
    }
    chown(&path, plugin.owner, None).map_err(failed)?;
    permit(&path, plugin.mode.unwrap_or(0o755))
}

fn written(path: &Path, content: &[u8]) -> Result<(), NodeError> {
    fs::write(path, content).map_err(|cause| NodeError::File { path: path.to_owned(), cause })
}

fn permit(path: &Path, mode: u32) -> Result<(), NodeError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(|cause| NodeError::File { path: path.to_owned(), cause })
}

/// The file of an engine's plug-in.
fn file_of(engine: &str) -> String {
    format!("libmultiwasm_{}.so", engine.replace('-', "_"))
}

/// Where an engine is installed.
fn installed(engine: &str) -> Result<PathBuf, NodeError> {
    // The lab's, then what the shim itself goes by.
    let named = ["MULTIWASM_LAB_ENGINES", "MULTIWASM_ENGINE_PATH"].into_iter().filter_map(env::var_os);
    let named: Vec<_> = named.flat_map(|folders| env::split_paths(&folders).collect::<Vec<_>>()).collect();
    let mut folders = named.into_iter().chain(ENGINES.map(PathBuf::from));
    let found = folders.find_map(|folder| Some(folder.join(file_of(engine))).filter(|path| path.is_file()));
    found.ok_or_else(|| NodeError::NoEngine(file_of(engine)))
}

/// The program that containerd runs for a runtime: `io.containerd.wasmedge.v1` → `containerd-shim-wasmedge-v1`.
fn shim_of(runtime: &str) -> String {
    let mut words = runtime.rsplit('.');
    let (version, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    format!("containerd-shim-{name}-{version}")
}

fn on_path(name: &str) -> Result<PathBuf, NodeError> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| NodeError::NoShim(name.to_owned()))
}
