//! `multiwasm doctor`: whether this node has what containers need, and what to do where it has not.

mod daemons;
mod version;

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::{AccessFlags, access};
use serde::Serialize;

use super::engines::Line;
use super::{Ended, columns, print_json};
use crate::config::{CACHE_VARIABLE, CONFIG_VARIABLE, Config, DEFAULT_PATH, ENGINE_PATH_VARIABLE, node_file};
use crate::engines::Engines;

/// The program that containerd looks for on its PATH.
const SHIM: &str = "containerd-shim-multiwasm-v1";

/// Where containerd listens: the node's own, the one that dockerd starts where there is none, and that of K3s and RKE2.
const ADDRESSES: [&str; 3] = [
    "/run/containerd/containerd.sock",
    "/run/docker/containerd/containerd.sock",
    "/run/k3s/containerd/containerd.sock",
];

/// Where containerd listens, by the variable that its own clients know, or where it usually does.
fn usual_address() -> PathBuf {
    let named = std::env::var_os("CONTAINERD_ADDRESS").filter(|value| !value.is_empty()).map(PathBuf::from);
    let mut usual = ADDRESSES.iter().map(PathBuf::from);
    named.or_else(|| usual.find(|address| address.exists())).unwrap_or_else(|| ADDRESSES[0].into())
}

/// Check that this node can run containers, and say what to do where it can't
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// containerd's socket; unless given, the one that CONTAINERD_ADDRESS names, /run/containerd/containerd.sock, or that
    /// of dockerd's or K3s' own containerd
    #[arg(long, default_value_os_t = usual_address(), hide_default_value = true)]
    address: PathBuf,
    /// Look at this configuration file in place of the node's: before it is put there
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    /// Something will not work, or is not known.
    Warning,
    /// Containers will not run.
    Problem,
}

/// One line of the answer.
#[derive(Debug, Serialize)]
struct Finding {
    verdict: Verdict,
    check: String,
    /// What was found and, where it is not well, what to do.
    found: String,
}

impl Finding {
    fn new(verdict: Verdict, check: impl Into<String>, found: impl Into<String>) -> Self {
        Self { verdict, check: check.into(), found: found.into() }
    }
}

