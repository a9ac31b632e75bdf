//! What is around a case's container: the node that its shim runs on, and the containers of its pod.

use serde::Deserialize;

/// A node of its own for our shim: the same shim with another environment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// What its configuration file holds; none: it has no such file.
    #[serde(default)]
    pub config: Option<String>,
    /// The engines that it has; none: all that are installed here, unless `plugins` says which.
    #[serde(default)]
    pub engines: Option<Vec<String>>,
    /// Files in its engines' folder.
    #[serde(default)]
    pub plugins: Vec<PluginFile>,
}

/// A file under an engine's name: just one of `copy`, `text`, `link` and `c`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginFile {
    /// The engine whose plug-in it seems to be.
    pub engine: String,
    /// A copy of this installed engine's plug-in.
    #[serde(default)]
    pub copy: Option<String>,
    /// A text.
    #[serde(default)]
    pub text: Option<String>,
    /// A symbolic link to this.
    #[serde(default)]
    pub link: Option<String>,
    /// A shared object, compiled from this C source.
    #[serde(default)]
    pub c: Option<String>,
    /// Its permissions; none: 0755.
    #[serde(default)]
    pub mode: Option<u32>,
    /// Its owner's number; none: root's.
    #[serde(default)]
    pub owner: Option<u32>,
}

/// A container of the same pod.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beside {
    /// What it runs on, by a target's name; none: what the case's container does.
    #[serde(default)]
    pub target: Option<String>,
    /// Its guest.
    #[serde(default = "probe")]
    pub guest: String,
    /// Arguments behind the guest's path.
    pub args: Vec<String>,
    /// Whether it is the pod's sandbox.
    #[serde(default)]
    pub sandbox: bool,
}

fn probe() -> String {
    "probe".to_owned()
}
