//! A layer: files as an uncompressed tar archive that says nothing of who made them or when.

use std::io;

use crate::case::model::{Content, File, Generated, pattern};
use crate::fat;

/// A layer to be.
pub struct Layer(tar::Builder<Vec<u8>>);

/// What a file of a case needs of the guests.
pub trait Guests {
    /// A guest's module.
    fn module(&self, name: &str) -> Vec<u8>;
    /// A guest's native twin.
    ///
    /// # Errors
    /// It can't be compiled.
    fn twin(&self, name: &str) -> Result<Vec<u8>, String>;
}

/// What `own` is on a target: the guest's name, and whether its twin runs.
#[derive(Debug, Clone, Copy)]
pub struct Own<'a> {
    /// The case's guest.
    pub guest: &'a str,
    /// Whether the target runs native twins.
    pub native: bool,
}

impl Default for Layer {
    fn default() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }
}

impl Layer {
    /// Adds a folder.
    pub fn folder(&mut self, path: &str, mode: u32) -> io::Result<()> {
        self.entry(tar::EntryType::Directory, path, mode, (0, 0), &[])
    }

    /// Adds a file.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.entry(tar::EntryType::Regular, path, mode, (0, 0), content)
    }

    /// Adds what a case describes.
    pub fn add(&mut self, path: &str, file: &File, own: Own<'_>, guests: &dyn Guests) -> io::Result<()> {
        let owner = file.owner.map_or((0, 0), |owner| (owner.uid, owner.gid));
        let content = match &file.content {
            Content::Folder => {
                return self.entry(tar::EntryType::Directory, path, file.mode.unwrap_or(0o755), owner, &[]);
            }
            Content::Link(to) => {
                let mut header = header(tar::EntryType::Symlink, 0o777, owner, 0);
                return self.0.append_link(&mut header, path.trim_start_matches('/'), to);
            }
            Content::HardLink(to) => {
                let mut header = header(tar::EntryType::Link, 0o644, owner, 0);
                let (path, to) = (path.trim_start_matches('/'), to.trim_start_matches('/'));
                return self.0.append_link(&mut header, path, to);
            }
            Content::Fifo => return self.entry(tar::EntryType::Fifo, path, file.mode.unwrap_or(0o644), owner, &[]),
            // The image specification's own way to say so (layer.md, "Whiteouts").
            Content::Whiteout => {
                let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
                return self.file(&format!("{folder}/.wh.{name}"), 0o644, &[]);
            }
            other => bytes(other, own, guests)?.unwrap_or_default(),
        };
        let program = matches!(file.content, Content::Twin(_)) || (own.native && file.content == Content::Own);
        let mode = file.mode.unwrap_or(if program { 0o755 } else { 0o644 });
        self.entry(tar::EntryType::Regular, path, mode, owner, &content)
    }

    /// The archive.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        self.0.into_inner()
    }

    fn entry(
        &mut self,
        kind: tar::EntryType,
        path: &str,
        mode: u32,
        owner: (u32, u32),
        content: &[u8],
    ) -> io::Result<()> {
        let mut header = header(kind, mode, owner, content.len() as u64);
        self.0.append_data(&mut header, path.trim_start_matches('/'), content)
    }
}

/// The bytes of a file; none of what is no file.
pub fn bytes(content: &Content, own: Own<'_>, guests: &dyn Guests) -> io::Result<Option<Vec<u8>>> {
    Ok(match content {
        Content::Text(text) => Some(text.clone().into_bytes()),
        Content::Bytes(count) => Some(pattern(*count)),
        Content::Guest(name) => Some(guests.module(name)),
        Content::Twin(name) => Some(guests.twin(name).map_err(io::Error::other)?),
        Content::Own if own.native => Some(guests.twin(own.guest).map_err(io::Error::other)?),
        Content::Own => Some(guests.module(own.guest)),
        Content::Wat(text) => Some(wat::parse_str(text).map_err(io::Error::other)?),
        Content::Generated(Generated::Costly) => Some(fat::module(fat::COSTLY)),
        Content::Generated(Generated::LongImport) => Some(fat::importing(&"long".repeat(22_000))),
        Content::Link(_) | Content::Folder | Content::HardLink(_) | Content::Fifo | Content::Whiteout => None,
    })
}

fn header(kind: tar::EntryType, mode: u32, owner: (u32, u32), size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(owner.0.into());
    header.set_gid(owner.1.into());
    header.set_size(size);
    header
}
