//! The layers of an ordinary image, unpacked into a folder: the later over the earlier, what they take away taken away
//! (image-spec, layer.md).
//!
//! Layers are not trusted, and their names and links mean the image's files. So this process's root is the folder while it
//! unpacks: no name leads out of it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use nix::unistd::{chroot, fchdir};
use oci_spec::image::Descriptor;
use tar::{Archive, Entry, EntryType};

use super::Problem;
use super::content::{self, Content, Store};
use super::zstd::Frames;
use crate::causes::chain;

/// What a whiteout's name begins with, and the one that takes away all that earlier layers have in its folder.
const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";

/// Unpacks `layers`, the lowest first, into `folder`, which is empty. What is wrong with one shows at its end; the folder is
/// not to be used then.
pub(super) fn unpack(store: &impl Store, layers: &[Descriptor], folder: &Path) -> Result<(), Problem> {
    for layer in layers {
        let mut content = content::open(store, "layer", layer)?;
        let media_type = layer.media_type().to_string();
        let unpacked = unpack_layer(&mut content, &media_type, folder);
        // Of what is damaged, the damage is the cause of all else.
        content.check()?;
        unpacked.map_err(|error| {
            let (what, digest) = ("layer", layer.digest().to_string());
            Problem::Malformed { what, digest, reason: chain(&error) }
        })?;
    }
    Ok(())
}

fn unpack_layer(content: &mut Content<'_>, media_type: &str, folder: &Path) -> io::Result<()> {
    let _inside = Inside::new(folder)?;
    if media_type.ends_with("gzip") {
        unpack_archive(MultiGzDecoder::new(content))
    } else if media_type.ends_with("zstd") {
        unpack_archive(Frames::new(content))
    } else {
        unpack_archive(content)
    }
}

/// Unpacks into `/`.
fn unpack_archive(archive: impl Read) -> io::Result<()> {
    let mut archive = Archive::new(archive);
    archive.set_preserve_permissions(true);
    archive.set_unpack_xattrs(true);
    archive.set_overwrite(true);
    let mut own = HashSet::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = Path::new("/").join(entry.path()?.components().filter(|part| is_name(part)).collect::<PathBuf>());
        let Some(name) = path.file_name().and_then(|name| name.to_str()).map(str::to_owned) else { continue };
        let parent = path.parent().unwrap_or(Path::new("/"));
        if name == OPAQUE {
            for there in fs::read_dir(parent).into_iter().flatten().flatten().map(|there| there.path()) {
                if !own.contains(&there) {
                    remove(&there)?;
                }
            }
        } else if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            remove(&parent.join(hidden))?;
        } else {
            put(&mut entry, &path)?;
            // With all above it, which an opaque folder would else lose.
            own.extend(path.ancestors().map(Path::to_owned));
        }
    }
    // What follows the archive's end has no content, but is to be sound.
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    Ok(())
}

fn is_name(part: &std::path::Component<'_>) -> bool {
    matches!(part, std::path::Component::Normal(_))
}

fn put(entry: &mut Entry<'_, impl Read>, path: &Path) -> io::Result<()> {
    use EntryType::{Block, Char, Directory, Fifo, Link};
    // A container has its own devices.
    if matches!(entry.header().entry_type(), Block | Char | Fifo) {
        return Ok(());
    }
    match entry.header().entry_type() {
        Directory => {}
        // A folder of an earlier layer may be in the place of a file.
        _ if path.symlink_metadata().is_ok_and(|there| there.is_dir()) => fs::remove_dir_all(path)?,
        Link => {
            let target = entry.link_name()?.unwrap_or_default();
            if is_same(path, &Path::new("/").join(target)) {
                return Ok(());
            }
            // A link is made where nothing is; other files replace what is there.
            remove(path)?;
        }
        _ => {}
    }
    entry.unpack_in("/")?;
    let header = entry.header();
    if header.entry_type() == Link {
        return Ok(());
    }
    // Some tools leave out the numbers, which then mean root.
    let (uid, gid) = (header.uid().unwrap_or(0) as u32, header.gid().unwrap_or(0) as u32);
    lchown(path, Some(uid), Some(gid))?;
    // The kernel takes away set-user-ID with a change of the owner (chown(2)).
    if header.entry_type() != EntryType::Symlink {
        fs::set_permissions(path, fs::Permissions::from_mode(header.mode().unwrap_or(0o644) & 0o7777))?;
    }
    Ok(())
}

