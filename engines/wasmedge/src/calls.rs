//! What WasmEdge's library expects of functions of the C library, where they don't keep it.
//!
//! Each is put in its place by [`plt::redirect`], in that library alone.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;

use crate::plt;

/// Puts the functions in, once a process, before a guest runs. A library whose calls can't be redirected goes on as it is.
pub(crate) fn mend(library: usize) {
    // SAFETY: each replacement has the type of the function that it stands for, and gives what that may give.
    unsafe {
        plt::redirect(library, c"epoll_wait", wait_through_signals as *const c_void);
        plt::redirect(library, c"getaddrinfo", resolve_without_services as *const c_void);
    }
}

/// epoll_wait(2), which a stop and a continuation interrupt, even where no handler runs (signal(7)): `docker pause` is one. The
/// library takes that as an error of what is waited for, tells it to the guest, and has lost the books of its descriptors by then.
unsafe extern "C" fn wait_through_signals(
    epoll: c_int,
    events: *mut libc::epoll_event,
    most: c_int,
    milliseconds: c_int,
) -> c_int {
    let begun = std::time::Instant::now();
    let mut left = milliseconds;
    loop {
        // SAFETY: the caller's arguments, of which one is less than it was.
        let ready = unsafe { libc::epoll_wait(epoll, events, most, left) };
        // SAFETY: reads this thread's own number.
        if ready >= 0 || unsafe { *libc::__errno_location() } != libc::EINTR {
            return ready;
        }
        if milliseconds > 0 {
            let passed = c_int::try_from(begun.elapsed().as_millis()).unwrap_or(c_int::MAX);
            left = milliseconds.saturating_sub(passed).max(0);
        }
    }
}

/// The services that clients ask for by name, with their ports (RFC 6335's registry).
const SERVICES: [(&CStr, &CStr); 2] = [(c"http", c"80"), (c"https", c"443")];

/// getaddrinfo(3) in a container without `/etc/services`, as images made from scratch are: the client library of most guests
/// asks for `http` with every name, and the C library then knows no name at all.
unsafe extern "C" fn resolve_without_services(
    node: *const c_char,
    service: *const c_char,
    hints: *const libc::addrinfo,
    found: *mut *mut libc::addrinfo,
) -> c_int {
    // SAFETY: the caller's arguments.
    let code = unsafe { libc::getaddrinfo(node, service, hints, found) };
    if code != libc::EAI_SERVICE || service.is_null() {
        return code;
    }
    // SAFETY: a string, by getaddrinfo's own terms.
    let name = unsafe { CStr::from_ptr(service) };
    let port = SERVICES.iter().find(|(known, _)| *known == name).map_or(ptr::null(), |(_, port)| port.as_ptr());
    if port.is_null() {
        return code;
    }
    // SAFETY: the caller's arguments, with a service that is a number.
    unsafe { libc::getaddrinfo(node, port, hints, found) }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_wait_outlasts_a_signal_and_ends_at_its_time() {
        extern "C" fn nothing(_: c_int) {}
        // SAFETY: system calls with valid arguments; the handler does nothing.
        let (ready, errno) = unsafe {
            let handler =
                libc::sigaction { sa_sigaction: nothing as *const () as usize, sa_flags: 0, ..std::mem::zeroed() };
            assert_eq!(libc::sigaction(libc::SIGUSR1, &raw const handler, ptr::null_mut()), 0);
            let (epoll, waiter) = (libc::epoll_create1(libc::EPOLL_CLOEXEC), libc::pthread_self());
            let sender = std::thread::spawn(move || {
                for _ in 0..3 {
                    std::thread::sleep(Duration::from_millis(20));
                    libc::pthread_kill(waiter, libc::SIGUSR1);
                }
            });
            let (begun, mut event) = (Instant::now(), libc::epoll_event { events: 0, u64: 0 });
            let ready = wait_through_signals(epoll, &raw mut event, 1, 200);
            let errno = *libc::__errno_location();
            assert!(begun.elapsed() >= Duration::from_millis(199), "{:?}", begun.elapsed());
            sender.join().unwrap();
            libc::close(epoll);
            (ready, errno)
        };
        assert_eq!(ready, 0, "{errno}");
    }

    #[test]
    fn what_is_no_service_stays_an_error() {
        let mut found = ptr::null_mut();
        // SAFETY: strings, no hints, and a place for the answer, which is freed.
        unsafe {
            assert_eq!(
                resolve_without_services(c"127.0.0.1".as_ptr(), c"http".as_ptr(), ptr::null(), &raw mut found),
                0
            );
            libc::freeaddrinfo(found);
            let code = resolve_without_services(
                c"127.0.0.1".as_ptr(),
                c"no-such-service".as_ptr(),
                ptr::null(),
                &raw mut found,
            );
            assert_eq!(code, libc::EAI_SERVICE);
        }
    }
}
