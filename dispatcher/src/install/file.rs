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
    #[error("{path} can't be {what}: {source}{cure}", path = path.display(), cure = cure(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// Read, written or removed.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A link to nowhere. Whoever made it may want the file elsewhere than we would put it.
    #[error(
        "{path} is a link to {target}, which can't be followed: {source}: make that file, or remove the link",
        path = path.display(), target = target.display()
    )]
    Link {
        /// The link.
        path: PathBuf,
        /// What it says.
        target: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// What to do about what the kernel said, where that is known.
fn cure(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) if !nix::unistd::geteuid().is_root() => ": do this as root",
        Some(libc::EROFS) => ": its file system is read-only, change the file where that is made",
        Some(libc::EBUSY) => ": it is a mount of its own, change the file that is mounted there",
        _ => "",
    }
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
    kept: Kept,
    /// What its owner should know.
    pub notes: Vec<String>,
}

/// What becomes of the file as it was before us, beside the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// It is made.
    Made,
    /// It is as it should be.
    Stays,
    /// It is of no use: we go, or there was no file.
    Goes,
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
        let clean = (editor.without)(text).is_ok_and(|left| left.text == text);
        let kept = match before {
            None => Kept::Goes,
            Some(_) if clean || !beside(&path, BEFORE).exists() => Kept::Made,
            Some(_) => Kept::Stays,
        };
        Ok(Self { after: Some(edited.text), kept, notes: edited.notes, path, before })
    }

    /// That we are taken out.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn uninstall(path: &Path, editor: &Editor<'_>) -> Result<Self, FileError> {
        let (path, before) = read(path)?;
        let beside = beside(&path, BEFORE);
        let kept = fs::read_to_string(&beside).ok();
        let (after, mut notes) = match before.as_deref() {
            None => (None, Vec::new()),
            Some(text) => {
                let left = (editor.without)(text);
                let left = left.map_err(|problem| FileError::Content { path: path.clone(), problem })?;
                let ours_alone = |from: &str| (editor.with)(from).is_ok_and(|edited| edited.text == text);
                match &kept {
                    Some(kept) if ours_alone(kept) => (Some(kept.clone()), Vec::new()),
                    // Whoever wrote it: without us it says nothing.
                    None if ours_alone("") => {
                        (None, vec!["it has nothing but what is multiwasm's, and goes as a whole".to_owned()])
                    }
                    _ => (Some(left.text), left.notes),
                }
            }
        };
        if before == after && kept.is_some() {
            notes.push(format!("{} is of no use any more, and goes", beside.display()));
        }
        Ok(Self { path, after, kept: Kept::Goes, notes, before })
    }

    /// The file's text before and after; empty where there is no file.
    pub fn texts(&self) -> (&str, &str) {
        (self.before.as_deref().unwrap_or_default(), self.after.as_deref().unwrap_or_default())
    }

    /// The file, links resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Nothing of the file would change.
    pub fn is_none(&self) -> bool {
        self.before == self.after
    }

    /// The file would go, as nothing but us is in it.
    pub fn is_removal(&self) -> bool {
        self.before.is_some() && self.after.is_none()
    }

    /// What would change, as `diff -u` tells it.
    pub fn diff(&self) -> String {
        let name =
            |text: &Option<String>| text.as_ref().map_or("/dev/null".to_owned(), |_| self.path.display().to_string());
        let (before, after) = self.texts();
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
        if !self.is_none() {
            if let (Kept::Made, Some(before)) = (self.kept, &self.before) {
                put(&kept, before, like.as_ref()).map_err(failed)?;
            }
            match &self.after {
                Some(after) => put(&self.path, after, like.as_ref()).map_err(failed)?,
                None => fs::remove_file(&self.path).map_err(failed)?,
            }
        }
        if self.kept != Kept::Goes {
            return Ok(());
        }
        match fs::remove_file(&kept) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(FileError::Io { path: kept, what: "removed", source })
            }
            _ => Ok(()),
        }
    }
}

