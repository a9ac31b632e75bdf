//! The dispatcher's side of the contract: from a file to a checked table, and safe methods on it.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::ptr;
use std::rc::Rc;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use crate::abi;
use crate::engine::{
    Capabilities, Description, EngineError, ErrorKind, Guest, Optimize, Outcome, Settings, Source, SourceForm, Trap,
};

/// Why a file is not a plug-in that may be used.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The file, or a folder above it, can't be looked at.
    #[error("engine plug-in {path}: {source}")]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// Somebody else could have put code into it.
    #[error(
        "engine plug-in {path}: {culprit} may be changed by others than root (found owner {owner}, mode {mode:04o}; \
         wanted owner 0 and no write permission for group and others): chown root {culprit} && chmod go-w {culprit}"
    )]
    Unsafe {
        /// The plug-in.
        path: PathBuf,
        /// The file or folder with the fault.
        culprit: PathBuf,
        /// Its owner's uid.
        owner: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// The dynamic linker won't have it.
    #[error("engine plug-in {path} can't be loaded: {reason}")]
    NotLoadable {
        /// The plug-in.
        path: PathBuf,
        /// The dynamic linker's words, without the path.
        reason: String,
    },
    /// A shared object, but none of ours.
    #[error("{path} is no engine plug-in: it does not export {symbol}")]
    NoSymbol {
        /// The shared object.
        path: PathBuf,
        /// The symbol that was looked for.
        symbol: &'static str,
    },
    /// Made for another version of the contract.
    #[error(
        "engine plug-in {path} has ABI {found}, wanted {wanted}: install the plug-in of the same release as the shim"
    )]
    WrongAbi {
        /// The plug-in.
        path: PathBuf,
        /// The version that it has.
        found: u32,
        /// The version that this crate speaks.
        wanted: u32,
    },
    /// The table is not as large as its version says.
    #[error(
        "engine plug-in {path} has a table of {found} bytes, wanted {wanted}: install the plug-in of the same release \
         as the shim"
    )]
    WrongTable {
        /// The plug-in.
        path: PathBuf,
        /// The size that it states.
        found: u32,
        /// The size that this crate expects.
        wanted: u32,
    },
    /// The table has an empty place.
    #[error("engine plug-in {path} lacks {entry} in its table: install the plug-in of the same release as the shim")]
    MissingEntry {
        /// The plug-in.
        path: PathBuf,
        /// The function that is not there.
        entry: &'static str,
    },
}

/// The functions of a table, all of them there.
#[derive(Clone, Copy)]
struct Functions {
    open: abi::Open,
    fingerprint: abi::Fingerprint,
    prepare_compile: abi::PrepareCompile,
    compile: abi::Compile,
    load: abi::Load,
    instantiate: abi::Instantiate,
    run: abi::Run,
    drop_module: abi::DropModule,
    close: abi::Close,
}

/// An opened plug-in: checked, loaded, described, not yet started.
pub struct Plugin {
    path: PathBuf,
    description: Description,
    functions: Functions,
    // Never unloaded: engines leave signal handlers and thread-local destructors behind that point into their code.
    _library: std::mem::ManuallyDrop<Library>,
}

