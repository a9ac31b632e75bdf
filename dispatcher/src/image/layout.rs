//! An OCI image layout: a folder of blobs with an index (image-spec, image-layout.md), as it is or in a tar archive, which is
//! what `docker save` (25 and later), `skopeo copy … oci-archive:` and `docker buildx build --output type=oci` write.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use oci_spec::image::{Descriptor, ImageIndex};
use oci_spec::runtime::SpecBuilder;

use super::artifact::MAX_JSON;
use super::content::Store;
use super::error::LayoutError;
use crate::rootfs::tree::{LookupError, Tree};

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
    /// Its files, of whose links none leads out of it.
    files: Tree,
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
    /// Opens it; an archive is unpacked into a folder in `scratch`, which is this process's own.
    pub(super) fn open(path: &Path, scratch: &Path) -> Result<Self, LayoutError> {
        let unreadable = |source| LayoutError::Unreadable { path: path.to_owned(), source };
        if path.is_dir() {
            return Ok(Self { path: path.to_owned(), files: files(path).map_err(unreadable)?, _unpacked: None });
        }
        let unpacked = tempfile::Builder::new().prefix("layout-").tempdir_in(scratch).map_err(unreadable)?;
        // It writes nothing outside of the folder. The links that it makes may lead there: see `files`.
        tar::Archive::new(File::open(path).map_err(unreadable)?).unpack(unpacked.path()).map_err(unreadable)?;
        if !unpacked.path().join(MARK).is_file() {
            return Err(LayoutError::NoLayout { path: path.to_owned() });
        }
        let files = files(unpacked.path()).map_err(unreadable)?;
        Ok(Self { path: path.to_owned(), files, _unpacked: Some(unpacked) })
    }

    /// What the image of this name stands for; without a name, the only one.
    pub(super) fn target(&self, name: Option<&str>) -> Result<Descriptor, LayoutError> {
        let index = self.index().map_err(|source| LayoutError::Unreadable { path: self.path.clone(), source })?;
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

    fn index(&self) -> io::Result<ImageIndex> {
        let wrong = |reason: String| io::Error::other(format!("index.json: {reason}"));
        let found = self.files.open_file(Path::new("/index.json")).map_err(|error| wrong(error.to_string()))?;
        let mut text = Vec::new();
        // One byte more than it may have says that it is too long.
        found.file.take(MAX_JSON + 1).read_to_end(&mut text)?;
        if text.len() as u64 > MAX_JSON {
            return Err(wrong(format!("more than the {MAX_JSON} bytes that are read")));
        }
        serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))
    }
}

/// The files of `folder`, all of them its own: a link means what it means with the folder as the root, and what is no regular
/// file is not opened.
fn files(folder: &Path) -> io::Result<Tree> {
    let nothing_mounted = SpecBuilder::default().mounts(Vec::new()).build().map_err(io::Error::other)?;
    Tree::open(folder, folder, &nothing_mounted)
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
        match self.files.open_file(&Path::new("/blobs").join(algorithm).join(hex)) {
            Ok(found) => Ok(Some(Box::new(found.file))),
            Err(LookupError::Missing) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    const DIGEST: &str = "sha256:00";

    fn index() -> String {
        let image = serde_json::json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 1,
            "digest": format!("sha256:{}", "1".repeat(64))});
        serde_json::json!({"schemaVersion": 2, "manifests": [image]}).to_string()
    }

    /// What its index and its blob are said to be.
    fn told(folder: &Path) -> (String, String) {
        let layout = Layout::open(folder, Path::new("/nonexistent")).unwrap();
        let index = layout.target(None).map_or_else(|error| error.to_string(), |_| "read".to_owned());
        let blob = match layout.open(DIGEST) {
            Ok(Some(_)) => "read".to_owned(),
            Ok(None) => "missing".to_owned(),
            Err(reason) => reason,
        };
        (index, blob)
    }

    #[test]
    fn only_a_layouts_own_regular_files_are_read() {
        let (outside, layout) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let blobs = layout.path().join("blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        let (index_path, blob) = (layout.path().join("index.json"), blobs.join("00"));
        let there = outside.path().join("file");
        fs::write(&there, index()).unwrap();
        for target in [Path::new("/dev/zero"), &there] {
            symlink(target, &index_path).unwrap();
            symlink(target, &blob).unwrap();
            let (of_index, of_blob) = told(layout.path());
            assert!(of_index.contains("index.json: not found"), "{of_index}");
            assert_eq!(of_blob, "missing");
            fs::remove_file(&index_path).unwrap();
            fs::remove_file(&blob).unwrap();
        }
        // Opening one would wait for who writes to it.
        mkfifo(&index_path, Mode::S_IRWXU).unwrap();
        mkfifo(&blob, Mode::S_IRWXU).unwrap();
        let (of_index, of_blob) = told(layout.path());
        assert!(of_index.contains("index.json: ") && of_blob != "read" && of_blob != "missing", "{of_index} {of_blob}");
        fs::remove_file(&index_path).unwrap();
        fs::remove_file(&blob).unwrap();
        fs::write(&index_path, index()).unwrap();
        symlink("../../index.json", &blob).unwrap();
        assert_eq!(told(layout.path()), ("read".to_owned(), "read".to_owned()));
        // A folder may be named by a link to it.
        let link = outside.path().join("link");
        symlink(layout.path(), &link).unwrap();
        assert_eq!(told(&link), ("read".to_owned(), "read".to_owned()));
    }

    #[test]
    fn an_index_is_read_to_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let file = File::create(folder.path().join("index.json")).unwrap();
        file.set_len(MAX_JSON + 1).unwrap();
        assert!(told(folder.path()).0.contains("more than the 4194304 bytes"));
        let text = format!("{}{}", index(), " ".repeat(MAX_JSON as usize - index().len()));
        fs::write(folder.path().join("index.json"), text).unwrap();
        assert_eq!(told(folder.path()).0, "read");
    }

    #[test]
    fn an_archive_is_unpacked_in_the_folder_that_is_swept() {
        let (from, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let archive = from.path().join("layout.tar");
        let mut tar = tar::Builder::new(File::create(&archive).unwrap());
        for (name, text) in [(MARK, "{}".to_owned()), ("index.json", index())] {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(text.len() as u64);
            tar.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap();
        let layout = Layout::open(&archive, scratch.path()).unwrap();
        assert!(layout.target(None).is_ok());
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
        drop(layout);
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    }
}
