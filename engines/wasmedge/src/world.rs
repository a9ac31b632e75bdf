//! The guest's world: arguments, environment, directories and stdio, as WasmEdge's preview 1 takes them.

use std::ffi::CString;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;

use multiwasm_engine::{EngineError, ErrorKind, Guest, Preopen};

use crate::ffi::Module;
use crate::outcome;

/// The guest's first descriptor that is a directory.
const FIRST_PREOPEN: u32 = 3;

/// How often a world is made anew until its directories are in order.
const ATTEMPTS: usize = 64;

/// Makes preview 1's functions for one guest.
///
/// # Errors
/// Where a directory can't be opened or a text can't be passed on.
pub(crate) fn make(guest: &Guest<'_>) -> Result<Module, EngineError> {
    let args = guest.args.iter().map(|arg| c_string("argument", arg)).collect::<Result<Vec<_>, _>>()?;
    let env = guest.env.iter().map(|pair| c_string("environment variable", pair)).collect::<Result<Vec<_>, _>>()?;
    let preopens = guest.preopens.iter().map(preopen).collect::<Result<Vec<_>, _>>()?;
    let stdio = [guest.stdin, guest.stdout, guest.stderr];
    let mut in_disorder = Vec::new();
    for _ in 0..ATTEMPTS {
        let wasi = Module::wasi(&args, &env, &preopens, stdio).map_err(|failure| outcome::error(&failure))?;
        match order(&wasi, preopens.len()) {
            Order::Missing => {
                return Err(EngineError::failed("wasmedge could not open all of the guest's directories"));
            }
            // Kept, so that the next attempt does not get the same addresses.
            Order::Otherwise => in_disorder.push(wasi),
            Order::AsGiven => return Ok(wasi),
        }
    }
    Err(EngineError::failed("wasmedge could not put the guest's directories in order"))
}

/// How the guest meets its directories.
enum Order {
    AsGiven,
    Otherwise,
    Missing,
}

/// WasmEdge sorts directories by their addresses in memory, which mostly but not always rise in the given order. What
/// does rise are their descriptors here, as each gets the lowest free one.
fn order(wasi: &Module, count: usize) -> Order {
    let fds: Option<Vec<_>> = (FIRST_PREOPEN..).take(count).map(|fd| wasi.native_fd(fd)).collect();
    match fds {
        None => Order::Missing,
        Some(fds) if fds.is_sorted() => Order::AsGiven,
        Some(_) => Order::Otherwise,
    }
}

/// A directory in WasmEdge's form, `guest:host` or `guest:host:readonly`. WasmEdge itself skips what it can't open and
/// does not follow a link at the path's end.
fn preopen(preopen: &Preopen<'_>) -> Result<CString, EngineError> {
    let shown = preopen.host.display();
    let refused = |why: &dyn std::fmt::Display| {
        EngineError::failed(format_args!(
            "the directory {shown} for the guest's {:?} can't be used: {why}",
            preopen.guest
        ))
    };
    let host = preopen.host.canonicalize().map_err(|error| refused(&error))?;
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_CLOEXEC)
        .open(&host)
        .map_err(|error| refused(&error))?;
    let Some(host) = host.to_str() else { return Err(refused(&"its path is not UTF-8")) };
    if host.contains(':') || preopen.guest.contains(':') {
        return Err(EngineError::new(
            ErrorKind::Unsupported,
            format_args!(
                "wasmedge can't take the directory {shown} as the guest's {:?}: a path has a colon",
                preopen.guest
            ),
        ));
    }
    let mode = if preopen.read_only { ":readonly" } else { "" };
    c_string("directory", &format!("{}:{host}{mode}", preopen.guest))
}

fn c_string(what: &str, text: &str) -> Result<CString, EngineError> {
    CString::new(text).map_err(|_| {
        EngineError::new(ErrorKind::Unsupported, format_args!("the {what} {text:?} has a NUL character in it"))
    })
}