impl Plugin {
    /// Opens the plug-in at `path`.
    ///
    /// Code of a plug-in runs as root in every container's process, so the file and each folder above it must be
    /// root's and writable by root alone (a sticky folder such as `/tmp` may be on the way, as entries of others are
    /// safe there). The checks come before the dynamic linker sees the file.
    ///
    /// # Errors
    /// One of [`PluginError`]; each names the path.
    pub fn open(path: &Path) -> Result<Self, PluginError> {
        let path = path.canonicalize().map_err(|source| PluginError::Unreadable { path: path.to_owned(), source })?;
        check_owners(&path)?;
        // SAFETY: loading runs the object's initialisers; root alone could have written them (just checked).
        let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_LOCAL) }.map_err(|error| {
            let reason = std::error::Error::source(&error).unwrap_or(&error).to_string();
            PluginError::NotLoadable {
                reason: reason.replace(&format!("{}: ", path.display()), ""),
                path: path.clone(),
            }
        })?;
        // SAFETY: the symbol's name is the contract's; its type is what the contract gives it.
        let table = unsafe { library.get::<abi::TableFunction>(abi::ENGINE_SYMBOL) }
            .map_err(|_| PluginError::NoSymbol { path: path.clone(), symbol: "multiwasm_engine_table" })?;
        // SAFETY: the contract: the function takes nothing and may be called at any time.
        let table = unsafe { table() };
        if table.is_null() {
            return Err(PluginError::WrongAbi { path, found: 0, wanted: abi::ENGINE_ABI });
        }
        // SAFETY: every version of the contract begins with these two numbers, so they are read before the rest.
        let (found, size) = unsafe { ((*table).abi, (*table).size) };
        if found != abi::ENGINE_ABI {
            return Err(PluginError::WrongAbi { path, found, wanted: abi::ENGINE_ABI });
        }
        let wanted = size_of::<abi::EngineTable>() as u32;
        if size != wanted {
            return Err(PluginError::WrongTable { path, found: size, wanted });
        }
        // SAFETY: version and size agree with this crate's, and the table lives as long as the library.
        let table = unsafe { &*table };
        let functions = match functions_of(table) {
            Ok(functions) => functions,
            Err(entry) => return Err(PluginError::MissingEntry { path, entry }),
        };
        // SAFETY: the contract: name and version live as long as the table.
        let text = |bytes: abi::Bytes| String::from_utf8_lossy(unsafe { bytes.as_slice() }).into_owned();
        let description = Description {
            name: text(table.name),
            version: text(table.version),
            capabilities: Capabilities(table.capabilities),
        };
        Ok(Self { path, description, functions, _library: std::mem::ManuallyDrop::new(library) })
    }

    /// Where it was loaded from, links resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Name, version, capabilities.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Starts the engine.
    ///
    /// # Errors
    /// What the engine says.
    pub fn start(self, settings: &Settings) -> Result<LoadedEngine, EngineError> {
        let settings = abi::Settings {
            size: size_of::<abi::Settings>(),
            optimize: match settings.optimize {
                Optimize::Speed => 0,
                Optimize::Quick => 1,
            },
            reserved: 0,
        };
        let mut engine = ptr::null_mut();
        // SAFETY: the contract; all arguments live until the call returns.
        checked(|error| unsafe { (self.functions.open)(&settings, &mut engine, error) })?;
        Ok(LoadedEngine(Rc::new(Started { plugin: self, engine })))
    }
}

struct Started {
    plugin: Plugin,
    engine: *mut c_void,
}

impl Drop for Started {
    fn drop(&mut self) {
        // SAFETY: the contract; this is the last user of what `open` gave.
        unsafe { (self.plugin.functions.close)(self.engine) }
    }
}

/// A started engine. Not `Send`: the contract has one thread at a time.
#[derive(Clone)]
pub struct LoadedEngine(Rc<Started>);

impl LoadedEngine {
    /// The plug-in that it came from.
    pub fn plugin(&self) -> &Plugin {
        &self.0.plugin
    }

    /// All that artifacts depend on besides the module itself.
    pub fn fingerprint(&self) -> String {
        collected(|text| {
            // SAFETY: the contract.
            unsafe { (self.0.plugin.functions.fingerprint)(self.0.engine, text) }
        })
        .0
    }

    /// Lets the engine load what only compiling needs, while the process may still open the host's files.
    ///
    /// # Errors
    /// What the engine says.
    pub fn prepare_compile(&self) -> Result<(), EngineError> {
        // SAFETY: the contract.
        checked(|error| unsafe { (self.0.plugin.functions.prepare_compile)(self.0.engine, error) })
    }

