//! Compiling in a child process, where the caller must stay without threads.
//!
//! Wasmer's compilers start threads of their own, whatever they are told, and [`load`](multiwasm_engine::Engine::load)
//! is called in a process that forks afterwards. So the work is done in a child, which hands the code back through a
//! pipe. The caller's memory stays small by it, too.

use std::io::{PipeReader, PipeWriter, Read, Write};

use multiwasm_engine::{EngineError, ErrorKind};

use crate::compiler::Compiler;

/// Compiles as [`Compiler::compile`] does, without starting a thread here.
pub(crate) fn compile(compiler: &Compiler, name: &str, wasm: &[u8]) -> Result<Vec<u8>, EngineError> {
    let failed = |what: &str, error: std::io::Error| EngineError::failed(format_args!("{name}: {what}: {error}"));
    let (reader, writer) = std::io::pipe().map_err(|error| failed("no pipe to compile through", error))?;
    // SAFETY: the child goes on in this thread alone and leaves with `_exit`. The contract has `load` called where no
    // other thread exists, so no lock is held by a thread that the child does not have.
    match unsafe { libc::fork() } {
        -1 => Err(failed("no process to compile in", std::io::Error::last_os_error())),
        0 => {
            drop(reader);
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| answer(compiler, name, wasm, writer)));
            // SAFETY: ends the child; what the caller registered to run at exit is the caller's.
            unsafe { libc::_exit(i32::from(!matches!(done, Ok(Ok(()))))) }
        }
        child => {
            drop(writer);
            let answer = receive(name, reader);
            // SAFETY: the child is this process's own; a null status is allowed. Where the caller has its children
            // reaped otherwise this fails, and the answer alone counts.
            unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
            answer
        }
    }
}

/// In the child: one byte for the kind of answer (0: code), then the code or the message. A whole answer ends with
/// its own length.
fn answer(compiler: &Compiler, name: &str, wasm: &[u8], mut to: PipeWriter) -> std::io::Result<()> {
    let (kind, content) = match compiler.compile(name, wasm) {
        Ok(code) => (0, code),
        Err(error) => (error.kind as u8, error.message.into_bytes()),
    };
    to.write_all(&[kind])?;
    to.write_all(&content)?;
    to.write_all(&(content.len() as u64).to_le_bytes())
}

fn receive(name: &str, mut from: PipeReader) -> Result<Vec<u8>, EngineError> {
    let mut answer = Vec::new();
    from.read_to_end(&mut answer).map_err(|error| EngineError::failed(format_args!("{name}: {error}")))?;
    if let Some((rest, length)) = answer.split_last_chunk::<8>()
        && let Some((kind, content)) = rest.split_first()
        && u64::from_le_bytes(*length) == content.len() as u64
    {
        return match kind {
            0 => Ok(content.to_vec()),
            kind => Err(EngineError::new(ErrorKind::from_status(u32::from(*kind)), String::from_utf8_lossy(content))),
        };
    }
    Err(EngineError::failed(format_args!(
        "{name}: the process that compiled it ended before it was done, perhaps for want of memory"
    )))
}
