//! The specification's mounts: bind mounts and tmpfs with common options, by descriptors, not by paths that could change.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use libcontainer::syscall::linux::{
    AT_EMPTY_PATH, AT_RECURSIVE, FSCONFIG_CMD_CREATE, FSCONFIG_SET_FLAG, FSCONFIG_SET_STRING, MOUNT_ATTR__ATIME,
    MOUNT_ATTR_NOATIME, MOUNT_ATTR_NODEV, MOUNT_ATTR_NODIRATIME, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY, MOUNT_ATTR_RELATIME, MOUNT_ATTR_STRICTATIME, MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_T_EMPTY_PATH,
    MountAttr,
};
use libcontainer::syscall::{Syscall, SyscallError};
use nix::sys::stat::{SFlag, fstat};
use oci_spec::runtime::Mount;

use super::root::Root;

/// linux/mount.h.
pub(super) const READ_ONLY: u64 = MOUNT_ATTR_RDONLY;
/// The options of a tmpfs itself (tmpfs(5)).
const TMPFS: [&str; 6] = ["mode", "size", "uid", "gid", "nr_inodes", "nr_blocks"];

/// What holds for a mount.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Attributes {
    /// Flags to be set, of mount_setattr(2).
    pub(super) set: u64,
    /// Flags to be cleared first.
    pub(super) clear: u64,
    /// One of `MS_PRIVATE` and its like; 0: as it is.
    pub(super) propagation: u64,
}

/// A mount that this way can make.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Planned {
    target: PathBuf,
    kind: Kind,
    attributes: Attributes,
    /// Whether the propagation is that of all mounts below, too.
    all_below: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Bind { source: PathBuf, all_below: bool },
    Tmpfs { options: Vec<(String, Option<String>)> },
}

impl Planned {
    /// How `mount` is to be made; none where it says something uncommon.
    pub(super) fn of(mount: &Mount, bundle: &Path) -> Option<Self> {
        let target = mount.destination().clone();
        let plain = mount.uid_mappings().is_none() && mount.gid_mappings().is_none() && target.is_absolute();
        let options = mount.options().as_deref().unwrap_or_default();
        let bind = options.iter().find(|option| *option == "bind" || *option == "rbind");
        let mut all_below = false;
        let mut attributes = Attributes::default();
        let mut own = Vec::new();
        for option in options {
            let atime = |attributes: &mut Attributes, which| {
                attributes.clear |= MOUNT_ATTR__ATIME;
                attributes.set = attributes.set & !MOUNT_ATTR__ATIME | which;
            };
            let (name, value) =
                option.split_once('=').map_or((option.as_str(), None), |(name, value)| (name, Some(value)));
            match option.as_str() {
                "ro" => attributes.set |= MOUNT_ATTR_RDONLY,
                "rw" => attributes.set &= !MOUNT_ATTR_RDONLY,
                "nosuid" => attributes.set |= MOUNT_ATTR_NOSUID,
                "suid" => attributes.set &= !MOUNT_ATTR_NOSUID,
                "nodev" => attributes.set |= MOUNT_ATTR_NODEV,
                "dev" => attributes.set &= !MOUNT_ATTR_NODEV,
                "noexec" => attributes.set |= MOUNT_ATTR_NOEXEC,
                "exec" => attributes.set &= !MOUNT_ATTR_NOEXEC,
                "nodiratime" => attributes.set |= MOUNT_ATTR_NODIRATIME,
                "noatime" => atime(&mut attributes, MOUNT_ATTR_NOATIME),
                "relatime" => atime(&mut attributes, MOUNT_ATTR_RELATIME),
                "strictatime" => atime(&mut attributes, MOUNT_ATTR_STRICTATIME),
                "private" | "rprivate" => attributes.propagation = libc::MS_PRIVATE,
                "slave" | "rslave" => attributes.propagation = libc::MS_SLAVE,
                "shared" | "rshared" => attributes.propagation = libc::MS_SHARED,
                "bind" | "rbind" | "defaults" => {}
                _ if bind.is_none() && TMPFS.contains(&name) => own.push((name.to_owned(), value.map(str::to_owned))),
                _ => return None,
            }
            all_below |= ["rprivate", "rslave", "rshared"].contains(&option.as_str());
        }
        let kind = match (bind, mount.typ().as_deref()) {
            (Some(bind), _) => Kind::Bind { source: bundle.join(mount.source().as_ref()?), all_below: bind == "rbind" },
            (None, Some("bind")) => Kind::Bind { source: bundle.join(mount.source().as_ref()?), all_below: false },
            (None, Some("tmpfs")) => Kind::Tmpfs { options: own },
            _ => return None,
        };
        plain.then_some(Self { target, kind, attributes, all_below })
    }

    /// Makes it in `root`.
    pub(super) fn make(&self, root: &Root, syscall: &dyn Syscall) -> Result<(), String> {
        let made = match &self.kind {
            Kind::Bind { source, all_below } => copy(source, *all_below, syscall).and_then(|tree| {
                let stat = fstat(&tree).map_err(|error| error.desc().to_owned())?;
                let folder = stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits();
                let place = if folder { root.make_folder(&self.target) } else { root.make_file(&self.target) };
                Ok((tree, place?))
            }),
            Kind::Tmpfs { options } => {
                tmpfs(options, syscall).and_then(|tree| Ok((tree, root.make_folder(&self.target)?)))
            }
        };
        let placed = made.and_then(|(tree, place)| {
            let Attributes { set, clear, propagation } = self.attributes;
            if set != 0 || clear != 0 {
                self::set(tree.as_fd(), &Attributes { set, clear, propagation: 0 }, false, syscall)?;
            }
            attach(tree.as_fd(), place.as_fd(), syscall)?;
            if propagation == 0 {
                return Ok(());
            }
            self::set(tree.as_fd(), &Attributes { propagation, ..Default::default() }, self.all_below, syscall)
        });
        placed.map_err(|error| format!("mount on {}: {error}", self.target.display()))
    }
}

