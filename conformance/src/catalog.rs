//! All cases and guests: those in the command itself, or those of a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Deserialize;

use crate::case::check::Names;
use crate::case::{Area, Case, CaseError};

mod embedded {
    include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
}

/// What engines can or can't do, in the words of `multiwasm engines`.
pub const CAPABILITIES: [&str; 12] = [
    "modules",
    "components",
    "preview1",
    "preview2",
    "http",
    "sockets",
    "wasix",
    "threads",
    "aot",
    "fuel",
    "needs-aot",
    "memory-limit",
];

/// Why there are no cases.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// A file or folder can't be read.
    #[error("{}: {cause}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The table of guests is wrong.
    #[error("guests.toml: {0}")]
    Guests(String),
    /// A file of cases is wrong.
    #[error(transparent)]
    Case(#[from] CaseError),
}

/// A guest: a row of guests.toml with its files.
#[derive(Debug, Clone)]
pub struct Guest {
    /// What cases call it.
    pub name: String,
    /// The module.
    pub wasm: Vec<u8>,
    /// The sources of its native twin, relative to the guests' folder; empty: it has none.
    pub twin: Vec<String>,
    /// What an engine must be able to do.
    pub needs: Vec<String>,
}

/// Cases and guests.
#[derive(Debug)]
pub struct Catalog {
    /// The cases, a file an area.
    pub areas: Vec<Area>,
    guests: BTreeMap<String, Guest>,
    /// C sources and headers of the guests' folder, from which twins are compiled.
    sources: Files,
}

