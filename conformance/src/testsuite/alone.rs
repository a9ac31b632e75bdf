//! A module on the engine's own command, without us: what fails there, too, is the engine's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use super::format::{Entry, FormatError, Specification, Test, entries};
use crate::command::{self, CommandError};

/// Why a module was not run on an engine alone.
#[derive(Debug, thiserror::Error)]
pub enum AloneError {
    /// There is no such command.
    #[error("there is no command {0} on the PATH: install it, or name it by --alone {0}=PATH")]
    NoCommand(String),
    /// It can't be started, or hangs.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// Its root can't be read.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Its root can't be copied.
    #[error("a copy of {}: {cause}", root.display())]
    Copy {
        /// Which.
        root: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

/// What an engine alone showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Whether that was what the test wants.
    pub passed: bool,
    /// The end of it, in a line.
    pub told: String,
}

/// The engines' own commands.
#[derive(Debug, Default)]
pub struct Commands(BTreeMap<String, PathBuf>);

impl Commands {
    /// These, by engine; what is not among them is looked for on the PATH.
    pub fn new(named: impl IntoIterator<Item = (String, PathBuf)>) -> Self {
        Self(named.into_iter().collect())
    }

    /// Runs a test on an engine as a container would: with a fresh copy of its root, an empty one where it has none, and
    /// nothing on standard input.
    ///
    /// # Errors
    /// It could not be run to its end.
    pub fn run(&self, engine: &str, test: &Test) -> Result<Shown, AloneError> {
        let program = self.find(engine).ok_or_else(|| AloneError::NoCommand(engine.to_owned()))?;
        let folder = copy(test.specification.root.as_deref())?;
        let words = words(engine, &test.module, &test.specification, folder.path());
        let command: Vec<_> =
            [program.into_os_string().into_string().unwrap_or_default()].into_iter().chain(words).collect();
        let output = command::run(&command)?;
        let wanted = &test.specification;
        let code = u32::try_from(output.code).ok();
        let streams = [(&wanted.stdout, output.out()), (&wanted.stderr, output.err())];
        let passed = code == Some(wanted.exit_code)
            && streams.iter().all(|(wanted, shown)| wanted.as_ref().is_none_or(|wanted| wanted == shown));
        Ok(Shown { passed, told: told(output.code, &output.err()) })
    }

    fn find(&self, engine: &str) -> Option<PathBuf> {
        let on_path = || {
            let folders = env::var_os("PATH")?;
            env::split_paths(&folders).map(|folder| folder.join(engine)).find(|path| path.is_file())
        };
        self.0.get(engine).cloned().or_else(on_path)
    }
}

/// What follows the command's name: each engine has its own words for the same.
fn words(engine: &str, module: &Path, wanted: &Specification, root: &Path) -> Vec<String> {
    let mut words = Vec::new();
    if engine != "wasmedge" {
        words.push("run".to_owned());
    }
    for (name, value) in &wanted.env {
        words.extend(["--env".to_owned(), format!("{name}={value}")]);
    }
    let root = root.display();
    let (flag, value) = match engine {
        "wasmtime" => ("--dir", format!("{root}::/")),
        "wasmedge" => ("--dir", format!("/:{root}")),
        _ => ("--volume", format!("{root}:/")),
    };
    words.extend([flag.to_owned(), value]);
    words.push(module.display().to_string());
    if engine == "wasmer" {
        words.push("--".to_owned());
    }
    words.extend(wanted.args.iter().cloned());
    words
}

fn copy(root: Option<&Path>) -> Result<tempfile::TempDir, AloneError> {
    let failed = |cause| AloneError::Copy { root: root.unwrap_or(Path::new("an empty root")).to_owned(), cause };
    let folder = tempfile::tempdir().map_err(failed)?;
    let Some(root) = root else { return Ok(folder) };
    for (name, entry) in entries(root)? {
        let path = folder.path().join(name);
        let made = match entry {
            Entry::Folder => fs::create_dir_all(path),
            Entry::File(content) => {
                let above = path.parent().map_or(Ok(()), fs::create_dir_all);
                above.and_then(|()| fs::write(&path, content))
            }
        };
        made.map_err(failed)?;
    }
    Ok(folder)
}

/// The exit code, and what a guest that panicked, or a check of it that failed, said.
fn told(code: i32, stderr: &str) -> String {
    let about = |line: &&str| ["panicked", "Assertion", "assertion"].iter().any(|word| line.contains(word));
    let mut lines = stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut all = lines.clone();
    let words: Vec<_> = match all.find(about) {
        Some(line) if line.contains("panicked") => [Some(line), all.next()].into_iter().flatten().collect(),
        Some(line) => vec![line],
        None => lines.next_back().into_iter().collect(),
    };
    let words = words.join(" ");
    if words.is_empty() { format!("exit code {code}") } else { format!("exit code {code}: {words}") }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::format::{tests, tests::checkout};
    use super::*;

    /// An "engine" that prints its words and ends with what its root's file says.
    fn commands(folder: &Path) -> Commands {
        let program = folder.join("engine");
        let text = "#!/bin/sh\necho \"$@\"\nfor w in \"$@\"; do case $w in *::/) . ${w%::/}/code;; esac; done\n";
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Commands::new([("wasmtime".to_owned(), program)])
    }

    #[test]
    fn an_engine_gets_the_tests_words_and_a_copy_of_its_root() {
        let folder = checkout(&[
            ("c/wasm32-wasip1/a.wasm", ""),
            ("c/wasm32-wasip1/a.json", r#"{"args": ["x"], "env": {"k": "v"}, "root": "r", "exit_code": 3}"#),
            ("c/wasm32-wasip1/r/code", "echo assertion of it >&2; rm ${w%::/}/code; exit 3"),
            ("c/wasm32-wasip1/b.wasm", ""),
            ("c/wasm32-wasip1/b.json", r#"{"stdout": "run --env"}"#),
        ]);
        let commands = commands(folder.path());
        let [a, b] = &tests(folder.path()).unwrap()[..] else { panic!("two tests were expected") };
        // Twice: the first run took the file out of its own copy.
        for _ in 0..2 {
            let shown = commands.run("wasmtime", a).unwrap();
            assert_eq!((shown.passed, shown.told.as_str()), (true, "exit code 3: assertion of it"));
        }
        assert!(!commands.run("wasmtime", b).unwrap().passed, "its standard output is another");
        assert!(matches!(Commands::default().run("no-engine", a), Err(AloneError::NoCommand(_))));
    }

    #[test]
    fn each_engine_has_its_words() {
        let wanted =
            Specification { args: vec!["x".into()], env: [("k".into(), "v".into())].into(), ..Default::default() };
        let of = |engine| words(engine, Path::new("m"), &wanted, Path::new("/r")).join(" ");
        assert_eq!(of("wasmtime"), "run --env k=v --dir /r::/ m x");
        assert_eq!(of("wasmedge"), "--env k=v --dir /:/r m x");
        assert_eq!(of("wasmer"), "run --env k=v --volume /r:/ m -- x");
    }
}
