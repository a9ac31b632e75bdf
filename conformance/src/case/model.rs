//! A case: the container it describes.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::expect::Expect;
use super::node::{Beside, Node};
use super::step::Step;
use super::value::{Size, User};

/// One case; see conformance/cases/README.md for each key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The area that it belongs to: its file says it.
    #[serde(skip)]
    pub area: String,
    /// Its name in the area.
    pub name: String,
    /// What it shows, in one line.
    pub about: String,
    /// Where the rule comes from.
    #[serde(default)]
    pub source: Option<String>,
    /// The guest that runs.
    #[serde(default = "probe")]
    pub guest: String,
    /// Arguments behind the guest's path.
    #[serde(default)]
    pub args: Vec<String>,
    /// In place of the guest's path as first word.
    #[serde(default)]
    pub argv0: Option<String>,
    /// In place of the guest's path, `path#function` for one.
    #[serde(default)]
    pub entrypoint: Option<String>,
    /// What it runs on; none: wherever its guest can.
    #[serde(default)]
    pub targets: Option<Vec<String>>,
    /// What an engine must be able to do.
    #[serde(default)]
    pub needs: Vec<String>,
    /// The version of cgroups that it is about, 1 or 2; none: any.
    #[serde(default)]
    pub cgroup: Option<u8>,
    /// Seconds that it may take.
    #[serde(default = "thirty")]
    timeout: u64,
    /// So many containers at once.
    #[serde(default = "one")]
    pub copies: usize,
    /// Nothing else runs meanwhile.
    #[serde(default)]
    pub alone: bool,
    /// Variables, `NAME=VALUE`.
    #[serde(default)]
    pub env: Vec<String>,
    /// Whether those are all: no `PATH`, which containerd's clients give.
    #[serde(default)]
    pub bare_env: bool,
    /// The working directory.
    #[serde(default)]
    pub cwd: Option<String>,
    /// Who it runs as.
    #[serde(default)]
    pub user: Option<User>,
    /// Its supplementary groups.
    #[serde(default)]
    pub groups: Vec<u32>,
    /// Whether its root can't be written to.
    #[serde(default)]
    pub read_only_root: bool,
    /// Its host's name.
    #[serde(default)]
    pub hostname: Option<String>,
    /// Resource limits by the name's end, `nofile` for one: both soft and hard.
    #[serde(default)]
    pub rlimits: BTreeMap<String, u64>,
    /// What the image's configuration says; none: `wasi/wasm` on engines, the machine's own elsewhere.
    #[serde(default)]
    pub platform: Option<String>,
    /// What the image holds beside the guest, by absolute path.
    #[serde(default)]
    pub files: BTreeMap<String, File>,
    /// Further layers above those files, the lowest first.
    #[serde(default)]
    pub layers: Vec<BTreeMap<String, File>>,
    /// Fresh folders of the host, or file systems in memory.
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// Annotations of the container.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// A runtime in place of the target's own.
    #[serde(default)]
    pub runtime: Option<String>,
    /// The runtime options' ConfigBody.
    #[serde(default)]
    pub runtime_options: Option<String>,
    /// What the file holds that the runtime options' ConfigPath names.
    #[serde(default)]
    pub runtime_options_file: Option<String>,
    /// The runtime options' ConfigPath itself, for one that is not there.
    #[serde(default)]
    pub runtime_options_path: Option<String>,
    /// Our shim on another node: its own configuration, other engines.
    #[serde(default)]
    pub node: Option<Node>,
    /// Laid over the container's specification: tables are merged, all else replaces (RFC 7396).
    #[serde(default)]
    pub spec: Option<toml::Table>,
    /// Limits of its cgroup.
    #[serde(default)]
    pub limits: Limits,
    /// A terminal in place of streams.
    #[serde(default)]
    pub terminal: Option<Terminal>,
    /// What it finds on standard input; none: no standard input.
    #[serde(default)]
    pub stdin: Option<Stdin>,
    /// How its standard output is read.
    #[serde(default)]
    pub reader: Reader,
    /// What kind of image it comes from.
    #[serde(default)]
    pub image: ImageKind,
    /// The pod that its copies share.
    #[serde(default)]
    pub pod: Option<String>,
    /// Containers of the same pod that run from before its start until after its end.
    #[serde(default)]
    pub beside: Vec<Beside>,
    /// What is done; none: create, start, wait, delete.
    #[serde(default)]
    steps: Option<Vec<Step>>,
    /// What must be seen.
    #[serde(default)]
    pub expect: Expect,
}

fn probe() -> String {
    "probe".to_owned()
}
fn thirty() -> u64 {
    30
}
fn one() -> usize {
    1
}

impl Case {
    /// A case of this name that says nothing more.
    pub fn plain(name: &str, about: &str) -> Self {
        let keys = [("name", name), ("about", about)];
        let table: toml::Table = keys.map(|(key, value)| (key.to_owned(), value.into())).into_iter().collect();
        table.try_into().expect("a case must have these two keys alone")
    }

    /// `area/name`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.area, self.name)
    }

    /// How long it may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    /// Bounds it by less than its own, where `limit` is less.
    pub fn shorten(&mut self, limit: Option<Duration>) {
        self.timeout = limit.map_or(self.timeout, |limit| limit.as_secs().min(self.timeout));
    }

    /// What is done.
    pub fn steps(&self) -> Vec<Step> {
        self.steps.clone().unwrap_or_else(Step::usual)
    }

    /// Whether the steps are the usual ones.
    pub fn has_usual_steps(&self) -> bool {
        self.steps.is_none()
    }
}

