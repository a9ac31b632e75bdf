//! What the shim and containerd logged of a container, where containerd's log is a file that can be read.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Most bytes that are shown of a log.
const SHOWN: usize = 8 << 10;

/// containerd's log, from a moment on.
#[derive(Debug, Clone)]
pub struct Log {
    path: PathBuf,
    from: u64,
}

impl Log {
    /// The log at `path`, from now on.
    ///
    /// # Errors
    /// It can't be read.
    pub fn from_now(path: &Path) -> io::Result<Self> {
        let from = File::open(path)?.metadata()?.len();
        Ok(Self { path: path.to_owned(), from })
    }

    /// The same log, from now on.
    pub fn later(&self) -> Self {
        Self::from_now(&self.path).unwrap_or_else(|_| self.clone())
    }

    /// The lines that have one of these words; all where there is none. A log that can't be read any more has none.
    pub fn lines(&self, words: &[&str]) -> Vec<String> {
        let mut text = Vec::new();
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.from))?;
            file.read_to_end(&mut text)
        });
        if read.is_err() {
            return Vec::new();
        }
        let text = String::from_utf8_lossy(&text);
        let is_it = |line: &&str| words.is_empty() || words.iter().any(|word| line.contains(word));
        text.lines().filter(is_it).map(str::to_owned).collect()
    }

    /// Those lines as one text, its end where it is long.
    pub fn shown(&self, words: &[&str]) -> String {
        let text = self.lines(words).join("\n");
        let mut from = text.len().saturating_sub(SHOWN);
        while !text.is_char_boundary(from) {
            from += 1;
        }
        text[from..].to_owned()
    }
}
