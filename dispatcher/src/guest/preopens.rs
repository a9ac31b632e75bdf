//! A guest's file system: which directories it meets, in which order.
//!
//! Preview 1 knows no working directory. Programs built with wasi-libc (C, Rust, and most others) look a path up among the
//! preopens by the longest prefix, after taking leading slashes off, and take the last one where several are as long. So:
//!
//! - With `/` as working directory there is one preopen, `/`: absolute and relative paths both start there.
//! - With another there is `/`, then each directory of the root by name, then `.`: `data/x` of the working directory and
//!   `/etc/x` are both found. A path that begins with the name of a directory of the root is taken from the root, written
//!   with a slash or not: the guest's libc does not tell the two apart.

use std::path::{Path, PathBuf};

/// A directory that a guest may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// The path that the guest sees.
    pub guest: String,
    /// The path here and now.
    pub host: PathBuf,
    /// The guest may not change anything below it.
    pub read_only: bool,
}

impl Directory {
    fn new(guest: &str, host: &Path) -> Self {
        // What is read-only in a container is so by its mounts.
        Self { guest: guest.to_owned(), host: host.to_owned(), read_only: false }
    }
}

/// The directories of a guest in a container, seen from inside: `root` is `/` there.
///
/// # Errors
/// Where the root can't be read.
pub fn of_container(root: &Path, cwd: &str) -> std::io::Result<Vec<Directory>> {
    let mut directories = vec![Directory::new("/", root)];
    if cwd.trim_matches('/').is_empty() {
        return Ok(directories);
    }
    let mut names: Vec<_> = std::fs::read_dir(root)?
        .filter_map(Result::ok)
        // Links to directories count: inside of a container they end inside of it.
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    directories.extend(names.iter().map(|name| Directory::new(&format!("/{name}"), &root.join(name))));
    directories.push(Directory::new(".", &root.join(cwd.trim_start_matches('/'))));
    Ok(directories)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_alone_serves_a_guest_that_starts_there() {
        for cwd in ["/", "", "//"] {
            assert_eq!(of_container(Path::new("/"), cwd).unwrap(), [Directory::new("/", Path::new("/"))]);
        }
    }

    #[test]
    fn another_working_directory_comes_last() {
        let root = tempfile::tempdir().unwrap();
        for name in ["etc", "data"] {
            std::fs::create_dir(root.path().join(name)).unwrap();
        }
        std::fs::write(root.path().join("file"), "").unwrap();
        let found = of_container(root.path(), "/data").unwrap();
        let guests: Vec<_> = found.iter().map(|directory| directory.guest.as_str()).collect();
        assert_eq!(guests, ["/", "/data", "/etc", "."]);
        assert_eq!(found[3].host, root.path().join("data"));
    }
}