/// The file by its whole name, with its content; where a link leads there, the link stays.
fn read(path: &Path) -> Result<(PathBuf, Option<String>), FileError> {
    let path = match path.canonicalize() {
        Ok(path) => path,
        Err(source) if path.is_symlink() => {
            let target = fs::read_link(path).unwrap_or_default();
            return Err(FileError::Link { path: path.to_owned(), target, source });
        }
        Err(_) => {
            std::path::absolute(path).map_err(|source| FileError::Io { path: path.to_owned(), what: "read", source })?
        }
    };
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
    fn what_was_kept_goes_when_we_do() {
        let folder = tempfile::tempdir().unwrap();
        let (path, kept) = (folder.path().join("daemon.json"), folder.path().join("daemon.json.before-multiwasm"));
        let left = || fs::read_dir(folder.path()).unwrap().count();
        // Our name in a file that is not ours keeps nothing.
        let named = OWN.replace("10.1.0.1/24", "10.1.0.1/24\", \"cluster-store\": \"multiwasm");
        fs::write(&path, &named).unwrap();
        installed(&path);
        fs::write(&path, fs::read_to_string(&path).unwrap().replace("10.1.0.1/24", "10.2.0.1/24")).unwrap();
        uninstalled(&path);
        assert!(fs::read_to_string(&path).unwrap().contains("10.2.0.1/24") && left() == 1);

        // Its owner has taken us out, or the whole file away.
        let by_hand: [fn(&Path); 2] = [|path| fs::write(path, OWN).unwrap(), |path| fs::remove_file(path).unwrap()];
        for clean in by_hand {
            fs::write(&path, OWN).unwrap();
            installed(&path);
            clean(&path);
            let change = Change::uninstall(&path, &EDITOR).unwrap();
            assert!(
                change.is_none() && change.notes[0].contains("before-multiwasm is of no use"),
                "{:?}",
                change.notes
            );
            change.write().unwrap();
            assert!(!kept.exists());
        }

        // What is kept of an earlier file is not of this one.
        fs::write(&kept, OWN).unwrap();
        installed(&path);
        assert!(!kept.exists());
        let change = Change::uninstall(&path, &EDITOR).unwrap();
        assert!(change.notes[0].contains("goes as a whole"), "{:?}", change.notes);
        assert!(change.diff().contains("+++ /dev/null"), "{}", change.diff());
    }

    #[test]
    fn a_file_that_stays_as_it_is_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon.json");
        fs::write(&path, docker::with(OWN).unwrap().text).unwrap();
        installed(&path);
        assert!(!beside(&path, BEFORE).exists());
    }

    #[test]
    fn a_default_of_ours_is_no_hindrance_to_being_put_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon.json");
        fs::write(&path, OWN).unwrap();
        installed(&path);
        let text = fs::read_to_string(&path).unwrap().replacen('{', "{\n    \"default-runtime\": \"multiwasm\",", 1);
        fs::write(&path, &text).unwrap();
        assert!(Change::install(&path, &EDITOR).unwrap().is_none());
        let error = Change::uninstall(&path, &EDITOR).unwrap_err().to_string();
        assert!(error.contains("daemon.json: default-runtime is"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn a_bare_name_is_of_this_folder() {
        let (path, before) = read(Path::new("no-such-daemon.json")).unwrap();
        assert_eq!((path, before), (std::env::current_dir().unwrap().join("no-such-daemon.json"), None));
        assert!(read(Path::new("")).is_err());
    }

    #[test]
    fn a_link_to_nowhere_is_told_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("daemon.json");
        std::os::unix::fs::symlink("elsewhere/daemon.json", &link).unwrap();
        let error = Change::install(&link, &EDITOR).unwrap_err().to_string();
        assert!(error.contains("is a link to elsewhere/daemon.json, which can't be followed: No such file"), "{error}");
        assert!(link.is_symlink());
    }

    #[test]
    fn what_the_kernel_refuses_has_its_cure() {
        let said = |number: i32| {
            let source = io::Error::from_raw_os_error(number);
            FileError::Io { path: "/etc/docker/daemon.json".into(), what: "written", source }.to_string()
        };
        assert!(said(libc::EROFS).ends_with("read-only, change the file where that is made"), "{}", said(libc::EROFS));
        assert!(said(libc::EBUSY).ends_with("change the file that is mounted there"), "{}", said(libc::EBUSY));
        let root = nix::unistd::geteuid().is_root();
        assert_eq!(said(libc::EACCES).ends_with("do this as root"), !root, "{}", said(libc::EACCES));
        assert!(said(libc::EIO).ends_with("(os error 5)"), "{}", said(libc::EIO));
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
