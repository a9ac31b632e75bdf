//! What libcontainer calls inside of the new process: the last steps before the gate, and the run behind it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{PipeWriter, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;
use std::rc::Rc;

use libcontainer::workload::default::DefaultExecutor;
use libcontainer::workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError};
use nix::unistd::alarm;
use oci_spec::runtime::Spec;

use super::{program, terminal};
use crate::guest::{self, Guest, Ready};

/// How long instantiating may take, in seconds. Modules of 20 MB take some milliseconds; what takes longer does not end.
const INSTANTIATE_SECONDS: u32 = 60;

/// Runs a container's workload, WebAssembly or native.
///
/// libcontainer clones it on the way to the new process; all clones are the same workload.
#[derive(Clone)]
pub(super) struct Workload(Rc<Inner>);

struct Inner {
    stage: RefCell<Stage>,
    /// Descriptors of the shim that a guest must not have. Nothing is executed, so close-on-exec does not help; and as code
    /// that knows their numbers goes on to run here, they become /dev/null rather than free.
    taken: Vec<RawFd>,
    null: File,
    /// Whether stdin is a terminal that this process shall lead. One that libcontainer makes is led by then.
    terminal: bool,
    /// Where what goes wrong in here is said: libcontainer wraps messages in its own.
    report: RefCell<Option<PipeWriter>>,
}

enum Stage {
    Native,
    Loaded(Box<Guest>),
    Ready(Ready),
    Gone,
}

impl Workload {
    /// A workload: `guest`, or what the specification says if there is none. It is made before the container has a root of
    /// its own, so that there is a /dev/null.
    pub(super) fn new(
        guest: Option<Guest>,
        taken: Vec<RawFd>,
        terminal: bool,
        report: PipeWriter,
    ) -> std::io::Result<Self> {
        let stage = RefCell::new(guest.map_or(Stage::Native, |guest| Stage::Loaded(Box::new(guest))));
        let null = File::options().read(true).write(true).open("/dev/null")?;
        Ok(Self(Rc::new(Inner { stage, taken, null, terminal, report: RefCell::new(Some(report)) })))
    }

    /// Closes this process's end of the report, so that its reader meets the end when the new process has closed its own.
    pub(super) fn close_report(&self) {
        self.0.report.take();
    }

    fn report(&self, message: String) -> ExecutorValidationError {
        if let Some(mut report) = self.0.report.take() {
            // The reader is the worker, which reads when this process has ended: more than a pipe holds would block.
            let most = message.floor_char_boundary(16 << 10);
            let _ = report.write_all(&message.as_bytes()[..most]);
        }
        ExecutorValidationError::ArgValidationError(message)
    }

    fn prepare(&self, spec: &Spec) -> Result<(), String> {
        let process = spec.process().as_ref();
        guest::set_name(process.and_then(|process| process.args().as_deref()).unwrap_or_default());
        if self.0.terminal {
            terminal::take_control().map_err(|error| format!("the terminal can't be controlled: {error}"))?;
        }
        let stage = self.0.stage.replace(Stage::Gone);
        let Stage::Loaded(guest) = stage else {
            guest::end_on_signals().map_err(|error| format!("signal handlers can't be installed: {error}"))?;
            self.0.stage.replace(stage);
            return Ok(());
        };
        let ready = instantiate(*guest, &self.0.taken, &self.0.null)?;
        self.0.stage.replace(Stage::Ready(ready));
        Ok(())
    }
}

/// Makes this process the guest's: what is in `taken` becomes `null`, signals end it, the module becomes an instance in the
/// file system as it is now.
pub(super) fn instantiate(guest: Guest, taken: &[RawFd], null: &File) -> Result<Ready, String> {
    guest::end_on_signals().map_err(|error| format!("signal handlers can't be installed: {error}"))?;
    for descriptor in taken {
        // SAFETY: a system call on numbers; what had this one meets /dev/null from now on.
        unsafe { libc::dup2(null.as_raw_fd(), *descriptor) };
    }
    let directories = guest::of_container(Path::new("/"), &guest.cwd)
        .map_err(|error| format!("the root file system can't be read: {error}"))?;
    let engine = guest.module.engine().plugin().description().name.clone();
    let name = guest.name.clone();
    // A component's own initialisers run here, and who asked must be answered.
    alarm::set(INSTANTIATE_SECONDS);
    let ready = guest.enter(directories);
    alarm::cancel();
    ready.map_err(|error| format!("{name} on {engine}: {error}"))
}

impl Executor for Workload {
    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        self.prepare(spec).map_err(|message| self.report(message))?;
        self.close_report();
        Ok(())
    }

    fn setup_envs(&self, envs: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        match *self.0.stage.borrow() {
            // A guest's environment is the engine's business, as given; this process's own stays what it is.
            Stage::Ready(_) => Ok(()),
            _ => DefaultExecutor {}.setup_envs(envs),
        }
    }

    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        match self.0.stage.replace(Stage::Gone) {
            Stage::Ready(ready) => {
                let code = ready.run();
                // SAFETY: ends the process at once. Exit handlers and destructors of an engine would only take time: the
                // kernel takes everything back.
                unsafe { libc::_exit(code) }
            }
            _ => {
                guest::restore_for_native().map_err(|error| ExecutorError::Other(error.to_string()))?;
                let process = spec.process().as_ref();
                let arguments = program::arguments(process.and_then(|it| it.args().as_deref()).unwrap_or_default());
                let refused = program::execute(&arguments.map_err(ExecutorError::Other)?);
                // The gate is open, so nobody but the container's own stderr can be told.
                let _ = writeln!(std::io::stderr(), "multiwasm: {}", refused.message);
                // SAFETY: as above.
                unsafe { libc::_exit(refused.status) }
            }
        }
    }
}
