//! A configuration file's change: what it would be, shown as a diff, written whole, undone.
//!
//! What was there before our first change lies beside the file as long as we are in it. So taking us out gives that back, to the
//! byte, where nobody has changed the file meanwhile; else only what is ours goes.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use similar::TextDiff;

use super::{Edited, Problem};

/// What the name of the file as it was ends with.
const BEFORE: &str = ".before-multiwasm";
/// And that of one that is being written.
const NEW: &str = ".multiwasm-new";

/// Why a file is not changed.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Its content does not allow it.
    #[error("{path}: {problem}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: Problem,
    },
    /// It can't be read or written.
    #[error("{path} can't be {what}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Read, or written.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// How a kind of file is edited.
pub struct Editor<'a> {
    /// Puts us in.
    pub with: &'a dyn Fn(&str) -> Result<Edited, Problem>,
    /// Takes us out.
    pub without: &'a dyn Fn(&str) -> Result<Edited, Problem>,
}

/// A file, and what it would become.
#[derive(Debug)]
pub struct Change {
    path: PathBuf,
    before: Option<String>,
    after: Option<String>,
    /// The file as it was before us is to be kept.
    keep: bool,
    /// What its owner should know.
    pub notes: Vec<String>,
}

impl Change {
    /// That we are put in.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn install(path: &Path, editor: &Editor<'_>) -> Result<Self, FileError> {
        let (path, before) = read(path)?;
        let text = before.as_deref().unwrap_or_default();
        let content = |problem| FileError::Content { path: path.clone(), problem };
        let edited = (editor.with)(text).map_err(content)?;
        let clean = (editor.without)(text).map_err(content)?.text == text;
        let keep = before.is_some() && (clean || !beside(&path, BEFORE).exists());
        Ok(Self { after: Some(edited.text), keep, notes: edited.notes, path, before })
    }

    /// That we are taken out.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn uninstall(path: &Path, editor: &Editor<'_>) -> Result<Self, FileError> {
        let (path, before) = read(path)?;
        let Some(text) = before.as_deref() else {
            return Ok(Self { path, before: None, after: None, keep: false, notes: Vec::new() });
        };
        let kept = fs::read_to_string(beside(&path, BEFORE)).ok();
        let ours_alone = |from: &str| (editor.with)(from).is_ok_and(|edited| edited.text == text);
        let (after, notes) = match &kept {
            Some(kept) if ours_alone(kept) => (Some(kept.clone()), Vec::new()),
            None if ours_alone("") => (None, Vec::new()),
            _ => {
                let edited =
                    (editor.without)(text).map_err(|problem| FileError::Content { path: path.clone(), problem })?;
                (Some(edited.text), edited.notes)
            }
        };
        Ok(Self { path, after, keep: false, notes, before })
    }

    /// The file, links resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Nothing would change.
    pub fn is_none(&self) -> bool {
        self.before == self.after
    }

    /// What would change, as `diff -u` tells it.
    pub fn diff(&self) -> String {
        let name =
            |text: &Option<String>| text.as_ref().map_or("/dev/null".to_owned(), |_| self.path.display().to_string());
        let (before, after) = (self.before.as_deref().unwrap_or_default(), self.after.as_deref().unwrap_or_default());
        let diff = TextDiff::from_lines(before, after);
        diff.unified_diff().context_radius(3).header(&name(&self.before), &name(&self.after)).to_string()
    }

    /// Writes what would change; the file is whole at each moment.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn write(&self) -> Result<(), FileError> {
        let failed = |source| FileError::Io { path: self.path.clone(), what: "written", source };
        let kept = beside(&self.path, BEFORE);
        let like = self.path.metadata().ok();
        match (&self.before, &self.after) {
            (Some(before), _) if self.keep => put(&kept, before, like.as_ref()).map_err(failed)?,
            _ => {}
        }
        match &self.after {
            Some(after) => put(&self.path, after, like.as_ref()).map_err(failed)?,
            None => fs::remove_file(&self.path).map_err(failed)?,
        }
        if !self.keep && self.before.is_some() {
            self.forget(&kept);
        }
        Ok(())
    }

    /// Without us in the file, what was before us is of no use.
    fn forget(&self, kept: &Path) {
        let said = |text: &str| text.contains(super::NAME);
        if !self.after.as_deref().is_some_and(said) {
            let _ = fs::remove_file(kept);
        }
    }
}

/// The file with its content; where a link leads there, the link stays.
fn read(path: &Path) -> Result<(PathBuf, Option<String>), FileError> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    match fs::read_to_string(&path) {
        Ok(text) => Ok((path, Some(text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((path, None)),
        Err(source) => Err(FileError::Io { path, what: "read", source }),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Writes a whole file in place of another, with the owner and mode of `like`.
fn put(path: &Path, text: &str, like: Option<&Metadata>) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    let new = beside(path, NEW);
    let written = || {
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(text.as_bytes())?;
        if let Some(like) = like {
            fchown(&file, Some(like.uid()), Some(like.gid()))?;
        }
        file.set_permissions(fs::Permissions::from_mode(like.map_or(0o644, |like| like.mode() & 0o7777)))?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(folder)?.sync_all()
    };
    written().inspect_err(|_| {
        let _ = fs::remove_file(&new);
    })
}

#[cfg(test)]
mod tests {
    use super::super::docker;
    use super::*;

    const EDITOR: Editor<'static> = Editor { with: &docker::with, without: &docker::without };
    const OWN: &str = "{\n    \"bip\": \"10.1.0.1/24\"\n}\n";

    fn installed(path: &Path) -> Change {
        let change = Change::install(path, &EDITOR).unwrap();
        change.write().unwrap();
        change
    }

    fn uninstalled(path: &Path) {
        Change::uninstall(path, &EDITOR).unwrap().write().unwrap();
    }

    #[test]
    fn a_file_is_changed_once_and_given_back_to_the_byte() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon.json");
        fs::write(&path, OWN).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let diff = installed(&path).diff();
        assert!(diff.contains("+  ") && !diff.contains("-    \"bip\": \"10.1.0.1/24\"\n-"), "{diff}");
        assert!(Change::install(&path, &EDITOR).unwrap().is_none());
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o640);
        assert_eq!(fs::read_to_string(beside(&path, BEFORE)).unwrap(), OWN);
        uninstalled(&path);
        assert_eq!(fs::read_to_string(&path).unwrap(), OWN);
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left, ["daemon.json"]);
        assert!(Change::uninstall(&path, &EDITOR).unwrap().is_none());
    }

    #[test]
    fn a_file_that_was_not_there_goes_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/daemon.json");
        assert!(Change::uninstall(&path, &EDITOR).unwrap().is_none());
        installed(&path);
        uninstalled(&path);
        assert!(!path.exists());
    }

    #[test]
    fn what_others_changed_meanwhile_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon.json");
        fs::write(&path, OWN).unwrap();
        installed(&path);
        let changed = fs::read_to_string(&path).unwrap().replace("10.1.0.1/24", "10.2.0.1/24");
        fs::write(&path, changed).unwrap();
        uninstalled(&path);
        let left = fs::read_to_string(&path).unwrap();
        assert!(left.contains("10.2.0.1/24") && !left.contains("multiwasm"), "{left}");
        assert!(!beside(&path, BEFORE).exists());
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("real.json"), folder.path().join("daemon.json"));
        fs::write(&path, OWN).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        installed(&link);
        assert!(link.is_symlink() && fs::read_to_string(&path).unwrap().contains("multiwasm"));
    }
}
