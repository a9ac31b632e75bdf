//! The smallest engine in Rust: it says a guest's arguments instead of running it (docs/engine-authors.md).

use std::fs::File;
use std::io::Write;
use std::path::Path;

use multiwasm_engine::{
    Capabilities, Description, Engine, EngineError, ErrorKind, Guest, Outcome, Settings, Source, export_engine,
};

struct Parrot;

/// What it says, and where.
struct Instance {
    out: File,
    text: String,
}

impl Engine for Parrot {
    type Module = ();
    type Instance = Instance;

    fn describe() -> Description {
        let capabilities = Capabilities::MODULES.and(Capabilities::PREVIEW1);
        Description { name: "parrot".to_owned(), version: "0.1.0".to_owned(), capabilities }
    }

    fn open(_settings: &Settings) -> Result<Self, EngineError> {
        Ok(Self)
    }

    fn fingerprint(&self) -> String {
        "parrot 0.1.0".to_owned()
    }

    /// Never called, as [`Capabilities::AOT`] is not said.
    fn compile(&self, _source: &Source<'_>, _artifact: &Path) -> Result<(), EngineError> {
        Err(EngineError::new(ErrorKind::Unsupported, "a parrot compiles nothing"))
    }

    fn load(&self, source: &Source<'_>) -> Result<(), EngineError> {
        if source.component {
            return Err(EngineError::new(ErrorKind::Unsupported, "components are not for parrots"));
        }
        Ok(())
    }

    fn instantiate(&self, _module: (), guest: &Guest<'_>) -> Result<Instance, EngineError> {
        let out = guest.stdout.try_clone_to_owned().map_err(EngineError::failed)?;
        Ok(Instance { out: out.into(), text: guest.args.join("\n") + "\n" })
    }

    fn run(&self, mut instance: Instance) -> Outcome {
        match instance.out.write_all(instance.text.as_bytes()) {
            Ok(()) => Outcome::Exited(0),
            Err(error) => Outcome::Failed(format!("nobody listens: {error}")),
        }
    }
}

export_engine!(Parrot);
