//! First, second and third start of modules by size.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use multiwasm_conformance::fat;
use multiwasm_conformance::guests::{self, with_custom_section};
use multiwasm_conformance::runner::target::Target;

use crate::BenchError;
use crate::container::Program;
use crate::context::Context;
use crate::model::Part;
use crate::rounds::{Figure, columns, rounds};
use crate::run::Bench;

/// Functions of the two generated modules: some 114 KB and 20 MB.
const SMALL: fat::Size = fat::Size { functions: 12, rounds: 40 };
const LARGE: fat::Size = fat::Size { functions: 2090, rounds: 40 };

/// A large module is measured once in so many rounds: its best code takes WasmEdge minutes.
const DEAR: usize = 4;

/// The row that all others are set against.
const TINY: &str = "tiny, again";

/// A module that is measured.
struct Module {
    name: String,
    wasm: Vec<u8>,
    exit: u32,
    /// Its arguments.
    words: Vec<String>,
    /// Whether its output is read.
    prints: bool,
    /// It is measured once in so many rounds.
    every: usize,
}

/// Measures each target.
///
/// # Errors
/// A given module can't be read, or the cache's folder can't be made.
pub async fn measure(bench: &mut Bench) -> Result<(), BenchError> {
    let Bench { context, guests, plan, report, progress } = bench;
    let (columns, rounds_of_all) = (columns(&plan.targets), plan.rounds);
    let (cache, modules) = (Folder::new(&context.lab.cache)?, modules(&plan.modules)?);
    // A module that one engine refuses says nothing of the others.
    let mut refused: Vec<(String, String, String)> = Vec::new();
    rounds(Part::Sizes, &columns, rounds_of_all, report, progress, async |target, round| {
        if target.native {
            let phases = context.run(target, &guests.tiny(target), false).await?.phases;
            return Ok(vec![Figure::time(TINY, phases.task())]);
        }
        let mut figures = Vec::new();
        for module in &modules {
            let due = round.checked_sub(rounds_of_all.warm_up).is_some_and(|counted| counted % module.every == 0);
            let refuses = refused.iter().any(|(name, of, _)| *name == target.name && *of == module.name);
            if refuses || !(due || module.every == 1) {
                continue;
            }
            match first_and_again(context, target, module, &cache.0).await {
                Ok(more) => figures.extend(more),
                Err(error) => refused.push((target.name.clone(), module.name.clone(), error.to_string())),
            }
        }
        Ok(figures)
    })
    .await;
    for (target, module, error) in refused {
        report.notes.push(format!("sizes, {target}, {module}: {error}"));
    }
    Ok(())
}

fn modules(given: &[PathBuf]) -> Result<Vec<Module>, BenchError> {
    let generated = |name: &str, size, every| Module {
        name: name.to_owned(),
        wasm: fat::module(size),
        exit: 7,
        words: Vec::new(),
        prints: false,
        every,
    };
    let tiny = Module { wasm: guests::read("tiny.wasm"), exit: 0, ..generated("tiny", SMALL, 1) };
    let mut modules = vec![tiny, generated("114 KB", SMALL, 1), generated("20 MB", LARGE, DEAR)];
    for path in given {
        let wasm = std::fs::read(path).map_err(BenchError::file(&path.display().to_string()))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let words = vec!["--version".to_owned()];
        modules.push(Module { name, wasm, exit: 0, words, prints: true, every: DEAR });
    }
    Ok(modules)
}

/// Starts a module that nobody has seen twice.
async fn first_and_again(
    context: &Context,
    target: &Target,
    module: &Module,
    cache: &Path,
) -> Result<Vec<Figure>, BenchError> {
    // A section that nobody reads makes it another module to every cache.
    let nonce = format!("{:?} {}", SystemTime::now(), std::process::id());
    let wasm = with_custom_section(&module.wasm, "nonce", nonce.as_bytes());
    let image = context.image(false, &[("/module.wasm", 0o644, &wasm)]).await?;
    let mut program = Program::new(&image, &["/module.wasm"]);
    program.words.extend_from_slice(&module.words);
    program.exit = module.exit;
    // The node's own cache is not to fill with what nobody starts again.
    program.config = format!("cache.path = {:?}\n", cache.display().to_string());
    let mut figures = Vec::new();
    for time in ["first", "again", "later"] {
        let phases = context.run(target, &program, module.prints).await?.phases;
        let row = format!("{}, {time}", module.name);
        let figure = Figure::time(row.clone(), phases.task());
        figures.push(if row == TINY { figure } else { figure.over(TINY) });
        figures
            .extend(phases.first_output.map(|output| Figure::time(format!("{row}, to its output"), output).over(TINY)));
        compiled(cache).await?;
    }
    empty(cache)?;
    Ok(figures)
}

/// Waits until nothing is compiled in the background any more: the next start is to find the best code, and two processors.
///
/// The shim holds a lock on a file of the cache meanwhile, and has it before the guest runs.
async fn compiled(cache: &Path) -> Result<(), BenchError> {
    let (name, cache) = (cache.display().to_string(), cache.to_owned());
    let waited = tokio::task::spawn_blocking(move || {
        for entry in std::fs::read_dir(cache)?.flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "lock") {
                std::fs::File::open(entry.path())?.lock()?;
            }
        }
        // What was compiled is on its way to the disk, a hundred megabytes, and containerd's own files would wait behind it.
        nix::unistd::sync();
        Ok(())
    });
    waited.await.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(BenchError::file(&name))
}

/// A folder for artifacts, which goes away with this. It lies where only root can put a file: the shim takes no other.
struct Folder(PathBuf);

impl Folder {
    fn new(beside: &Path) -> Result<Self, BenchError> {
        let path = beside.with_file_name(format!("bench-cache-{}", std::process::id()));
        let made = std::fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(BenchError::file(&path.display().to_string()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn empty(folder: &Path) -> Result<(), BenchError> {
    let cleared = std::fs::read_dir(folder).and_then(|entries| {
        entries.flatten().try_for_each(|entry| {
            if entry.path().is_dir() {
                std::fs::remove_dir_all(entry.path())
            } else {
                std::fs::remove_file(entry.path())
            }
        })
    });
    cleared.map_err(BenchError::file(&folder.display().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_have_the_sizes_of_their_names() {
        let sizes: Vec<_> = modules(&[]).unwrap().iter().map(|module| module.wasm.len()).collect();
        assert!(sizes[0] < 200, "{sizes:?}");
        assert!((110_000..120_000).contains(&sizes[1]), "{sizes:?}");
        assert!((19_000_000..21_000_000).contains(&sizes[2]), "{sizes:?}");
    }
}
