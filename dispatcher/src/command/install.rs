//! `multiwasm install` and `uninstall`: what Docker, containerd and K3s must know of the shim, in their configuration files.

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::ValueEnum;

use super::Ended;
use crate::install::file::{Change, Editor, FileError};
use crate::install::{containerd, docker, imports, k3s};

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
type Step = fn(&Path, &Editor<'_>) -> Result<Change, FileError>;

/// Puts us in.
pub(super) fn install(args: &Install) -> Ended {
    run(&args.args, Change::install, &mut io::stdout().lock())?;
    Ok(ExitCode::SUCCESS)
}

/// Takes us out.
pub(super) fn uninstall(args: &Uninstall) -> Ended {
    run(&args.args, Change::uninstall, &mut io::stdout().lock())?;
    Ok(ExitCode::SUCCESS)
}

fn run(args: &Args, step: Step, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let changes = match args.target {
        Target::Docker => {
            let path = args.config.as_deref().unwrap_or(Path::new(docker::PATH));
            let mut change = step(path, &Editor { with: &docker::with, without: &docker::without })?;
            let (before, after) = change.texts();
            let moved = docker::moved(before, after);
            change.notes.extend(moved);
            vec![change]
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
                let hidden = |file: PathBuf| {
                    format!(
                        "{} is imported and has a section of the CRI plug-in: containerd 1 takes that in place of this one, so put what \
                         is added here there too",
                        file.display()
                    )
                };
                edited.notes.extend(imports::hiding(path, text)?.into_iter().map(hidden));
                Ok(edited)
            };
            vec![step(path, &Editor { with: &with, without: &containerd::without })?]
        }
        Target::K3s => k3s_folders(args)?.iter().map(|folder| in_folder(folder, step)).collect::<Result<_, _>>()?,
    };
    let mut restart = false;
    for change in &changes {
        let path = change.path().display();
        write!(out, "{}", change.diff())?;
        for note in &change.notes {
            writeln!(out, "note: {note}")?;
        }
        if !args.dry_run {
            change.write()?;
        }
        if change.is_none() {
            writeln!(out, "{path}: nothing to change")?;
        } else if args.dry_run {
            writeln!(out, "{path}: not written (--dry-run)")?;
        } else {
            writeln!(out, "{path}: {}", if change.is_removal() { "removed" } else { "written" })?;
            restart = true;
        }
    }
    if restart {
        writeln!(out, "It takes effect with: {}", args.target.restart())?;
    }
    Ok(())
}

/// The version of the configuration for the containerd of this machine: 3 since 2.0 (containerd's docs/containerd-2.0.md), which 2.3
/// reads too, whose own is 4. None where there is no containerd to ask.
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

fn in_folder(folder: &Path, step: Step) -> Result<Change, FileError> {
    let made = fs::read_to_string(folder.join(k3s::MADE)).ok();
    let version = k3s::version(made.as_deref());
    let with = |text: &str| k3s::with(text, version);
    let without = |text: &str| k3s::without(text, made.as_deref());
    step(&folder.join(k3s::template(version)), &Editor { with: &with, without: &without })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the command prints.
    fn said(target: Target, config: &Path, step: Step, dry_run: bool) -> String {
        let mut out = Vec::new();
        run(&Args { target, config: Some(config.to_owned()), dry_run }, step, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_change_is_shown_and_a_dry_run_makes_none() {
        let folder = tempfile::tempdir().unwrap();
        let (json, toml) = (folder.path().join("daemon.json"), folder.path().join("config.toml"));
        fs::write(&json, "{\n  \"bip\": \"10.1.0.1/24\"\n}\n").unwrap();
        fs::write(&toml, "version = 3\n").unwrap();
        let k3s = folder.path().join("k3s");
        fs::create_dir(&k3s).unwrap();
        for (target, config, file, line) in [
            (Target::Docker, &json, json.clone(), "+      \"runtimeType\": \"io.containerd.multiwasm.v1\""),
            (Target::Containerd, &toml, toml.clone(), "+runtime_type = \"io.containerd.multiwasm.v1\""),
            (Target::K3s, &k3s, k3s.join("config-v3.toml.tmpl"), "+  runtime_type = \"io.containerd.multiwasm.v1\""),
        ] {
            let text = || fs::read_to_string(&file).ok();
            let before = text();
            let dry = said(target, config, Change::install, true);
            assert!(dry.contains("\n@@ ") && dry.contains(line) && dry.ends_with("not written (--dry-run)\n"), "{dry}");
            assert_eq!(text(), before);
            let wet = said(target, config, Change::install, false);
            assert!(wet.contains(line) && wet.contains(": written\nIt takes effect with: systemctl restart"), "{wet}");
            let after = text();
            assert_ne!(after, before);
            let dry = said(target, config, Change::uninstall, true);
            let line = line.replacen('+', "-", 1);
            assert!(dry.contains(&line) && dry.ends_with("not written (--dry-run)\n"), "{dry}");
            assert_eq!(text(), after);
            let wet = said(target, config, Change::uninstall, false);
            let done = if before.is_none() { ": removed\n" } else { ": written\n" };
            assert!(wet.contains(&line) && wet.contains(done), "{wet}");
            assert_eq!(text(), before);
            assert!(said(target, config, Change::uninstall, false).ends_with("nothing to change\n"));
        }
    }

    #[test]
    fn what_becomes_of_images_is_said_both_ways() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon.json");
        fs::write(&path, "{}\n").unwrap();
        let on = said(Target::Docker, &path, Change::install, false);
        assert!(on.contains("\nnote: images of Docker's own store are not seen"), "{on}");
        let off = said(Target::Docker, &path, Change::uninstall, false);
        assert!(off.contains("\nnote: features.containerd-snapshotter goes with it"), "{off}");
    }

    #[test]
    fn an_imported_section_that_hides_the_handlers_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("config.toml"), folder.path().join("cri.toml"));
        fs::write(&path, "version = 2\nimports = [\"cri.toml\"]\n").unwrap();
        fs::write(&other, "[plugins.\"io.containerd.grpc.v1.cri\".registry]\n").unwrap();
        let told = said(Target::Containerd, &path, Change::install, true);
        let note = format!("note: {} is imported and has a section of the CRI plug-in", other.display());
        assert!(told.contains(&note), "{told}");
    }

    #[test]
    fn what_was_kept_goes_without_a_change_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon.json");
        let kept = folder.path().join("daemon.json.before-multiwasm");
        fs::write(&path, "{}\n").unwrap();
        fs::write(&kept, "{}\n").unwrap();
        said(Target::Docker, &path, Change::uninstall, true);
        assert!(kept.exists());
        assert!(said(Target::Docker, &path, Change::uninstall, false).ends_with("nothing to change\n"));
        assert!(!kept.exists());
    }
}
