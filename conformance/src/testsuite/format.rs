//! What lies in a wasi-testsuite checkout: `LANGUAGE/wasm32-wasip1/TEST.wasm`, beside it `TEST.json`, which says how the
//! module is run and what must be seen (upstream's doc/specification.md), and folders that guests get as their root.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The folder of each language that holds the modules of preview 1.
const TARGET: &str = "wasm32-wasip1";
/// Ends the names of what tests leave behind, which is no part of a root.
const LEFT_BEHIND: &str = ".cleanup";

/// Why a checkout can't be read.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// A file or folder can't be read.
    #[error("{}: {cause}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A specification is not of the form that is known here.
    #[error("{}: {cause}", path.display())]
    Specification {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        cause: serde_json::Error,
    },
    /// There is no module.
    #[error("{} holds no LANGUAGE/{TARGET}/*.wasm: it is no wasi-testsuite checkout with built modules", path.display())]
    Empty {
        /// Where.
        path: PathBuf,
    },
}

/// How a module is run, and what must be seen. Where nothing is said of a stream, it is not looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Specification {
    /// Arguments behind the module's name.
    pub args: Vec<String>,
    /// All variables.
    pub env: BTreeMap<String, String>,
    /// A folder beside the file, a copy of which is the guest's root.
    pub root: Option<PathBuf>,
    /// The exit code.
    pub exit_code: u32,
    /// Standard output, exactly.
    pub stdout: Option<String>,
    /// Standard error, exactly.
    pub stderr: Option<String>,
}

/// A module of the checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// `rust` for one.
    pub language: String,
    /// The module's file name without its end.
    pub name: String,
    /// Where the module is.
    pub module: PathBuf,
    /// How it is run; the root's path is whole.
    pub specification: Specification,
}

/// Something in a root, by its path there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A folder.
    Folder,
    /// A file with what it holds.
    File(Vec<u8>),
}

/// The tests of preview 1 in the checkout at `folder`, in order of language and name.
///
/// # Errors
/// There is none, or something can't be read.
pub fn tests(folder: &Path) -> Result<Vec<Test>, FormatError> {
    let mut tests = Vec::new();
    for language in names(folder)? {
        let modules = folder.join(&language).join(TARGET);
        if !modules.is_dir() {
            continue;
        }
        for file in names(&modules)? {
            if let Some(name) = file.strip_suffix(".wasm") {
                let (module, name) = (modules.join(&file), name.to_owned());
                let specification = specification(&modules, &name)?;
                tests.push(Test { language: language.clone(), name, module, specification });
            }
        }
    }
    if tests.is_empty() { Err(FormatError::Empty { path: folder.to_owned() }) } else { Ok(tests) }
}

/// What lies below a root, but for what tests have left there.
///
/// # Errors
/// Something can't be read.
pub fn entries(root: &Path) -> Result<BTreeMap<String, Entry>, FormatError> {
    let mut all = BTreeMap::new();
    for name in names(root)?.into_iter().filter(|name| !name.ends_with(LEFT_BEHIND)) {
        let path = root.join(&name);
        if path.is_dir() {
            let below = entries(&path)?;
            all.extend(below.into_iter().map(|(inner, entry)| (format!("{name}/{inner}"), entry)));
            all.insert(name, Entry::Folder);
        } else {
            let content = fs::read(&path).map_err(|cause| FormatError::Unreadable { path, cause })?;
            all.insert(name, Entry::File(content));
        }
    }
    Ok(all)
}

fn specification(folder: &Path, name: &str) -> Result<Specification, FormatError> {
    let path = folder.join(format!("{name}.json"));
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Specification::default()),
        Err(cause) => return Err(FormatError::Unreadable { path, cause }),
    };
    let mut specification: Specification =
        serde_json::from_slice(&text).map_err(|cause| FormatError::Specification { path, cause })?;
    specification.root = specification.root.map(|root| folder.join(root));
    Ok(specification)
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> Result<Vec<String>, FormatError> {
    let unreadable = |cause| FormatError::Unreadable { path: folder.to_owned(), cause };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name().into_string();
        names.push(name.map_err(|_| unreadable(io::Error::other("a name in it is not UTF-8")))?);
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A checkout with these files; a name that ends with `/` is a folder.
    pub(in crate::testsuite) fn checkout(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(if name.ends_with('/') { &path } else { path.parent().unwrap() }).unwrap();
            if !name.ends_with('/') {
                fs::write(&path, text).unwrap();
            }
        }
        folder
    }

    #[test]
    fn a_module_without_a_specification_has_the_default_one() {
        let folder = checkout(&[
            ("c/wasm32-wasip1/b.wasm", ""),
            ("c/wasm32-wasip1/a.wasm", ""),
            ("c/wasm32-wasip1/a.json", r#"{"args": ["x"], "env": {"k": "v"}, "root": "dir", "exit_code": 3}"#),
            ("c/wasm32-wasip1/manifest.json", "{}"),
            ("c/wasm32-wasip3/other.wasm", ""),
            ("LICENSE", ""),
        ]);
        let [a, b] = &tests(folder.path()).unwrap()[..] else { panic!("two tests were expected") };
        assert_eq!((a.language.as_str(), a.name.as_str(), b.name.as_str()), ("c", "a", "b"));
        assert_eq!((&a.specification.args[..], a.specification.exit_code), (&["x".to_owned()][..], 3));
        assert_eq!(a.specification.root, Some(folder.path().join("c/wasm32-wasip1/dir")));
        assert_eq!(b.specification, Specification::default());
    }

    #[test]
    fn an_unknown_key_and_an_empty_checkout_are_errors_that_name_the_file() {
        let folder = checkout(&[("c/wasm32-wasip1/a.wasm", ""), ("c/wasm32-wasip1/a.json", r#"{"dirs": ["d"]}"#)]);
        let error = tests(folder.path()).unwrap_err().to_string();
        assert!(error.contains("a.json") && error.contains("dirs"), "{error}");
        let empty = checkout(&[("README.md", "")]);
        assert!(matches!(tests(empty.path()), Err(FormatError::Empty { .. })));
    }

    #[test]
    fn a_root_is_what_lies_in_it_but_for_what_tests_left() {
        let root = checkout(&[("d/e/", ""), ("d/f", "text"), ("old.cleanup/g", ""), ("h.cleanup", "")]);
        let found = entries(root.path()).unwrap();
        let names: Vec<_> = found.keys().map(String::as_str).collect();
        assert_eq!(names, ["d", "d/e", "d/f"]);
        assert_eq!(found["d/f"], Entry::File(b"text".to_vec()));
    }
}
