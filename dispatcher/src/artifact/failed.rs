//! What could not be compiled in the background: kept in the cache, as nobody was there to be told.
//!
//! Without it each start would try again, and take processors from the containers for nothing. A note holds for a day (an hour where
//! time was short), for one key (so not for another version of the engine) and under the limits of then.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::cache::{Cache, CacheError, beside};
use super::record::plain;
use super::{CompileError, Key, Limits};

/// How a note's name ends.
const SUFFIX: &str = ".failed";
/// How long it holds: what was wrong may be the machine's.
const HOLDS: Duration = Duration::from_secs(24 * 60 * 60);
/// The same after a compiler that did not end in time.
const TIMEOUT_HOLDS: Duration = Duration::from_secs(60 * 60);
/// Between the limits of then and for how many seconds the note holds.
const FOR: &str = "; for ";

/// A module that could not be compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The note's file.
    pub path: PathBuf,
    /// For which engine.
    pub engine: String,
    /// What it said, with the module's name of then.
    pub message: String,
    /// When.
    pub when: SystemTime,
}

impl CompileError {
    /// For how long it is of no use to try again with the same module, engine and limits.
    fn holds(&self) -> Option<Duration> {
        match self {
            Self::Engine { .. } | Self::Memory { .. } | Self::CpuTime { .. } | Self::Crashed { .. } => Some(HOLDS),
            // Who yields to everything may just have had no processor.
            Self::Timeout { .. } => Some(TIMEOUT_HOLDS),
            Self::Killed { .. } | Self::Changed { .. } | Self::AlreadyCompiled { .. } | Self::System { .. } => None,
        }
    }
}

impl Cache {
    /// Why the artifact of `key` could not be compiled in the background, if that was tried under these limits and not long ago.
    pub fn failure(&self, key: &Key, limits: &Limits) -> Option<String> {
        let note = read(&beside(&self.path(key), SUFFIX))?;
        (note.limits == said(limits) && !note.is_old()).then_some(note.failure.message)
    }

    /// Notes that it could not be compiled, if trying again is of no use.
    ///
    /// # Errors
    /// The note can't be written.
    pub(super) fn note_failure(&self, key: &Key, limits: &Limits, error: &CompileError) -> Result<(), CacheError> {
        let Some(holds) = error.holds() else { return Ok(()) };
        let _lock = self.lock(key)?;
        let path = beside(&self.path(key), SUFFIX);
        let new = beside(&path, ".new");
        let written = || {
            let mut file = fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            write!(file, "{}{FOR}{}\n{}\n", said(limits), holds.as_secs(), plain(&error.to_string()))?;
            fs::rename(&new, &path)
        };
        written().map_err(|source| CacheError::Unwritable { path: path.clone(), source })
    }

    /// Forgets that it could not be compiled: it was.
    pub(super) fn forget_failure(&self, key: &Key) {
        let _ = fs::remove_file(beside(&self.path(key), SUFFIX));
    }

    /// All that could not be compiled, the last first.
    pub fn failures(&self) -> Vec<Failure> {
        let mut failures: Vec<_> = self.notes().filter(|note| !note.is_old()).map(|note| note.failure).collect();
        failures.sort_by_key(|failure| std::cmp::Reverse(failure.when));
        failures
    }

    /// Removes notes that hold no longer.
    pub(super) fn forget_failures(&self) {
        for note in self.notes().filter(Note::is_old) {
            let _ = fs::remove_file(&note.failure.path);
        }
    }

    fn notes(&self) -> impl Iterator<Item = Note> {
        self.files().filter_map(|path| read(&path))
    }
}

struct Note {
    failure: Failure,
    /// Those of then, as [`said`].
    limits: String,
    holds: Duration,
}

impl Note {
    fn is_old(&self) -> bool {
        // One from the future is of a clock that was set back.
        self.failure.when.elapsed().map_or(true, |ago| ago > self.holds)
    }
}

/// What a compiler may use, in a line.
fn said(limits: &Limits) -> String {
    format!("memory {} cpu {} time {}", limits.memory, limits.cpu_seconds, limits.timeout.as_secs())
}

fn read(path: &Path) -> Option<Note> {
    let engine = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?.split_once('.')?.1.to_owned();
    let text = fs::read_to_string(path).ok()?;
    let (first, message) = text.split_once('\n')?;
    let (limits, holds) = first.split_once(FOR).unwrap_or((first, ""));
    let holds = holds.parse().map_or(HOLDS, Duration::from_secs);
    let when = path.metadata().ok()?.modified().ok()?;
    let failure = Failure { path: path.to_owned(), engine, message: message.trim_end().to_owned(), when };
    Some(Note { failure, limits: limits.to_owned(), holds })
}
