//! An OCI image layout: a folder of blobs with an index (image-spec, image-layout.md), as it is or in a tar archive, which is
//! what `docker save` (25 and later), `skopeo copy … oci-archive:` and `docker buildx build --output type=oci` write.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use oci_spec::image::{Descriptor, ImageIndex};

use super::content::Store;
use super::error::LayoutError;

/// The annotations that hold an image's name: the specification's, which most tools fill with a tag alone, and containerd's,
/// which Docker writes too, with all of it.
const NAMES: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

/// The file that makes a folder a layout.
const MARK: &str = "oci-layout";

/// A layout that was opened.
#[derive(Debug)]
pub(super) struct Layout {
    /// As it was named.
    path: PathBuf,
    folder: PathBuf,
    /// Where the archive's content lies, until this goes.
    _unpacked: Option<tempfile::TempDir>,
}

/// Whether `path` is a folder or a file that may be a layout.
pub(super) fn is_layout(path: &Path) -> bool {
    path.join(MARK).is_file() || is_archive(path)
}

/// By the mark that each header of an archive has since POSIX.1-1988, at this place.
fn is_archive(path: &Path) -> bool {
    const MAGIC: (usize, &[u8]) = (257, b"ustar");
    let mut header = [0; 262];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
    read.is_ok() && &header[MAGIC.0..] == MAGIC.1
}

impl Layout {
    /// Opens it; an archive is unpacked into a folder of this process's own.
    pub(super) fn open(path: &Path) -> Result<Self, LayoutError> {
        let unreadable = |source| LayoutError::Unreadable { path: path.to_owned(), source };
        if path.is_dir() {
            return Ok(Self { path: path.to_owned(), folder: path.to_owned(), _unpacked: None });
        }
        let unpacked = tempfile::Builder::new().prefix("multiwasm-layout-").tempdir().map_err(unreadable)?;
        // It refuses to leave the folder, by names or by links.
        tar::Archive::new(File::open(path).map_err(unreadable)?).unpack(unpacked.path()).map_err(unreadable)?;
        if !unpacked.path().join(MARK).is_file() {
            return Err(LayoutError::NoLayout { path: path.to_owned() });
        }
        Ok(Self { path: path.to_owned(), folder: unpacked.path().to_owned(), _unpacked: Some(unpacked) })
    }

    /// What the image of this name stands for; without a name, the only one.
    pub(super) fn target(&self, name: Option<&str>) -> Result<Descriptor, LayoutError> {
        let path = self.folder.join("index.json");
        let unreadable = |source| LayoutError::Unreadable { path: self.path.clone(), source };
        let text = fs::read(path).map_err(unreadable)?;
        let index: ImageIndex = serde_json::from_slice(&text).map_err(|error| unreadable(io::Error::other(error)))?;
        let names = |image: &Descriptor| -> Vec<String> {
            let of = |key| image.annotations().as_ref()?.get(key).cloned();
            NAMES.into_iter().filter_map(of).collect()
        };
        let mut found = index.manifests().iter().filter(|image| match name {
            Some(name) => names(image).iter().any(|known| known == name),
            None => true,
        });
        match (found.next(), found.next()) {
            (Some(image), None) => Ok(image.clone()),
            (first, _) => {
                let names = index.manifests().iter().flat_map(|image| names(image).into_iter().next());
                let (path, names) = (self.path.clone(), names.collect::<Vec<_>>().join(", "));
                Err(match name.filter(|_| first.is_none()) {
                    Some(name) => LayoutError::NoSuchImage { path, name: name.to_owned(), names },
                    None => LayoutError::Several { path, names },
                })
            }
        }
    }
}

impl Store for Layout {
    fn place(&self) -> String {
        format!("the image layout {}", self.path.display())
    }

    fn open(&self, digest: &str) -> Result<Option<Box<dyn Read + '_>>, String> {
        let Some((algorithm, hex)) = digest.split_once(':') else { return Ok(None) };
        // Else it could be a path.
        if !algorithm.chars().chain(hex.chars()).all(|c| c.is_ascii_alphanumeric()) {
            return Ok(None);
        }
        match File::open(self.folder.join("blobs").join(algorithm).join(hex)) {
            Ok(file) => Ok(Some(Box::new(file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }
}
