//! Signals that end a guest.
//!
//! The first process of a pid namespace gets no signal that it has no handler for (pid_namespaces(7)), and a guest can't
//! install any; so the ones that end an ordinary process end this one, at once and from any loop, with the exit code that
//! a shell would show.

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Those whose default is to end the process (signal(7)), but for faults, which are the engine's, and SIGPIPE, which a
/// guest meets as an error of its write.
const ENDING: [Signal; 12] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGTERM,
    Signal::SIGXCPU,
    Signal::SIGVTALRM,
    Signal::SIGPROF,
    Signal::SIGIO,
    Signal::SIGPWR,
];

/// Lets each ending signal end the process with 128 and its number, whichever its maker has blocked (`multiwasm run` has).
///
/// # Errors
/// What the kernel says.
pub fn end_on_signals() -> nix::Result<()> {
    let action = SigAction::new(SigHandler::Handler(end), SaFlags::empty(), SigSet::empty());
    for signal in ENDING {
        // SAFETY: the handler calls _exit(2) alone, which is async-signal-safe (signal-safety(7)).
        unsafe { sigaction(signal, &action) }?;
    }
    SigSet::empty().thread_set_mask()
}

/// Gives a program that is about to be executed what it expects: SIGPIPE, which Rust ignores and exec keeps ignored, and no
/// blocked signals. Handlers are gone with exec.
///
/// # Errors
/// What the kernel says.
pub(crate) fn restore_for_native() -> nix::Result<()> {
    // SAFETY: the default disposition installs no code.
    unsafe { nix::sys::signal::signal(Signal::SIGPIPE, SigHandler::SigDfl) }?;
    SigSet::empty().thread_set_mask()
}

extern "C" fn end(signal: libc::c_int) {
    // SAFETY: async-signal-safe, and nothing of this process is needed any more.
    unsafe { libc::_exit(128 + signal) }
}
