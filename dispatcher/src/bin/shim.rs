//! `containerd-shim-multiwasm-v1`: the program that containerd calls.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    multiwasm::bootstrap::main(&args)
}