/// Ends with 1 if there is a problem.
pub(super) fn run(args: &Args) -> Ended {
    let mut containerd = Containerd::find(&args.address);
    containerd.config =
        args.config.as_ref().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()).into());
    let (config, finding) = check_config(&containerd);
    let mut findings = vec![finding];
    findings.extend(check_engines(&Engines::of(&config)));
    findings.push(check_cache(&config.cache));
    findings.extend(check_containerd(&args.address, &containerd));
    if containerd.listens.is_ok() {
        findings.push(version::check(&args.address));
    }
    findings.extend(daemons::check());
    findings.push(check_cgroups());
    findings.extend([check_openat2(), check_pidfd(), check_subreaper(), check_overlay(), check_root()]);
    if args.json {
        print_json(&findings)?;
    } else {
        let row = |finding: &Finding| {
            let verdict = match finding.verdict {
                Verdict::Ok => "ok",
                Verdict::Warning => "warning",
                Verdict::Problem => "problem",
            };
            [verdict.to_owned(), finding.check.clone(), finding.found.clone()]
        };
        write!(io::stdout(), "{}", columns(&findings.iter().map(row).collect::<Vec<_>>()))?;
    }
    let problem = findings.iter().any(|finding| finding.verdict == Verdict::Problem);
    Ok(if problem { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What is known of containerd: shims have its environment, not this command's.
struct Containerd {
    /// Whether it answers.
    listens: io::Result<()>,
    /// What it was started with.
    environment: io::Result<HashMap<OsString, OsString>>,
    /// The configuration file to look at in place of its own.
    config: Option<OsString>,
}

impl Containerd {
    fn find(address: &Path) -> Self {
        match UnixStream::connect(address) {
            Ok(stream) => {
                let peer = getsockopt(&stream, PeerCredentials).map_err(io::Error::from);
                let environment = peer.and_then(|peer| environment_of(peer.pid()));
                Self { listens: Ok(()), environment, config: None }
            }
            Err(error) => {
                let environment = Err(io::Error::other("it does not answer"));
                Self { listens: Err(error), environment, config: None }
            }
        }
    }

    /// A variable of its environment; of this command's, where that can't be read.
    fn variable(&self, name: &str) -> Option<OsString> {
        match &self.environment {
            _ if name == CONFIG_VARIABLE && self.config.is_some() => self.config.clone(),
            Ok(environment) => environment.get(OsStr::new(name)).cloned(),
            Err(_) => std::env::var_os(name),
        }
    }
}

/// The environment that a process was started with.
fn environment_of(pid: i32) -> io::Result<HashMap<OsString, OsString>> {
    let environment = fs::read(format!("/proc/{pid}/environ"))?;
    let variable = |text: &[u8]| {
        let at = text.iter().position(|byte| *byte == b'=')?;
        Some((OsString::from_vec(text[..at].to_vec()), OsString::from_vec(text[at + 1..].to_vec())))
    };
    Ok(environment.split(|byte| *byte == 0).filter_map(variable).collect())
}

/// The other checks go on without the file where that is broken.
fn check_config(containerd: &Containerd) -> (Config, Finding) {
    let problem = |found| Finding::new(Verdict::Problem, "config file", found);
    let without = || {
        let nowhere =
            |name: &str| if name == CONFIG_VARIABLE { Some("/dev/null".into()) } else { containerd.variable(name) };
        Config::load_in(nowhere).unwrap_or_default()
    };
    if let Some(missing) = containerd.config.as_ref().map(Path::new).filter(|path| !path.exists()) {
        return (without(), problem(format!("{}: there is no such file", missing.display())));
    }
    match Config::load_in(|name| containerd.variable(name)) {
        Ok(config) => {
            let path = node_file(|name| containerd.variable(name));
            let file = if path.exists() { "is in order" } else { "is not there: defaults hold" };
            let whose = if containerd.environment.is_ok() { "containerd's" } else { "this shell's" };
            let set =
                [CONFIG_VARIABLE, ENGINE_PATH_VARIABLE, CACHE_VARIABLE].map(|name| (name, containerd.variable(name)));
            let set = set.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?.display())));
            let set = set.fold(String::new(), |set, variable| format!("{set}; {whose} environment has {variable}"));
            (config, Finding::new(Verdict::Ok, "config file", format!("{} {file}{set}", path.display())))
        }
        Err(error) => (without(), problem(error.to_string())),
    }
}

fn check_engines(engines: &Engines) -> Vec<Finding> {
    let installed = engines.installed();
    if installed.is_empty() {
        return vec![Finding::new(Verdict::Problem, "engines", engines.none_installed())];
    }
    let finding = |line: Line| {
        let check = format!("engine {}", line.name);
        match line.error {
            // Who may write the plug-in and the folders above it is part of opening it.
            Some(error) => Finding::new(Verdict::Problem, check, error),
            None => Finding::new(Verdict::Ok, check, format!("{} in {}", line.version, line.path.display())),
        }
    };
    installed.into_iter().map(Line::of).map(finding).collect()
}

fn check_cache(cache: &Path) -> Finding {
    let finding = |verdict, found: String| Finding::new(verdict, "compile cache", found);
    let shown = cache.display();
    // The folder is made when it is needed, so what counts is the nearest one that is there.
    let Some((folder, meta)) = cache.ancestors().find_map(|folder| Some((folder, folder.metadata().ok()?))) else {
        return finding(Verdict::Problem, format!("{shown} can't be reached: set cache.path in {DEFAULT_PATH}"));
    };
    if !meta.is_dir() {
        return finding(
            Verdict::Problem,
            format!("{} is no folder: set cache.path in {DEFAULT_PATH}", folder.display()),
        );
    }
    if let Err(error) = access(folder, AccessFlags::W_OK | AccessFlags::X_OK) {
        let advice = format!("make it writable, or set cache.path in {DEFAULT_PATH}");
        return finding(Verdict::Problem, format!("{} can't be written: {}: {advice}", folder.display(), error.desc()));
    }
    let mode = meta.permissions().mode() & 0o7777;
    if folder == cache && (meta.uid() != 0 || mode & 0o022 != 0) {
        let found = format!(
            "{shown} may be changed by others than root (owner {}, mode {mode:04o}): chown root {shown} && chmod go-w {shown}",
            meta.uid()
        );
        return finding(Verdict::Problem, found);
    }
    finding(Verdict::Ok, format!("{shown} {}", if folder == cache { "is writable" } else { "can be made" }))
}

