//! Mounting a container's root file system, and taking it off again.

use std::path::{Path, PathBuf};

use containerd_shim::mount::mount_rootfs;
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};

use super::SandboxError;
use crate::spawner::Mount;

/// Mounts `mounts` on `rootfs`, in order.
///
/// # Errors
/// [`SandboxError::Mount`]; those before the one that failed stay mounted.
pub(super) fn mount_all(mounts: &[Mount], rootfs: &Path) -> Result<(), SandboxError> {
    // The folder alone: a bundle that containerd has removed meanwhile must not come back.
    if let Err(error) = std::fs::create_dir(rootfs)
        && error.kind() != std::io::ErrorKind::AlreadyExists
    {
        return Err(failed("the folder".to_owned(), rootfs.to_owned(), error.to_string()));
    }
    for mount in mounts {
        let target = rootfs.join(mount.target.trim_start_matches('/'));
        mount_rootfs(Some(&mount.kind), Some(&mount.source), &mount.options, &target)
            .map_err(|error| failed(format!("{} {}", mount.kind, mount.source), target, error.to_string()))?;
    }
    Ok(())
}

fn failed(what: String, target: PathBuf, reason: String) -> SandboxError {
    SandboxError::Mount { what, target, reason }
}

/// Takes off all that is mounted on `rootfs`, at once even where it is in use.
///
/// # Errors
/// What is still mounted and why.
pub(super) fn unmount_all(rootfs: &Path) -> Result<(), String> {
    loop {
        match umount2(rootfs, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            // Mounts stack.
            Ok(()) => {}
            // Not mounted, not there.
            Err(Errno::EINVAL | Errno::ENOENT) => return Ok(()),
            Err(error) => return Err(format!("mount {}: {error}", rootfs.display())),
        }
    }
}
