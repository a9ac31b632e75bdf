//! The options of a container: one table that names each, says what it takes and sets it.
//!
//! Parsing and checking of annotations and of the config file's keys of the same meaning, and docs/annotations.md, all
//! come from [`DEFINITIONS`]. A new option is a field of [`Options`] and an entry there.
#![forbid(unsafe_code)]

use std::fmt::Write;

use multiwasm_engine::{Capabilities, Optimize};

/// What our annotations begin with; others are left alone.
pub const PREFIX: &str = "io.containerd.multiwasm.";
/// Understood from crun: an engine's name, or `wasm`.
pub const HANDLER: &str = "run.oci.handler";
/// Where CRI says whether a container is one of the pod's or its sandbox (containerd's internal/cri/annotations).
const CRI_TYPE: &str = "io.kubernetes.cri.container-type";
/// Understood from crun and others: whether an image is a Wasm image.
pub const VARIANT: &str = "module.wasm.image/variant";

/// How a container shall be run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// The engine; none: nothing was said here, less explicit sources decide.
    pub engine: Option<EngineChoice>,
    /// The export to call in place of `_start` or the command's `run`.
    pub function: Option<String>,
    /// Most bytes that a linear memory may grow to; none: the engine's own limit.
    pub memory_limit: Option<u64>,
    /// Whether to compile before the guest runs.
    pub compile: Compile,
    /// How much a compiler may spend on good code.
    pub optimize: Optimize,
    /// Whether a guest sees `/proc`, `/sys` and such.
    pub kernel_filesystems: bool,
}

/// What was said about the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineChoice {
    /// What the module needs decides.
    Auto,
    /// This one. Any name is taken here; whether there is such an engine is found when it is looked for.
    Named(String),
}

impl EngineChoice {
    /// `auto`, or a name of `a` to `z`, digits and `-`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            _ if is_engine_name(text) => Some(Self::Named(text.to_owned())),
            _ => None,
        }
    }
}

/// Whether an engine may be called so. Names become parts of file names, so nothing else may pass.
pub fn is_engine_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// When a module is compiled to an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compile {
    /// What takes long, and what an interpreter can begin with, in the background; all else before the guest runs.
    #[default]
    Auto,
    /// For the next start, wherever the engine can: this one runs on what is there soon.
    Background,
    /// Wherever the engine can.
    Eager,
    /// Only where the engine can't do without.
    Off,
}

impl Compile {
    /// Whether a guest waits for an artifact on an engine of these capabilities.
    pub fn before_start(self, engine: Capabilities) -> bool {
        match self {
            Self::Eager => engine.has(Capabilities::AOT),
            Self::Auto | Self::Background | Self::Off => engine.has(Capabilities::NEEDS_AOT),
        }
    }

    /// Whether a guest does not wait for the engine's best code of a module of so many bytes.
    pub fn in_background(self, engine: Capabilities, length: u64) -> bool {
        match self {
            Self::Background => engine.has(Capabilities::AOT),
            Self::Auto if engine.has(Capabilities::NEEDS_AOT) => length >= SLOW_TO_COMPILE,
            Self::Auto => engine.has(Capabilities::AOT),
            Self::Eager | Self::Off => false,
        }
    }
}

/// Bytes from which on a module's best code is worth no wait: on two processors Cranelift takes some 0.4 s for 1 MiB.
const SLOW_TO_COMPILE: u64 = 512 << 10;

/// One option.
pub struct Definition {
    /// What follows [`PREFIX`] in its annotation.
    pub name: &'static str,
    /// What it takes, for people.
    pub allowed: &'static str,
    /// What holds where nothing is said, for people.
    pub default: &'static str,
    /// Its key in the config file, with the table before a dot; none: a container's own matter.
    pub config: Option<&'static str>,
    /// What it does: sentences for docs/annotations.md.
    pub doc: &'static str,
    set: fn(&mut Options, &str) -> Option<()>,
}

impl Definition {
    /// Sets the option from text; `None` if the text is not what it takes.
    pub fn set(&self, options: &mut Options, value: &str) -> Option<()> {
        (self.set)(options, value)
    }
}

/// What a size takes, for people.
pub const SIZE: &str = "bytes, or a number with suffix k, m or g (powers of 1024), at least 1";
/// What a switch takes, for people.
pub const FLAG: &str = "true or false";
/// What the choice of an engine takes, for people.
pub const ENGINE: &str = "auto, wasmtime, wasmedge, wasmer, or the name of any other installed engine (a-z, 0-9, -)";

