//! What is known of a cached artifact, in a small file beside it: its module's name, its checksum, and when that was last true.
//!
//! Hashing a large artifact costs more than all the rest of a start, so it is hashed where something may have happened to
//! it: when it is new, once after each boot, and whenever the kernel's own notes (inode, length, ctime, which no program
//! can set) differ from those taken when it was last hashed. In between, a look at the notes is the check.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

/// First line of a record. A record of another format is no record: the artifact is compiled again.
const FORMAT: &str = "multiwasm artifact 2";
/// That of before names were kept.
const NAMELESS: &str = "multiwasm artifact 1";

/// Characters of a name, which may be an image's choice.
const NAME: usize = 200;

/// A ctime moves in ticks of the kernel's clock, at most 10 ms (CONFIG_HZ=100): what is changed within one tick of being
/// hashed can't be told from the notes. A record is believed only if it was written two ticks or more after the ctime.
pub(super) const SETTLED: Duration = Duration::from_millis(20);

/// A file's identity and state, as the kernel notes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notes {
    boot: String,
    device: u64,
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

impl Notes {
    /// The notes of now on a file; `boot` is the kernel's id of this boot.
    pub(super) fn of(file: &Metadata, boot: &str) -> Self {
        Self::on(file.dev(), file, boot)
    }

    /// Bytes of the file.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The notes of now on a file that really lies on `device`.
    pub(super) fn on(device: u64, file: &Metadata, boot: &str) -> Self {
        Self {
            boot: boot.to_owned(),
            device,
            inode: file.ino(),
            length: file.len(),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

/// The content of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// What the module was called where it was met first, for people: [`in_a_line`]. Empty in notes on modules' files.
    pub(super) name: String,
    pub(super) checksum: blake3::Hash,
    pub(super) notes: Notes,
}

impl Record {
    /// Reads a record, and whether it was written long enough after the artifact's last change to be believed. None
    /// where it is missing or no whole record.
    pub(super) fn read(path: &Path) -> Option<(Self, bool)> {
        let mut text = String::new();
        open_unseen(path).ok()?.read_to_string(&mut text).ok()?;
        let record = Self::parse(&text)?;
        let written = fs::symlink_metadata(path).ok()?;
        let since = |seconds: i64, nanoseconds: i64| Duration::new(seconds.max(0) as u64, nanoseconds.max(0) as u32);
        let changed = since(record.notes.changed.0, record.notes.changed.1);
        let settled = since(written.mtime(), written.mtime_nsec()).checked_sub(changed) >= Some(SETTLED);
        Some((record, settled))
    }

    /// Writes the record whole: to `new`, then renamed to `path`. Without `durable`, a crash of the machine may tear it.
    pub(super) fn write(&self, new: &Path, path: &Path, durable: bool) -> io::Result<()> {
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(new)?;
        let mut written = file.write_all(self.text().as_bytes());
        if durable {
            written = written.and_then(|()| file.sync_all());
        }
        written.and_then(|()| fs::rename(new, path)).inspect_err(|_| {
            let _ = fs::remove_file(new);
        })
    }

    fn text(&self) -> String {
        let Notes { boot, device, inode, length, changed } = &self.notes;
        let checksum = self.checksum.to_hex();
        format!(
            "{FORMAT}\n{}\n{checksum}\n{boot} {device} {inode} {length} {} {}\n.\n",
            self.name, changed.0, changed.1
        )
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let name = match lines.next()? {
            FORMAT => lines.next()?.to_owned(),
            NAMELESS => String::new(),
            _ => return None,
        };
        let (checksum, notes, end) = (lines.next()?, lines.next()?, lines.next()?);
        if end != "." {
            return None;
        }
        let mut words = notes.split(' ');
        let notes = Notes {
            boot: words.next()?.to_owned(),
            device: words.next()?.parse().ok()?,
            inode: words.next()?.parse().ok()?,
            length: words.next()?.parse().ok()?,
            changed: (words.next()?.parse().ok()?, words.next()?.parse().ok()?),
        };
        Some(Self { name, checksum: blake3::Hash::from_hex(checksum).ok()?, notes })
    }
}

/// Opens a file so that its access time, by which the cache knows what was used last, stays as it is.
fn open_unseen(path: &Path) -> io::Result<File> {
    let opened = File::options().read(true).custom_flags(libc::O_NOATIME).open(path);
    match opened {
        // Only its owner may (open(2)).
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => File::open(path),
        opened => opened,
    }
}

/// A name as it can stand in a line: [`plain`], and of a long one the end.
pub(super) fn in_a_line(name: &str) -> String {
    let name = plain(name);
    let skipped = name.chars().count().saturating_sub(NAME);
    name.chars().skip(skipped).collect()
}

/// Text of others as it can be shown on a terminal, in one line: neither a control character nor one of Unicode's category Cf,
/// which can turn the order of letters and have no width.
pub(super) fn plain(text: &str) -> String {
    let hides = |c| {
        matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    let shown = |c: char| match c {
        '\n' | '\t' => ' ',
        c if c.is_control() || hides(c) => '\u{fffd}',
        c => c,
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_written_and_a_torn_one_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let (new, path) = (folder.path().join("new"), folder.path().join("record"));
        let notes = Notes::of(&folder.path().metadata().unwrap(), "boot-id");
        let record = Record { name: in_a_line("/app\n.wasm"), checksum: blake3::hash(b"artifact"), notes };
        record.write(&new, &path, true).unwrap();
        assert_eq!(Record::read(&path).unwrap().0, record);
        let text = fs::read_to_string(&path).unwrap();
        for len in 0..text.trim_end().len() {
            fs::write(&path, &text.as_bytes()[..len]).unwrap();
            assert_eq!(Record::read(&path), None, "cut at {len}");
        }
    }

    #[test]
    fn a_record_of_before_names_were_kept_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record");
        let hash = blake3::hash(b"artifact");
        fs::write(&path, format!("{NAMELESS}\n{}\nboot 1 2 3 4 5\n.\n", hash.to_hex())).unwrap();
        let (record, _) = Record::read(&path).unwrap();
        assert_eq!((record.name.as_str(), record.checksum, record.notes.length()), ("", hash, 3));
    }

    #[test]
    fn a_name_is_one_line_and_its_end_is_kept() {
        assert_eq!(in_a_line("/app\n\u{1b}[31m\u{202e}\u{61c}.wasm"), "/app \u{fffd}[31m\u{fffd}\u{fffd}.wasm");
        assert_eq!(in_a_line(&format!("{}/app.wasm", "é".repeat(300))).chars().count(), NAME);
        assert!(in_a_line(&format!("{}/app.wasm", "x".repeat(300))).ends_with("/app.wasm"));
    }
}