/// Whether the kernel has the calls that are used here: the last of them, mount_setattr(2), came with 5.12.
pub(super) fn has_new_calls() -> bool {
    let Ok(name) = nix::sys::utsname::uname() else { return false };
    let release = name.release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(5), Some(12))
}

/// A copy of the mount at `path`, and of all below it, that is nowhere yet.
pub(super) fn copy(path: &Path, all_below: bool, syscall: &dyn Syscall) -> Result<OwnedFd, String> {
    let text = path.to_str().ok_or_else(|| format!("{} is not UTF-8", path.display()))?;
    let below = if all_below { AT_RECURSIVE } else { 0 };
    let flags = libc::OPEN_TREE_CLOEXEC | libc::OPEN_TREE_CLONE | below;
    syscall.open_tree(libc::AT_FDCWD, Some(text), flags).map_err(|error| format!("{text}: {}", told(&error)))
}

fn tmpfs(options: &[(String, Option<String>)], syscall: &dyn Syscall) -> Result<OwnedFd, String> {
    let made = || {
        let context = syscall.fsopen(Some("tmpfs"), libc::FSOPEN_CLOEXEC)?;
        let set = |command: u64, name: Option<&str>, value: Option<&str>| {
            syscall.fsconfig(context.as_fd(), command as u32, name, value, 0)
        };
        set(FSCONFIG_SET_STRING, Some("source"), Some("tmpfs"))?;
        for (name, value) in options {
            let command = if value.is_some() { FSCONFIG_SET_STRING } else { FSCONFIG_SET_FLAG };
            set(command, Some(name), value.as_deref())?;
        }
        set(FSCONFIG_CMD_CREATE, None, None)?;
        syscall.fsmount(context.as_fd(), libc::FSMOUNT_CLOEXEC, None)
    };
    made().map_err(|error: SyscallError| format!("tmpfs: {}", told(&error)))
}

/// Sets what holds for `tree`, and for all below it if so wanted.
pub(super) fn set(
    tree: BorrowedFd<'_>,
    attributes: &Attributes,
    all_below: bool,
    syscall: &dyn Syscall,
) -> Result<(), String> {
    let flags = AT_EMPTY_PATH | if all_below { AT_RECURSIVE } else { 0 };
    let Attributes { set, clear, propagation } = *attributes;
    let wanted = MountAttr { attr_set: set, attr_clr: clear, propagation, userns_fd: 0 };
    let done = syscall.mount_setattr(tree, Path::new(""), flags, &wanted, size_of::<MountAttr>());
    done.map_err(|error| format!("attributes can't be set: {}", told(&error)))
}

/// Puts `tree` on `place`.
pub(super) fn attach(tree: BorrowedFd<'_>, place: BorrowedFd<'_>, syscall: &dyn Syscall) -> Result<(), String> {
    let flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    syscall.move_mount(tree, None, place, None, flags).map_err(|error| told(&error))
}

fn told(error: &SyscallError) -> String {
    match error {
        SyscallError::Nix(error) => error.desc().to_owned(),
        other => crate::causes::chain(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(kind: &str, options: &[&str]) -> Option<Planned> {
        let mut mount = Mount::default();
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        mount.set_destination("/x".into()).set_source(Some("y".into())).set_typ(Some(kind.to_owned()));
        mount.set_options(Some(options));
        Planned::of(&mount, Path::new("/bundle"))
    }

    #[test]
    fn common_mounts_are_planned() {
        let volume = planned("bind", &["rbind", "rprivate", "ro"]).unwrap();
        assert_eq!(volume.kind, Kind::Bind { source: "/bundle/y".into(), all_below: true });
        assert_eq!(volume.attributes, Attributes { set: MOUNT_ATTR_RDONLY, clear: 0, propagation: libc::MS_PRIVATE });
        let shm =
            planned("tmpfs", &["nosuid", "noexec", "strictatime", "relatime", "mode=1777", "size=65536k"]).unwrap();
        let options =
            [("mode", "1777"), ("size", "65536k")].map(|(name, value)| (name.to_owned(), Some(value.to_owned())));
        assert_eq!(shm.kind, Kind::Tmpfs { options: options.to_vec() });
        assert_eq!(shm.attributes.set, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
        assert_eq!(shm.attributes.clear, MOUNT_ATTR__ATIME);
    }

    #[test]
    fn what_is_uncommon_is_left_to_libcontainer() {
        for (kind, options) in [
            ("bind", "idmap"),
            ("bind", "rro"),
            ("tmpfs", "tmpcopyup"),
            ("proc", "nosuid"),
            ("overlay", "ro"),
            ("bind", "mode=1"),
        ] {
            let options = if kind == "bind" { vec!["bind", options] } else { vec![options] };
            assert_eq!(planned(kind, &options), None, "{kind} {options:?}");
        }
    }
}