    /// Compiles `source` to a file at `artifact`, which must not exist.
    ///
    /// # Errors
    /// What the engine says.
    pub fn compile(&self, source: &Source<'_>, artifact: &Path) -> Result<(), EngineError> {
        let source = lend_source(source);
        let path = abi::Bytes::lend(artifact.as_os_str().as_bytes());
        // SAFETY: the contract; all arguments live until the call returns.
        checked(|error| unsafe { (self.0.plugin.functions.compile)(self.0.engine, &source, path, error) })
    }

    /// Reads and checks a module.
    ///
    /// # Errors
    /// What the engine says.
    pub fn load(&self, source: &Source<'_>) -> Result<LoadedModule, EngineError> {
        let source = lend_source(source);
        let mut module = ptr::null_mut();
        // SAFETY: the contract; all arguments live until the call returns.
        checked(|error| unsafe { (self.0.plugin.functions.load)(self.0.engine, &source, &mut module, error) })?;
        Ok(LoadedModule { engine: self.clone(), module })
    }
}

/// A module that an engine has read.
pub struct LoadedModule {
    engine: LoadedEngine,
    module: *mut c_void,
}

impl Drop for LoadedModule {
    fn drop(&mut self) {
        if !self.module.is_null() {
            // SAFETY: the contract; the module was not given to `instantiate`, which takes it out.
            unsafe { (self.engine.0.plugin.functions.drop_module)(self.engine.0.engine, self.module) }
        }
    }
}

impl LoadedModule {
    /// The engine that has read it.
    pub fn engine(&self) -> &LoadedEngine {
        &self.engine
    }

    /// Prepares the guest's world and instantiates the module in it. The descriptors of `guest` must stay open until
    /// the instance has run, which is what `'a` holds the caller to.
    ///
    /// # Errors
    /// What the engine says.
    pub fn instantiate<'a>(mut self, guest: &Guest<'a>) -> Result<LoadedInstance<'a>, EngineError> {
        let lend = |texts: &[String]| texts.iter().map(|t| abi::Bytes::lend(t.as_bytes())).collect::<Vec<_>>();
        let (args, env) = (lend(guest.args), lend(guest.env));
        let preopens: Vec<_> = guest
            .preopens
            .iter()
            .map(|preopen| abi::Preopen {
                guest: abi::Bytes::lend(preopen.guest.as_bytes()),
                host: abi::Bytes::lend(preopen.host.as_os_str().as_bytes()),
                flags: if preopen.read_only { abi::PREOPEN_READ_ONLY } else { 0 },
                reserved: 0,
            })
            .collect();
        let lent = abi::Guest {
            size: size_of::<abi::Guest>(),
            args: abi::List { items: args.as_ptr(), len: args.len() },
            env: abi::List { items: env.as_ptr(), len: env.len() },
            cwd: abi::Bytes::lend(guest.cwd.as_bytes()),
            preopens: preopens.as_ptr(),
            preopens_len: preopens.len(),
            stdin_fd: guest.stdin.as_raw_fd(),
            stdout_fd: guest.stdout.as_raw_fd(),
            stderr_fd: guest.stderr.as_raw_fd(),
            reserved: 0,
            memory_limit: guest.memory_limit.unwrap_or(0),
        };
        let module = std::mem::replace(&mut self.module, ptr::null_mut());
        let mut instance = ptr::null_mut();
        let started = &self.engine.0;
        // SAFETY: the contract; all arguments live until the call returns, and the module is given away.
        checked(|error| unsafe {
            (started.plugin.functions.instantiate)(started.engine, module, &lent, &mut instance, error)
        })?;
        Ok(LoadedInstance { engine: self.engine.clone(), instance, descriptors: PhantomData })
    }
}

/// An instance that waits to be run. One that never is stays in memory until its process ends, which follows soon.
pub struct LoadedInstance<'a> {
    engine: LoadedEngine,
    instance: *mut c_void,
    descriptors: PhantomData<&'a ()>,
}

