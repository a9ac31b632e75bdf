//! Mounting a container's root file system, and taking it off again.

use std::path::{Path, PathBuf};

use containerd_shim::mount::mount_rootfs;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statvfs::{FsFlags, statvfs};

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

/// Lets no device node be used that lies in the root file system.
///
/// # Errors
/// What the kernel says.
pub(super) fn without_devices(rootfs: &Path) -> Result<(), SandboxError> {
    let refused = |error: Errno| failed("`nodev`".to_owned(), rootfs.to_owned(), error.desc().to_owned());
    // A new set of flags replaces the old one (mount(2), "Remounting an existing mount").
    let kept = statvfs(rootfs).map_err(refused)?.flags();
    let flags = [
        (FsFlags::ST_RDONLY, MsFlags::MS_RDONLY),
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ];
    let flags = flags.into_iter().filter(|(there, _)| kept.contains(*there)).map(|(_, flag)| flag);
    let flags = flags.fold(MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_NODEV, |all, flag| all | flag);
    mount(None::<&Path>, rootfs, None::<&Path>, flags, None::<&Path>).map_err(refused)
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
