//! The last step to a native program: execve, and what is said where the kernel refuses it.

use std::convert::Infallible;
use std::ffi::CString;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::execvp;

/// Why a program does not run.
pub(super) struct Refused {
    /// For people.
    pub(super) message: String,
    /// As shells say it: 127 where something is not there, else 126.
    pub(super) status: i32,
}

/// The arguments as the kernel takes them.
///
/// # Errors
/// There are none, or one holds a zero byte.
pub(super) fn arguments(args: &[String]) -> Result<Vec<CString>, String> {
    let text = |arg: &String| CString::new(arg.as_bytes()).map_err(|_| format!("argument {arg:?} holds a zero byte"));
    let arguments = args.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    if arguments.is_empty() { Err("it has no command".to_owned()) } else { Ok(arguments) }
}

/// Becomes the program that `arguments` begin with, looked for in PATH.
pub(super) fn execute(arguments: &[CString]) -> Refused {
    let Some(program) = arguments.first() else {
        return Refused { message: "it has no command".to_owned(), status: 127 };
    };
    let Err::<Infallible, _>(error) = execvp(program, arguments);
    let name = program.to_string_lossy();
    // The kernel says the same of a file that is there and asks for another one to run it (execve(2)).
    let hint = match error {
        Errno::ENOENT if is_there(&name) => {
            ": it is there, but not the loader or the interpreter that it asks for (ldd, or its first line, tells which)"
        }
        _ => "",
    };
    let status = if error == Errno::ENOENT { 127 } else { 126 };
    Refused { message: format!("{name}: {}{hint}", error.desc().to_lowercase()), status }
}

fn is_there(name: &str) -> bool {
    if name.contains('/') {
        return Path::new(name).exists();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).exists())
}
