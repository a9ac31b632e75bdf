//! `multiwasm run`: a module, an image, or a container's bundle, without any daemon and through the same guest code.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use oci_spec::runtime::Spec;

use super::image::{self, Bundle, Extras};
use super::{Ended, console, file_and_function, signals};
use crate::config::Config;
use crate::guest::{Directory, Guest};
use crate::log;
use crate::module::{EntryKind, FIRST_BYTES};
use crate::options::{Annotations, EngineChoice};
use crate::process::Process;
use crate::rootfs::Content;
use crate::sandbox::{self, Chosen, Preset};
use crate::spawner::Create;

/// The namespace of containers that have no containerd.
const NAMESPACE: &str = "multiwasm-run";

/// Run a module, an image, or a container's bundle, without any daemon
///
/// A module runs in this process: it has the directories that --dir gives it and the network of this process, and no other
/// confinement than its engine. An image runs in a container without a network: one that containerd has, by its name, or an OCI
/// image layout (a folder or archive), by its path or `PATH:NAME` (a name as for Docker). So does a bundle, a folder with config.json and a root file
/// system, as its config.json says.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A module or component, `FILE#FUNCTION` to call another function of it, an image's name or path, or a bundle's folder
    #[arg(value_name = "FILE|IMAGE|BUNDLE")]
    file: PathBuf,
    /// The engine: wasmtime, wasmedge, wasmer, another that is installed, or auto
    #[arg(long, value_parser = engine)]
    engine: Option<EngineChoice>,
    /// A directory for the module, with the path that it sees there and `ro` if it may not write (not for bundles)
    #[arg(long = "dir", value_name = "HOST[:GUEST[:ro]]", value_parser = directory)]
    directories: Vec<Directory>,
    /// A variable of the module's environment (not for bundles)
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<String>,
    /// The image's container has this process's network (images only)
    #[arg(long)]
    host_network: bool,
    #[command(flatten)]
    from: image::From,
    /// Say what is done
    #[arg(long)]
    debug: bool,
    /// The module's arguments; an image's own are replaced by them
    #[arg(last = true)]
    args: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("{path}: {source}; give the path of a module, an image or a bundle that this user may read")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path}: {kind}; run it directly")]
    Native { path: PathBuf, kind: EntryKind },
    #[error("{path}: {}", crate::module::ModuleError::Text)]
    Text { path: PathBuf },
    #[error("{path}: compressed with {by}; decompress it first, with `{by} -d`")]
    Compressed { path: PathBuf, by: &'static str },
    #[error("{path}: a bundle's own config.json has its {what}; give them there")]
    NotForBundles { path: PathBuf, what: &'static str },
    #[error("{path}: neither a bundle, which has a config.json, nor an image, which has an oci-layout")]
    NoBundle { path: PathBuf },
    #[error("{path}: a module has no network to choose; --host-network is for images")]
    NoNetwork { path: PathBuf },
}

fn engine(text: &str) -> Result<EngineChoice, String> {
    EngineChoice::parse(text).ok_or_else(|| format!("allowed is {}", crate::options::ENGINE))
}

fn variable(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(text.to_owned()),
        _ => Err("allowed is NAME=VALUE".to_owned()),
    }
}

fn directory(text: &str) -> Result<Directory, String> {
    let parts: Vec<_> = text.split(':').collect();
    let (host, guest, read_only) = match parts.as_slice() {
        [host] => (*host, *host, false),
        [host, guest] => (*host, *guest, false),
        [host, guest, "ro"] => (*host, *guest, true),
        _ => return Err("allowed is HOST, HOST:GUEST or HOST:GUEST:ro".to_owned()),
    };
    if host.is_empty() {
        return Err("no directory is named; allowed is HOST, HOST:GUEST or HOST:GUEST:ro".to_owned());
    }
    if !Path::new(host).is_dir() {
        return Err(format!("{host} is no directory"));
    }
    Ok(Directory { guest: guest.to_owned(), host: host.into(), read_only })
}

/// Ends with the guest's exit code.
pub(super) fn run(args: Args) -> Ended {
    log::to_stderr(args.debug);
    let code = if image::is_image(&args.file) {
        image(args)?
    } else if args.file.is_dir() {
        bundle(args)?
    } else {
        module(args)?
    };
    Ok(ExitCode::from(code))
}

/// What has compressed a file that begins so (RFC 1952, section 2.3.1; RFC 8878, section 3.1.1).
fn compressor(first: &[u8]) -> Option<&'static str> {
    match first {
        [0x1f, 0x8b, ..] => Some("gzip"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("zstd"),
        _ => None,
    }
}

fn module(args: Args) -> Result<u8, Box<dyn std::error::Error>> {
    let (path, function) = file_and_function(&args.file);
    if args.host_network {
        return Err(RunError::NoNetwork { path }.into());
    }
    let bytes = fs::read(&path).map_err(|source| RunError::Unreadable { path: path.clone(), source })?;
    if let Some(by) = compressor(&bytes) {
        return Err(RunError::Compressed { path, by }.into());
    }
    let kind = EntryKind::of_file(&path, &bytes[..bytes.len().min(FIRST_BYTES)]);
    match kind {
        EntryKind::Elf | EntryKind::Script => return Err(RunError::Native { path, kind }.into()),
        EntryKind::WasmText => return Err(RunError::Text { path }.into()),
        _ => {}
    }
    let config = Config::load(None)?;
    let annotations = Annotations { options: config.options.clone(), ..Annotations::default() };
    let preset = Preset::new(config.clone(), None, HashMap::new());
    let chosen = Chosen {
        config: &config,
        annotations: &annotations,
        command_line: args.engine.as_ref(),
        function: function.as_deref(),
        memory: None,
    };
    let name = path.display().to_string();
    let content = Content::Copied(bytes);
    let (module, choice) = sandbox::choose_and_load(&name, kind, &content, &preset, &chosen, &|| path.clone())?;
    tracing::debug!("{name} runs on {}: {}", choice.engine, choice.reason);
    let guest = Guest {
        module,
        args: std::iter::once(name.clone()).chain(args.args).collect(),
        env: args.env,
        cwd: "/".to_owned(),
        memory_limit: annotations.options.memory_limit,
        name: name.clone(),
    };
    let failed = |error| format!("{name} on {}: {error}", choice.engine);
    Ok(guest.enter(args.directories).map_err(failed)?.run() as u8)
}

