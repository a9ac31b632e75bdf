//! The file that compiling leaves: WasmEdge's shared object and, behind it, a few bytes by which it is known again
//! before anything of it is executed.
//!
//! ```text
//! shared object | fingerprint | its length, u32 | memory pages, u64 | has start, u32 | mark, 16 bytes
//! ```
//!
//! Numbers are little-endian. A dynamic linker does not look behind the last segment.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use multiwasm_engine::{EngineError, ErrorKind};

use crate::facts::Facts;

/// The end of every artifact; its last character is the version of this layout.
const MARK: &[u8; 16] = b"mw-wasmedge-aot1";

/// Bytes behind the fingerprint.
const TAIL: usize = 4 + 8 + 4 + MARK.len();

/// Marks the shared object at `path` as complete.
///
/// # Errors
/// Where the file can't be written.
pub(crate) fn seal(path: &Path, facts: Facts, fingerprint: &str) -> Result<(), EngineError> {
    let mut end = fingerprint.as_bytes().to_vec();
    end.extend_from_slice(&(fingerprint.len() as u32).to_le_bytes());
    end.extend_from_slice(&facts.memory_pages.to_le_bytes());
    end.extend_from_slice(&u32::from(facts.has_start).to_le_bytes());
    end.extend_from_slice(MARK);
    OpenOptions::new()
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(&end))
        .map_err(|error| EngineError::failed(format_args!("can't write {}: {error}", path.display())))
}

/// Checks that the file at `path` is an artifact, whole, and made by an engine with this fingerprint.
///
/// # Errors
/// [`ErrorKind::Stale`] where it is not, and where the file can't be read.
pub(crate) fn check(path: &Path, fingerprint: &str) -> Result<Facts, EngineError> {
    let shown = path.display();
    let stale = |why| EngineError::new(ErrorKind::Stale, format_args!("{shown} {why}: compile the module again"));
    let read = || -> io::Result<Option<(Vec<u8>, Facts)>> {
        let file = File::open(path)?;
        let Some(tail_at) = file.metadata()?.len().checked_sub(TAIL as u64) else { return Ok(None) };
        let mut tail = [0; TAIL];
        file.read_exact_at(&mut tail, tail_at)?;
        let Some((length, facts)) = parse_tail(&tail) else { return Ok(None) };
        let Some(at) = tail_at.checked_sub(length.into()) else { return Ok(None) };
        let mut found = vec![0; length as usize];
        file.read_exact_at(&mut found, at)?;
        Ok(Some((found, facts)))
    };
    let (found, facts) = read()
        .map_err(|error| EngineError::failed(format_args!("can't read the artifact {shown}: {error}")))?
        .ok_or_else(|| stale("is no artifact of this engine, or torn".to_owned()))?;
    if found != fingerprint.as_bytes() {
        let found = String::from_utf8_lossy(&found);
        return Err(stale(format!(
            "was made by another engine, or for another processor ({found}, here {fingerprint})"
        )));
    }
    Ok(facts)
}

fn parse_tail(tail: &[u8; TAIL]) -> Option<(u32, Facts)> {
    let (length, rest) = tail.split_first_chunk()?;
    let (memory_pages, rest) = rest.split_first_chunk()?;
    let (has_start, mark) = rest.split_first_chunk()?;
    let facts =
        Facts { memory_pages: u64::from_le_bytes(*memory_pages), has_start: u32::from_le_bytes(*has_start) != 0 };
    (mark == MARK).then_some((u32::from_le_bytes(*length), facts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_artifact_of_this_engine_passes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("artifact");
        let facts = Facts { memory_pages: 17, has_start: true };
        std::fs::write(&path, b"\x7fELF and more").unwrap();
        assert_eq!(check(&path, "this").unwrap_err().kind, ErrorKind::Stale);
        seal(&path, facts, "this").unwrap();
        assert_eq!(check(&path, "this").unwrap(), facts);
        let other = check(&path, "that").unwrap_err();
        assert_eq!(other.kind, ErrorKind::Stale);
        assert!(other.message.contains("this") && other.message.contains("that"), "{other}");
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(check(&path, "this").unwrap_err().kind, ErrorKind::Stale, "{length} bytes");
        }
    }
}
