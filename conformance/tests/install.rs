//! `multiwasm install` on the configuration of the daemons that the lab has: they read what it writes.

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use multiwasm_conformance::command::{Output, run};
    use multiwasm_conformance::ctr::lab;

    fn program(name: &str) -> PathBuf {
        lab().ctr.with_file_name(name)
    }

    fn ran(program: &Path, words: &[&str]) -> Output {
        let mut command = vec![program.display().to_string()];
        command.extend(words.iter().map(|word| (*word).to_owned()));
        run(&command).unwrap_or_else(|error| panic!("{error}"))
    }

    fn multiwasm(words: &[&str]) -> Output {
        ran(Path::new("multiwasm"), words)
    }

    /// What containerd makes of a configuration.
    fn dumped(config: &Path) -> Output {
        ran(&program("containerd"), &["--config", &config.display().to_string(), "config", "dump"])
    }

    #[test]
    fn containerd_reads_the_handlers() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.toml");
        let own = ran(&program("containerd"), &["config", "default"]).expect_code(0).out();
        fs::write(&config, &own).unwrap();
        let path = config.display().to_string();
        let dry = multiwasm(&["install", "containerd", "--config", &path, "--dry-run"]);
        assert!(dry.expect_code(0).out().contains("not written"), "{dry}");
        assert_eq!(fs::read_to_string(&config).unwrap(), own);
        let written = multiwasm(&["install", "containerd", "--config", &path]);
        assert!(written.expect_code(0).out().contains("systemctl restart containerd"), "{written}");
        let dump = dumped(&config);
        for handler in ["multiwasm", "wasmtime", "wasmedge", "wasmer"] {
            let line = format!("runtime_type = \"io.containerd.{handler}.v1\"");
            let out = dump.expect_code(0).out().replace('\'', "\"");
            assert!(out.contains(&line), "{dump}");
        }
        let again = multiwasm(&["install", "containerd", "--config", &path]);
        assert!(again.expect_code(0).out().contains("nothing to change"), "{again}");
        multiwasm(&["uninstall", "containerd", "--config", &path]).expect_code(0);
        assert_eq!(fs::read_to_string(&config).unwrap(), own);
    }

    #[test]
    fn containerd_reads_what_k3s_makes_of_the_template() {
        let folder = tempfile::tempdir().unwrap();
        let version = if lab().containerd_version().unwrap().trim_start_matches('v').starts_with("1.") { 2 } else { 3 };
        fs::write(folder.path().join("config.toml"), format!("version = {version}\n")).unwrap();
        multiwasm(&["install", "k3s", "--config", &folder.path().display().to_string()]).expect_code(0);
        let template = folder.path().join(if version == 2 { "config.toml.tmpl" } else { "config-v3.toml.tmpl" });
        let made = fs::read_to_string(&template)
            .unwrap()
            .replace("{{ template \"base\" . }}", &format!("version = {version}"));
        let config = folder.path().join("made.toml");
        fs::write(&config, made).unwrap();
        let dump = dumped(&config);
        assert!(dump.expect_code(0).out().replace('\'', "\"").contains("\"io.containerd.multiwasm.v1\""), "{dump}");
        multiwasm(&["uninstall", "k3s", "--config", &folder.path().display().to_string()]).expect_code(0);
        assert!(!template.exists());
    }

    #[test]
    fn docker_takes_its_configuration() {
        if lab().docker.is_none() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("daemon.json");
        fs::write(&config, "{\n  \"log-driver\": \"local\"\n}\n").unwrap();
        let path = config.display().to_string();
        multiwasm(&["install", "docker", "--config", &path]).expect_code(0);
        ran(&program("dockerd"), &["--validate", "--config-file", &path]).expect_code(0);
        // It is looked at in earnest.
        fs::write(&config, fs::read_to_string(&config).unwrap().replace("log-driver", "log-drivers")).unwrap();
        assert_ne!(ran(&program("dockerd"), &["--validate", "--config-file", &path]).code, 0);
    }

    #[test]
    fn what_can_not_be_changed_is_told_and_left() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.toml");
        fs::write(&config, "version = [\n").unwrap();
        let path = config.display().to_string();
        multiwasm(&["install", "containerd", "--config", &path]).expect_code(1).expect_err(&[&path, "can't be read"]);
        assert_eq!(fs::read_to_string(&config).unwrap(), "version = [\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
