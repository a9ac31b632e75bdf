//! Where wasmer-wasix would answer a guest wrong.
//!
//! wasmer-wasix says of stdio that it is a terminal, whatever it is, so that a guest writes line by line into pipes; of
//! directories that they can be read and written like files, so that a guest asks for rights that it can't be given; and
//! of descriptor 3 that everything is allowed. What it answers is corrected before the guest sees it, and so are errors
//! that it has no word for. It removes no directory that it has not met before: so it is made to look first. And it waits
//! for ever where a guest asks not to wait at all.

use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileTypeExt;

use multiwasm_engine::Guest;
use wasmer::{AsStoreRef, Extern, Function, FunctionEnv, FunctionEnvMut, Imports, RuntimeError, Store, Value};
use wasmer_wasix::wasmer_wasix_types::wasi::{Errno, Filetype, Rights};
use wasmer_wasix::{VIRTUAL_ROOT_FD, WasiEnv};

use crate::errors;
use crate::rights::DIRECTORIES;

/// The modules whose functions are corrected; they take the same parameters and structures.
const MODULES: [&str; 3] = ["wasi_snapshot_preview1", OLDER, "wasix_32v1"];
/// The one whose structures of polling are others.
const OLDER: &str = "wasi_unstable";

/// The functions whose errors come from the host's file systems.
const OF_FILES: [&str; 15] = [
    "path_open",
    "path_open2",
    "path_create_directory",
    "path_remove_directory",
    "path_unlink_file",
    "path_rename",
    "path_link",
    "path_symlink",
    "path_readlink",
    "path_filestat_get",
    "fd_readdir",
    "fd_write",
    "fd_pwrite",
    "fd_allocate",
    "fd_filestat_set_size",
];

/// Where `fdstat` has the type of a descriptor, its rights, and those of what is opened below it.
const TYPE: u64 = 0;
const RIGHTS: u64 = 8;
const INHERITING: u64 = 16;

/// One of `poll_oneoff`'s subscriptions, of preview 1 and WASIX: its length, and where it has its kind (0: a clock) and the
/// time to wait.
const SUBSCRIPTION: u64 = 48;
const KIND: u64 = 8;
const TIMEOUT: u64 = 24;

/// What is true of the first descriptors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    stdio: [Filetype; 3],
    first: Rights,
}

impl Facts {
    /// What is true for `guest`, whose first preopen has the rights `first`.
    pub(crate) fn of(guest: &Guest<'_>, first: Rights) -> Self {
        Self { stdio: [guest.stdin, guest.stdout, guest.stderr].map(kind), first }
    }
}

/// Puts corrected functions in the place of the originals, wherever `imports` has them.
pub(crate) fn apply(imports: &mut Imports, store: &mut Store, env: &FunctionEnv<WasiEnv>, facts: Facts) {
    for module in MODULES {
        let original = |name| match imports.get_export(module, name) {
            Some(Extern::Function(function)) => Some(function),
            _ => None,
        };
        let told = original("fd_fdstat_get").map(|original| fdstat(original, store, env, facts));
        let removed = original("path_remove_directory").zip(original("path_filestat_set_times"));
        let removed = removed.map(|(original, look)| remove_directory(original, look, store, env));
        let polled = original("poll_oneoff").filter(|_| module != OLDER).map(|original| poll(original, store, env));
        for (name, function) in [("fd_fdstat_get", told), ("path_remove_directory", removed), ("poll_oneoff", polled)] {
            if let Some(function) = function {
                imports.define(module, name, function);
            }
        }
        for name in OF_FILES {
            // Looked for again: one of them was corrected just now.
            if let Some(Extern::Function(function)) = imports.get_export(module, name) {
                imports.define(module, name, with_errors_of_the_host(function, store, env));
            }
        }
    }
}

/// `original`, with the host's own error in its answer where wasmer-wasix has but a coarse one.
fn with_errors_of_the_host(original: Function, store: &mut Store, env: &FunctionEnv<WasiEnv>) -> Function {
    let kind = original.ty(store);
    let corrected = move |mut context: FunctionEnvMut<'_, WasiEnv>, parameters: &[Value]| {
        errors::forget();
        let answer = call(&original, &mut context, parameters)?;
        Ok(vec![Value::I32(errors::better(answer).map_or(answer, |better| better as i32))])
    };
    Function::new_with_env(store, env, kind, corrected)
}

/// `fd_fdstat_get`, with the truth in its answer.
fn fdstat(original: Function, store: &mut Store, env: &FunctionEnv<WasiEnv>, facts: Facts) -> Function {
    let corrected = move |mut context: FunctionEnvMut<'_, WasiEnv>, fd: u32, at: u32| -> Result<i32, RuntimeError> {
        let answer = call(&original, &mut context, &[int(fd), int(at)])?;
        if answer != Errno::Success as i32 {
            return Ok(answer);
        }
        let amended = amend(context.data(), &context, facts, fd, u64::from(at));
        Ok(amended.map_or(Errno::Fault as i32, |()| answer))
    };
    Function::new_typed_with_env(store, env, corrected)
}

