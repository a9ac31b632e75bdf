//! `multiwasm install` and `uninstall`: what Docker, containerd and K3s must know of the shim, in their configuration files.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::ValueEnum;

use super::Ended;
use crate::install::file::{Change, Editor};
use crate::install::{containerd, docker, k3s};

/// Tell Docker, containerd or K3s about multiwasm, in their configuration files
///
/// Shows what changes, keeps comments and order, and keeps the file as it was beside it. No daemon is restarted: what to
/// restart is said. A second time nothing changes.
#[derive(Debug, clap::Args)]
pub(super) struct Install {
    #[command(flatten)]
    args: Args,
}

/// Take multiwasm out of the configuration of Docker, containerd or K3s again
///
/// A file that nobody has changed since becomes what it was, to the byte; of another only what is multiwasm's goes.
#[derive(Debug, clap::Args)]
pub(super) struct Uninstall {
    #[command(flatten)]
    args: Args,
}

#[derive(Debug, clap::Args)]
struct Args {
    /// Whose configuration
    #[arg(value_enum)]
    target: Target,
    /// The file, or K3s' folder, if it is not where it usually is
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Target {
    /// Docker Engine: images of platform wasi/wasm, and the runtime name `multiwasm`
    Docker,
    /// containerd for Kubernetes: a handler for RuntimeClasses. Docker, nerdctl and ctr need none
    Containerd,
    /// K3s and RKE2: the template of their containerd's configuration
    K3s,
}

impl Target {
    /// What has to be restarted to take the change in.
    fn restart(self) -> &'static str {
        match self {
            Self::Docker => "systemctl restart docker (containers end, unless live-restore is on)",
            Self::Containerd => "systemctl restart containerd (containers go on)",
            Self::K3s => "systemctl restart k3s, or k3s-agent, rke2-server or rke2-agent (containers go on)",
        }
    }
}

/// The step from a file and the way to edit it to its change.
type Step = fn(&Path, &Editor<'_>) -> Result<Change, crate::install::file::FileError>;

/// Puts us in.
pub(super) fn install(args: &Install) -> Ended {
    run(&args.args, Change::install)
}

/// Takes us out.
pub(super) fn uninstall(args: &Uninstall) -> Ended {
    run(&args.args, Change::uninstall)
}

fn run(args: &Args, step: Step) -> Ended {
    let changes = match args.target {
        Target::Docker => {
            let path = args.config.as_deref().unwrap_or(Path::new(docker::PATH));
            vec![step(path, &Editor { with: &docker::with, without: &docker::without })?]
        }
        Target::Containerd => {
            let path = args.config.as_deref().unwrap_or(Path::new(containerd::PATH));
            let newest = newest_version();
            let with = |text: &str| {
                let mut edited = containerd::with(text, newest.unwrap_or(3))?;
                if newest.is_none() && text.trim().is_empty() {
                    let note = "containerd is not on the PATH, so nobody could say its version: this is for 2.0 and later, and 1.x does \
                                not start with it (there, write `version = 2` first and try again)";
                    edited.notes.push(note.to_owned());
                }
                Ok(edited)
            };
            vec![step(path, &Editor { with: &with, without: &containerd::without })?]
        }
        Target::K3s => k3s_folders(args)?.iter().map(|folder| in_folder(folder, step)).collect::<Result<_, _>>()?,
    };
    let mut out = io::stdout().lock();
    let mut restart = false;
    for change in &changes {
        let path = change.path().display();
        write!(out, "{}", change.diff())?;
        for note in &change.notes {
            writeln!(out, "note: {note}")?;
        }
        if change.is_none() {
            writeln!(out, "{path}: nothing to change")?;
        } else if args.dry_run {
            writeln!(out, "{path}: not written (--dry-run)")?;
        } else {
            change.write()?;
            writeln!(out, "{path}: written")?;
            restart = true;
        }
    }
    if restart {
        writeln!(out, "It takes effect with: {}", args.target.restart())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The version of the configuration that the containerd of this machine writes: 3 since 2.0 (containerd's docs/containerd-2.0.md).
/// None where there is no containerd to ask.
fn newest_version() -> Option<i64> {
    let told = Command::new("containerd").arg("--version").output().ok()?;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    // `containerd github.com/containerd/containerd v1.7.24 …`; Debian leaves the v out.
    let first = told.split_whitespace().nth(2).map(|version| version.trim_start_matches('v'));
    first.map(|version| if version.starts_with("1.") { 2 } else { 3 })
}

fn k3s_folders(args: &Args) -> Result<Vec<PathBuf>, String> {
    if let Some(folder) = &args.config {
        return Ok(vec![folder.clone()]);
    }
    let found: Vec<_> = k3s::FOLDERS.into_iter().map(PathBuf::from).filter(|folder| folder.is_dir()).collect();
    if found.is_empty() {
        let looked = k3s::FOLDERS.join(" and ");
        return Err(format!(
            "there is no K3s or RKE2 agent here, looked for {looked}: start it once, or name --config"
        ));
    }
    Ok(found)
}

fn in_folder(folder: &Path, step: Step) -> Result<Change, crate::install::file::FileError> {
    let version = k3s::version(fs::read_to_string(folder.join(k3s::MADE)).ok().as_deref());
    let with = |text: &str| k3s::with(text, version);
    step(&folder.join(k3s::template(version)), &Editor { with: &with, without: &k3s::without })
}
