//! What a file is: module, component, native code or something else; and what a module imports and exports.
//!
//! Nothing is validated here, that is the engine's part: headers of sections are walked over and only imports, exports
//! and the names of custom sections are looked at, so that 20 MB take no longer than 20 KB.
#![forbid(unsafe_code)]

use std::fmt;
use std::path::Path;

use serde::Serialize;
use wasmparser::{
    BinaryReader, ComponentExportSectionReader, ComponentImportSectionReader, ExportSectionReader, ExternalKind,
    ImportSectionReader, TypeRef,
};

/// How many of a file's first bytes [`EntryKind::of`] wants.
pub const FIRST_BYTES: usize = 4096;

/// What an entrypoint is, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// WebAssembly in binary format.
    Wasm,
    /// WebAssembly in text format, which is not run.
    WasmText,
    /// An executable of this system.
    Elf,
    /// `#!`
    Script,
    /// Native code that an engine made of a module; which, where it can be told.
    Precompiled(Option<&'static str>),
    /// None of these.
    Unknown,
}

impl EntryKind {
    /// Judges a file by its first bytes, [`FIRST_BYTES`] of them where it has so many.
    pub fn of(first: &[u8]) -> Self {
        // EI_OSABI of Wasmtime's artifacts, which are ELF otherwise (`ELFOSABI_WASMTIME` in wasmtime-environ).
        const OSABI_WASMTIME: u8 = 200;
        match first {
            [0, b'a', b's', b'm', ..] => Self::Wasm,
            [0x7f, b'E', b'L', b'F', _, _, _, OSABI_WASMTIME, ..] => Self::Precompiled(Some("wasmtime")),
            [0x7f, b'E', b'L', b'F', ..] => Self::Elf,
            [b'#', b'!', ..] => Self::Script,
            [0, b'a', b'o', b't', ..] => Self::Precompiled(Some("wamr")),
            // `ArtifactBuild::MAGIC_HEADER` of wasmer-compiler, and the metadata's own magic in wasmer-types.
            _ if first.starts_with(b"wasmer-universal") || first.starts_with(b"WASMER\0\0") => {
                Self::Precompiled(Some("wasmer"))
            }
            _ if is_text_format(first) => Self::WasmText,
            _ => Self::Unknown,
        }
    }

    /// As [`EntryKind::of`], but a shared object under a module's name is precompiled code, not a program: WasmEdge
    /// writes plain ELF.
    pub fn of_file(path: &Path, first: &[u8]) -> Self {
        let extension = path.extension().and_then(|extension| extension.to_str());
        match (Self::of(first), extension) {
            (Self::Elf, Some("wasm" | "wat" | "so" | "cwasm" | "wasmu" | "aot")) => Self::Precompiled(None),
            (kind, _) => kind,
        }
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wasm => f.write_str("WebAssembly"),
            Self::WasmText => {
                f.write_str("WebAssembly in text format, which engines do not read: wat2wasm makes a binary of it")
            }
            Self::Elf => f.write_str("a native program (ELF)"),
            Self::Script => f.write_str("a script"),
            Self::Precompiled(None) => f.write_str("native code (ELF) under a module's name"),
            Self::Precompiled(Some(engine)) => write!(f, "native code that {engine} made of a module"),
            Self::Unknown => f.write_str("neither WebAssembly nor a native program"),
        }
    }
}

/// `(module` or `(component` after blanks and comments.
fn is_text_format(first: &[u8]) -> bool {
    let Ok(mut text) = std::str::from_utf8(first).or_else(|error| std::str::from_utf8(&first[..error.valid_up_to()]))
    else {
        return false;
    };
    loop {
        text = text.trim_start();
        let end = if text.starts_with(";;") {
            text.find('\n')
        } else if text.starts_with("(;") {
            text.find(";)").map(|at| at + 2)
        } else {
            return text.starts_with("(module") || text.starts_with("(component");
        };
        let Some(end) = end else { return false };
        text = &text[end..];
    }
}

/// The two kinds of WebAssembly binaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A core module.
    Module,
    /// A component.
    Component,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Module => "module",
            Self::Component => "component",
        })
    }
}

/// Something that a module wants from its surroundings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Import {
    /// `wasi_snapshot_preview1`, or a component's `wasi:cli/stdout@0.2.0`.
    pub module: String,
    /// `fd_write`; empty for a component's imports, which have one name.
    pub name: String,
    /// `func`, `memory`, `instance` and so on.
    pub kind: &'static str,
}

