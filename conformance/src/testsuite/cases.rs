//! A case of each test: its module in an image whose root is the test's, as its container's one process.
//!
//! A test gets a folder as `/`, its only preopen. That is what a container gives a guest whose working directory is `/`; so
//! the folder's files are the image's, and each container writes to a layer of its own above them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{fs, io};

use super::expectations::Expectations;
use super::format::{Entry, FormatError, Test, entries};
use crate::case::expect::Expect;
use crate::case::model::{Content, File};
use crate::case::{Area, Case};
use crate::catalog::Catalog;

/// What reports call the areas: this, a slash, the language.
pub const AREA: &str = "wasi-testsuite";

/// Why tests make no cases.
#[derive(Debug, thiserror::Error)]
pub enum CasesError {
    /// The checkout.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A module can't be read.
    #[error("{}: {cause}", path.display())]
    Module {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A file of a root is none that a case can hold.
    #[error("{}/{name}: a file of a root must be UTF-8", root.display())]
    NoText {
        /// The root.
        root: PathBuf,
        /// The file in it.
        name: String,
    },
}

/// `base` with the cases of these tests, and what is expected of single engines.
///
/// # Errors
/// Something of the checkout can't be read.
pub fn catalog(base: Catalog, tests: &[Test], expectations: &Expectations) -> Result<Catalog, CasesError> {
    let mut areas: Vec<Area> = Vec::new();
    let mut modules = BTreeMap::new();
    for test in tests {
        let name = format!("{AREA}/{}", test.language);
        if areas.last().is_none_or(|area| area.name != name) {
            let about = format!("preview 1 by the tests of its authors, in {}", test.language);
            areas.push(Area { name: name.clone(), about, cases: Vec::new() });
        }
        let case = case(test, &name, expectations)?;
        let module = fs::read(&test.module).map_err(|cause| CasesError::Module { path: test.module.clone(), cause })?;
        modules.insert(case.guest.clone(), module);
        if let Some(area) = areas.last_mut() {
            area.cases.push(case);
        }
    }
    Ok(base.with(areas, modules))
}

fn case(test: &Test, area: &str, expectations: &Expectations) -> Result<Case, CasesError> {
    let specification = &test.specification;
    let mut case = Case::plain(&test.name, &format!("{} of wasi-testsuite, in {}", test.name, test.language));
    area.clone_into(&mut case.area);
    case.source =
        Some(format!("https://github.com/WebAssembly/wasi-testsuite/tree/main/tests/{}: {}", test.language, test.name));
    case.guest = format!("{}-{}", test.language, test.name);
    case.targets = Some(vec!["engines".to_owned()]);
    case.args.clone_from(&specification.args);
    case.env = specification.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    case.bare_env = true;
    if let Some(root) = &specification.root {
        for (name, entry) in entries(root)? {
            let content = match entry {
                Entry::Folder => Content::Folder,
                Entry::File(bytes) => Content::Text(
                    String::from_utf8(bytes)
                        .map_err(|_| CasesError::NoText { root: root.clone(), name: name.clone() })?,
                ),
            };
            case.files.insert(format!("/{name}"), File { content, mode: None, owner: None });
        }
    }
    case.expect = Expect {
        exit: Some(specification.exit_code),
        stdout: specification.stdout.clone(),
        stderr: specification.stderr.clone(),
        on: expectations.of(&format!("{}/{}", test.language, test.name)),
        ..Expect::default()
    };
    Ok(case)
}

#[cfg(test)]
mod tests {
    use super::super::format::{tests, tests::checkout};
    use super::*;

    #[test]
    fn a_test_is_a_container_whose_image_holds_its_root() {
        let folder = checkout(&[
            ("c/wasm32-wasip1/a.wasm", "the module"),
            ("c/wasm32-wasip1/a.json", r#"{"args": ["x"], "env": {"k": "v"}, "root": "r", "exit_code": 3}"#),
            ("c/wasm32-wasip1/r/sub/file", "text"),
            ("rust/wasm32-wasip1/a.wasm", "another"),
        ]);
        let base = Catalog::embedded().unwrap_or_else(|error| panic!("{error}"));
        let catalog = catalog(base, &tests(folder.path()).unwrap(), &Expectations::default()).unwrap();
        let names: Vec<_> = catalog.cases().map(Case::full_name).collect();
        assert_eq!(names, ["wasi-testsuite/c/a", "wasi-testsuite/rust/a"]);
        let case = catalog.cases().next().unwrap();
        assert_eq!((&case.args[..], &case.env[..]), (&["x".to_owned()][..], &["k=v".to_owned()][..]));
        assert_eq!(case.files.keys().collect::<Vec<_>>(), ["/sub", "/sub/file"]);
        assert_eq!((case.expect.exit, case.bare_env), (Some(3), true));
        assert_eq!(catalog.guest(&case.guest).wasm, b"the module");
    }
}
