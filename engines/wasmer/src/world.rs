//! The world that a guest gets: arguments, environment, preopens, working directory, stdio.
//!
//! Directories of the host are mounted into one tree that is the guest's, at the paths that it calls them by; a relative
//! name stands below the working directory. On top of that tree lie the preopens, from descriptor 3 on.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{ErrorKind, Result as IoResult};
use std::os::fd::BorrowedFd;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, RwLock};

use multiwasm_engine::{EngineError, Guest, Preopen};
use wasmer::Engine;
use wasmer_wasix::fs::{InodeGuard, InodeVal, InodeWeakGuard, Kind};
use wasmer_wasix::virtual_fs::{FileSystem, MountFileSystem, TmpFileSystem};
use wasmer_wasix::wasmer_wasix_types::wasi::{Fdflags, Fdflagsext, Filetype, Rights};
use wasmer_wasix::{Fd, VIRTUAL_ROOT_FD, WasiEnv, WasiEnvBuilder, WasiFs, WasiInodes};

use crate::corrections::Facts;
use crate::host_file::HostFile;
use crate::host_fs::HostFs;
use crate::rights;
use crate::runtime::GuestRuntime;

/// A preopen, with its place in the guest's tree.
struct Entry {
    name: String,
    place: PathBuf,
    read_only: bool,
}

impl Entry {
    /// Its rights, which are those of what is opened below it, too: wasmer-wasix takes from a directory's own rights
    /// what may be done with the files in it.
    fn rights(&self) -> Rights {
        if self.read_only { rights::READ_ONLY } else { rights::ALL }
    }
}

/// The environment of `guest`. A `wasix` guest uses absolute paths, and descriptor 3 is the root of its tree.
pub(crate) fn of(guest: &Guest<'_>, engine: &Engine, wasix: bool) -> Result<(WasiEnv, Facts), EngineError> {
    let (tree, entries) = mount(guest)?;
    let entries = descriptors(&tree, entries, wasix)?;
    let facts = Facts::of(guest, entries.first().map_or(Rights::empty(), Entry::rights));
    let cwd = visible(&tree, guest.cwd);
    let mut builder = WasiEnvBuilder::new("")
        .runtime(Arc::new(GuestRuntime::new(engine.clone())))
        .mount_fs(tree)
        .stdin(Box::new(stdio(0, guest.stdin)?))
        .stdout(Box::new(stdio(1, guest.stdout)?))
        .stderr(Box::new(stdio(2, guest.stderr)?))
        .setup_fs(Box::new(move |inodes, fs| preopen(inodes, fs, &entries)));
    *builder.get_args_mut() = guest.args.to_vec();
    for variable in guest.env {
        let (key, value) = variable.split_once('=').unwrap_or((variable, ""));
        builder.add_env(key, value);
    }
    if let Some(cwd) = cwd {
        builder.set_current_dir(cwd);
    }
    match builder.build() {
        Ok(env) => Ok((env, facts)),
        Err(error) => Err(EngineError::failed(format_args!("the guest's world can't be made: {error}"))),
    }
}

/// An environment with nothing in it, to ask what functions there are.
pub(crate) fn empty(engine: &Engine) -> Result<WasiEnv, EngineError> {
    WasiEnvBuilder::new("")
        .runtime(Arc::new(GuestRuntime::new(engine.clone())))
        .fs(Arc::new(TmpFileSystem::new()) as Arc<dyn FileSystem + Send + Sync>)
        .build()
        .map_err(EngineError::failed)
}

fn stdio(number: u32, fd: BorrowedFd<'_>) -> Result<HostFile, EngineError> {
    HostFile::stdio(number, fd)
        .map_err(|error| EngineError::failed(format_args!("stdio descriptor {number} can't be duplicated: {error}")))
}

/// The guest's tree, and where the preopens are in it.
fn mount(guest: &Guest<'_>) -> Result<(MountFileSystem, Vec<Entry>), EngineError> {
    let tree = MountFileSystem::new();
    let mut mounted: HashMap<PathBuf, (PathBuf, bool)> = HashMap::new();
    let mut entries = Vec::new();
    for Preopen { guest: name, host, read_only } in guest.preopens {
        let failed = |why: &dyn std::fmt::Display| {
            EngineError::failed(format_args!("directory {} can't be preopened as {name}: {why}", host.display()))
        };
        let real = directory(host).map_err(|error| failed(&error))?;
        let place = absolute(guest.cwd, name);
        match shown(&mounted, &place) {
            Some((same, changes)) if same == real && changes == *read_only => {}
            _ if mounted.contains_key(&place) => {
                return Err(failed(&format_args!("{} is another directory already", place.display())));
            }
            _ => {
                let fs = HostFs::new(&real, *read_only);
                tree.mount(&place, Arc::new(fs)).map_err(|error| failed(&error))?;
                mounted.insert(place.clone(), (real, *read_only));
            }
        }
        entries.push(Entry { name: (*name).to_owned(), place, read_only: *read_only });
    }
    Ok((tree, entries))
}