/// Whether both are names of one file that is there.
fn is_same(one: &Path, other: &Path) -> bool {
    let number = |path: &Path| path.symlink_metadata().map(|there| (there.dev(), there.ino()));
    matches!((number(one), number(other)), (Ok(one), Ok(other)) if one == other)
}

/// Removes what an earlier layer has; it may have nothing.
fn remove(path: &Path) -> io::Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(there) if there.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// This process's root is a folder until this goes.
struct Inside {
    root: File,
    working: File,
}

impl Inside {
    fn new(folder: &Path) -> io::Result<Self> {
        let open = |path: &Path| File::options().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(path);
        let outside = Self { root: open(Path::new("/"))?, working: open(Path::new("."))? };
        chroot(folder)?;
        std::env::set_current_dir("/")?;
        Ok(outside)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let back = fchdir(&self.root).and_then(|()| chroot(".")).and_then(|()| fchdir(&self.working));
        // Nothing may go on with a stranger's files as its root; and who could go there can go back.
        back.expect("a process that may change its root may change it back");
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use nix::sched::{CloneFlags, unshare};
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    use std::io::Write;
    use tar::{Builder, Header};

    use super::super::content::tests::Memory;
    use super::*;

    /// An archive's entries: a path with its content, or with `=> PATH` for a hard link.
    type Entries<'a> = &'a [(&'a str, &'a str)];

    fn archive(entries: Entries<'_>) -> Vec<u8> {
        let mut archive = Builder::new(Vec::new());
        for (path, content) in entries {
            let mut header = Header::new_gnu();
            header.set_mode(0o644);
            if let Some(target) = content.strip_prefix("=> ") {
                header.set_entry_type(EntryType::Link);
                header.set_size(0);
                archive.append_link(&mut header, path, target).unwrap();
            } else {
                header.set_size(content.len() as u64);
                archive.append_data(&mut header, path, content.as_bytes()).unwrap();
            }
        }
        archive.into_inner().unwrap()
    }

    /// Unpacks layers of these media types' ends with a root of its own, which takes root.
    fn unpacked(layers: &[(&str, Vec<u8>)]) -> Option<(tempfile::TempDir, Result<(), Problem>)> {
        if !nix::unistd::geteuid().is_root() {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut store = Memory::default();
        let add = |(end, bytes): &(&str, Vec<u8>)| store.add(&format!("application/x.tar{end}"), bytes);
        let layers: Vec<_> = layers.iter().map(add).collect();
        let path = folder.path().to_owned();
        let done = std::thread::spawn(move || {
            // The other tests keep their root.
            unshare(CloneFlags::CLONE_FS).unwrap();
            unpack(&store, &layers, &path)
        });
        let done = done.join().unwrap();
        Some((folder, done))
    }

    #[test]
    fn hard_links_replace_what_earlier_layers_have() {
        let first = archive(&[("a", "old"), ("b", "=> a"), ("c", "other"), ("folder/file", "")]);
        let second = archive(&[("a", "new"), ("b", "=> a"), ("c", "=> a"), ("folder", "=> /a")]);
        // Of what is one file already, nothing is taken away.
        let third = archive(&[("b", "=> a"), ("a", "=> a")]);
        let Some((root, done)) = unpacked(&[("", first), ("", second), ("", third)]) else { return };
        done.unwrap();
        for name in ["a", "b", "c", "folder"] {
            assert_eq!(fs::read_to_string(root.path().join(name)).unwrap(), "new", "{name}");
        }
        assert_eq!(root.path().join("a").metadata().unwrap().nlink(), 4);
    }

    #[test]
    fn layers_may_be_compressed_in_parts_to_the_last_of_which_they_are_read() {
        let whole = archive(&[("first", "1"), ("last", "2")]);
        let zstd = |part: &[u8]| compress_to_vec(part, CompressionLevel::Fastest);
        let gzip = |part: &[u8]| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(part).unwrap();
            encoder.finish().unwrap()
        };
        // Between two entries, where the end of the first part seems to be the archive's.
        let (first, last) = whole.split_at(1024);
        for (end, parts) in [("+zstd", [zstd(first), zstd(last)]), ("+gzip", [gzip(first), gzip(last)])] {
            let Some((root, done)) = unpacked(&[(end, parts.concat())]) else { return };
            done.unwrap();
            assert_eq!(fs::read_to_string(root.path().join("last")).unwrap(), "2", "{end}");
            let unsound = [parts.concat(), b"tail".to_vec()].concat();
            let Some((_, done)) = unpacked(&[(end, unsound)]) else { return };
            let error = done.unwrap_err();
            assert!(matches!(error, Problem::Malformed { what: "layer", .. }), "{end}: {error}");
        }
    }
}
