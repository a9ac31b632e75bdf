//! A small host: opens one plug-in and runs one module with it, on this process's own descriptors.
//!
//! `run PLUGIN.so FILE [--function F] [--preopen GUEST=HOST[:ro]]... [--env K=V]... [--cwd DIR] [--memory BYTES]
//! [--artifact] [--component] [--quick] [--bytes] [--keep PATH] [-- ARGS...]`
//!
//! FILE is WebAssembly, binary or text, and compiled to a temporary artifact first, or with `--bytes` loaded as it is.
//! With `--artifact` it is what a `--keep PATH` left behind, and `--component` says that it was a component. The exit code is the guest's; 134 for a trap,
//! 125 for all that fails before the guest runs, 126 for an engine that failed while it ran.

use std::error::Error;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use multiwasm_engine::loader::{LoadedEngine, LoadedModule, Plugin};
use multiwasm_engine::{Capabilities, Guest, Optimize, Outcome, Preopen, Settings, Source, SourceForm};

/// What the command line asks for.
#[derive(Default)]
struct Options {
    plugin: PathBuf,
    file: PathBuf,
    function: Option<String>,
    preopens: Vec<(String, PathBuf, bool)>,
    env: Vec<String>,
    cwd: Option<String>,
    memory: Option<u64>,
    artifact: bool,
    component: bool,
    bytes: bool,
    quick: bool,
    keep: Option<PathBuf>,
    args: Vec<String>,
}

fn main() -> ExitCode {
    let outcome = match options(std::env::args().skip(1)).and_then(|options| run(&options)) {
        Ok(outcome) => outcome,
        Err(error) => {
            eprintln!("run: {error}");
            return ExitCode::from(125);
        }
    };
    match outcome {
        // What a kernel keeps of an exit code.
        Outcome::Exited(code) => ExitCode::from((code & 0xff) as u8),
        Outcome::Trapped(trap, message) => {
            eprintln!("trap ({trap:?}): {message}");
            ExitCode::from(134)
        }
        Outcome::Failed(message) => {
            eprintln!("the engine failed: {message}");
            ExitCode::from(126)
        }
    }
}

fn options(mut words: impl Iterator<Item = String>) -> Result<Options, Box<dyn Error>> {
    let mut options = Options::default();
    let mut files = Vec::new();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} wants a value"));
        match word.as_str() {
            "--function" => options.function = Some(value()?),
            "--preopen" => options.preopens.push(preopen(&value()?)?),
            "--env" => options.env.push(value()?),
            "--cwd" => options.cwd = Some(value()?),
            "--memory" => options.memory = Some(value()?.parse()?),
            "--keep" => options.keep = Some(value()?.into()),
            "--artifact" => options.artifact = true,
            "--component" => options.component = true,
            "--bytes" => options.bytes = true,
            "--quick" => options.quick = true,
            "--" => {
                options.args.extend(words);
                break;
            }
            _ => files.push(PathBuf::from(word)),
        }
    }
    let [plugin, file]: [PathBuf; 2] =
        files.try_into().map_err(|_| "wanted: run PLUGIN.so FILE [options] [-- args]")?;
    Ok(Options { plugin, file, ..options })
}

fn preopen(word: &str) -> Result<(String, PathBuf, bool), Box<dyn Error>> {
    let (guest, host) = word.split_once('=').ok_or_else(|| format!("{word:?} is not GUEST=HOST[:ro]"))?;
    let (host, read_only) = host.strip_suffix(":ro").map_or((host, false), |host| (host, true));
    Ok((guest.to_owned(), host.into(), read_only))
}

fn run(options: &Options) -> Result<Outcome, Box<dyn Error>> {
    let optimize = if options.quick { Optimize::Quick } else { Optimize::Speed };
    let engine = Plugin::open(&options.plugin)?.start(&Settings { optimize })?;
    let module = load(&engine, options)?;
    let name = options.file.display().to_string();
    let args: Vec<_> = std::iter::once(name).chain(options.args.iter().cloned()).collect();
    let preopens: Vec<_> = options
        .preopens
        .iter()
        .map(|(guest, host, read_only)| Preopen { guest, host, read_only: *read_only })
        .collect();
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let instance = module.instantiate(&Guest {
        args: &args,
        env: &options.env,
        cwd: options.cwd.as_deref().unwrap_or("/"),
        preopens: &preopens,
        stdin: stdin.as_fd(),
        stdout: stdout.as_fd(),
        stderr: stderr.as_fd(),
        memory_limit: options.memory,
    })?;
    Ok(instance.run())
}

/// Loads the file in the form that was asked for; a component is recognised by its header.
fn load(engine: &LoadedEngine, options: &Options) -> Result<LoadedModule, Box<dyn Error>> {
    let name = options.file.display().to_string();
    let function = options.function.as_deref();
    let source = |form, component| Source { name: &name, form, component, function };
    if options.artifact {
        return Ok(engine.load(&source(SourceForm::Artifact(&options.file), options.component))?);
    }
    let content = std::fs::read(&options.file).map_err(|error| format!("{name}: {error}"))?;
    let text = options.file.extension().is_some_and(|extension| extension == "wat");
    let wasm = if text { wat::parse_bytes(&content)?.into_owned() } else { content };
    // The layer field of the header, behind magic and version: 1 in a component.
    let component = wasm.get(6..8) == Some(&[1, 0]);
    let bytes = source(SourceForm::Bytes(&wasm), component);
    if options.bytes || !engine.plugin().description().capabilities.has(Capabilities::AOT) {
        return Ok(engine.load(&bytes)?);
    }
    let folder = tempfile::tempdir()?;
    let artifact = options.keep.clone().unwrap_or_else(|| folder.path().join("artifact"));
    engine.compile(&bytes, &artifact)?;
    // The mapping stays when the name goes.
    Ok(engine.load(&source(SourceForm::Artifact(Path::new(&artifact)), component))?)
}
