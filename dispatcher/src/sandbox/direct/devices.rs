//! The devices and links below /dev that each container has (runtime specification, config-linux.md and runtime-linux.md).

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{Mode, SFlag, fstatat, makedev, mknodat, umask};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, symlinkat, unlinkat};
use oci_spec::runtime::{LinuxDevice, LinuxDeviceType, Spec};

use super::root::Root;

/// Character devices by name, each for everybody to read and write.
const DEFAULT: [(&str, u64, u64); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("tty", 5, 0), ("random", 1, 8), ("urandom", 1, 9)];
/// Links by name. They lead to a /proc that a guest has only if it asks for one; images name them all the same.
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Makes all of it.
pub(super) fn make(root: &Root, spec: &Spec) -> Result<(), String> {
    let own: Vec<_> = spec.linux().iter().flat_map(|linux| linux.devices().iter().flatten()).collect();
    let folder = root.make_folder(Path::new("/dev"))?;
    let before = umask(Mode::empty());
    let made = make_all(root, folder.as_fd(), &own);
    umask(before);
    made
}

fn make_all(root: &Root, folder: BorrowedFd<'_>, own: &[&LinuxDevice]) -> Result<(), String> {
    let failed = |name: &str, error: Errno| format!("/dev/{name} can't be made: {}", error.desc());
    for (name, major, minor) in DEFAULT {
        if own.iter().any(|device| *device.path() == Path::new("/dev").join(name)) {
            continue;
        }
        node(folder, Path::new(name), SFlag::S_IFCHR, 0o666, makedev(major, minor)).map_err(|e| failed(name, e))?;
    }
    for device in own {
        let path = device.path();
        let refused = |reason: &str| format!("device {}: {reason}", path.display());
        let below = path.strip_prefix("/dev").map_err(|_| refused("it is not below /dev"))?;
        let (Some(above), Some(name)) = (path.parent(), below.file_name()) else {
            return Err(refused("it has no name"));
        };
        let above = root.make_folder(above)?;
        let kind = match device.typ() {
            LinuxDeviceType::B => SFlag::S_IFBLK,
            LinuxDeviceType::P => SFlag::S_IFIFO,
            LinuxDeviceType::A | LinuxDeviceType::C | LinuxDeviceType::U => SFlag::S_IFCHR,
        };
        let number = |number: i64| u64::try_from(number).unwrap_or_default();
        let mode = device.file_mode().unwrap_or(0o666);
        let made =
            node(above.as_fd(), Path::new(name), kind, mode, makedev(number(device.major()), number(device.minor())));
        let owned = made.and_then(|()| {
            let (uid, gid) = (device.uid().map(Uid::from_raw), device.gid().map(Gid::from_raw));
            fchownat(&above, Path::new(name), uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW)
        });
        owned.map_err(|error| refused(error.desc()))?;
    }
    for (name, target) in LINKS {
        let linked = match symlinkat(target, folder, name) {
            Err(Errno::EEXIST) => {
                unlinkat(folder, name, UnlinkatFlags::NoRemoveDir).and_then(|()| symlinkat(target, folder, name))
            }
            other => other,
        };
        linked.map_err(|error| failed(name, error))?;
    }
    Ok(())
}

/// Makes a node; one that is the same already, as images have that were made of a whole system, may stay.
fn node(folder: BorrowedFd<'_>, name: &Path, kind: SFlag, mode: u32, device: u64) -> Result<(), Errno> {
    match mknodat(folder, name, kind, Mode::from_bits_truncate(mode), device) {
        Err(Errno::EEXIST) => {
            let there = fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
            let same = there.st_mode & SFlag::S_IFMT.bits() == kind.bits() && there.st_rdev == device;
            if same { Ok(()) } else { Err(Errno::EEXIST) }
        }
        other => other,
    }
}
