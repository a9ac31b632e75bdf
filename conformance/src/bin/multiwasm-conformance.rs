//! The command `multiwasm-conformance`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    multiwasm_conformance::command_line::main()
}