/// Whether containerd answers on its socket, and finds the shim on the PATH that it was started with.
fn check_containerd(address: &Path, containerd: &Containerd) -> Vec<Finding> {
    let shown = address.display();
    if let Err(error) = &containerd.listens {
        let found = format!("no answer at {shown}: {error}: start containerd, or name its socket with --address");
        // Nobody is behind the socket. Where there is none, there may be no containerd, and modules run without; and one that is
        // not ours to ask may be well.
        let refused = error.kind() == io::ErrorKind::ConnectionRefused;
        let verdict = if refused { Verdict::Problem } else { Verdict::Warning };
        return vec![Finding::new(verdict, "containerd", found)];
    }
    let path = containerd.variable("PATH").unwrap_or_default();
    let shim = match &containerd.environment {
        Ok(_) => check_shim(&path, "containerd's PATH"),
        Err(error) => {
            let finding = check_shim(&path, "this shell's PATH");
            let found = format!("{}; containerd's own PATH can't be read: {error}", finding.found);
            Finding::new(Verdict::Warning, finding.check, found)
        }
    };
    vec![Finding::new(Verdict::Ok, "containerd", format!("listens at {shown}")), shim]
}

fn check_shim(path: &OsString, whose: &str) -> Finding {
    let executable = |file: &PathBuf| file.is_file() && access(file, AccessFlags::X_OK).is_ok();
    match std::env::split_paths(path).map(|folder| folder.join(SHIM)).find(executable) {
        Some(file) => Finding::new(Verdict::Ok, "shim", format!("{} is on {whose}", file.display())),
        None => {
            let found = format!(
                "{SHIM} is not on {whose} ({}): install it there, or name its path as runtime_path in containerd's configuration",
                path.display()
            );
            Finding::new(Verdict::Problem, "shim", found)
        }
    }
}

fn check_cgroups() -> Finding {
    judge_cgroups(fs::read_to_string("/sys/fs/cgroup/cgroup.controllers"))
}

fn judge_cgroups(controllers: io::Result<String>) -> Finding {
    match controllers.as_deref().map(str::trim) {
        Ok(all) if all.split(' ').any(|controller| controller == "memory") => {
            Finding::new(Verdict::Ok, "cgroups", format!("version 2, controllers {all}"))
        }
        Ok(all) => {
            // Documentation/admin-guide/kernel-parameters.txt; some kernels for small boards have it off unless asked.
            let found = format!(
                "version 2 without the memory controller (found: {all}), memory limits will not hold: on the kernel's command line, \
                 take out cgroup_disable=memory or add cgroup_enable=memory, and boot anew"
            );
            Finding::new(Verdict::Warning, "cgroups", found)
        }
        Err(_) if Path::new("/sys/fs/cgroup/memory").is_dir() => Finding::new(Verdict::Ok, "cgroups", "version 1"),
        Err(_) => {
            Finding::new(Verdict::Problem, "cgroups", "none at /sys/fs/cgroup: mount -t cgroup2 cgroup2 /sys/fs/cgroup")
        }
    }
}

fn check_openat2() -> Finding {
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_IN_ROOT);
    match openat2(AT_FDCWD, "/", how) {
        Ok(_) => Finding::new(Verdict::Ok, "openat2", "is there"),
        Err(error) => {
            let found =
                format!("fails: {}: Linux 5.6 or newer is needed, and no seccomp filter around this", error.desc());
            Finding::new(Verdict::Problem, "openat2", found)
        }
    }
}

fn check_pidfd() -> Finding {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    // pidfd_open(2): since Linux 5.3.
    match version_of(release) {
        Some(version) if version >= (5, 3) => Finding::new(Verdict::Ok, "pidfd", format!("is in Linux {release}")),
        Some(_) => {
            Finding::new(Verdict::Problem, "pidfd", format!("is not in Linux {release}: 5.3 or newer is needed"))
        }
        None => Finding::new(Verdict::Warning, "pidfd", format!("not known: the kernel's release reads {release:?}")),
    }
}