type Files = BTreeMap<String, Vec<u8>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GuestTable {
    guest: Vec<GuestRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GuestRow {
    name: String,
    wasm: String,
    #[serde(default)]
    twin: Sources,
    #[serde(default)]
    needs: Vec<String>,
    /// For people.
    #[serde(default, rename = "about")]
    _about: String,
}

/// A twin's sources: the name of one, or a list.
#[derive(Deserialize)]
#[serde(untagged, expecting = "the name of a C source, or a list of names")]
enum Sources {
    One(String),
    Many(Vec<String>),
}

impl Default for Sources {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Catalog {
    /// What was in the source tree when the command was built.
    ///
    /// # Errors
    /// A case or a guest is wrong, which a test rules out.
    pub fn embedded() -> Result<Self, CatalogError> {
        let files = |table: &[(&str, &[u8])]| table.iter().map(|(name, b)| ((*name).to_owned(), b.to_vec())).collect();
        Self::of(&files(embedded::CASES), files(embedded::GUESTS))
    }

    /// What is below `folder` in `cases` and `guests` now: for those who write cases.
    ///
    /// # Errors
    /// Something can't be read, or is wrong.
    pub fn read(folder: &Path) -> Result<Self, CatalogError> {
        let mut cases = Files::new();
        collect(&folder.join("cases"), "", &["toml"], &mut cases)?;
        let mut guests = Files::new();
        collect(&folder.join("guests"), "", &["toml", "wasm", "c", "h"], &mut guests)?;
        Self::of(&cases, guests)
    }

    fn of(cases: &Files, mut files: Files) -> Result<Self, CatalogError> {
        let guests = guests(&files)?;
        let names = guests.keys().map(String::as_str).collect::<BTreeSet<_>>();
        let mut areas = Vec::new();
        for (file, text) in cases {
            let text = String::from_utf8_lossy(text);
            areas.push(Area::read(file, &text, &Names { guests: &names })?);
        }
        drop(names);
        files.retain(|name, _| name.ends_with(".c") || name.ends_with(".h"));
        Ok(Self { areas, guests, sources: files })
    }

    /// These cases in place of its own, and their guests beside its own: `modules` from elsewhere, without twins, by the
    /// names that the cases call them by.
    ///
    /// # Panics
    /// A case names another guest.
    #[must_use]
    pub fn with(mut self, areas: Vec<Area>, modules: BTreeMap<String, Vec<u8>>) -> Self {
        self.areas = areas;
        let guest = |name: &String, wasm| Guest { name: name.clone(), wasm, twin: Vec::new(), needs: Vec::new() };
        self.guests.extend(modules.into_iter().map(|(name, wasm)| (name.clone(), guest(&name, wasm))));
        self.cases().for_each(|case| _ = self.guest(&case.guest));
        self
    }

    /// A guest that a case names.
    pub fn guest(&self, name: &str) -> &Guest {
        self.guests.get(name).expect("each case was checked for the guests that it names")
    }

    /// Every case, in the order of reports.
    pub fn cases(&self) -> impl Iterator<Item = &Case> {
        self.areas.iter().flat_map(|area| &area.cases)
    }

    /// C sources and headers by their path in the guests' folder.
    pub fn sources(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.sources
    }
}

fn guests(files: &Files) -> Result<BTreeMap<String, Guest>, CatalogError> {
    let wrong = |reason: String| CatalogError::Guests(reason);
    let text = files.get("guests.toml").ok_or_else(|| wrong("there is none in the guests' folder".into()))?;
    let table: GuestTable =
        toml::from_str(&String::from_utf8_lossy(text)).map_err(|error| wrong(error.to_string().trim_end().into()))?;
    let mut guests = BTreeMap::new();
    for row in table.guest {
        let name = row.name.clone();
        let file = |file: &String| {
            files
                .get(file)
                .cloned()
                .ok_or_else(|| wrong(format!("guest {name}: there is no file {file} in the folder")))
        };
        let twin = match row.twin {
            Sources::One(source) => vec![source],
            Sources::Many(sources) => sources,
        };
        twin.iter().try_for_each(|source| file(source).map(drop))?;
        if let Some(need) = row.needs.iter().find(|need| !CAPABILITIES.contains(&need.as_str())) {
            return Err(wrong(format!(
                "guest {name}: needs: unknown word {need:?}, one of {}",
                CAPABILITIES.join(", ")
            )));
        }
        let guest = Guest { name: name.clone(), wasm: file(&row.wasm)?, twin, needs: row.needs };
        if guests.insert(name.clone(), guest).is_some() {
            return Err(wrong(format!("guest {name} is there twice")));
        }
    }
    Ok(guests)
}

/// The files of these kinds below a folder, by their path in it.
fn collect(folder: &Path, prefix: &str, kinds: &[&str], into: &mut Files) -> Result<(), CatalogError> {
    let unreadable = |path: &Path, cause| CatalogError::Unreadable { path: path.to_owned(), cause };
    for entry in fs::read_dir(folder).map_err(|cause| unreadable(folder, cause))? {
        let path = entry.map_err(|cause| unreadable(folder, cause))?.path();
        let name = format!("{prefix}{}", path.file_name().unwrap_or_default().to_string_lossy());
        if path.is_dir() {
            if !["target", "node_modules"].contains(&name.as_str()) {
                collect(&path, &format!("{name}/"), kinds, into)?;
            }
        } else if path.extension().is_some_and(|kind| kinds.iter().any(|wanted| kind == *wanted)) {
            into.insert(name, fs::read(&path).map_err(|cause| unreadable(&path, cause))?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_of_the_tree_loads() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let catalog = Catalog::read(root).unwrap_or_else(|error| panic!("{error}"));
        assert!(catalog.cases().count() > 0);
        // What a build finds is what the command has.
        let embedded = Catalog::embedded().unwrap_or_else(|error| panic!("{error}"));
        let names = |catalog: &Catalog| catalog.cases().map(Case::full_name).collect::<Vec<_>>();
        assert_eq!(names(&catalog), names(&embedded));
    }

    fn error_of(case: &str) -> String {
        let text = format!("area = \"a\"\nabout = \"b\"\n[[case]]\nname = \"x\"\nabout = \"c\"\n{case}");
        let guests = BTreeSet::from(["probe"]);
        Area::read("a.toml", &text, &Names { guests: &guests }).unwrap_err().to_string()
    }

    #[test]
    fn an_error_names_file_case_and_key() {
        for (case, words) in [
            ("arg = [\"x\"]", &["unknown field `arg`"][..]),
            ("guest = \"nobody\"", &["guest", "\"nobody\"", "probe"]),
            ("targets = [\"crun\"]", &["targets", "\"crun\"", "engines"]),
            ("needs = [\"wings\"]", &["needs", "\"wings\"", "components"]),
            ("limits = { memory = \"64MB\" }", &["64MB", "limits"]),
            ("files = { \"/a\" = { lnk = \"b\" } }", &["unknown field `lnk`"]),
            ("files = { \"/a\" = { link = \"b\", text = \"c\" } }", &["just one of"]),
            ("steps = [{ do = \"creat\" }]", &["step", "creat", "create"]),
            ("steps = [{ do = \"create\", loudly = true }]", &["step \"create\"", "loudly"]),
            ("steps = [{ do = \"kill\", signal = \"TERM\" }]", &["\"TERM\"", "SIGTERM"]),
            ("steps = [{ do = \"wait\", exec = \"e\" }]", &["wait", "\"e\""]),
            ("steps = [{ do = \"write-stdin\", text = \"e\" }]", &["write-stdin", "open"]),
            ("[case.expect]\nexits = 1", &["unknown field `exits`"]),
            ("[case.expect]\nevents = [\"created\"]", &["expect.events", "\"created\"", "create"]),
            ("[case.expect.on.wasmer]\nexit = 1", &["expect.on.wasmer.because"]),
        ] {
            let error = error_of(case);
            for word in ["a.toml: case x: "].iter().chain(words) {
                assert!(error.contains(word), "{case}\n{error}\nlacks {word:?}");
            }
        }
    }

    #[test]
    fn what_holds_on_a_target_is_its_own_before_the_common() {
        let text = "area = \"a\"\nabout = \"b\"\n[[case]]\nname = \"x\"\nabout = \"c\"\n\
                    [case.expect]\nstdout = \"s\"\nstderr = \"e\"\n\
                    [case.expect.on.wasmer]\nexit = 2\nstdout_has = [\"t\"]\nbecause = \"it is so\"\n";
        let area = Area::read("a.toml", text, &Names { guests: &BTreeSet::from(["probe"]) }).unwrap();
        let expect = area.cases[0].expect.on("wasmer");
        assert_eq!((expect.exit, expect.stdout, expect.stderr.as_deref()), (Some(2), None, Some("e")));
        assert_eq!(expect.stdout_has, ["t"]);
        assert_eq!(area.cases[0].expect.on("wasmtime").stdout.as_deref(), Some("s"));
    }
}
