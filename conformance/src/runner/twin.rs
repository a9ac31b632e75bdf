//! Native twins: static programs of this machine, compiled from the guests' own sources when first needed.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::{env, fs, io};

use sha2::{Digest, Sha256};

use crate::catalog::{Catalog, Guest};
use crate::command::{CommandError, run};

/// Why there is no native twin.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TwinError {
    /// There is no compiler.
    #[error("not run: no C compiler for the guest's native twin (cc can't be started: {0}): install gcc and libc6-dev")]
    NoCompiler(String),
    /// The compiler refuses it.
    #[error("the native twin of {guest} does not compile: {reason}")]
    Refused {
        /// Whose twin.
        guest: String,
        /// What the compiler says.
        reason: String,
    },
    /// Its folder can't be written to.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
}

/// The twins of a run.
#[derive(Debug, Default)]
pub struct Twins(Mutex<HashMap<String, Compiled>>);

/// The program, or why there is none: it is not tried again.
type Compiled = Result<Arc<Vec<u8>>, TwinError>;

impl Twins {
    /// The program, compiled if no earlier run has done so.
    ///
    /// # Errors
    /// It can't be.
    pub fn of(&self, guest: &Guest, catalog: &Catalog) -> Result<Arc<Vec<u8>>, TwinError> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(guest.name.clone()).or_insert_with(|| compiled(guest, catalog).map(Arc::new)).clone()
    }
}

fn compiled(guest: &Guest, catalog: &Catalog) -> Result<Vec<u8>, TwinError> {
    let folder = cache();
    let built = folder.join(format!("{}-{}", guest.name, hash(&guest.twin, catalog.sources())));
    if let Ok(program) = fs::read(&built) {
        return Ok(program);
    }
    let failed = |path: &std::path::Path, cause: io::Error| TwinError::File {
        path: path.display().to_string(),
        reason: cause.to_string(),
    };
    fs::create_dir_all(&folder).map_err(|cause| failed(&folder, cause))?;
    let scratch = tempfile::tempdir_in(&folder).map_err(|cause| failed(&folder, cause))?;
    for (name, text) in catalog.sources() {
        let path = scratch.path().join(name);
        let written = fs::create_dir_all(path.parent().unwrap_or(&path)).and_then(|()| fs::write(&path, text));
        written.map_err(|cause| failed(&path, cause))?;
    }
    let program = scratch.path().join("program");
    let mut command: Vec<_> = ["cc", "-static", "-O2", "-o"].map(str::to_owned).to_vec();
    command.push(program.display().to_string());
    command.extend(guest.twin.iter().map(|source| scratch.path().join(source).display().to_string()));
    match run(&command) {
        Err(CommandError::Start { cause, .. }) => return Err(TwinError::NoCompiler(cause.to_string())),
        Err(error) => return Err(TwinError::Refused { guest: guest.name.clone(), reason: error.to_string() }),
        Ok(output) if output.code != 0 => {
            return Err(TwinError::Refused { guest: guest.name.clone(), reason: output.err() });
        }
        Ok(_) => {}
    }
    // Another run may be doing the same: the file is there whole or not at all.
    fs::rename(&program, &built).map_err(|cause| failed(&built, cause))?;
    fs::read(&built).map_err(|cause| failed(&built, cause))
}

/// Where programs are kept from run to run.
fn cache() -> PathBuf {
    let folder = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    folder("MULTIWASM_BUILD")
        .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("multiwasm")))
        .or_else(|| folder("HOME").map(|home| home.join(".cache/multiwasm")))
        .unwrap_or_else(|| PathBuf::from("/var/cache/multiwasm"))
        .join("conformance/twins")
}

/// Of the sources, and of the headers that they may include.
fn hash(sources: &[String], files: &BTreeMap<String, Vec<u8>>) -> String {
    let mut hash = Sha256::new();
    for (name, text) in files.iter().filter(|(name, _)| name.ends_with(".h") || sources.contains(name)) {
        hash.update(name.as_bytes());
        hash.update([0]);
        hash.update(Sha256::digest(text));
    }
    hex::encode(&hash.finalize()[..12])
}
