//! The module that a command is asked about: a file's, or that of an image's entrypoint.

use std::fs;
use std::path::{Path, PathBuf};

use super::file_and_function;
use super::image::{self, Bundle, Extras};
use crate::rootfs::{Content, Entry, EntryError};

/// Why there is nothing to look at.
#[derive(Debug, thiserror::Error)]
enum SubjectError {
    #[error("{path}: {source}", path = path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{image}: {source}", image = image.display())]
    Entry { image: PathBuf, source: EntryError },
}

/// A module, and its image's files until this goes.
pub(super) struct Subject {
    /// How people know it.
    pub(super) name: String,
    /// The module's own path, here or in its image.
    pub(super) path: PathBuf,
    /// The function that `#function` names.
    pub(super) function: Option<String>,
    /// Its bytes, whatever they are.
    pub(super) content: Content,
    _bundle: Option<Bundle>,
}

impl Subject {
    /// Finds what `name` means.
    pub(super) fn find(name: &Path, from: &image::From) -> Result<Self, Box<dyn std::error::Error>> {
        if !image::is_image(name) {
            let (path, function) = file_and_function(name);
            let bytes = fs::read(&path).map_err(|source| SubjectError::Unreadable { path: path.clone(), source })?;
            let name = path.display().to_string();
            return Ok(Self { name, path, function, content: Content::Copied(bytes), _bundle: None });
        }
        let bundle = Bundle::new(&name.display().to_string(), from, &Extras::default())?;
        let of_image = |source| SubjectError::Entry { image: name.to_owned(), source };
        let entry = Entry::find(bundle.path(), &bundle.rootfs(), &bundle.spec).map_err(of_image)?;
        let content = entry.map().map_err(of_image)?;
        let name = format!("{} of {}", entry.path, name.display());
        Ok(Self { name, path: entry.path.into(), function: entry.function, content, _bundle: Some(bundle) })
    }
}
