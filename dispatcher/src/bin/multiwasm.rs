//! The command `multiwasm`, for people.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    multiwasm::command::main()
}