/// Something that a module offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Export {
    /// `_start`, or a component's `wasi:cli/run@0.2.0`.
    pub name: String,
    /// `func`, `memory`, `instance` and so on.
    pub kind: &'static str,
}

/// What is known of a module without compiling it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// Module or component.
    pub kind: Kind,
    /// In the order of the file.
    pub imports: Vec<Import>,
    /// In the order of the file.
    pub exports: Vec<Export>,
    /// The custom section with native code that an engine would run in place of the module, if there is one.
    pub native: Option<&'static str>,
}

/// Why a file can't be read as WebAssembly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModuleError {
    /// Something else.
    #[error("not a WebAssembly module or component: it is {0}")]
    NotWasm(EntryKind),
    /// WebAssembly for people.
    #[error("WebAssembly in text format, which engines do not read: wat2wasm makes a binary of it")]
    Text,
    /// A version of the format that nobody has.
    #[error("not a WebAssembly module or component that can be read: format version {version} in layer {layer}")]
    Version {
        /// The version field.
        version: u16,
        /// The layer field: 0 for modules, 1 for components.
        layer: u16,
    },
    /// The end is missing.
    #[error(
        "truncated: the section of id {id} at offset {offset} says it has {said} bytes, and {left} are left of the file"
    )]
    Truncated {
        /// The section's id in the binary format.
        id: u8,
        /// Where its contents begin.
        offset: usize,
        /// Its size by its header.
        said: usize,
        /// How many bytes there are.
        left: usize,
    },
    /// Not what the format asks for.
    #[error("damaged: {0}")]
    Damaged(String),
}

impl From<wasmparser::Error> for ModuleError {
    fn from(error: wasmparser::Error) -> Self {
        Self::Damaged(error.to_string())
    }
}

/// The custom section in which WasmEdge keeps machine code.
const NATIVE_SECTION: &str = "wasmedge";

/// The reader of [`Facts`].
pub struct Module;

impl Module {
    /// Reads what a module or component imports and exports.
    ///
    /// # Errors
    /// [`ModuleError`]; it does not name the file, which the caller knows.
    pub fn read(bytes: &[u8]) -> Result<Facts, ModuleError> {
        let kind = kind_of(bytes)?;
        let mut facts = Facts { kind, imports: Vec::new(), exports: Vec::new(), native: None };
        let mut reader = BinaryReader::new(bytes, 0);
        reader.read_bytes(8)?;
        while !reader.eof() {
            let start = bytes.len() - reader.bytes_remaining();
            let torn = |_| ModuleError::Truncated { id: bytes[start], offset: start + 1, said: 1, left: 0 };
            let id = reader.read_u8()?;
            let said = match reader.bytes_remaining() {
                // A size has at most five bytes, so this is cut off, where a wrong size is damage.
                0..5 => reader.read_var_u32().map_err(torn)?,
                _ => reader.read_var_u32()?,
            } as usize;
            let (left, offset) = (reader.bytes_remaining(), bytes.len() - reader.bytes_remaining());
            if said > left {
                return Err(ModuleError::Truncated { id, offset, said, left });
            }
            facts.read_section(id, BinaryReader::new(reader.read_bytes(said)?, offset as u64))?;
        }
        Ok(facts)
    }
}

fn kind_of(bytes: &[u8]) -> Result<Kind, ModuleError> {
    match (EntryKind::of(&bytes[..bytes.len().min(FIRST_BYTES)]), bytes.get(4..8)) {
        (EntryKind::Wasm, Some(&[version_low, version_high, layer_low, layer_high])) => {
            match (u16::from_le_bytes([version_low, version_high]), u16::from_le_bytes([layer_low, layer_high])) {
                (1, 0) => Ok(Kind::Module),
                // The version of components that have been in use since 2023; it becomes 1 when the standard is done.
                (0x0d, 1) => Ok(Kind::Component),
                (version, layer) => Err(ModuleError::Version { version, layer }),
            }
        }
        (EntryKind::Wasm, _) => {
            Err(ModuleError::Damaged(format!("truncated: {} bytes are too few for a header", bytes.len())))
        }
        (EntryKind::WasmText, _) => Err(ModuleError::Text),
        (other, _) => Err(ModuleError::NotWasm(other)),
    }
}

