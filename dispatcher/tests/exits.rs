//! Exit statuses as the shim server reads them. In a process of its own: it reaps all children there are.

use std::process::Command;

use multiwasm::task::Exits;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

#[test]
fn each_way_to_end_has_its_status() {
    let exits = Exits::default();
    for (script, wanted) in [("exit 0", 0), ("exit 255", 255), ("kill -9 $$", 137), ("kill -15 $$", 143)] {
        #[allow(clippy::zombie_processes)] // reaping it is what is tested
        let child = Command::new("sh").args(["-c", script]).spawn().unwrap();
        let pid = child.id() as i32;
        // Waits without taking the status away.
        waitid(Id::Pid(Pid::from_raw(pid)), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
        exits.reap();
        assert_eq!(exits.watch(pid).borrow().unwrap().status, wanted, "{script}");
        exits.forget(pid);
    }
}
