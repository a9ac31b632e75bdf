//! The guest's call stack and its end: WasmEdge has no limit of its own, so endless recursion would eat the machine's
//! memory in the interpreter, and end the process by SIGSEGV in compiled code.
//!
//! The guest runs as a coroutine on a stack of a known size. Compiled code that runs into its end faults there, the
//! interpreter, whose stacks are two growing arrays on the heap, asks for a block beyond a limit. Both are caught here,
//! the coroutine is left where it is, and the caller gets [`Overflow`]. What the guest held stays in memory: the process
//! ends soon after.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::io;
use std::mem::ManuallyDrop;
use std::num::NonZeroUsize;
use std::ptr;
use std::rc::Rc;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use corosensei::stack::{Stack, StackPointer};
use corosensei::trap::CoroutineTrapHandler;
use corosensei::{Coroutine, CoroutineResult, Yielder};

use crate::plt;

/// Bytes of the native stack: what a process's first thread has by default on Linux, room for some 100 000 calls of
/// compiled code.
const STACK: usize = 8 * 1024 * 1024;

/// Bytes below it that nobody may touch. Compiled code does not probe as it enters a function, so this has to be more
/// than the largest frame: 50 000 locals (WasmEdge's limit) of 16 bytes.
const GUARD: usize = 1024 * 1024;

/// The largest block of a call stack of the interpreter, in bytes: about 262 000 calls (frames of 56 bytes), or a
/// million values of 16 bytes.
const BLOCK: usize = 16 * 1024 * 1024;

/// The call stack is exhausted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overflow;

/// Why the coroutine came back.
#[derive(Clone, Copy)]
enum Ending {
    Returned,
    Overflowed,
}

/// What a hook has to know of the coroutine that runs on this thread.
#[derive(Clone, Copy)]
struct Running {
    yielder: *const Yielder<(), ()>,
    trap: CoroutineTrapHandler<Ending>,
    guard: (usize, usize),
}

thread_local! {
    static RUNNING: Cell<Option<Running>> = const { Cell::new(None) };
}

/// Has faults of compiled code handled on a stack of their own. Once a process, before compiled code runs; without
/// effect on compiled code where the library can't be brought to it (it then ends by SIGSEGV).
pub(crate) fn watch_faults(library: usize) {
    // SAFETY: the replacement has the type and the behaviour of the function that it stands for.
    unsafe { plt::redirect(library, c"sigaction", set_action as *const c_void) };
}

/// Runs `body` on a stack of its own.
///
/// # Errors
/// The outer one where no stack can be had, the inner one where `body` exhausted it.
pub(crate) fn bounded<T: 'static>(body: impl FnOnce() -> T + 'static) -> io::Result<Result<T, Overflow>> {
    let stack = GuestStack::new()?;
    let guard = (stack.low, stack.low + GUARD);
    let signals = SignalStack::install()?;
    let result = Rc::new(Cell::new(None));
    let place = Rc::clone(&result);
    let mut coroutine = ManuallyDrop::new(Coroutine::with_stack(stack, move |yielder: &Yielder<(), ()>, ()| {
        let running = RUNNING.get().map(|running| Running { yielder, ..running });
        RUNNING.set(running);
        place.set(Some(body()));
        RUNNING.set(None);
        Ending::Returned
    }));
    RUNNING.set(Some(Running { yielder: ptr::null(), trap: coroutine.trap_handler(), guard }));
    let ending = coroutine.resume(());
    RUNNING.set(None);
    match (ending, result.take()) {
        (CoroutineResult::Return(Ending::Returned), Some(returned)) => {
            drop(ManuallyDrop::into_inner(coroutine));
            drop(signals);
            Ok(Ok(returned))
        }
        // The coroutine is neither unwound (the library's frames do not allow it) nor unmapped.
        _ => Ok(Err(Overflow)),
    }
}

/// Memory of a coroutine, with a wide guard.
struct GuestStack {
    low: usize,
}

impl GuestStack {
    fn new() -> io::Result<Self> {
        let (read_write, private) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a fresh mapping, of which the upper part is then made usable.
        unsafe {
            let low = libc::mmap(ptr::null_mut(), GUARD + STACK, libc::PROT_NONE, private | libc::MAP_NORESERVE, -1, 0);
            if low == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            let mapped = Self { low: low as usize };
            if libc::mprotect(low.byte_add(GUARD), STACK, read_write) != 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(mapped)
        }
    }
}

