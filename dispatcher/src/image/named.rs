//! An image by its name, for the command: in containerd, or in an OCI image layout of files. Its program and, unpacked, its
//! files.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use oci_spec::image::{Descriptor, ImageConfiguration};
use oci_spec::runtime::Spec;

use super::artifact::{self, Manifest, Platforms};
use super::containerd::Containerd;
use super::content::Store;
use super::error::LayoutError;
use super::layout::{Layout, is_layout};
use super::{ImageError, Origin, command, content, unpack};
use crate::rootfs::entry::MAX_MODULE;
use crate::rootfs::tree::Tree;

/// Where images are looked for that are no files.
#[derive(Debug, Clone)]
pub struct Place {
    /// containerd's gRPC address.
    pub address: String,
    /// containerd's namespace.
    pub namespace: String,
}

/// What an image runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Process {
    /// argv, argv\[0\] included.
    pub args: Vec<String>,
    /// `NAME=VALUE`.
    pub env: Vec<String>,
    /// The working directory.
    pub cwd: PathBuf,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// Whether `name` is that of an image of files: `PATH` or `PATH:NAME`.
pub fn is_in_files(name: &Path) -> bool {
    in_files(name).is_some()
}

fn in_files(name: &Path) -> Option<(PathBuf, Option<String>)> {
    if is_layout(name) {
        return Some((name.to_owned(), None));
    }
    let (path, image) = name.to_str()?.split_once(':')?;
    is_layout(Path::new(path)).then(|| (path.into(), Some(image.to_owned())))
}

/// Puts the files of the image called `name` into `rootfs`, an empty folder, and says what it runs: `args` in place of its own
/// arguments, where there are any. An archive's files lie in `scratch`, a folder of this process's own, until it returns.
///
/// Must be called by a process of one thread, root's, where no async runtime runs: its root is another one meanwhile.
///
/// # Errors
/// [`ImageError`]. The folder may have files then that are not to be used.
pub fn put(name: &str, place: &Place, rootfs: &Path, scratch: &Path, args: &[String]) -> Result<Process, ImageError> {
    if let Some((path, image)) = in_files(Path::new(name)) {
        let layout = Layout::open(&path, scratch)?;
        let target = match image {
            Some(image) => among(&layout, &image)?,
            None => layout.target(None)?,
        };
        return Image { name, store: &layout }.put(&target, rootfs, args);
    }
    let origin = Origin { address: &place.address, namespace: &place.namespace, id: "" };
    let no_file = |source| ImageError::NoFile { image: name.to_owned(), source: Box::new(source) };
    let containerd = Containerd::connect(&origin).map_err(no_file)?;
    for reading in readings(name) {
        if let Some(target) = containerd.named(&reading)? {
            return Image { name: &reading, store: &containerd }.put(&target, rootfs, args);
        }
    }
    let Place { namespace, address } = place.clone();
    Err(ImageError::NotFound { image: name.to_owned(), namespace, address })
}

/// The image of a layout that people call `name`.
fn among(layout: &Layout, name: &str) -> Result<Descriptor, LayoutError> {
    let found = layout.target(Some(name));
    if !matches!(found, Err(LayoutError::NoSuchImage { .. })) {
        return found;
    }
    let mut others = readings(name).into_iter().skip(1).map(|reading| layout.target(Some(&reading)));
    others.find(|found| !matches!(found, Err(LayoutError::NoSuchImage { .. }))).unwrap_or(found)
}

/// The names that an image may have which people call `name`: as it is, and as Docker completes it.
fn readings(name: &str) -> Vec<String> {
    let (path, last) = name.rsplit_once('/').map_or(("", name), |(path, last)| (path, last));
    let tag = if last.contains([':', '@']) { "" } else { ":latest" };
    let host = path.split('/').next().unwrap_or_default();
    let prefix = match host {
        "" => "docker.io/library/",
        host if host.contains(['.', ':']) || host == "localhost" => "",
        _ => "docker.io/",
    };
    let mut readings = vec![name.to_owned()];
    let completed = format!("{prefix}{name}{tag}");
    if completed != name {
        readings.push(completed);
    }
    readings
}

