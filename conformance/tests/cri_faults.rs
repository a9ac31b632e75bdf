//! Pods and the end of containerd, and what pods leave behind. Each of these has the lab to itself.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use multiwasm_conformance::command::LIMIT;
use multiwasm_conformance::cri::{Pod, crictl};
use multiwasm_conformance::ctr::{await_true, lab};
use multiwasm_conformance::each_target;
use multiwasm_conformance::leaks::Snapshot;
use multiwasm_conformance::targets::Target;

/// How long containerd and we may take to clean up.
const CLEAN: Duration = Duration::from_secs(15);

/// The lab for one test alone.
fn alone() -> MutexGuard<'static, ()> {
    static LAB: Mutex<()> = Mutex::new(());
    LAB.lock().unwrap_or_else(PoisonError::into_inner)
}

each_target!(pods_live_on_when_containerd_is_killed, |target| {
    let _lab = alone();
    let pod = Pod::new(target).run();
    let guest = pod.container(target).probe(["sleep", "3600"]).start();
    let short = pod.container(target).probe(["sleep", "2", "then", "exit", "42"]).start();
    let sidecar = pod.sidecar();
    let pids = (guest.pid(), sidecar.pid());
    short.await_log("sleeping");
    lab().kill_containerd().unwrap();
    // It ends while nobody listens.
    std::thread::sleep(Duration::from_secs(3));
    lab().start_containerd().unwrap();
    await_true("CRI is ready again", LIMIT, || crictl(&["version"]).code == 0);
    assert_eq!(pod.inspect()["status"]["state"], "SANDBOX_READY");
    assert_eq!((guest.state(), sidecar.state()), ("CONTAINER_RUNNING".into(), "CONTAINER_RUNNING".into()));
    assert_eq!((guest.pid(), sidecar.pid()), pids);
    // runc's shim tells it to nobody.
    assert_eq!(short.ended().0, if target == Target::Runc { 255 } else { 42 });
    guest.exec(&[target.probe(), "hello"]).expect_code(0);
    let stopped = guest.stop(Duration::from_secs(30));
    stopped.expect_code(0);
    assert_eq!(guest.ended().0, 143);
});

each_target!(a_pod_leaves_nothing, |target| {
    let _lab = alone();
    let run = || {
        let pod = Pod::new(target).run();
        let guest = pod.container(target).probe(["spin"]).start();
        let _sidecar = pod.sidecar();
        guest.await_log("spinning");
        guest.exec(&[target.probe(), "hello"]).expect_code(0);
    };
    run();
    let before = Snapshot::take(lab()).unwrap();
    run();
    before.await_back(lab(), CLEAN);
});