/// `6.1.0-25-amd64` → (6, 1)
fn version_of(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn check_subreaper() -> Finding {
    match nix::sys::prctl::get_child_subreaper() {
        Ok(_) => Finding::new(Verdict::Ok, "subreaper", "is there"),
        Err(error) => {
            let found = format!("fails: {}: a kernel with PR_SET_CHILD_SUBREAPER is needed", error.desc());
            Finding::new(Verdict::Problem, "subreaper", found)
        }
    }
}

fn check_overlay() -> Finding {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if known.lines().any(|line| line.split_whitespace().last() == Some("overlay")) {
        Finding::new(Verdict::Ok, "overlay", "is there")
    } else {
        let found = "the kernel does not have it loaded: modprobe overlay, or use another snapshotter";
        Finding::new(Verdict::Warning, "overlay", found)
    }
}

fn check_root() -> Finding {
    if nix::unistd::geteuid().is_root() {
        Finding::new(Verdict::Ok, "user", "root, as containerd is")
    } else {
        Finding::new(Verdict::Warning, "user", "not root: what is said above may be otherwise for containerd")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixListener;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn releases() {
        assert_eq!(version_of("6.1.0-25-amd64"), Some((6, 1)));
        assert_eq!(version_of("5.15"), Some((5, 15)));
        assert_eq!(version_of("six"), None);
    }

    #[test]
    fn a_missing_memory_controller_has_its_cure() {
        let finding = judge_cgroups(Ok("cpuset cpu io pids\n".to_owned()));
        assert_eq!(finding.verdict, Verdict::Warning);
        assert!(finding.found.contains("add cgroup_enable=memory"), "{}", finding.found);
        assert_eq!(judge_cgroups(Ok("cpu memory pids\n".to_owned())).verdict, Verdict::Ok);
    }

    #[test]
    fn the_cache_may_be_made_but_not_shared() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(check_cache(&folder.path().join("a/b")).verdict, Verdict::Ok);
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let finding = check_cache(folder.path());
        assert_eq!(finding.verdict, Verdict::Problem);
        assert!(finding.found.contains("chmod go-w"), "{}", finding.found);
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(check_cache(&file).verdict, Verdict::Problem);
    }

    #[test]
    fn the_shim_is_looked_for_on_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().as_os_str().to_owned();
        assert_eq!(check_shim(&path, "PATH").verdict, Verdict::Problem);
        fs::write(folder.path().join(SHIM), "").unwrap();
        assert_eq!(check_shim(&path, "PATH").verdict, Verdict::Problem);
        fs::set_permissions(folder.path().join(SHIM), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(check_shim(&path, "PATH").verdict, Verdict::Ok);
    }

    #[test]
    fn containerds_path_is_that_of_the_listener() {
        let folder = tempfile::tempdir().unwrap();
        let address = folder.path().join("containerd.sock");
        let silent = check_containerd(&address, &Containerd::find(&address));
        assert_eq!((silent.len(), silent[0].verdict), (1, Verdict::Warning));
        drop(UnixListener::bind(&address).unwrap());
        assert_eq!(check_containerd(&address, &Containerd::find(&address))[0].verdict, Verdict::Problem);
        fs::remove_file(&address).unwrap();
        // The listener is this process, whose PATH has no shim or has one.
        let _listener = UnixListener::bind(&address).unwrap();
        let findings = check_containerd(&address, &Containerd::find(&address));
        assert_eq!((findings.len(), findings[0].verdict), (2, Verdict::Ok));
        assert!(findings[1].found.contains("containerd's PATH"), "{}", findings[1].found);
    }

    #[test]
    fn shims_have_containerds_environment() {
        let folder = tempfile::tempdir().unwrap();
        let (address, engines) = (folder.path().join("containerd.sock"), folder.path().join("engines"));
        // A listener that is a process of its own, as containerd is, with an environment of its own.
        let script = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); print(flush=True); sys.stdin.read()";
        let mut listener = Command::new("python3")
            .args(["-c", script, address.to_str().unwrap()])
            .env(ENGINE_PATH_VARIABLE, &engines)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        listener.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        let (config, finding) = check_config(&Containerd::find(&address));
        drop(listener.stdin.take());
        listener.wait().unwrap();
        assert_eq!(config.engine_path, [engines]);
        assert!(finding.found.contains("containerd's environment has MULTIWASM_ENGINE_PATH="), "{}", finding.found);
    }

    #[test]
    fn no_engine_is_a_problem_that_says_what_to_install() {
        let findings = check_engines(&Engines::at(vec!["/nonexistent".into()]));
        assert_eq!(findings[0].verdict, Verdict::Problem);
        assert!(findings[0].found.contains("/nonexistent: install the package"), "{}", findings[0].found);
    }
}