/// An image in a store.
struct Image<'a, S> {
    name: &'a str,
    store: &'a S,
}

impl<S: Store> Image<'_, S> {
    fn put(&self, target: &Descriptor, rootfs: &Path, args: &[String]) -> Result<Process, ImageError> {
        let of_image = |problem| ImageError::Unusable { image: self.name.to_owned(), problem };
        let manifest = artifact::manifest(self.store, target, Platforms::Native).map_err(of_image)?;
        match manifest.modules().map_err(of_image)? {
            Some(_) => self.put_module(&manifest, rootfs, args),
            None => {
                let config = manifest.config(self.store).map_err(of_image)?;
                unpack::unpack(self.store, manifest.layers(), rootfs).map_err(of_image)?;
                self.process(&config, rootfs, args)
            }
        }
    }

    /// Of an artifact: its module becomes a file, named as the layer is.
    fn put_module(&self, manifest: &Manifest, rootfs: &Path, args: &[String]) -> Result<Process, ImageError> {
        let of_image = |problem| ImageError::Unusable { image: self.name.to_owned(), problem };
        let layers = manifest.modules().map_err(of_image)?.unwrap_or_default();
        let names: Vec<_> = layers.iter().map(|layer| layer.name).collect();
        let command = command::of(&names, manifest.has_entrypoint(), args)
            .ok_or_else(|| of_image(manifest.unclear(&names, args)))?;
        let layer = &layers[command.layer];
        let bytes = content::read(self.store, "layer", layer.descriptor, MAX_MODULE).map_err(of_image)?;
        // A title may be a path.
        let file = layer.name.rsplit('/').next().filter(|name| !matches!(*name, "" | "." | "..")).unwrap_or("module");
        let path = rootfs.join(file);
        let written =
            fs::write(&path, bytes).and_then(|()| fs::set_permissions(&path, PermissionsExt::from_mode(0o755)));
        written.map_err(|source| ImageError::Unpack { image: self.name.to_owned(), source })?;
        let mut args = command.args;
        let function = command.function.map(|function| format!("#{function}")).unwrap_or_default();
        args[0] = format!("/{file}{function}");
        Ok(Process { args, cwd: "/".into(), ..Process::default() })
    }

    /// Of an ordinary image, by its config.
    fn process(&self, config: &ImageConfiguration, rootfs: &Path, args: &[String]) -> Result<Process, ImageError> {
        let config = config.config().clone().unwrap_or_default();
        let mut all = config.entrypoint().clone().unwrap_or_default();
        if args.is_empty() {
            all.extend(config.cmd().clone().unwrap_or_default());
        } else {
            all.extend_from_slice(args);
        }
        if all.is_empty() {
            return Err(ImageError::NoCommand { image: self.name.to_owned() });
        }
        let user = config.user().clone().unwrap_or_default();
        let (uid, gid) = user_of(&user, rootfs).map_err(|error| match error {
            Some(source) => ImageError::Unpack { image: self.name.to_owned(), source },
            None => ImageError::NoUser { image: self.name.to_owned(), user: user.clone() },
        })?;
        let cwd = config.working_dir().clone().filter(|path| !path.is_empty()).unwrap_or_else(|| "/".to_owned());
        Ok(Process { args: all, env: config.env().clone().unwrap_or_default(), cwd: cwd.into(), uid, gid })
    }
}

/// The numbers of `USER[:GROUP]`, each a number or a name of the image's files (passwd(5), group(5)).
fn user_of(user: &str, rootfs: &Path) -> Result<(u32, u32), Option<io::Error>> {
    let (user, group) = user.split_once(':').unwrap_or((user, ""));
    let users = table(rootfs, "/etc/passwd").map_err(Some)?;
    let entry =
        |name: &str| users.iter().find(|fields| fields[0] == name || fields.get(2).is_some_and(|uid| uid == name));
    let number = |fields: &Vec<String>, at: usize| fields.get(at).and_then(|field| field.parse().ok());
    let known = entry(user);
    let uid = match user {
        "" => Some(0),
        user => user.parse().ok().or_else(|| number(known?, 2)),
    };
    let gid = match group {
        "" => Some(known.and_then(|fields| number(fields, 3)).unwrap_or(0)),
        group => group.parse().ok().or_else(|| {
            let groups = table(rootfs, "/etc/group").ok()?;
            number(groups.iter().find(|fields| fields[0] == group)?, 2)
        }),
    };
    uid.zip(gid).ok_or(None)
}

