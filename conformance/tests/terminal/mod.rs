//! A terminal with a person before it, for commands that want one.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use multiwasm_conformance::command::LIMIT;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A command at a terminal, with a person before it.
#[derive(Debug)]
pub(crate) struct Terminal {
    master: File,
    child: Child,
    shown: Vec<u8>,
}

impl Terminal {
    /// Starts `command` on a terminal of 80 columns and 24 lines.
    #[track_caller]
    pub(crate) fn start(command: &[String]) -> Self {
        Self::try_start(command).unwrap_or_else(|error| panic!("can't start {command:?}: {error}"))
    }

    fn try_start(command: &[String]) -> io::Result<Self> {
        let master = File::options().read(true).write(true).open("/dev/ptmx")?;
        let slave = slave(&master)?;
        resize(&master, 80, 24)?;
        let end = || slave.try_clone().map(Stdio::from);
        let mut words = command.iter();
        let mut to_start = Command::new(words.next().map(String::as_str).unwrap_or_default());
        let child = to_start.args(words).stdin(end()?).stdout(end()?).stderr(end()?).spawn()?;
        Ok(Self { master, child, shown: Vec::new() })
    }

    /// Types `text`.
    #[track_caller]
    pub(crate) fn type_in(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap_or_else(|error| panic!("the terminal: {error}"));
    }

    /// Makes the window another size, as a person does with the mouse.
    #[track_caller]
    pub(crate) fn resize(&mut self, columns: u16, lines: u16) {
        resize(&self.master, columns, lines).unwrap_or_else(|error| panic!("the terminal: {error}"));
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGWINCH)
            .unwrap_or_else(|error| panic!("the terminal: {error}"));
    }

    /// Waits until `text` is shown; what was shown up to its end is not looked at again.
    #[track_caller]
    pub(crate) fn await_shown(&mut self, text: &str) {
        let place = |shown: &[u8]| shown.windows(text.len()).position(|window| window == text.as_bytes());
        self.read_until(&format!("{text:?} is shown"), |shown| place(shown).is_some());
        let end = place(&self.shown).map_or(0, |at| at + text.len());
        self.shown.drain(..end);
    }

    /// The exit code, and what was shown last, once it has ended.
    #[track_caller]
    pub(crate) fn finish(mut self) -> (i32, String) {
        self.read_until("it ends", |_| false);
        let status = self.child.wait().unwrap_or_else(|error| panic!("the terminal: {error}"));
        (status.code().unwrap_or(-1), String::from_utf8_lossy(&self.shown).into_owned())
    }

    /// Reads until `done`, or the end of all that is shown.
    #[track_caller]
    fn read_until(&mut self, what: &str, done: impl Fn(&[u8]) -> bool) {
        let deadline = Instant::now() + LIMIT;
        let mut buffer = [0; 4096];
        while !done(&self.shown) {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut ready = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
            poll(&mut ready, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX))
                .unwrap_or_else(|error| panic!("the terminal: {error}"));
            let shown = String::from_utf8_lossy(&self.shown).into_owned();
            assert!(Instant::now() < deadline, "waited for {LIMIT:?} until {what}; shown is {shown:?}");
            match self.master.read(&mut buffer) {
                Ok(length @ 1..) => self.shown.extend_from_slice(&buffer[..length]),
                // A terminal whose programs have all ended says so by an error.
                Ok(0) | Err(_) if what == "it ends" => return,
                Ok(0) | Err(_) => panic!("it ended before {what}; shown is {shown:?}"),
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn slave(master: &File) -> io::Result<OwnedFd> {
    let unlocked: libc::c_int = 0;
    // SAFETY: both requests are made with what they take (ioctl_tty(2)); the second gives a new descriptor.
    unsafe {
        if libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) != 0 {
            return Err(io::Error::last_os_error());
        }
        let slave = libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC);
        if slave < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(slave)) }
    }
}

fn resize(master: &File, columns: u16, lines: u16) -> io::Result<()> {
    let size = libc::winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the request takes a pointer to this structure.
    let done = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