/// `path`, without links, if it is a directory.
fn directory(path: &Path) -> IoResult<PathBuf> {
    let real = path.canonicalize()?;
    if real.is_dir() { Ok(real) } else { Err(ErrorKind::NotADirectory.into()) }
}

/// The host's directory that the mounts so far show at `place`, and whether it is read-only.
fn shown(mounted: &HashMap<PathBuf, (PathBuf, bool)>, place: &Path) -> Option<(PathBuf, bool)> {
    place.ancestors().find_map(|above| {
        let (host, read_only) = mounted.get(above)?;
        let below = place.strip_prefix(above).ok()?;
        Some((host.join(below).canonicalize().ok()?, *read_only))
    })
}

/// `name` below `cwd` (or absolute by itself), without dots.
fn absolute(cwd: &str, name: &str) -> PathBuf {
    let mut path = PathBuf::from("/");
    for component in Path::new(cwd).join(name).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => _ = path.pop(),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    path
}

/// `cwd`, where the guest's tree has it: what the guest does not see can't be its working directory.
fn visible(tree: &MountFileSystem, cwd: &str) -> Option<PathBuf> {
    let path = absolute(cwd, "");
    tree.metadata(&path).is_ok_and(|found| found.is_dir()).then_some(path)
}

/// What stands behind the descriptors from 3 on.
///
/// wasmer-wasix keeps 3 for the root of the tree. Where the first preopen is `/` the two are one; a guest of preview 1
/// knows no root and gets its first preopen; a guest of WASIX that is not given `/` gets an empty root that lives in
/// memory, and its preopens follow from 4 on.
fn descriptors(tree: &MountFileSystem, mut entries: Vec<Entry>, wasix: bool) -> Result<Vec<Entry>, EngineError> {
    let root = Path::new("/");
    if wasix && entries.first().is_none_or(|entry| entry.place != root) {
        if tree.filesystem_at(root).is_none() {
            tree.mount(root, Arc::new(TmpFileSystem::new())).map_err(EngineError::failed)?;
        }
        entries.insert(0, Entry { name: "/".into(), place: root.into(), read_only: false });
    }
    Ok(entries)
}

/// Opens the preopens, the first of them as descriptor 3.
fn preopen(inodes: &WasiInodes, fs: &mut WasiFs, entries: &[Entry]) -> Result<(), String> {
    for (number, entry) in (VIRTUAL_ROOT_FD..).zip(entries) {
        let inode = inode(inodes, fs, entry)?;
        let rights = entry.rights();
        let flags =
            if entry.read_only { Fd::READ } else { Fd::READ | Fd::WRITE | Fd::APPEND | Fd::TRUNCATE | Fd::CREATE };
        if number == VIRTUAL_ROOT_FD {
            fs.root_inode = inode.clone();
        }
        fs.create_fd_ext(rights, rights, Fdflags::empty(), Fdflagsext::empty(), flags, inode, Some(number), false)
            .map_err(|error| format!("preopen {}: {error}", entry.name))?;
        if number != VIRTUAL_ROOT_FD {
            fs.preopen_fds.write().map_err(|error| error.to_string())?.push(number);
        }
    }
    Ok(())
}

/// The directory of a preopen. Above it there is nothing, and above the root there is the root.
fn inode(inodes: &WasiInodes, fs: &WasiFs, entry: &Entry) -> Result<InodeGuard, String> {
    let kind = |parent| Kind::Dir { parent, path: entry.place.clone(), entries: HashMap::new() };
    let mut stat = fs
        .get_stat_for_kind(&kind(fs.root_inode.downgrade()))
        .map_err(|error| format!("preopen {}: {error}", entry.name))?;
    stat.st_filetype = Filetype::Directory;
    let new = |parent: InodeWeakGuard| {
        inodes.add_inode_val(InodeVal {
            stat: RwLock::new(stat),
            is_preopened: true,
            name: RwLock::new(Cow::Owned(entry.name.clone())),
            kind: RwLock::new(kind(parent)),
        })
    };
    // A parent that is gone: `..` is refused.
    let nothing = new(fs.root_inode.downgrade()).downgrade();
    let inode = new(nothing);
    if entry.place == Path::new("/")
        && let Kind::Dir { parent, .. } = &mut *inode.write()
    {
        *parent = inode.downgrade();
    }
    Ok(inode)
}