impl Facts {
    fn read_section(&mut self, id: u8, mut contents: BinaryReader<'_>) -> Result<(), ModuleError> {
        // Ids of sections: the core specification's binary format, and that of the component model.
        match (self.kind, id) {
            (_, 0) if contents.read_string()? == NATIVE_SECTION => self.native = Some(NATIVE_SECTION),
            (Kind::Module, 2) => {
                for import in ImportSectionReader::new(contents)?.into_imports() {
                    let import = import?;
                    let (module, name) = (import.module.to_owned(), import.name.to_owned());
                    self.imports.push(Import { module, name, kind: kind_of_type(import.ty) });
                }
            }
            (Kind::Module, 7) => {
                for export in ExportSectionReader::new(contents)? {
                    let export = export?;
                    self.exports.push(Export { name: export.name.to_owned(), kind: kind_of_export(export.kind) });
                }
            }
            (Kind::Component, 10) => {
                for import in ComponentImportSectionReader::new(contents)? {
                    let import = import?;
                    let (module, kind) = (import.name.name.to_owned(), import.ty.kind().desc());
                    self.imports.push(Import { module, name: String::new(), kind });
                }
            }
            (Kind::Component, 11) => {
                for export in ComponentExportSectionReader::new(contents)? {
                    let export = export?;
                    self.exports.push(Export { name: export.name.name.to_owned(), kind: export.kind.desc() });
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether a function of this name is exported. Functions of a component's exported interfaces are not looked for.
    pub fn exports_function(&self, name: &str) -> bool {
        self.exports.iter().any(|export| export.kind == "func" && export.name == name)
    }

    /// What is missing to call `function`; or, where it is none, to run as a command: `_start` of a module,
    /// `wasi:cli/run` of a component.
    pub fn lacks(&self, function: Option<&str>) -> Option<String> {
        let wanted = match (function, self.kind) {
            (Some(name), _) => name,
            (None, Kind::Module) => COMMAND,
            (None, Kind::Component) => {
                let is_command = |export: &Export| export.name.split('@').next() == Some(COMPONENT_COMMAND);
                let lacks = !self.exports.iter().any(is_command);
                let exported = listed(self.exports.iter().map(|export| export.name.as_str()));
                return lacks
                    .then(|| format!("is no command, it does not export {COMPONENT_COMMAND}: it exports {exported}"));
            }
        };
        let functions = self.exports.iter().filter(|export| export.kind == "func").map(|export| export.name.as_str());
        (!self.exports_function(wanted))
            .then(|| format!("exports no function {wanted}: it exports {}", listed(functions)))
    }

    /// The import that an engine's message is about, which names it as `module::name`.
    pub fn import_in(&self, message: &str) -> Option<&Import> {
        let named = |import: &&Import| match import.name.as_str() {
            "" => message.contains(&import.module),
            name => message.contains(&format!("{}::{name}", import.module)),
        };
        // `env::f` is found in a message about `env::ff` too.
        self.imports.iter().filter(named).max_by_key(|import| import.module.len() + import.name.len())
    }
}

/// The export by which a module is run as a command.
const COMMAND: &str = "_start";

/// The interface by which a component is run as a command, without its version.
const COMPONENT_COMMAND: &str = "wasi:cli/run";

/// Names for a message, the first few.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const MOST: usize = 8;
    let names: Vec<_> = names.collect();
    match names.len() {
        0 => "none at all".to_owned(),
        number if number > MOST => format!("{} and {} more", names[..MOST].join(", "), number - MOST),
        _ => names.join(", "),
    }
}

impl fmt::Display for Import {
    /// `the function env::f`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.kind == "func" { "function" } else { self.kind };
        match self.name.as_str() {
            "" => write!(f, "the {kind} {}", self.module),
            name => write!(f, "the {kind} {}::{name}", self.module),
        }
    }
}

fn kind_of_type(ty: TypeRef) -> &'static str {
    match ty {
        TypeRef::Func(_) | TypeRef::FuncExact(_) => "func",
        TypeRef::Table(_) => "table",
        TypeRef::Memory(_) => "memory",
        TypeRef::Global(_) => "global",
        TypeRef::Tag(_) => "tag",
    }
}

fn kind_of_export(kind: ExternalKind) -> &'static str {
    match kind {
        ExternalKind::Func | ExternalKind::FuncExact => "func",
        ExternalKind::Table => "table",
        ExternalKind::Memory => "memory",
        ExternalKind::Global => "global",
        ExternalKind::Tag => "tag",
    }
}

#[cfg(test)]
mod tests;