/// Every option.
pub const DEFINITIONS: &[Definition] = &[
    Definition {
        name: "engine",
        allowed: ENGINE,
        default: "what less explicit sources say, at last auto",
        config: Some("engine"),
        doc: "The engine that runs the module. `auto` reads the module: a component goes to an engine that runs \
              components, imports that one engine alone provides go to that engine, all else to the first installed \
              of the configured order.",
        set: |options, value| {
            options.engine = Some(EngineChoice::parse(value)?);
            Some(())
        },
    },
    Definition {
        name: "function",
        allowed: "the name of an exported function",
        default: "`_start` of a module, `run` of a component",
        config: None,
        doc: "The export to call. An entrypoint of the form `path.wasm#function` says the same; where both are \
              there, the entrypoint's holds.",
        set: |options, value| {
            options.function = (!value.is_empty()).then(|| value.to_owned());
            options.function.as_ref().map(|_| ())
        },
    },
    Definition {
        name: "memory-limit",
        allowed: SIZE,
        default: "the engine's own limit",
        config: Some("memory_limit"),
        doc: "The most that a linear memory of the guest may grow to. Growing further fails inside the guest, where \
              the container's own memory limit would kill it.",
        set: |options, value| {
            options.memory_limit = Some(parse_size(value)?);
            Some(())
        },
    },
    Definition {
        name: "compile",
        allowed: "auto, background, eager or off",
        default: "auto",
        config: Some("compile.mode"),
        doc: "When the module's best code, an artifact that the cache keeps, is compiled. `eager`: before the guest runs, \
              wherever the engine can compile. `background`: while it runs, at the lowest priority, for the next start; this one \
              runs on what is there soon (a compiler that makes one pass, or an interpreter). `off`: only where the engine can't \
              run a module otherwise, and then before the guest runs. `auto`: as `background` for modules above 512 KiB and on \
              engines that can interpret; where the container's memory limit is too small for an interpreter, which holds a \
              module many times over, this start waits for quick code; all else as `off`.",
        set: |options, value| {
            options.compile = match value {
                "auto" => Compile::Auto,
                "background" => Compile::Background,
                "eager" => Compile::Eager,
                "off" => Compile::Off,
                _ => return None,
            };
            Some(())
        },
    },
    Definition {
        name: "optimize",
        allowed: "speed or quick",
        default: "speed",
        config: Some("compile.optimize"),
        doc: "How much a compiler may spend: `speed` for the engine's best code, `quick` for code that is there soon.",
        set: |options, value| {
            options.optimize = match value {
                "speed" => Optimize::Speed,
                "quick" => Optimize::Quick,
                _ => return None,
            };
            Some(())
        },
    },
    Definition {
        name: "kernel-filesystems",
        allowed: FLAG,
        default: "false",
        config: Some("kernel_filesystems"),
        doc: "Whether the kernel's pseudo file systems (`/proc`, `/sys` and what is below them, `/dev/pts`, \
              `/dev/mqueue`) are mounted for a Wasm guest. The process that they show as the guest's own is the \
              engine's, with its memory and environment: for guests that are trusted. Native containers always \
              have them.",
        set: |options, value| {
            options.kernel_filesystems = value.parse().ok()?;
            Some(())
        },
    },
];

/// Bytes from `65536`, `64k`, `64Ki`, `512m`, `2G`: suffixes are powers of 1024. `None` for 0 and all else.
pub fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let factor: u64 = match suffix.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "ki" | "kb" | "kib" => 1 << 10,
        "m" | "mi" | "mb" | "mib" => 1 << 20,
        "g" | "gi" | "gb" | "gib" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor).filter(|bytes| *bytes > 0)
}

/// What is wrong with an annotation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// It begins with [`PREFIX`] but no option is called so.
    #[error("unknown annotation {key}{}; allowed are {PREFIX}<option> with option one of {allowed}", meant(.nearest))]
    Unknown {
        /// The annotation.
        key: String,
        /// The annotation that looks most like it.
        nearest: Option<String>,
        /// The names of all options.
        allowed: String,
    },
    /// Its value is none that it takes.
    #[error("annotation {key} has the value {value:?}; allowed is {allowed}")]
    BadValue {
        /// The annotation.
        key: String,
        /// The value.
        value: String,
        /// What it takes.
        allowed: &'static str,
    },
}

/// What the annotations of a container say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Annotations {
    /// The options, those of `base` where no annotation speaks; `engine` is from its annotation alone.
    pub options: Options,
    /// The engine that `run.oci.handler` names.
    pub handler: Option<EngineChoice>,
    /// The container says that it is Wasm (`run.oci.handler`, variant `compat`), whatever its entrypoint looks like.
    /// Variant `compat-smart` leaves that to the entrypoint's look, as happens without any annotation.
    pub wasm: bool,
}

