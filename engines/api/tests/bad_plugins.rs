//! A file that is no plug-in, or one that others could have written, is refused with its path and the reason.
#![allow(clippy::unwrap_used)] // in a helper of a test, too, a panic is a failed test

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use multiwasm_engine::abi;
use multiwasm_engine::loader::{Plugin, PluginError};

fn refused(plugin: &Path) -> (PluginError, String) {
    let error = Plugin::open(plugin).err().expect("the plug-in is refused");
    let words = error.to_string();
    (error, words)
}

#[test]
fn wrong_abi() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = common::tiny_engine(folder.path(), &["-DTINY_ABI=2"]);
    let (error, words) = refused(&plugin);
    assert!(matches!(error, PluginError::WrongAbi { found: 2, wanted: abi::ENGINE_ABI, .. }));
    let path = plugin.display();
    assert_eq!(
        words,
        format!("engine plug-in {path} has ABI 2, wanted 1: install the plug-in of the same release as the shim")
    );
}

#[test]
fn wrong_table_size() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = common::tiny_engine(folder.path(), &["-DTINY_SIZE=8"]);
    let (error, words) = refused(&plugin);
    let wanted = size_of::<abi::EngineTable>();
    assert!(matches!(error, PluginError::WrongTable { found: 8, .. }));
    let begin = format!("engine plug-in {} has a table of 8 bytes, wanted {wanted}", plugin.display());
    assert!(words.starts_with(&begin), "{words}");
}

#[test]
fn missing_entry() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = common::tiny_engine(folder.path(), &["-DTINY_RUN=0", "-Wno-unused-function"]);
    let (error, words) = refused(&plugin);
    assert!(matches!(error, PluginError::MissingEntry { entry: "run", .. }), "{words}");
    let path = plugin.display();
    assert_eq!(
        words,
        format!("engine plug-in {path} lacks run in its table: install the plug-in of the same release as the shim")
    );
}

#[test]
fn no_shared_object() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("libmultiwasm_text.so");
    fs::write(&plugin, "not an object").unwrap();
    let (error, words) = refused(&plugin);
    assert!(matches!(error, PluginError::NotLoadable { .. }));
    let begin = format!("engine plug-in {} can't be loaded: ", plugin.display());
    assert!(words.starts_with(&begin), "{words}");
    assert_eq!(words.matches(&*plugin.to_string_lossy()).count(), 1, "the path is said once: {words}");
}

#[test]
fn no_symbol() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = common::tiny_engine(folder.path(), &["-DTINY_NO_SYMBOL", "-Wno-unused-function"]);
    let (error, words) = refused(&plugin);
    assert!(matches!(error, PluginError::NoSymbol { .. }));
    let path = plugin.display();
    assert_eq!(words, format!("{path} is no engine plug-in: it does not export multiwasm_engine_table"));
}

#[test]
fn no_file() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("libmultiwasm_none.so");
    let (error, words) = refused(&plugin);
    assert!(matches!(error, PluginError::Unreadable { .. }));
    assert_eq!(words, format!("engine plug-in {}: No such file or directory (os error 2)", plugin.display()));
}

/// Refused because of `culprit`, which has `owner` and `mode`.
fn unsafe_because_of(plugin: &Path, culprit: &Path, owner: u32, mode: u32) {
    let (error, words) = refused(plugin);
    let PluginError::Unsafe { culprit: found, owner: found_owner, mode: found_mode, .. } = error else {
        panic!("refused for another reason: {words}");
    };
    assert_eq!((found.as_path(), found_owner, found_mode), (culprit, owner, mode));
    let (path, culprit) = (plugin.display(), culprit.display());
    let begin =
        format!("engine plug-in {path}: {culprit} may be changed by others than root (found owner {owner}, mode");
    assert!(words.starts_with(&begin), "{words}");
    assert!(words.ends_with(&format!("chown root {culprit} && chmod go-w {culprit}")), "{words}");
}

#[test]
fn writable_by_others() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = common::tiny_engine(folder.path(), &[]);
    for mode in [0o775, 0o757] {
        fs::set_permissions(&plugin, Permissions::from_mode(mode)).unwrap();
        unsafe_because_of(&plugin, &plugin, 0, mode);
    }
    fs::set_permissions(&plugin, Permissions::from_mode(0o755)).unwrap();
    // The plug-in's own folder may not even be sticky: others could put a plug-in of another name into it.
    for mode in [0o770, 0o707, 0o1777] {
        fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
        unsafe_because_of(&plugin, folder.path(), 0, mode);
    }
    fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
    assert!(Plugin::open(&plugin).is_ok());
}

#[test]
fn owned_by_others() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = common::tiny_engine(folder.path(), &[]);
    fs::set_permissions(&plugin, Permissions::from_mode(0o755)).unwrap();
    chown(&plugin, Some(65534), None).unwrap();
    unsafe_because_of(&plugin, &plugin, 65534, 0o755);
}

#[test]
fn link_is_judged_by_what_it_names() {
    let (folder, open) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let plugin = common::tiny_engine(open.path(), &[]);
    fs::set_permissions(open.path(), Permissions::from_mode(0o777)).unwrap();
    let link = folder.path().join("libmultiwasm_tiny.so");
    std::os::unix::fs::symlink(&plugin, &link).unwrap();
    unsafe_because_of(&plugin, open.path(), 0, 0o777);
    assert!(refused(&link).1.contains(&*open.path().to_string_lossy()));
}
