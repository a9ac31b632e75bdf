//! Faults on purpose, by which the conformance suite is proven: it must find each of them.
//!
//! They are there in a build with the feature `faults` alone, which nothing but tests makes. In any other [`is`] is never
//! true, and what hangs on it is not compiled in.

use std::path::Path;

use crate::selection::Choice;

macro_rules! faults {
    ($($(#[$doc:meta])* $fault:ident = $name:literal,)*) => {
        /// Something that can be broken.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[cfg_attr(not(feature = "faults"), allow(dead_code))]
        pub(crate) enum Fault { $($(#[$doc])* $fault,)* }

        /// All of them by the names that the annotation takes.
        #[cfg(feature = "faults")]
        const ALL: &[(&str, Fault)] = &[$(($name, Fault::$fault),)*];
    };
}

faults! {
    /// A guest never meets the end of its standard input.
    StdinEnd = "stdin-end",
    /// Exit codes below 128 become 0.
    ExitCode = "exit-code",
    /// A process that a signal has ended exits with the signal's number.
    SignalCode = "signal-code",
    /// A mount is left.
    Mount = "mount",
    /// The cgroup is left.
    Cgroup = "cgroup",
    /// The folder below /run/multiwasm is left.
    State = "state",
    /// The server does not end when it is told to.
    Shutdown = "shutdown",
    /// Wasmtime runs what another engine shall run, and Wasmer what Wasmtime shall.
    Engine = "engine",
    /// TaskExit is not told.
    ExitEvent = "exit-event",
    /// TaskOOM is not told.
    OomEvent = "oom-event",
    /// TaskStart is told after TaskExit.
    EventOrder = "event-order",
    /// SIGTERM does not reach the process.
    Terminate = "terminate",
    /// Wait answers at once.
    Wait = "wait",
    /// Pids does not tell of the newest process.
    Pids = "pids",
    /// Memory limits are 0 in Stats.
    Stats = "stats",
    /// What Exec has started exits with 0.
    ExecCode = "exec-code",
    /// Mounts that shall be read-only can be written to.
    ReadOnly = "read-only",
    /// A terminal has no size.
    TerminalSize = "terminal-size",
    /// Delete does not wait for a terminal's last output, and it is lost.
    TerminalOutput = "terminal-output",
    /// Messages of engines don't name the file.
    Message = "message",
    /// Pause and Resume do nothing.
    Pause = "pause",
    /// Update does nothing.
    Update = "update",
    /// Everybody is root.
    User = "user",
    /// The last variable is lost.
    Environment = "environment",
    /// The working directory is /.
    Directory = "directory",
}

/// What a program says of itself where it was built to break.
pub(crate) const MARK: &str = if cfg!(feature = "faults") { " (built to break, for tests alone)" } else { "" };

/// How late is what is late: more than a client takes from Wait to Delete.
pub(crate) const LATE: std::time::Duration = std::time::Duration::from_millis(500);

/// Whether this is broken.
#[cfg(not(feature = "faults"))]
pub(crate) const fn is(_: Fault) -> bool {
    false
}

/// Breaks nothing.
#[cfg(not(feature = "faults"))]
pub(crate) const fn choose(_: &std::collections::HashMap<String, String>) {}

/// Breaks nothing.
#[cfg(not(feature = "faults"))]
pub(crate) const fn choose_in(_: &Path) {}

/// Says nothing.
#[cfg(not(feature = "faults"))]
pub(crate) const fn warn() {}

/// Leaves a specification as it is.
#[cfg(not(feature = "faults"))]
pub(crate) const fn break_spec(_: &mut oci_spec::runtime::Spec) {}

#[cfg(feature = "faults")]
pub(crate) use chosen::{break_spec, choose, choose_in, is, warn};

#[cfg(feature = "faults")]
mod chosen {
    use std::collections::HashMap;
    use std::path::Path;
    use std::sync::OnceLock;

    use oci_spec::runtime::{Spec, User};

    use super::{ALL, Fault};

    /// The annotation of the first container of a shim that names what is broken.
    const ANNOTATION: &str = "io.containerd.multiwasm-test.fault";

    static CHOSEN: OnceLock<Fault> = OnceLock::new();

    /// Whether this is broken.
    pub(crate) fn is(fault: Fault) -> bool {
        CHOSEN.get() == Some(&fault)
    }

    /// Breaks what the annotations of a shim's first container name; its children inherit that.
    pub(crate) fn choose(annotations: &HashMap<String, String>) {
        let Some(name) = annotations.get(ANNOTATION) else { return };
        match ALL.iter().find(|(known, _)| known == name) {
            Some((_, fault)) => drop(CHOSEN.set(*fault)),
            // A test that asked for it would prove nothing.
            None => panic!("there is no fault {name:?}"),
        }
    }

    /// As [`choose`], for who has only the bundle.
    pub(crate) fn choose_in(bundle: &Path) {
        if let Ok(spec) = Spec::load(bundle.join("config.json")) {
            choose(spec.annotations().as_ref().unwrap_or(&HashMap::new()));
        }
    }

    /// Breaks what the specification says.
    pub(crate) fn break_spec(spec: &mut Spec) {
        for options in spec.mounts_mut().iter_mut().flatten().filter_map(|mount| mount.options_mut().as_mut()) {
            options.retain(|option| option != "ro" || !is(Fault::ReadOnly));
        }
        let Some(process) = spec.process_mut() else { return };
        if is(Fault::User) {
            process.set_user(User::default());
        }
        if is(Fault::Environment) {
            process.env_mut().iter_mut().for_each(|env| drop(env.pop()));
        }
        if is(Fault::Directory) {
            process.set_cwd("/".into());
        }
    }

    /// Says in the log what this is.
    pub(crate) fn warn() {
        tracing::warn!("this shim was built to break, for tests alone; broken: {:?}", CHOSEN.get());
    }
}

/// Another engine than the one that was chosen.
pub(crate) fn another(choice: Choice) -> Choice {
    let engine = if choice.engine == "wasmtime" { "wasmer" } else { "wasmtime" };
    Choice { engine: engine.to_owned(), ..choice }
}

/// Mounts something for a container that nobody will take off.
pub(crate) fn leave_mount(namespace: &str, id: &str) -> std::io::Result<()> {
    let folder = Path::new("/run/multiwasm-test").join(namespace).join(id);
    std::fs::create_dir_all(&folder)?;
    let flags = nix::mount::MsFlags::empty();
    nix::mount::mount(Some("left"), &folder, Some("tmpfs"), flags, None::<&str>).map_err(Into::into)
}