impl Annotations {
    /// Reads the annotations of an OCI specification on top of the options that the configuration gives.
    ///
    /// # Errors
    /// [`OptionError`] names the annotation and what is allowed.
    pub fn read<'a>(
        annotations: impl IntoIterator<Item = (&'a String, &'a String)>,
        base: &Options,
    ) -> Result<Self, OptionError> {
        let mut read = Self { options: Options { engine: None, ..base.clone() }, ..Self::default() };
        let mut sandbox = false;
        for (key, value) in annotations {
            read.read_one(key, value)?;
            sandbox |= key == CRI_TYPE && value == "sandbox";
        }
        // A pod's annotations are its sandbox's too, and that is native.
        read.wasm &= !sandbox;
        Ok(read)
    }

    fn read_one(&mut self, key: &str, value: &str) -> Result<(), OptionError> {
        let bad = |allowed| OptionError::BadValue { key: key.to_owned(), value: value.to_owned(), allowed };
        match key {
            HANDLER if value == "wasm" => self.wasm = true,
            HANDLER => {
                let choice = EngineChoice::parse(value).filter(|choice| *choice != EngineChoice::Auto);
                self.handler = Some(choice.ok_or(bad("wasm or the name of an engine"))?);
                self.wasm = true;
            }
            VARIANT => match value {
                "compat" => self.wasm = true,
                "compat-smart" => {}
                _ => return Err(bad("compat or compat-smart")),
            },
            _ => {
                let Some(name) = key.strip_prefix(PREFIX) else { return Ok(()) };
                let definition = DEFINITIONS.iter().find(|definition| definition.name == name);
                let definition = definition.ok_or_else(|| unknown(key, name))?;
                definition.set(&mut self.options, value).ok_or(bad(definition.allowed))?;
            }
        }
        Ok(())
    }
}

fn unknown(key: &str, name: &str) -> OptionError {
    let names: Vec<_> = DEFINITIONS.iter().map(|definition| definition.name).collect();
    OptionError::Unknown {
        key: key.to_owned(),
        nearest: nearest(name, &names).map(|near| format!("{PREFIX}{near}")),
        allowed: names.join(", "),
    }
}

/// The one of `names` that is so like `name` that it was probably meant.
pub fn nearest<'a>(name: &str, names: &[&'a str]) -> Option<&'a str> {
    // clap takes the same measure for its suggestions.
    const ALIKE: f64 = 0.8;
    let rated = names.iter().map(|other| (strsim::jaro_winkler(name, other), *other));
    rated.filter(|(rate, _)| *rate >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, other)| other)
}

/// The half sentence that names what was probably meant.
pub(crate) fn meant(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|near| format!(" (did you mean {near}?)")).unwrap_or_default()
}

/// docs/annotations.md.
pub fn documentation() -> String {
    let mut text = String::from(
        "# Annotations\n\n\
         <!-- Generated from the table in dispatcher/src/options.rs: UPDATE_DOCS=1 cargo test -p multiwasm --lib -->\n\n\
         A container's annotations choose its engine and how it runs. With Docker, `--annotation KEY=VALUE`; with ctr,\n\
         `--annotation KEY=VALUE`; with Kubernetes, annotations of the pod, which containerd passes on where the\n\
         runtime's `pod_annotations` and `container_annotations` name them (`[\"io.containerd.multiwasm.*\"]`).\n\n\
         An unknown annotation that begins with `io.containerd.multiwasm.`, or a value that is not allowed, fails the\n\
         container's creation with a message that says what is allowed. All other annotations are ignored, but for the\n\
         two below.\n",
    );
    for definition in DEFINITIONS {
        let Definition { name, allowed, default, config, doc, .. } = definition;
        let config = match config {
            Some(key) => format!("`{key}` sets it for all containers of the node or runtime"),
            None => "none".to_owned(),
        };
        let _ = write!(
            text,
            "\n## `{PREFIX}{name}`\n\n{doc}\n\n- allowed: {allowed}\n- default: {default}\n- key of the config file: {config}\n"
        );
    }
    let _ = write!(
        text,
        "\n## Understood from others\n\n\
         | annotation | value | meaning |\n|---|---|---|\n\
         | `{HANDLER}` | `wasm` | the container is Wasm, whatever its entrypoint looks like |\n\
         | `{HANDLER}` | an engine's name | the same, and that engine runs it, unless `{PREFIX}engine` says otherwise |\n\
         | `{VARIANT}` | `compat` | the container is Wasm, whatever its entrypoint looks like |\n\
         | `{VARIANT}` | `compat-smart` | the entrypoint decides whether the container is Wasm or native, as without it |\n"
    );
    text
}

#[cfg(test)]
mod tests;
