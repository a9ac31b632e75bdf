//! The working directory, made where the image has none, as runc makes it.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{Mode, mkdirat};
use oci_spec::runtime::Spec;

/// Makes the working directory of `spec` in `rootfs`, with the folders above it, where it is missing. What lies below a
/// mount is left alone: it will be seen with that mount alone.
///
/// # Errors
/// What the kernel says.
pub fn make_working_directory(rootfs: &Path, spec: &Spec) -> io::Result<()> {
    let Some(process) = spec.process() else { return Ok(()) };
    let below_a_mount = |path: &Path| spec.mounts().iter().flatten().any(|mount| path.starts_with(mount.destination()));
    if below_a_mount(process.cwd()) { Ok(()) } else { make(rootfs, process.cwd()) }
}

/// Makes `path` below `root`. Links lead nowhere but into the root, as they will for the container.
fn make(root: &Path, path: &Path) -> io::Result<()> {
    let root = File::options().read(true).custom_flags(libc::O_DIRECTORY | libc::O_PATH).open(root)?;
    let inside = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let mut above = PathBuf::from("/");
    for component in path.components() {
        if let Component::Normal(name) = component {
            let parent = openat2(&root, &above, inside)?;
            match mkdirat(&parent, name, Mode::from_bits_truncate(0o755)) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        above.push(component);
    }
    // What has its name may be a file.
    openat2(&root, &above, inside).map(drop).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_missing_is_made_and_what_is_there_stays() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("there")).unwrap();
        std::fs::write(root.path().join("there/file"), "").unwrap();
        for path in ["/there/a/b", "/there/a/b", "/there", "/"] {
            make(root.path(), Path::new(path)).unwrap();
        }
        assert!(make(root.path(), Path::new("/there/file")).is_err());
        assert!(root.path().join("there/a/b").is_dir() && root.path().join("there/file").is_file());
    }

    #[test]
    fn a_link_leads_into_the_root() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        symlink(outside.path(), root.path().join("link")).unwrap();
        // The container has no such folder, so there is none to make another in.
        assert!(make(root.path(), Path::new("/link/made")).is_err());
        assert!(!outside.path().join("made").exists());
        std::fs::create_dir(root.path().join("real")).unwrap();
        symlink("/real", root.path().join("short")).unwrap();
        make(root.path(), Path::new("/short/made")).unwrap();
        assert!(root.path().join("real/made").is_dir());
    }

    #[test]
    fn below_a_mount_nothing_is_made() {
        let root = tempfile::tempdir().unwrap();
        let spec = |cwd: &str| -> Spec {
            let spec = format!(
                r#"{{"ociVersion": "1.0.2", "process": {{"cwd": "{cwd}", "user": {{"uid": 0, "gid": 0}}}},
                "mounts": [{{"destination": "/data", "type": "tmpfs"}}]}}"#
            );
            serde_json::from_str(&spec).unwrap()
        };
        make_working_directory(root.path(), &spec("/data/deep")).unwrap();
        assert!(!root.path().join("data").exists());
        make_working_directory(root.path(), &spec("/database")).unwrap();
        assert!(root.path().join("database").is_dir());
    }
}
