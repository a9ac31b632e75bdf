//! The file between compiling and loading: native code, then the fingerprint that it was made under.
//!
//! The fingerprint stands at the end, because the code is an ELF image and must begin at the file's first byte. A file
//! that was cut short has no valid end.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use multiwasm_engine::{EngineError, ErrorKind};

use crate::invalid;

/// The last bytes of every artifact.
const MARK: &[u8; 16] = b"multiwasm-wasmer";

/// The longest fingerprint that is looked for, in bytes. Real ones have a few hundred.
const MOST: u64 = 64 << 10;

/// Writes `code` to `path`, which must not exist.
pub(crate) fn write(path: &Path, code: &[u8], fingerprint: &str) -> Result<(), EngineError> {
    let length = u32::try_from(fingerprint.len()).map_err(EngineError::failed)?;
    File::create_new(path)
        .and_then(|mut file| {
            file.write_all(code)?;
            file.write_all(fingerprint.as_bytes())?;
            file.write_all(&length.to_le_bytes())?;
            file.write_all(MARK)
        })
        .map_err(|error| EngineError::failed(format_args!("artifact {} can't be written: {error}", path.display())))
}

/// Whether the file at `path` is an artifact, whole, and made under `fingerprint`.
pub(crate) fn check(path: &Path, fingerprint: &str) -> Result<(), EngineError> {
    let found = read_fingerprint(path)
        .map_err(|error| EngineError::failed(format_args!("artifact {} can't be read: {error}", path.display())))?;
    match found {
        None => Err(invalid(format_args!("{} is no artifact of wasmer, or was cut short", path.display()))),
        Some(found) if found != fingerprint => Err(EngineError::new(
            ErrorKind::Stale,
            format_args!("artifact {} was made by {found:?}, wanted {fingerprint:?}: compile again", path.display()),
        )),
        Some(_) => Ok(()),
    }
}

fn read_fingerprint(path: &Path) -> std::io::Result<Option<String>> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let tail = size_of::<u32>() + MARK.len();
    if size < tail as u64 {
        return Ok(None);
    }
    file.seek(SeekFrom::End(-(tail as i64)))?;
    let mut end = Vec::with_capacity(tail);
    file.read_to_end(&mut end)?;
    let Some((length, mark)) = end.split_first_chunk::<4>() else { return Ok(None) };
    let length = u64::from(u32::from_le_bytes(*length));
    if mark != MARK || length > MOST || length + tail as u64 > size {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(size - tail as u64 - length))?;
    let mut text = Vec::new();
    file.take(length).read_to_end(&mut text)?;
    Ok(String::from_utf8(text).ok())
}
