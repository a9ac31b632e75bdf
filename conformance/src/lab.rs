//! The containerd and Docker that the tests run against, as `scripts/lab` describes them in the environment.

use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::command::{CommandError, Output, run};

/// Why there is no lab to run in.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A variable that a lab sets is missing.
    #[error("{0} is not set: this needs a lab, start it with `make test` or `scripts/lab run trixie -- COMMAND`")]
    NotInLab(&'static str),
    /// A file or folder of the lab can't be read or written.
    #[error("{path}: {cause}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// A command of the lab failed.
    #[error(transparent)]
    Command(#[from] CommandError),
}

/// The parts of a lab.
#[derive(Debug, Clone)]
pub struct Lab {
    /// Debian's suite that the parts are from.
    pub suite: String,
    /// containerd's socket.
    pub containerd: PathBuf,
    /// containerd's state folder, with the bundles in it.
    pub state: PathBuf,
    /// containerd's log.
    pub log: PathBuf,
    /// The `ctr` that belongs to this containerd.
    pub ctr: PathBuf,
    /// The `docker` that belongs to this Docker; none where the suite has none.
    pub docker: Option<PathBuf>,
    /// The `crictl` of a lab whose containerd has the CRI plug-in; none in other labs, and where there is no `crictl`.
    pub crictl: Option<PathBuf>,
    /// A static busybox.
    pub busybox: PathBuf,
    /// A registry of images.
    pub registry: PathBuf,
    /// Where the engines lie that the shim loads.
    pub engines: PathBuf,
    /// `scripts/lab`.
    pub script: PathBuf,
    /// A folder for what is built once for all tests.
    pub cache: PathBuf,
}

impl Lab {
    /// The lab that this process runs in.
    pub fn from_env() -> Result<Self, LabError> {
        let path = |name| env::var_os(name).map(PathBuf::from).ok_or(LabError::NotInLab(name));
        let cache = path("MULTIWASM_BUILD")?.join("conformance");
        fs::create_dir_all(&cache).map_err(|cause| LabError::File { path: cache.clone(), cause })?;
        Ok(Self {
            suite: path("MULTIWASM_LAB_SUITE")?.to_string_lossy().into_owned(),
            containerd: path("MULTIWASM_LAB_CONTAINERD")?,
            state: path("MULTIWASM_LAB_STATE")?,
            log: path("MULTIWASM_LAB_LOG")?,
            ctr: path("MULTIWASM_LAB_CTR")?,
            docker: Some(path("MULTIWASM_LAB_DOCKER")?).filter(|path| path != Path::new("")),
            crictl: Some(path("MULTIWASM_LAB_CRICTL")?).filter(|path| path != Path::new("")),
            busybox: path("MULTIWASM_LAB_BUSYBOX")?,
            registry: path("MULTIWASM_LAB_REGISTRY")?,
            engines: path("MULTIWASM_LAB_ENGINES")?,
            script: path("MULTIWASM_LAB_SCRIPT")?,
            cache,
        })
    }

    /// `ctr` with this lab's address and `namespace`, and `words` behind.
    pub fn ctr<S: AsRef<str>>(&self, namespace: &str, words: impl IntoIterator<Item = S>) -> Vec<String> {
        let address = self.containerd.display().to_string();
        let mut command =
            vec![self.ctr.display().to_string(), "--address".into(), address, "-n".into(), namespace.into()];
        command.extend(words.into_iter().map(|word| word.as_ref().to_owned()));
        command
    }

    /// `docker` with `words` behind; it finds the lab's daemon by its environment. None where the suite has no Docker.
    pub fn docker<S: AsRef<str>>(&self, words: impl IntoIterator<Item = S>) -> Option<Vec<String>> {
        let mut command = vec![self.docker.as_ref()?.display().to_string()];
        command.extend(words.into_iter().map(|word| word.as_ref().to_owned()));
        Some(command)
    }

    /// containerd's version, as it says it.
    pub fn containerd_version(&self) -> Result<String, CommandError> {
        let told = run(&self.ctr("default", ["version"]))?.success()?.out();
        let server = told.split("Server:").nth(1).unwrap_or(&told);
        let version = server.lines().find_map(|line| line.trim().strip_prefix("Version:"));
        Ok(version.unwrap_or_default().trim().to_owned())
    }

    /// Ends containerd as a crash does: with SIGKILL, its shims live on.
    pub fn kill_containerd(&self) -> Result<Output, CommandError> {
        self.lab("kill-containerd")
    }

    /// Starts containerd again, and returns when it answers.
    pub fn start_containerd(&self) -> Result<Output, CommandError> {
        self.lab("start-containerd")
    }

    fn lab(&self, verb: &str) -> Result<Output, CommandError> {
        run(&[self.script.display().to_string(), verb.into(), self.suite.clone()])?.success()
    }
}
