//! Which device a file of a root file system really lies on: an overlay has a device number of its own at each mount, but
//! shows the inode numbers and times of the files below it (the kernel's Documentation/filesystems/overlayfs.rst, "Inode
//! properties").

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// File systems whose inode numbers, with the device and the time of the last change, tell a file from all others.
const LOCAL: [&str; 4] = ["ext4", "xfs", "btrfs", "tmpfs"];

/// The device of `file`, one of the root file system `root`; none where that can't be said for sure.
pub(super) fn device(root: &Path, file: &Metadata) -> Option<u64> {
    let table = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let Mounted { kind, options } = mounted_at(&table, root)?;
    if kind != "overlay" {
        return LOCAL.contains(&kind).then(|| file.dev());
    }
    let option = |name: &str| options.split(',').find_map(|option| option.strip_prefix(name)?.strip_prefix('='));
    // Only a local file system can be the upper one; where there is none, the others may be anybody's.
    let layers = option("lowerdir")?.split(':').chain([option("upperdir")?]);
    let mut devices =
        layers.map(|layer| fs::metadata(layer).ok().filter(|_| layer.starts_with('/')).map(|it| it.dev()));
    // Only where all layers are of one file system are its inode numbers shown as they are.
    let first = devices.next()??;
    devices.all(|device| device == Some(first)).then_some(first)
}

struct Mounted<'a> {
    kind: &'a str,
    options: &'a str,
}

/// The mount that `path` is on: the last of those with the longest mount point (proc_pid_mountinfo(5)).
fn mounted_at<'a>(table: &'a str, path: &Path) -> Option<Mounted<'a>> {
    let mount = |line: &'a str| {
        let point = line.split(' ').nth(4)?;
        let mut rest = line.split_once(" - ")?.1.split(' ');
        let (kind, _, options) = (rest.next()?, rest.next()?, rest.next()?);
        // What is written with escapes is no path that could be compared.
        (path.starts_with(point) && !point.contains('\\')).then_some((point.len(), Mounted { kind, options }))
    };
    table.lines().filter_map(mount).max_by_key(|(length, _)| *length).map(|(_, mounted)| mounted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_the_longest_is_the_mount() {
        let table = "22 1 254:0 / / rw - ext4 /dev/vda rw\n\
                     40 22 0:30 / /run/a/rootfs rw shared:1 - tmpfs tmpfs rw\n\
                     41 22 0:31 / /run/a/rootfs rw,relatime - overlay overlay rw,lowerdir=/l1:/l2,upperdir=/u,workdir=/w\n\
                     42 22 0:32 / /run/a/root rw - tmpfs tmpfs rw\n";
        let mounted = mounted_at(table, Path::new("/run/a/rootfs")).unwrap();
        assert_eq!((mounted.kind, mounted.options), ("overlay", "rw,lowerdir=/l1:/l2,upperdir=/u,workdir=/w"));
        assert_eq!(mounted_at(table, Path::new("/elsewhere")).unwrap().kind, "ext4");
    }

    #[test]
    fn a_file_of_this_machine_is_on_a_device() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let metadata = file.as_file().metadata().unwrap();
        if let Some(device) = device(file.path().parent().unwrap(), &metadata) {
            assert_ne!(device, 0);
        }
    }
}