impl Drop for GuestStack {
    fn drop(&mut self) {
        // SAFETY: our own mapping, and nothing runs on it any more.
        unsafe { libc::munmap(self.low as *mut c_void, GUARD + STACK) };
    }
}

// SAFETY: the addresses are page-aligned ends of a mapping that lives as long as this value; its lower part is a guard.
unsafe impl Stack for GuestStack {
    fn base(&self) -> StackPointer {
        NonZeroUsize::new(self.low + GUARD + STACK).expect("the end of a mapping is not null")
    }

    fn limit(&self) -> StackPointer {
        NonZeroUsize::new(self.low).expect("mmap gives no mapping at null")
    }
}

/// Where this thread handles signals that its own stack has no room for.
struct SignalStack {
    memory: Vec<u8>,
    before: libc::stack_t,
}

impl SignalStack {
    /// The signal frame of a processor with large vector registers takes 11 KiB, WasmEdge's unwinding a few more.
    const SIZE: usize = 128 * 1024;

    fn install() -> io::Result<Self> {
        let mut memory = Vec::<u8>::with_capacity(Self::SIZE);
        let ours = libc::stack_t { ss_sp: memory.as_mut_ptr().cast(), ss_flags: 0, ss_size: Self::SIZE };
        let mut before = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
        // SAFETY: the memory is ours until `drop` puts the former stack back.
        if unsafe { libc::sigaltstack(&ours, &mut before) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { memory, before })
    }
}

impl Drop for SignalStack {
    fn drop(&mut self) {
        // SAFETY: what was installed before is valid still.
        if unsafe { libc::sigaltstack(&self.before, ptr::null_mut()) } != 0 {
            // Still in use, so it has to stay.
            std::mem::forget(std::mem::take(&mut self.memory));
        }
    }
}

/// WasmEdge's own handler of faults, which makes traps of them.
static THEIRS: AtomicUsize = AtomicUsize::new(0);

/// Stands in for the library's `sigaction`: its handler is to run on the signal stack, behind ours.
unsafe extern "C" fn set_action(signal: c_int, action: *const libc::sigaction, before: *mut libc::sigaction) -> c_int {
    // SAFETY: as the function that this stands for: null or a valid action.
    if let Some(theirs) = unsafe { action.as_ref() }
        && matches!(signal, libc::SIGSEGV | libc::SIGBUS)
        && theirs.sa_flags & libc::SA_SIGINFO != 0
    {
        THEIRS.store(theirs.sa_sigaction, Ordering::Relaxed);
        let ours = libc::sigaction {
            sa_sigaction: on_fault as *const () as usize,
            sa_flags: theirs.sa_flags | libc::SA_ONSTACK,
            ..*theirs
        };
        // SAFETY: a valid action, and the caller's own place for the former one.
        return unsafe { libc::sigaction(signal, &ours, before) };
    }
    // SAFETY: the caller's arguments.
    unsafe { libc::sigaction(signal, action, before) }
}

/// Handles a fault: in the guard it ends the coroutine, elsewhere it is WasmEdge's.
unsafe extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel's arguments of a handler with SA_SIGINFO.
    let address = unsafe { (*info).si_addr() } as usize;
    if let Some(running) = RUNNING.get()
        && (running.guard.0..running.guard.1).contains(&address)
        // SAFETY: as above; the coroutine runs on this thread.
        && unsafe { leave(&running, context.cast()) }
    {
        return;
    }
    let theirs = THEIRS.load(Ordering::Relaxed);
    // SAFETY: what WasmEdge wanted to have installed, stored before this handler was.
    let theirs: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = unsafe { std::mem::transmute(theirs) };
    theirs(signal, info, context);
}