/// The fields of a file's lines; none where there is no file.
fn table(rootfs: &Path, path: &str) -> io::Result<Vec<Vec<String>>> {
    /// More is no list of users.
    const MOST: u64 = 1 << 20;
    let Ok(found) = Tree::open(rootfs, rootfs, &Spec::default())?.open_file(Path::new(path)) else {
        return Ok(Vec::new());
    };
    let mut text = Vec::new();
    found.file.take(MOST).read_to_end(&mut text)?;
    let lines =
        String::from_utf8_lossy(&text).lines().map(|line| line.split(':').map(str::to_owned).collect()).collect();
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layouts_images_have_short_names_too() {
        let folder = tempfile::tempdir().unwrap();
        let image = |name: &str, digit: &str| {
            serde_json::json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 1,
                "digest": format!("sha256:{}", digit.repeat(64)),
                "annotations": {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": "latest"}})
        };
        let images = [
            image("docker.io/library/hello:latest", "1"),
            image("hello:1", "2"),
            image("docker.io/library/hello:1", "3"),
            image("docker.io/library/twice:latest", "4"),
            image("docker.io/library/twice:latest", "5"),
        ];
        let index = serde_json::json!({"schemaVersion": 2, "manifests": images});
        fs::write(folder.path().join("index.json"), index.to_string()).unwrap();
        let layout = Layout::open(folder.path(), folder.path()).unwrap();
        let found = |name: &str| among(&layout, name).map(|image| image.digest().digest()[..1].to_owned());
        assert_eq!(found("hello").unwrap(), "1");
        assert_eq!(found("docker.io/library/hello:latest").unwrap(), "1");
        assert_eq!(found("hello:1").unwrap(), "2");
        let several = found("twice").unwrap_err();
        assert!(matches!(several, LayoutError::Several { .. }), "{several}");
        let none = found("other").unwrap_err();
        assert!(matches!(&none, LayoutError::NoSuchImage { name, .. } if name == "other"), "{none}");
    }

    #[test]
    fn names_are_completed_as_docker_does() {
        for (name, completed) in [
            ("hello", "docker.io/library/hello:latest"),
            ("hello:1", "docker.io/library/hello:1"),
            ("me/hello", "docker.io/me/hello:latest"),
            ("ghcr.io/me/hello:1", "ghcr.io/me/hello:1"),
            ("localhost:5000/hello", "localhost:5000/hello:latest"),
            ("hello@sha256:0", "docker.io/library/hello@sha256:0"),
        ] {
            let readings = readings(name);
            assert_eq!((readings[0].as_str(), readings.last().map(String::as_str)), (name, Some(completed)));
        }
    }

    #[test]
    fn users_are_numbers_or_of_the_images_own_files() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(user_of("", root.path()).unwrap(), (0, 0));
        assert_eq!(user_of("7:8", root.path()).unwrap(), (7, 8));
        assert!(user_of("guest", root.path()).unwrap_err().is_none());
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("etc/passwd"), "root:x:0:0\nguest:x:405:100:guest:/:/bin/sh\n").unwrap();
        std::fs::write(root.path().join("etc/group"), "users:x:100:\nwheel:x:10:root\n").unwrap();
        assert_eq!(user_of("guest", root.path()).unwrap(), (405, 100));
        assert_eq!(user_of("405", root.path()).unwrap(), (405, 100));
        assert_eq!(user_of("guest:wheel", root.path()).unwrap(), (405, 10));
        assert_eq!(user_of("9", root.path()).unwrap(), (9, 0));
        assert!(user_of("guest:nobody", root.path()).unwrap_err().is_none());
        // The host's users are nobody's business.
        std::fs::remove_file(root.path().join("etc/passwd")).unwrap();
        std::os::unix::fs::symlink("/proc/self/root/etc/passwd", root.path().join("etc/passwd")).unwrap();
        assert!(user_of("daemon", root.path()).is_err());
    }
}
