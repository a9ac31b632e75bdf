//! From Wasmtime's errors to the contract's.

use multiwasm_engine::{Outcome, Trap};
use wasmtime::{ThrownException, WasmBacktrace};
use wasmtime_wasi::I32Exit;

/// How a guest ended: by returning with a code, or with an error.
pub(crate) fn of(ended: wasmtime::Result<i32>) -> Outcome {
    let error = match ended {
        Ok(code) => return Outcome::Exited(code),
        Err(error) => error,
    };
    if let Some(I32Exit(code)) = error.downcast_ref() {
        return Outcome::Exited(*code);
    }
    let message = told(&error);
    if let Some(trap) = error.downcast_ref::<wasmtime::Trap>() {
        Outcome::Trapped(kind(*trap), message)
    } else if error.is::<ThrownException>() {
        Outcome::Trapped(Trap::Exception, message)
    } else if error.is::<WasmBacktrace>() {
        // A host function ended the guest: with what it was given, it could not go on.
        Outcome::Trapped(Trap::Other, message)
    } else {
        Outcome::Failed(message)
    }
}

/// The cause first, as people read the first line; then where in the guest it was.
fn told(error: &wasmtime::Error) -> String {
    let mut message = error.root_cause().to_string();
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
        message.push('\n');
        message.push_str(backtrace.to_string().trim_end());
    }
    message
}

fn kind(trap: wasmtime::Trap) -> Trap {
    use wasmtime::Trap as T;
    match trap {
        T::UnreachableCodeReached => Trap::Unreachable,
        T::MemoryOutOfBounds | T::HeapMisaligned => Trap::Memory,
        T::TableOutOfBounds | T::IndirectCallToNull | T::BadSignature | T::NullReference => Trap::Table,
        T::IntegerOverflow | T::IntegerDivisionByZero | T::BadConversionToInteger => Trap::Arithmetic,
        T::StackOverflow => Trap::Stack,
        T::Interrupt | T::OutOfFuel => Trap::Interrupted,
        _ => Trap::Other,
    }
}