/// Changes the interrupted context so that the coroutine returns with [`Ending::Overflowed`]; false where its stack
/// pointer is not in it, or on a processor that this is not written for.
///
/// # Safety
/// `context` is that of a signal which interrupted the coroutine `running`.
unsafe fn leave(running: &Running, context: *mut libc::ucontext_t) -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: the caller's promise.
        let registers = unsafe { &mut (*context).uc_mcontext.gregs };
        if !running.trap.stack_ptr_in_bounds(registers[libc::REG_RSP as usize] as usize) {
            return false;
        }
        RUNNING.set(None);
        // SAFETY: the stack pointer is within, and all registers are set as wanted.
        let wanted = unsafe { running.trap.setup_trap_handler(|| Ending::Overflowed) };
        registers[libc::REG_RIP as usize] = wanted.rip as i64;
        registers[libc::REG_RSP as usize] = wanted.rsp as i64;
        registers[libc::REG_RBP as usize] = wanted.rbp as i64;
        registers[libc::REG_RDI as usize] = wanted.rdi as i64;
        registers[libc::REG_RSI as usize] = wanted.rsi as i64;
        true
    }
    #[cfg(target_arch = "aarch64")]
    {
        // SAFETY: the caller's promise.
        let registers = unsafe { &mut (*context).uc_mcontext };
        if !running.trap.stack_ptr_in_bounds(registers.sp as usize) {
            return false;
        }
        RUNNING.set(None);
        // SAFETY: the stack pointer is within, and all registers are set as wanted.
        let wanted = unsafe { running.trap.setup_trap_handler(|| Ending::Overflowed) };
        registers.pc = wanted.pc;
        registers.sp = wanted.sp;
        registers.regs[0] = wanted.x0;
        registers.regs[1] = wanted.x1;
        registers.regs[29] = wanted.x29;
        registers.regs[30] = wanted.lr;
        true
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        let _ = (running, context);
        false
    }
}

/// Whether a block can only be one of the interpreter's stacks, grown beyond the limit: arrays that grow by doubling
/// from 16 frames of 56 bytes and from 2048 values of 16 bytes. A large table or array of the guest has other sizes.
fn is_endless(size: usize) -> bool {
    size > BLOCK && (size.is_power_of_two() || (size.is_multiple_of(7) && (size / 7).is_power_of_two()))
}

/// C++'s `operator new(size_t)` for the library and what it needs, as the plug-in comes first where the dynamic linker
/// looks for it (the language lets a program replace it). All it adds is the limit of the interpreter's stacks.
// SAFETY: the name and type are those of the Itanium C++ ABI on 64-bit machines, the behaviour is the standard's; the
// plug-in is loaded with local binding, so nobody else meets it.
#[cfg(target_pointer_width = "64")]
#[unsafe(export_name = "_Znwm")]
unsafe extern "C-unwind" fn operator_new(size: usize) -> *mut c_void {
    if is_endless(size)
        && let Some(running) = RUNNING.get()
        && !running.yielder.is_null()
    {
        RUNNING.set(None);
        // SAFETY: the yielder lives on the coroutine's stack, on which this runs.
        unsafe { &*running.yielder }.suspend(());
    }
    // SAFETY: the same call, passed on.
    unsafe { next_operator_new()(size) }
}

type OperatorNew = unsafe extern "C-unwind" fn(usize) -> *mut c_void;

/// The C++ library's own.
fn next_operator_new() -> OperatorNew {
    static NEXT: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
    let mut next = NEXT.load(Ordering::Relaxed);
    if next.is_null() {
        // SAFETY: asks the dynamic linker for a symbol by name.
        next = unsafe { libc::dlsym(libc::RTLD_NEXT, c"_Znwm".as_ptr()) };
        if next.is_null() {
            // Nothing of C++ can go on, and no panic may leave this function.
            std::process::abort();
        }
        NEXT.store(next, Ordering::Relaxed);
    }
    // SAFETY: the symbol has this type by the C++ ABI.
    unsafe { std::mem::transmute::<*mut c_void, OperatorNew>(next) }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn what_fits_returns() {
        assert_eq!(bounded(|| 42).unwrap(), Ok(42));
        // Twice: everything is as it was.
        assert_eq!(bounded(|| "again".to_owned()).unwrap(), Ok("again".to_owned()));
    }

    #[test]
    fn a_block_as_only_an_endless_stack_wants_it_is_an_overflow() {
        let (frames, values) = (|count: usize| count * 56, |count: usize| count * 16);
        assert!(!is_endless(frames(1 << 18)) && !is_endless(values(1 << 20)) && !is_endless(values((1 << 21) + 1)));
        for size in [frames(1 << 19), values(1 << 21)] {
            // The compiler knows the name and leaves out a call whose result nobody looks at.
            // SAFETY: it is not come back from.
            let ended = bounded(move || black_box(unsafe { operator_new(size) })).unwrap();
            assert_eq!(ended, Err(Overflow), "{size} bytes");
        }
    }
}
