//! Images that are named on the command line: where they are looked for, and one as a container's bundle.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxNamespaceType, Mount, MountBuilder, Spec, UserBuilder};

use super::file_and_function;
use super::scratch::Scratch;
use crate::guest::Directory;
use crate::image::named::{self, Place};

/// What tells a file from an image's name, and where images are.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct From {
    /// containerd's socket, for images that are no files; unless given, the one that CONTAINERD_ADDRESS names, or
    /// /run/containerd/containerd.sock
    #[arg(long)]
    address: Option<String>,
    /// containerd's namespace: Docker's is moby, Kubernetes' k8s.io; unless given, the one that CONTAINERD_NAMESPACE names,
    /// or default
    #[arg(long)]
    namespace: Option<String>,
}

impl From {
    fn place(&self) -> Place {
        let of = |given: &Option<String>, variable, default: &str| {
            let named = || std::env::var(variable).ok().filter(|value| !value.is_empty());
            given.clone().or_else(named).unwrap_or_else(|| default.to_owned())
        };
        Place {
            address: of(&self.address, "CONTAINERD_ADDRESS", "/run/containerd/containerd.sock"),
            namespace: of(&self.namespace, "CONTAINERD_NAMESPACE", "default"),
        }
    }
}

/// What is given to a container beside its image.
#[derive(Debug, Default)]
pub(super) struct Extras<'a> {
    /// In place of the image's arguments.
    pub(super) args: &'a [String],
    pub(super) env: &'a [String],
    pub(super) directories: &'a [Directory],
    /// It has this process's network, and else none at all.
    pub(super) host_network: bool,
}

/// Whether `name` is an image's: one of files, or what neither is a file nor looks like a file's path, with or without a function.
pub(super) fn is_image(name: &Path) -> bool {
    let (file, _) = file_and_function(name);
    let like_a_file = || {
        let written = |text: &str| text.rsplit_once('#').map_or(text, |(file, _)| file).ends_with(".wasm");
        file.has_root() || file.starts_with(".") || file.starts_with("..") || name.to_str().is_some_and(written)
    };
    named::is_in_files(name) || !file.exists() && !like_a_file()
}

/// An image as a bundle, until this goes.
pub(super) struct Bundle {
    folder: Scratch,
    /// Its specification.
    pub(super) spec: Spec,
}

impl Bundle {
    /// Makes the bundle of the image called `name`.
    pub(super) fn new(name: &str, from: &From, extras: &Extras<'_>) -> Result<Self, Box<dyn std::error::Error>> {
        if !nix::unistd::geteuid().is_root() {
            let missing = if named::is_in_files(Path::new(name)) { "" } else { "there is no such file, and " };
            return Err(format!("{name}: {missing}images are unpacked and run in containers, which takes root").into());
        }
        let folder = Scratch::new()?;
        let rootfs = folder.path().join("rootfs");
        fs::create_dir(&rootfs)?;
        // As the root of any system, whatever this process's mask is.
        fs::set_permissions(&rootfs, Permissions::from_mode(0o755))?;
        let process = named::put(name, &from.place(), &rootfs, folder.path(), extras.args)?;
        let spec = specification(process, extras)?;
        spec.save(folder.path().join("config.json"))?;
        Ok(Self { folder, spec })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn rootfs(&self) -> PathBuf {
        self.path().join("rootfs")
    }
}

/// The specification of a container as clients of containerd make it, with what this one is given.
fn specification(process: named::Process, extras: &Extras<'_>) -> Result<Spec, Box<dyn std::error::Error>> {
    let mut spec = Spec::default();
    if let Some(of) = spec.process_mut() {
        let mut env = process.env;
        if !env.iter().any(|variable| variable.starts_with("PATH=")) {
            env.push("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned());
        }
        // The later one counts for who looks for the first as well as for who looks for the last.
        let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
        env.retain(|variable| !extras.env.iter().any(|given| name(given) == name(variable)));
        env.extend_from_slice(extras.env);
        of.set_args(Some(process.args)).set_env(Some(env)).set_cwd(process.cwd).set_terminal(Some(false));
        of.set_user(UserBuilder::default().uid(process.uid).gid(process.gid).build()?);
    }
    if let Some(root) = spec.root_mut() {
        root.set_path("rootfs".into()).set_readonly(Some(false));
    }
    spec.set_hostname(Some("multiwasm".to_owned()));
    if extras.host_network
        && let Some(linux) = spec.linux_mut()
    {
        let kept = linux.namespaces().iter().flatten().filter(|of| of.typ() != LinuxNamespaceType::Network);
        let kept = kept.cloned().collect();
        linux.set_namespaces(Some(kept));
    }
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    for directory in extras.directories {
        mounts.push(bind(directory)?);
    }
    spec.set_mounts(Some(mounts));
    Ok(spec)
}

fn bind(directory: &Directory) -> Result<Mount, Box<dyn std::error::Error>> {
    let source = directory.host.canonicalize().map_err(|error| format!("{}: {error}", directory.host.display()))?;
    let guest = Path::new("/").join(&directory.guest);
    let mut options = vec!["rbind".to_owned(), "rprivate".to_owned()];
    if directory.read_only {
        options.push("ro".to_owned());
    }
    Ok(MountBuilder::default().destination(guest).source(source).typ("bind").options(options).build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_no_image_with_a_function_either() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("module");
        fs::write(&file, "").unwrap();
        let with_function = format!("{}#f", file.display());
        for name in [file.to_str().unwrap(), &with_function, "app.wasm", "app.wasm#f", "./app#f", "/app", "../app"] {
            assert!(!is_image(Path::new(name)), "{name}");
        }
        for name in ["hello", "me/hello:1", "ghcr.io/me/hello@sha256:0", "wasm"] {
            assert!(is_image(Path::new(name)), "{name}");
        }
        fs::write(folder.path().join("oci-layout"), "").unwrap();
        for name in [folder.path().display().to_string(), format!("{}:one", folder.path().display())] {
            assert!(is_image(Path::new(&name)), "{name}");
        }
    }
}