/// Limits of a cgroup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Of memory.
    #[serde(default)]
    pub memory: Option<Size>,
    /// Of processor time, in processors.
    #[serde(default)]
    pub cpu: Option<f64>,
    /// Of processes.
    #[serde(default)]
    pub pids: Option<i64>,
}

/// A terminal's size, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terminal {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// What a guest finds on standard input.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stdin {
    /// A text, then its end.
    Text(String),
    /// So many bytes of the pattern, then its end.
    Bytes(usize),
    /// What steps write, until one closes it.
    Open(bool),
}

/// How standard output is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reader {
    /// As it comes.
    #[default]
    Normal,
    /// A bit at a time, with pauses.
    Slow,
    /// Not at all: its end is closed before the guest starts.
    Closed,
    /// By a logging program, which takes standard error too, of the container and of its further processes.
    Program,
}

/// What kind of image the container comes from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ImageKind {
    /// Files in layers, as everybody builds them.
    Layers {},
    /// The module itself as only layer.
    Artifact {
        /// The media type of the configuration.
        config: String,
        /// The media type of the layer.
        layer: String,
        /// The titles of layers, each of which is the module; none: one layer, titled as the module's file.
        #[serde(default)]
        titles: Vec<String>,
        /// What the layers hold in place of the module.
        #[serde(default)]
        text: Option<String>,
        /// The platform of its manifest in an index, behind those for another machine and of an attestation; none: no index.
        #[serde(default)]
        index: Option<String>,
        /// What is not put in: `manifest` or `layer`.
        #[serde(default)]
        lacks: Option<String>,
    },
    /// Several manifests behind one name, each for a platform.
    Index {},
}

impl Default for ImageKind {
    fn default() -> Self {
        Self::Layers {}
    }
}

/// A mount beside the usual ones.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// Where it is seen.
    pub to: String,
    /// A path of the host in place of a fresh folder.
    #[serde(default)]
    pub from: Option<String>,
    /// What the fresh folder holds, by relative path.
    #[serde(default)]
    pub files: BTreeMap<String, File>,
    /// Whether it can't be written to.
    #[serde(default)]
    pub read_only: bool,
    /// In memory, in place of a folder.
    #[serde(default)]
    pub tmpfs: bool,
    /// Further mount options.
    #[serde(default)]
    pub options: Vec<String>,
}

/// A file of an image or a mount: its text, or a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// What it is.
    pub content: Content,
    /// Its permissions; none: 0644, of folders 0755, of twins 0755.
    pub mode: Option<u32>,
    /// Who it belongs to.
    pub owner: Option<User>,
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A text.
    Text(String),
    /// So many bytes of the pattern.
    Bytes(usize),
    /// A symbolic link to this.
    Link(String),
    /// An empty folder.
    Folder,
    /// A guest's module.
    Guest(String),
    /// A guest's native twin.
    Twin(String),
    /// What the container's own guest is on its target: module or twin.
    Own,
    /// A module in text format, or any bytes as `(module binary "…")`.
    Wat(String),
    /// A module that is made for the occasion: `costly` needs more than 500 MB to compile.
    Generated(Generated),
    /// A hard link to a file of the same layer.
    HardLink(String),
    /// A FIFO.
    Fifo,
    /// Nothing: what lower layers have here is taken away.
    Whiteout,
}

/// A module that no source tree holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Generated {
    /// Costly to compile, cheap to run; exits with 7.
    Costly,
    /// Imports a function whose name has 88,000 letters.
    LongImport,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileTable {
    text: Option<String>,
    bytes: Option<usize>,
    link: Option<String>,
    folder: Option<bool>,
    guest: Option<String>,
    twin: Option<String>,
    own: Option<bool>,
    wat: Option<String>,
    generated: Option<Generated>,
    hard_link: Option<String>,
    fifo: Option<bool>,
    whiteout: Option<bool>,
    mode: Option<u32>,
    owner: Option<User>,
}

/// What a file may be.
const FORMS: &str = "text, bytes, link, folder, guest, twin, own, wat, generated, hard_link, fifo, whiteout";

fn yes(said: Option<bool>, content: Content) -> Option<Content> {
    said.filter(|said| *said).map(|_| content)
}

impl<'de> Deserialize<'de> for File {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct TextOrTable;
        impl<'de> Visitor<'de> for TextOrTable {
            type Value = File;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a text, or a table with one of {FORMS}")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<File, E> {
                let text = String::deserialize(StrDeserializer::new(text))?;
                Ok(File { content: Content::Text(text), mode: None, owner: None })
            }
            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<File, M::Error> {
                let table = FileTable::deserialize(MapAccessDeserializer::new(map))?;
                let said = [
                    table.text.map(Content::Text),
                    table.bytes.map(Content::Bytes),
                    table.link.map(Content::Link),
                    yes(table.folder, Content::Folder),
                    table.guest.map(Content::Guest),
                    table.twin.map(Content::Twin),
                    yes(table.own, Content::Own),
                    table.wat.map(Content::Wat),
                    table.generated.map(Content::Generated),
                    table.hard_link.map(Content::HardLink),
                    yes(table.fifo, Content::Fifo),
                    yes(table.whiteout, Content::Whiteout),
                ];
                let mut said = said.into_iter().flatten();
                match (said.next(), said.next()) {
                    (Some(content), None) => Ok(File { content, mode: table.mode, owner: table.owner }),
                    _ => Err(de::Error::custom(format_args!("a file is just one of {FORMS}"))),
                }
            }
        }
        from.deserialize_any(TextOrTable)
    }
}

/// `count` bytes of a pattern with a period of 251, a prime: what is lost or doubled anywhere shows.
pub fn pattern(count: usize) -> Vec<u8> {
    (0..251).cycle().take(count).collect()
}
