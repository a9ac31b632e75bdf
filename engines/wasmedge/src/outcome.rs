//! From WasmEdge's results to the contract's outcomes and errors.

use multiwasm_engine::{EngineError, ErrorKind, Outcome, Trap};
use wasmedge_sys::ffi::*;

use crate::ffi::{Failure, Module};
use crate::names::Names;

/// What a message says of an exhausted call stack, in the words of the WebAssembly test suite.
pub(crate) const STACK_EXHAUSTED: &str = "call stack exhausted";

/// How a guest ended whose functions returned so.
pub(crate) fn of(ended: Result<(), Failure>, wasi: &Module, names: impl FnOnce() -> Names) -> Outcome {
    match ended {
        // A `_start` that returns leaves the exit code at 0.
        Ok(()) => Outcome::Exited(0),
        Err(failure) if failure.code == Failure::TERMINATED => Outcome::Exited(wasi.exit_code() as i32),
        Err(failure) => match trap(failure.code) {
            Some(trap) => Outcome::Trapped(trap, with_backtrace(&failure, &names())),
            None => Outcome::Failed(message(&failure)),
        },
    }
}

/// An error of a step before the guest runs.
#[allow(non_upper_case_globals, reason = "the names are WasmEdge's")]
pub(crate) fn error(failure: &Failure) -> EngineError {
    // The third digit from the right is the phase: loading, validation, instantiation, execution.
    let kind = match failure.code {
        WasmEdge_ErrCode_AOTNotImpl => ErrorKind::Unsupported,
        0x0100..=0x02ff => ErrorKind::Invalid,
        _ => ErrorKind::Failed,
    };
    EngineError::new(kind, message(failure))
}

/// The words of a result and, on lines of their own, what the log has besides.
fn message(failure: &Failure) -> String {
    let headline = format!("{}, Code: {:#x}", failure.words, failure.code);
    let mut message = failure.words.clone();
    for line in failure.details.lines().map(str::trim).filter(|line| !line.is_empty()) {
        // The log begins with the words again, as "execution failed: unreachable, Code: 0x40a".
        if !line.ends_with(&headline) && line != failure.words {
            message.push('\n');
            message.push_str(line);
        }
    }
    message
}

/// The message of a trap. WasmEdge's "calling stack" is in numbers; in the interpreter it goes from the outermost call
/// inwards and lacks the function that trapped, which the offset of the instruction tells.
fn with_backtrace(failure: &Failure, names: &Names) -> String {
    let mut text = message(failure);
    let Some(at) = text.find("calling stack:") else { return text };
    let stack = text.split_off(at);
    let numbers = stack.lines().next().unwrap_or_default().trim_start_matches("calling stack:");
    let mut functions: Vec<u32> = numbers.split(',').filter_map(|number| number.trim().parse().ok()).collect();
    functions.dedup();
    let offset = text.split("Bytecode offset: 0x").nth(1).and_then(|rest| rest.get(..8));
    if let Some(offset) = offset.and_then(|digits| u32::from_str_radix(digits, 16).ok()) {
        functions.reverse();
        functions.splice(..0, names.at(offset));
    } else if let [first, inner @ .., last] = &functions[..]
        && first == last
    {
        // Both ends of a native stack are frames of the library, counted for the function that is next to it in memory.
        functions = inner.to_vec();
    }
    text.push_str(&names.backtrace(&functions));
    text
}

/// The trap of a code, none where it is no trap.
#[allow(non_upper_case_globals, reason = "the names are WasmEdge's")]
fn trap(code: u32) -> Option<Trap> {
    Some(match code {
        WasmEdge_ErrCode_Unreachable => Trap::Unreachable,
        WasmEdge_ErrCode_MemoryOutOfBounds
        | WasmEdge_ErrCode_DataSegDoesNotFit
        | WasmEdge_ErrCode_UnalignedAtomicAccess
        | WasmEdge_ErrCode_ExpectSharedMemory => Trap::Memory,
        WasmEdge_ErrCode_TableOutOfBounds
        | WasmEdge_ErrCode_ElemSegDoesNotFit
        | WasmEdge_ErrCode_UninitializedElement
        | WasmEdge_ErrCode_UndefinedElement
        | WasmEdge_ErrCode_IndirectCallTypeMismatch
        | WasmEdge_ErrCode_AccessNullFunc => Trap::Table,
        WasmEdge_ErrCode_DivideByZero | WasmEdge_ErrCode_IntegerOverflow | WasmEdge_ErrCode_InvalidConvToInt => {
            Trap::Arithmetic
        }
        WasmEdge_ErrCode_UncaughtException => Trap::Exception,
        WasmEdge_ErrCode_Interrupted | WasmEdge_ErrCode_CostLimitExceeded => Trap::Interrupted,
        // The rest of the execution phase.
        0x0400..=0x04ff => Trap::Other,
        _ => return None,
    })
}
