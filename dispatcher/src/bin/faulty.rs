//! `containerd-shim-faulty-v1`: the shim with faults on purpose, for tests alone; see `src/fault.rs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    multiwasm::bootstrap::main(&args)
}
