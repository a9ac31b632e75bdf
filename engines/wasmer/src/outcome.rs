//! How a guest ended, in the contract's terms.

use multiwasm_engine::{Outcome, Trap};
use wasmer::RuntimeError;
use wasmer::sys::vm::TrapCode;
use wasmer_wasix::WasiError;

/// The end of a call that failed with `error`, which is how an exit appears, too.
pub(crate) fn of_error(error: &RuntimeError) -> Outcome {
    match error.downcast_ref::<WasiError>() {
        Some(WasiError::Exit(code)) => return Outcome::Exited(code.raw() & 0xff),
        Some(WasiError::ThreadExit) => return Outcome::Exited(0),
        Some(other) => return Outcome::Failed(other.to_string()),
        None => {}
    }
    match error.clone().to_trap() {
        Some(code) => Outcome::Trapped(kind(code), error.to_string()),
        None if error.is_exception() => Outcome::Trapped(Trap::Exception, error.to_string()),
        None => Outcome::Failed(error.to_string()),
    }
}

fn kind(code: TrapCode) -> Trap {
    match code {
        TrapCode::StackOverflow => Trap::Stack,
        TrapCode::HeapAccessOutOfBounds | TrapCode::HeapMisaligned | TrapCode::UnalignedAtomic => Trap::Memory,
        TrapCode::TableAccessOutOfBounds
        | TrapCode::IndirectCallToNull
        | TrapCode::BadSignature
        | TrapCode::ReadonlyTableModified => Trap::Table,
        TrapCode::IntegerOverflow | TrapCode::IntegerDivisionByZero | TrapCode::BadConversionToInteger => {
            Trap::Arithmetic
        }
        TrapCode::UnreachableCodeReached => Trap::Unreachable,
        TrapCode::UncaughtException | TrapCode::UninitializedExnRef => Trap::Exception,
        TrapCode::HostInterrupt => Trap::Interrupted,
        TrapCode::YieldOutsideAsyncContext => Trap::Other,
    }
}
