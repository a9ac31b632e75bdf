//! docker-desktop-config's files are, byte for byte, what `multiwasm install` makes of nothing.

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    fn ours(name: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker-desktop-config").join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Runs `multiwasm install TARGET --config CONFIG` on a machine whose containerd is of this version.
    fn install(target: &str, config: &Path, containerd: &str) {
        let programs = tempfile::tempdir().unwrap();
        let path = programs.path().join("containerd");
        fs::write(&path, format!("#!/bin/sh\necho containerd github.com/containerd/containerd {containerd} 0\n"))
            .unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_multiwasm"));
        let output = command.args(["install", target, "--config"]).arg(config).env("PATH", programs.path()).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn read(path: PathBuf) -> String {
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    #[test]
    fn dockers_file_is_what_install_makes() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("daemon.json");
        install("docker", &config, "v2.1.0");
        assert_eq!(read(config), ours("daemon.json"));
    }

    #[test]
    fn containerds_files_are_what_install_makes() {
        for (containerd, name) in [("v1.7.24", "containerd-v2.toml"), ("v2.1.0", "containerd-v3.toml")] {
            let folder = tempfile::tempdir().unwrap();
            let config = folder.path().join("config.toml");
            install("containerd", &config, containerd);
            assert_eq!(read(config), ours(name), "{name}");
        }
    }

    #[test]
    fn k3s_templates_are_what_install_makes() {
        for (version, name) in [(2, "config.toml.tmpl"), (3, "config-v3.toml.tmpl")] {
            let folder = tempfile::tempdir().unwrap();
            // What K3s has made of its own template.
            fs::write(folder.path().join("config.toml"), format!("version = {version}\n")).unwrap();
            install("k3s", folder.path(), "v2.1.0");
            assert_eq!(read(folder.path().join(name)), ours(&format!("k3s/{name}")), "{name}");
        }
    }
}
