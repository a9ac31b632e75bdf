//! The shim binary's command line: `start`, `delete`, `-info` and `-v`, as containerd calls them.
//!
//! <https://github.com/containerd/containerd/blob/main/docs/runtime-v2.md>

mod address;
mod delete;
mod info;
mod params;
mod start;

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

pub use address::Seat;
pub use params::{Params, ParamsError};

use crate::causes::chain;
use crate::fault;
use crate::selection::alias_of;

/// Runs the shim binary; `args` are those of the process, `args[0]` included.
pub fn main(args: &[String]) -> ExitCode {
    let name = args.first().map(String::as_str).unwrap_or("containerd-shim-multiwasm-v1");
    let flags = match containerd_shim::parse(args.get(1..).unwrap_or_default()) {
        Ok(flags) => flags,
        Err(error) => return fail(name, &error),
    };
    if flags.version {
        println!("{name}:\n  Version:  {}{}\n", env!("CARGO_PKG_VERSION"), fault::MARK);
        return ExitCode::SUCCESS;
    }
    let mut input = Vec::new();
    if let Err(error) = read_input(&mut input) {
        return fail(name, &error);
    }
    let done = match flags.action.as_str() {
        _ if flags.info => info::info(name, &input).map_err(|e| e.to_string()),
        "start" => Params::read(&flags, &input, alias_of(name))
            .map_err(|e| e.to_string())
            .and_then(|params| start::start(params).map_err(|e| chain(&e))),
        "delete" => {
            delete::delete(&flags.address, &flags.namespace, &flags.id, bundle(&flags.bundle)).map_err(|e| chain(&*e))
        }
        other => Err(format!("no such action: {other:?}; containerd calls this program with start or delete")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(name, &error),
    }
}

/// containerd writes to a pipe and closes it; by hand there may be a terminal or nothing.
fn read_input(input: &mut Vec<u8>) -> std::io::Result<()> {
    // containerd's own shims read as much (pkg/shim/util.go); options of that size are a fault, not a configuration.
    const MOST: u64 = 10 << 20;
    let stdin = std::io::stdin();
    if std::io::IsTerminal::is_terminal(&stdin) {
        return Ok(());
    }
    stdin.lock().take(MOST).read_to_end(input).map(drop)
}

fn bundle(flag: &str) -> PathBuf {
    if flag.is_empty() { std::env::current_dir().unwrap_or_default() } else { PathBuf::from(flag) }
}

fn fail(name: &str, error: &impl std::fmt::Display) -> ExitCode {
    eprintln!("{name}: {error}");
    ExitCode::FAILURE
}
