//! The installer's image, built and run as docker-desktop-config/README.md says, on a host root that is this machine's to read and
//! is written to in memory alone.

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs::{self, File};
    use std::os::unix::fs::MetadataExt;
    use std::path::{Path, PathBuf};
    use std::sync::Once;
    use std::time::Duration;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use multiwasm_conformance::command::{Input, LIMIT, Output, Process, run};
    use multiwasm_conformance::ctr::lab;
    use multiwasm_conformance::docker::docker;
    use nix::mount::{MntFlags, MsFlags, mount, umount2};
    use tempfile::TempDir;

    const BASE: &str = "localhost/multiwasm/installer-base:1";
    const IMAGE: &str = "localhost/multiwasm/installer:1";

    /// How long a build may take: a hundred megabytes are packed, unpacked and copied.
    const BUILD: Duration = Duration::from_secs(300);

    /// What the host's `daemon.json` says before.
    const OWN: &str = "{\n  \"log-driver\": \"local\"\n}\n";

    /// The README's base, busybox, as far as the lab has one.
    const BASE_FILE: &str = r#"FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
"#;

    /// Where `make stage` has installed: bin, and lib/multiwasm/engines.
    fn stage() -> PathBuf {
        let engines = &lab().engines;
        assert!(engines.ends_with("lib/multiwasm/engines"), "{}", engines.display());
        engines.ancestors().nth(3).unwrap().to_owned()
    }

    /// All below `root` but folders, from there on.
    fn files(root: &Path) -> BTreeSet<String> {
        fn walk(root: &Path, folder: &Path, found: &mut BTreeSet<String>) {
            for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    walk(root, &entry.path(), found);
                } else {
                    found.insert(entry.path().strip_prefix(root).unwrap().display().to_string());
                }
            }
        }
        let mut found = BTreeSet::new();
        walk(root, root, &mut found);
        found
    }

    /// What is on a host that has it all, below its `/usr/local`.
    fn all() -> BTreeSet<String> {
        let mut all = files(&stage());
        all.insert("lib/multiwasm/installed".to_owned());
        all
    }

    /// `docker build` in `context`, with `flags`.
    fn build(name: &str, flags: &[&str], context: &Path) {
        let context = context.display().to_string();
        let words = [&["build", "--load", "-t", name], flags, &[&context]].concat();
        let command = lab().docker(words).expect("this suite has Docker");
        let built = Process::start(&command, Input::Nothing).and_then(|process| process.finish(BUILD));
        built.unwrap_or_else(|error| panic!("{error}")).expect_code(0);
    }

    /// The image, built once in a test process, of the programs that the lab has.
    fn image() -> &'static str {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let folder = tempfile::tempdir().unwrap();
            let (base, packages) = (folder.path().join("base"), folder.path().join("packages"));
            fs::create_dir(&base).unwrap();
            fs::create_dir(&packages).unwrap();
            fs::copy(&lab().busybox, base.join("busybox")).unwrap();
            fs::write(base.join("Dockerfile"), BASE_FILE).unwrap();
            build(BASE, &[], &base);
            pack(&packages);
            let source = lab().script.with_file_name("../docker-desktop-config/installer");
            let packages = format!("packages={}", packages.display());
            build(IMAGE, &["--build-arg", &format!("BASE_IMAGE={BASE}"), "--build-context", &packages], &source);
        });
        IMAGE
    }

    /// The tarball of the programs, as `make package` calls and arranges it.
    fn pack(into: &Path) {
        let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let root = format!("multiwasm-{}", env!("CARGO_PKG_VERSION"));
        let archive = File::create(into.join(format!("{root}-linux-{arch}.tar.gz"))).unwrap();
        let mut tar = tar::Builder::new(GzEncoder::new(archive, Compression::fast()));
        // busybox's tar, which unpacks it, knows no files with holes, and packages have none.
        tar.sparse(false);
        tar.follow_symlinks(false);
        for part in ["bin", "lib"] {
            tar.append_dir_all(format!("{root}/{part}"), stage().join(part)).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap();
    }

    /// A host's root.
    struct Host(TempDir);

    impl Host {
        /// This machine's, without what it has below `/usr/local`, with a `daemon.json` of its own.
        fn new() -> Self {
            Self::with_room("mode=0755")
        }

        /// The same with a disk as these options of a tmpfs make it.
        fn with_room(options: &str) -> Self {
            // Beside containerd's state, as the lab unmounts what is there, whatever becomes of this process.
            let state = lab().state.parent().unwrap();
            let host = Self(tempfile::Builder::new().prefix("installer-").tempdir_in(state).unwrap());
            let memory = host.0.path();
            mount(Some("tmpfs"), memory, Some("tmpfs"), MsFlags::empty(), Some(options)).unwrap();
            for name in ["upper", "work", "root", "local"] {
                fs::create_dir(memory.join(name)).unwrap();
            }
            let layers = format!("lowerdir=/,upperdir={0}/upper,workdir={0}/work", memory.display());
            mount(Some("overlay"), &host.root(), Some("overlay"), MsFlags::empty(), Some(layers.as_str())).unwrap();
            mount(Some(&memory.join("local")), &host.local(), None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
            if host.docker_folder().exists() {
                fs::remove_dir_all(host.docker_folder()).unwrap();
            }
            fs::create_dir(host.docker_folder()).unwrap();
            fs::write(host.docker_folder().join("daemon.json"), OWN).unwrap();
            host
        }

        fn root(&self) -> PathBuf {
            self.0.path().join("root")
        }

        fn local(&self) -> PathBuf {
            self.root().join("usr/local")
        }

        fn docker_folder(&self) -> PathBuf {
            self.root().join("etc/docker")
        }

        fn daemon_json(&self) -> String {
            fs::read_to_string(self.docker_folder().join("daemon.json")).unwrap()
        }

        fn list(&self) -> PathBuf {
            self.local().join("lib/multiwasm/installed")
        }

        /// Runs the installer on it.
        fn installer(&self, words: &[&str]) -> Output {
            installer(&self.root(), words)
        }

        /// Each file's inode, mode and time of change: they tell a file that was written again.
        fn state(&self) -> BTreeMap<String, (u64, u32, i64, i64)> {
            let told = |name: String| {
                let file = fs::symlink_metadata(self.local().join(&name)).unwrap();
                (name, (file.ino(), file.mode(), file.ctime(), file.ctime_nsec()))
            };
            files(&self.local()).into_iter().map(told).collect()
        }

        /// Ends an installer with SIGKILL when it has begun and is far from done.
        fn kill_an_installer(&self) {
            let name = self.0.path().file_name().unwrap().to_string_lossy().into_owned();
            let volume = volume(&self.root());
            // What takes a tenth of a second takes seconds on a twentieth of a processor.
            let words =
                ["run", "--rm", "--privileged", "--cpus=0.05", "--name", &name, "-v", &volume, image(), "files"];
            let command = lab().docker(words).expect("this suite has Docker");
            let running = Process::start(&command, Input::Nothing).unwrap();
            running.await_out("/usr/local/lib/multiwasm/installed: written", LIMIT).unwrap();
            docker(&["kill", &name]).expect_code(0);
            running.finish(LIMIT).unwrap().expect_code(137);
            // The shim is the last.
            assert!(!self.local().join("bin/containerd-shim-multiwasm-v1").exists());
            assert!(self.list().exists());
        }
    }

    impl Drop for Host {
        fn drop(&mut self) {
            // With all that is mounted below it. It is not there where mounting it has failed.
            let _ = umount2(self.0.path(), MntFlags::MNT_DETACH);
        }
    }

    fn volume(root: &Path) -> String {
        format!("{}:/host", root.display())
    }

    /// Runs the installer on the host with this root.
    fn installer(root: &Path, words: &[&str]) -> Output {
        docker(&[&["run", "--rm", "--privileged", "-v", &volume(root), image()], words].concat())
    }

    #[test]
    fn a_host_has_all_of_it_and_docker_is_told() {
        let host = Host::new();
        let said = host.installer(&["docker"]);
        for part in
            ["/usr/local/bin/multiwasm: written", "/etc/docker/daemon.json: written", "systemctl restart docker"]
        {
            assert!(said.expect_code(0).out().contains(part), "no {part:?}: {said}");
        }
        assert_eq!(files(&host.local()), all());
        for name in files(&stage()) {
            let (ours, theirs) = (stage().join(&name), host.local().join(&name));
            let file = fs::symlink_metadata(&theirs).unwrap();
            assert_eq!((file.uid(), file.gid()), (0, 0), "{name}");
            if ours.is_symlink() {
                assert_eq!(fs::read_link(&theirs).unwrap(), fs::read_link(&ours).unwrap(), "{name}");
            } else {
                let mode = if name.starts_with("bin/") { 0o755 } else { 0o644 };
                assert_eq!(file.mode() & 0o7777, mode, "{name}");
                assert!(fs::read(&theirs).unwrap() == fs::read(&ours).unwrap(), "{name} is not what was packed");
            }
        }
        let told = host.daemon_json();
        assert!(
            told.contains("\"io.containerd.multiwasm.v1\"") && told.contains("\"log-driver\": \"local\""),
            "{told}"
        );
        // Without a word of where they are, on that host.
        let root = host.root().display().to_string();
        let engines =
            run(&["env", "-u", "MULTIWASM_ENGINE_PATH", "chroot", &root, "/usr/local/bin/multiwasm", "engines"])
                .unwrap();
        for engine in ["wasmtime", "wasmedge", "wasmer"] {
            let path = format!("/usr/local/lib/multiwasm/engines/libmultiwasm_{engine}.so");
            assert!(engines.expect_code(0).out().contains(&path), "{engines}");
        }
    }

    #[test]
    fn a_second_run_changes_nothing() {
        let host = Host::new();
        host.installer(&["docker"]).expect_code(0);
        let (files, json) = (host.state(), host.daemon_json());
        let again = host.installer(&["docker"]);
        for path in ["/usr/local", "/etc/docker/daemon.json"] {
            assert!(again.expect_code(0).out().contains(&format!("{path}: nothing to change")), "{again}");
        }
        assert_eq!((host.state(), host.daemon_json()), (files, json));
    }

    #[test]
    fn what_an_earlier_release_had_goes_and_what_others_have_stays() {
        let host = Host::new();
        host.installer(&["files"]).expect_code(0);
        let [old, others] = ["old", "others"].map(|name| format!("lib/multiwasm/engines/libmultiwasm_{name}.so"));
        for name in [&old, &others] {
            fs::write(host.local().join(name), "").unwrap();
        }
        let list = fs::read_to_string(host.list()).unwrap();
        fs::write(host.list(), format!("{list}/usr/local/{old}\n")).unwrap();
        let said = host.installer(&["files"]);
        assert!(said.expect_code(0).out().contains(&format!("/usr/local/{old}: removed")), "{said}");
        let mut wanted = all();
        wanted.insert(others);
        assert_eq!(files(&host.local()), wanted);
        assert_eq!(fs::read_to_string(host.list()).unwrap(), list);
    }

    #[test]
    fn uninstall_leaves_the_host_as_it_was() {
        let host = Host::new();
        host.installer(&["docker"]).expect_code(0);
        host.installer(&["uninstall", "docker"]).expect_code(0);
        assert_eq!(files(&host.local()), BTreeSet::new());
        assert!(!host.local().join("lib/multiwasm").exists());
        assert_eq!(host.daemon_json(), OWN);
        assert_eq!(files(&host.docker_folder()), ["daemon.json".to_owned()].into());
        let again = host.installer(&["uninstall", "docker"]);
        assert!(again.expect_code(0).out().contains("nothing that this script has installed"), "{again}");
    }

    #[test]
    fn programs_in_a_folder_of_their_own_are_found_again() {
        let host = Host::new();
        let volume = volume(&host.root());
        let words = ["run", "--rm", "--privileged", "-v", &volume, "-e", "SHIM_FOLDER=/usr/bin", image(), "docker"];
        docker(&words).expect_code(0);
        assert!(host.root().join("usr/bin/containerd-shim-wasmtime-v1").exists());
        assert!(!host.local().join("bin/multiwasm").exists());
        host.installer(&["uninstall", "docker"]).expect_code(0);
        assert_eq!(files(&host.local()), BTreeSet::new());
        for name in files(&stage()).iter().filter(|name| name.starts_with("bin/")) {
            assert!(!host.root().join("usr").join(name).exists(), "{name}");
        }
        assert_eq!(host.daemon_json(), OWN);
    }

    #[test]
    fn what_a_killed_run_has_left_is_removed() {
        let host = Host::new();
        host.kill_an_installer();
        host.installer(&["uninstall", "docker"]).expect_code(0);
        assert_eq!(files(&host.local()), BTreeSet::new());
    }

    #[test]
    fn a_killed_run_is_finished_by_the_next() {
        let host = Host::new();
        host.kill_an_installer();
        host.installer(&["files"]).expect_code(0);
        assert_eq!(files(&host.local()), all());
    }

    #[test]
    fn a_full_disk_is_said_and_nothing_half_done_stays() {
        let sizes = files(&stage()).into_iter().map(|name| fs::symlink_metadata(stage().join(name)).unwrap().len());
        let host = Host::with_room(&format!("mode=0755,size={}", sizes.sum::<u64>() / 2));
        let said = host.installer(&["docker"]);
        said.expect_code(1).expect_err(&["No space left", "could not be brought to the host", "run this again"]);
        assert_eq!(files(&host.local()), ["lib/multiwasm/installed".to_owned()].into());
        host.installer(&["uninstall", "docker"]).expect_code(0);
        assert_eq!((files(&host.local()), host.daemon_json()), (BTreeSet::new(), OWN.to_owned()));
    }

    #[test]
    fn without_the_hosts_root_it_says_how_to_mount_it() {
        let said = docker(&["run", "--rm", "--privileged", image(), "docker"]);
        said.expect_code(1).expect_err(&["the host's root is not at /host", "--privileged -v /:/host"]);
    }

    #[test]
    fn a_host_that_can_not_run_it_is_told_and_not_changed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir(root.join("etc")).unwrap();
        let said = installer(root, &["docker"]);
        said.expect_code(1).expect_err(&["multiwasm does not run on this host", "glibc 2.34", "Nothing was changed."]);
        let left: Vec<_> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["etc"]);
        assert_eq!(fs::read_dir(root.join("etc")).unwrap().count(), 0);
    }
}
