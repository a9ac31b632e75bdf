//! Where wasmer-wasix would answer a guest wrong.
//!
//! wasmer-wasix says of stdio that it is a terminal, whatever it is, so that a guest writes line by line into pipes; of
//! directories that they can be read and written like files, so that a guest asks for rights that it can't be given; and
//! of descriptor 3 that everything is allowed. What it answers is corrected before the guest sees it, and so are errors
//! that it has no word for. And it removes no directory that it has not met before: so it is made to look first.

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
const MODULES: [&str; 3] = ["wasi_snapshot_preview1", "wasi_unstable", "wasix_32v1"];

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
        for (name, function) in [("fd_fdstat_get", told), ("path_remove_directory", removed)] {
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