impl LoadedInstance<'_> {
    /// Runs the guest to its end.
    pub fn run(self) -> Outcome {
        let mut outcome = abi::Outcome { size: size_of::<abi::Outcome>(), end: abi::BROKE, code: 0 };
        let (message, ()) = collected(|sink| {
            let started = &self.engine.0;
            // SAFETY: the contract; the instance is given away.
            unsafe { (started.plugin.functions.run)(started.engine, self.instance, &mut outcome, sink) }
        });
        match outcome.end {
            abi::EXITED => Outcome::Exited(outcome.code),
            abi::TRAPPED => Outcome::Trapped(Trap::from_code(outcome.code), message),
            _ => Outcome::Failed(message),
        }
    }
}

/// The functions of a table, or the name of the first that is not there.
fn functions_of(table: &abi::EngineTable) -> Result<Functions, &'static str> {
    Ok(Functions {
        open: table.open.ok_or("open")?,
        fingerprint: table.fingerprint.ok_or("fingerprint")?,
        prepare_compile: table.prepare_compile.ok_or("prepare_compile")?,
        compile: table.compile.ok_or("compile")?,
        load: table.load.ok_or("load")?,
        instantiate: table.instantiate.ok_or("instantiate")?,
        run: table.run.ok_or("run")?,
        drop_module: table.drop_module.ok_or("drop_module")?,
        close: table.close.ok_or("close")?,
    })
}

fn lend_source(source: &Source<'_>) -> abi::Source {
    let (form, bytes, artifact) = match source.form {
        SourceForm::Bytes(bytes) => (abi::FORM_BYTES, bytes, &[][..]),
        SourceForm::Artifact(path) => (abi::FORM_ARTIFACT, &[][..], path.as_os_str().as_bytes()),
    };
    abi::Source {
        size: size_of::<abi::Source>(),
        form,
        component: source.component.into(),
        name: abi::Bytes::lend(source.name.as_bytes()),
        bytes: abi::Bytes::lend(bytes),
        artifact: abi::Bytes::lend(artifact),
        function: abi::Bytes::lend(source.function.unwrap_or("").as_bytes()),
    }
}

/// Calls a function that writes to a sink; gives what it wrote and what it returned.
fn collected<R>(call: impl FnOnce(abi::Sink) -> R) -> (String, R) {
    unsafe extern "C" fn append(context: *mut c_void, data: *const u8, len: usize) {
        // SAFETY: the context is the vector below, which lives until the call returns.
        let text = unsafe { &mut *context.cast::<Vec<u8>>() };
        // SAFETY: the contract: `len` readable bytes.
        text.extend_from_slice(unsafe { abi::Bytes { data, len }.as_slice() });
    }
    let mut text = Vec::<u8>::new();
    let returned = call(abi::Sink { context: (&raw mut text).cast(), write: Some(append) });
    (String::from_utf8_lossy(&text).into_owned(), returned)
}

fn checked(call: impl FnOnce(abi::Sink) -> u32) -> Result<(), EngineError> {
    match collected(call) {
        (_, abi::OK) => Ok(()),
        (message, status) => Err(EngineError { kind: ErrorKind::from_status(status), message }),
    }
}

/// Refuses a plug-in that anybody but root could have written or exchanged.
fn check_owners(path: &Path) -> Result<(), PluginError> {
    const WRITABLE_BY_OTHERS: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    for (depth, culprit) in path.ancestors().enumerate() {
        let found = culprit
            .symlink_metadata()
            .map_err(|source| PluginError::Unreadable { path: culprit.to_owned(), source })?;
        let mode = found.mode() & 0o7777;
        // The plug-in and its own folder get no exception: a sticky folder lets others add files beside it.
        let sticky = depth > 1 && mode & STICKY != 0;
        if found.uid() != 0 || (mode & WRITABLE_BY_OTHERS != 0 && !sticky) {
            return Err(PluginError::Unsafe {
                path: path.to_owned(),
                culprit: culprit.to_owned(),
                owner: found.uid(),
                mode,
            });
        }
    }
    Ok(())
}