/// `path_remove_directory`, after a look at the directory: setting none of its times is one.
fn remove_directory(original: Function, look: Function, store: &mut Store, env: &FunctionEnv<WasiEnv>) -> Function {
    let corrected =
        move |mut context: FunctionEnvMut<'_, WasiEnv>, fd: u32, path: u32, length: u32| -> Result<i32, RuntimeError> {
            let [fd, path, length] = [fd, path, length].map(int);
            let (follow, time, which) = (int(0), Value::I64(0), int(0));
            let looked = [fd.clone(), follow, path.clone(), length.clone(), time.clone(), time, which];
            call(&look, &mut context, &looked)?;
            call(&original, &mut context, &[fd, path, length])
        };
    Function::new_typed_with_env(store, env, corrected)
}

/// `poll_oneoff`, in which no time to wait is none: wasmer-wasix takes 0 nanoseconds for no limit, and 1 for none to wait.
fn poll(original: Function, store: &mut Store, env: &FunctionEnv<WasiEnv>) -> Function {
    let corrected = move |mut context: FunctionEnvMut<'_, WasiEnv>,
                          at: u32,
                          events: u32,
                          count: u32,
                          told: u32|
          -> Result<i32, RuntimeError> {
        let changed = no_time(context.data(), &context, at, count);
        let answer = call(&original, &mut context, &[at, events, count, told].map(int))?;
        if let Some(memory) = context.data().try_memory_view(&context) {
            // What the guest has there is its own.
            for at in changed {
                let _ = memory.write(at, &0u64.to_le_bytes());
            }
        }
        Ok(answer)
    };
    Function::new_typed_with_env(store, env, corrected)
}

/// Makes 1 of each time of 0 among the subscriptions at `at`, and gives where. What is outside of the memory is left to who
/// reads it next.
fn no_time(env: &WasiEnv, store: &impl AsStoreRef, at: u32, count: u32) -> Vec<u64> {
    let Some(memory) = env.try_memory_view(store) else { return Vec::new() };
    let subscriptions = (0..u64::from(count)).map(|number| u64::from(at) + number * SUBSCRIPTION);
    let of_clocks = subscriptions.take_while(|at| at + SUBSCRIPTION <= memory.data_size());
    let of_clocks = of_clocks.filter(|at| memory.read_u8(at + KIND).is_ok_and(|kind| kind == 0));
    let none = of_clocks.map(|at| at + TIMEOUT).filter(|at| {
        let mut timeout = [0; 8];
        memory.read(*at, &mut timeout).is_ok() && timeout == [0; 8]
    });
    none.filter(|at| memory.write(*at, &1u64.to_le_bytes()).is_ok()).collect()
}

fn int(value: u32) -> Value {
    Value::I32(value.cast_signed())
}

/// The error number that `function` answers with. An error is the guest's end, by an exit for example.
fn call(
    function: &Function,
    context: &mut FunctionEnvMut<'_, WasiEnv>,
    parameters: &[Value],
) -> Result<i32, RuntimeError> {
    let answer = function.call(context, parameters)?;
    Ok(answer.first().and_then(Value::i32).unwrap_or(Errno::Io as i32))
}

/// Writes what is true of `fd` over the answer at `at`; none where that is outside of the memory.
fn amend(env: &WasiEnv, store: &impl AsStoreRef, facts: Facts, fd: u32, at: u64) -> Option<()> {
    let memory = env.try_memory_view(store)?;
    if let Some(kind) = facts.stdio.get(fd as usize) {
        return memory.write(at + TYPE, &[*kind as u8]).ok();
    }
    if fd == VIRTUAL_ROOT_FD {
        memory.write(at + INHERITING, &facts.first.bits().to_le_bytes()).ok()?;
        memory.write(at + RIGHTS, &facts.first.bits().to_le_bytes()).ok()?;
    }
    if memory.read_u8(at + TYPE).ok()? == Filetype::Directory as u8 {
        let mut told = [0; 8];
        memory.read(at + RIGHTS, &mut told).ok()?;
        let own = u64::from_le_bytes(told) & DIRECTORIES.bits();
        memory.write(at + RIGHTS, &own.to_le_bytes()).ok()?;
    }
    Some(())
}

/// Guests take a character device for a terminal: so nothing else is called one.
fn kind(fd: BorrowedFd<'_>) -> Filetype {
    if fd.is_terminal() {
        return Filetype::CharacterDevice;
    }
    let metadata = fd.try_clone_to_owned().and_then(|fd| File::from(fd).metadata());
    match metadata.map(|metadata| metadata.file_type()) {
        Ok(kind) if kind.is_file() => Filetype::RegularFile,
        Ok(kind) if kind.is_socket() => Filetype::SocketStream,
        _ => Filetype::Unknown,
    }
}