fn image(args: Args) -> Result<u8, Box<dyn std::error::Error>> {
    let extras =
        Extras { args: &args.args, env: &args.env, directories: &args.directories, host_network: args.host_network };
    sweep();
    let bundle = Bundle::new(&args.file.display().to_string(), &args.from, &extras)?;
    container(bundle.path(), args.engine)
}

fn bundle(args: Args) -> Result<u8, Box<dyn std::error::Error>> {
    let not_here = |what| RunError::NotForBundles { path: args.file.clone(), what };
    if !args.args.is_empty() {
        return Err(not_here("arguments").into());
    }
    if !args.env.is_empty() {
        return Err(not_here("environment").into());
    }
    if !args.directories.is_empty() {
        return Err(not_here("mounts").into());
    }
    if args.host_network {
        return Err(not_here("namespaces").into());
    }
    let path = args.file.canonicalize().map_err(|source| RunError::Unreadable { path: args.file.clone(), source })?;
    if !path.join("config.json").exists() {
        return Err(RunError::NoBundle { path: args.file.clone() }.into());
    }
    sweep();
    container(&path, args.engine)
}

/// What a container's id begins with; the number of its process follows.
const ID: &str = "run-";

/// The id of this process's container.
fn own_id() -> String {
    format!("{ID}{}", std::process::id())
}

/// Removes what killed runs have left. Before anything else: a process of theirs keeps their temporary folder locked, and a
/// record with this process's number would be in the way of its own.
fn sweep() {
    sandbox::remove_abandoned(NAMESPACE, |id| {
        id == own_id() || maker(id).is_some_and(|pid| Process::find(pid).is_none())
    });
}

/// The number of the process that made the container of this id.
fn maker(id: &str) -> Option<i32> {
    id.strip_prefix(ID)?.parse().ok()
}

/// Runs the bundle at `path`.
fn container(path: &Path, engine: Option<EngineChoice>) -> Result<u8, Box<dyn std::error::Error>> {
    let preset = Preset::new(Config::load(None)?, None, HashMap::new()).with_engine(engine);
    let id = own_id();
    let mut request = Create {
        namespace: NAMESPACE.to_owned(),
        id: id.clone(),
        bundle: path.to_owned(),
        stdout: "/proc/self/fd/1".to_owned(),
        stderr: "/proc/self/fd/2".to_owned(),
        ..Create::default()
    };
    // A specification that can't be read is told where it is read in earnest.
    let spec = Spec::load(request.bundle.join("config.json")).ok();
    request.terminal = spec.and_then(|spec| spec.process().as_ref()?.terminal()).unwrap_or(false);
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    let held = signals::hold()?;
    let made = sandbox::create(&request, Some(stdin), &preset, None)?;
    let pid = Pid::from_raw(made.pid);
    let started = sandbox::start(NAMESPACE, &id).map_err(Box::from);
    let ended = started.and_then(|()| match made.terminal {
        Some(terminal) => console::follow(pid, terminal, held).map_err(Box::from),
        None => follow(pid, &held),
    });
    sandbox::remove(NAMESPACE, &id)?;
    ended
}

/// Waits for the container's first process; of the signals that are held, what would end this one goes to that one.
fn follow(pid: Pid, held: &SigSet) -> Result<u8, Box<dyn std::error::Error>> {
    loop {
        match waitpid(pid, Some(WaitPidFlag::WNOHANG))? {
            WaitStatus::Exited(_, code) => return Ok(code as u8),
            WaitStatus::Signaled(_, signal, _) => return Ok(128 + signal as u8),
            _ => {}
        }
        match held.wait()? {
            Signal::SIGCHLD => {}
            // Gone meanwhile: its end is read next.
            signal => drop(kill(pid, signal)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_is_told_as_such() {
        let gzip = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
        assert_eq!(compressor(&gzip), Some("gzip"));
        assert_eq!(compressor(b"\x28\xb5\x2f\xfd\x24"), Some("zstd"));
        assert_eq!(compressor(b"\0asm"), None);
    }

    #[test]
    fn makers_are_known_by_their_containers() {
        assert_eq!(maker(&own_id()), i32::try_from(std::process::id()).ok());
        assert!(maker("run-").is_none() && maker("mine").is_none());
    }

    #[test]
    fn directories_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let host = folder.path().display().to_string();
        let read = directory(&format!("{host}:/data:ro")).unwrap();
        assert_eq!(read, Directory { guest: "/data".into(), host: host.clone().into(), read_only: true });
        assert!(directory(&host).is_ok());
        assert!(directory("/nonexistent").unwrap_err().contains("/nonexistent"));
        for nameless in ["", ":/data"] {
            assert!(directory(nameless).unwrap_err().contains("no directory is named"), "{nameless}");
        }
        assert!(directory(&format!("{host}:/data:rw")).is_err());
    }
}
