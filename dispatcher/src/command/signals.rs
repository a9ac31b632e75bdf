//! Signals that are a container's rather than this process's: held from before there is a container, which would else stay
//! when they end its watcher.

use std::fs;

use nix::sys::signal::{SigSet, Signal};

/// What would end this process, and goes to the container's.
const PASSED_ON: [Signal; 4] = [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGHUP];

/// Blocks them, and SIGCHLD, to be waited for; gives the set.
///
/// What the caller lets this process ignore stays ignored, as nohup(1) means it: blocked, it would be kept to be waited for
/// (`sig_ignored` in the kernel's signal.c).
pub(super) fn hold() -> nix::Result<SigSet> {
    let ignored = fs::read_to_string("/proc/self/status").map_or(0, |status| ignored(&status));
    let held = PASSED_ON.into_iter().filter(|signal| ignored >> (*signal as u32 - 1) & 1 == 0);
    let held = SigSet::from_iter(held.chain([Signal::SIGCHLD]));
    held.thread_block()?;
    Ok(held)
}

/// A bit for each, the lowest for number 1 (proc(5), status, SigIgn).
fn ignored(status: &str) -> u64 {
    let bits = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_not_held() {
        assert_eq!(ignored("SigBlk:\t0000000000000001\nSigIgn:\t0000000000001001\n"), 0x1001);
        // Rust ignores this one itself (std, `reset_sigpipe`).
        let own = ignored(&fs::read_to_string("/proc/self/status").unwrap());
        assert_ne!(own >> (Signal::SIGPIPE as u32 - 1) & 1, 0);
        let held = std::thread::spawn(hold).join().unwrap().unwrap();
        for signal in PASSED_ON {
            assert_eq!(held.contains(signal), own >> (signal as u32 - 1) & 1 == 0, "{signal}");
        }
        assert!(held.contains(Signal::SIGCHLD));
    }
}
