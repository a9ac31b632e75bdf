//! What survives when something is killed, and what is left behind: nothing.
//!
//! These look at the whole lab and end its containerd, so each of them has the lab to itself.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use multiwasm_conformance::command::LIMIT;
use multiwasm_conformance::ctr::{Container, Task, await_true, ctr, lab};
use multiwasm_conformance::guests::bad;
use multiwasm_conformance::leaks::Snapshot;
use multiwasm_conformance::targets::Target;
use multiwasm_conformance::{each_engine, each_of_ours, each_target, fat};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// How long containerd and we may take to clean up behind a dead shim.
const CLEAN: Duration = Duration::from_secs(15);

/// The lab for one test alone.
fn alone() -> MutexGuard<'static, ()> {
    static LAB: Mutex<()> = Mutex::new(());
    LAB.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is there before a test, with all that the first container of a process needs already made.
fn before(container: &Container) -> Snapshot {
    container.clone().run();
    Snapshot::take(lab()).unwrap_or_else(|error| panic!("{error}"))
}

/// The process that serves a container, by its place above the container's own.
fn shim_of(task: &Task) -> Pid {
    let status = fs::read_to_string(format!("/proc/{}/status", task.pid())).unwrap_or_else(|error| panic!("{error}"));
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok());
    Pid::from_raw(parent.unwrap_or_else(|| panic!("{} has no parent", task.id())))
}

each_target!(a_container_that_ends_leaves_nothing, |target| {
    let _lab = alone();
    let before = before(&Container::new(target).probe(["hello"]));
    Container::new(target).probe(["exit", "3"]).run().expect_code(3);
    let running = Container::new(target).probe(["spin"]).start().await_out("spinning\n");
    running.task.kill(Signal::SIGKILL).expect_code(0);
    running.finish().expect_code(137);
    before.await_back(lab(), CLEAN);
});

each_engine!(a_create_that_fails_leaves_nothing, |target| {
    let _lab = alone();
    let before = before(&Container::new(target).probe(["hello"]));
    for entrypoint in [bad::MISSING_IMPORT, bad::TRUNCATED, "/nowhere.wasm"] {
        assert_ne!(Container::new(target).args([entrypoint]).run().code, 0);
    }
    let unheard = Container::new(target).probe(["hello"]).flag("--log-uri", "binary:///nowhere").run();
    assert_ne!(unheard.code, 0, "{unheard}");
    unheard.expect_err(&["the program /nowhere can't be started"]);
    before.await_back(lab(), CLEAN);
});

// runc leaves its shim's socket.
each_of_ours!(a_shim_that_is_killed_leaves_nothing, |target| {
    let _lab = alone();
    let before = before(&Container::new(target).probe(["hello"]));
    for verb in [["spin", ""], ["sleep", "3600"]] {
        let task = Container::new(target).probe(verb).detach();
        kill(shim_of(&task), Signal::SIGKILL).unwrap();
        task.await_stopped(CLEAN);
        drop(task);
    }
    before.await_back(lab(), CLEAN);
});

/// A container whose Create compiles for seconds, each time: one that outlives its containerd leaves what it compiled in the
/// cache.
fn slow(target: Target, folder: &Path) -> Container {
    let container = Container::new(target).annotation("io.containerd.multiwasm.compile", "eager");
    let module = fat::unique(fat::Size { functions: 120, ..fat::COSTLY }, container.id());
    fs::write(folder.join("slow.wasm"), module).unwrap_or_else(|error| panic!("{error}"));
    container.mount(folder, "/slow", "ro").args(["/slow/slow.wasm"])
}

/// The process that makes a container: a worker, known by its name, below the shim, known by its argument.
fn worker_of(id: &str) -> Option<Pid> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_it = |process: &fs::DirEntry| {
        let read = |file| fs::read(process.path().join(file)).unwrap_or_default();
        read("comm") == b"multiwasm-work\n"
            && read("cmdline").split(|byte| *byte == 0).any(|word| word == id.as_bytes())
    };
    let found = processes.filter(is_it).find_map(|process| process.file_name().to_str()?.parse().ok());
    found.map(Pid::from_raw)
}

each_engine!(a_worker_that_is_killed_fails_its_create_and_leaves_nothing, |target| {
    let _lab = alone();
    let before = before(&Container::new(target).probe(["hello"]));
    let folder = tempfile::tempdir().unwrap();
    let container = slow(target, folder.path());
    let id = container.id().to_owned();
    let running = container.start();
    let mut worker = None;
    await_true("a worker is there", LIMIT, || {
        worker = worker_of(&id);
        worker.is_some()
    });
    kill(worker.unwrap(), Signal::SIGKILL).unwrap();
    let output = running.finish();
    output.expect_code(1).expect_err(&["worker process", "SIGKILL"]);
    before.await_back(lab(), CLEAN);
});

each_engine!(a_create_whose_containerd_is_killed_leaves_nothing, |target| {
    let _lab = alone();
    let before = before(&Container::new(target).probe(["hello"]));
    let folder = tempfile::tempdir().unwrap();
    let container = slow(target, folder.path());
    let id = container.id().to_owned();
    let running = container.start();
    await_true("a worker is there", LIMIT, || worker_of(&id).is_some());
    lab().kill_containerd().unwrap();
    assert_ne!(running.finish().code, 0);
    lab().start_containerd().unwrap();
    // Whatever containerd makes of it: what is left can be removed, and then nothing is left.
    await_true("the worker is done", LIMIT, || worker_of(&id).is_none());
    ctr(&["tasks", "delete", "--force", &id]);
    ctr(&["containers", "delete", &id]);
    before.await_back(lab(), CLEAN);
});

each_target!(signals_to_all_of_a_container_that_ends_reach_nobody_else, |target| {
    let _lab = alone();
    let bystander = Container::new(target).probe(["sleep", "3600"]).detach();
    let task = Container::new(target).probe(["sleep", "3600"]).detach();
    for _ in 0..20 {
        // All but the first come to a container that is ending or has ended.
        ctr(&["tasks", "kill", "--all", "--signal", "SIGKILL", task.id()]);
    }
    task.await_stopped(LIMIT);
    task.delete(137);
    assert_eq!(bystander.state(), Some((bystander.pid(), "RUNNING".to_owned())));
    bystander.kill(Signal::SIGKILL).expect_code(0);
    bystander.await_stopped(LIMIT);
    bystander.delete(137);
});

// A service manager, or Ctrl-C at a containerd in a terminal, signals whole groups; containerd alone ends its shims.
each_of_ours!(a_signal_to_the_shims_group_leaves_it_at_work, |target| {
    let _lab = alone();
    let before = before(&Container::new(target).probe(["hello"]));
    // One that sleeps may end by being resumed (WasmEdge).
    let task = Container::new(target).probe(["spin"]).detach();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        killpg(shim_of(&task), signal).unwrap();
        // Its spawner does this.
        for verb in ["pause", "resume"] {
            ctr(&["tasks", verb, task.id()]).expect_code(0);
        }
    }
    task.kill(Signal::SIGTERM).expect_code(0);
    task.await_stopped(LIMIT);
    task.delete(143);
    drop(task);
    before.await_back(lab(), CLEAN);
});

each_target!(a_guest_that_is_killed_from_outside_ends_with_137, |target| {
    let _lab = alone();
    let running = Container::new(target).probe(["spin"]).start().await_out("spinning\n");
    kill(Pid::from_raw(running.task.pid()), Signal::SIGKILL).unwrap();
    running.finish().expect_code(137);
});

each_target!(a_container_outlives_a_restart_of_containerd, |target| {
    let _lab = alone();
    let before = before(&Container::new(target).probe(["hello"]));
    let task = Container::new(target).probe(["sleep", "3600"]).detach();
    let pid = task.pid();
    lab().kill_containerd().unwrap();
    lab().start_containerd().unwrap();
    assert_eq!(task.state(), Some((pid, "RUNNING".to_owned())));
    task.kill(Signal::SIGTERM).expect_code(0);
    task.await_stopped(LIMIT);
    task.delete(143);
    drop(task);
    before.await_back(lab(), CLEAN);
});

// With runc it is: containerd removes, as it starts, a shim that names no process, and runc's names the living alone.
each_of_ours!(an_exit_while_containerd_is_down_is_not_lost, |target| {
    let _lab = alone();
    let before = before(&Container::new(target).probe(["hello"]));
    let task = Container::new(target).probe(["sleep", "3600"]).detach();
    let pid = task.pid();
    lab().kill_containerd().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    await_true("the guest ends", LIMIT, || !fs::exists(format!("/proc/{pid}/ns/net")).is_ok_and(|there| there));
    lab().start_containerd().unwrap();
    task.await_stopped(LIMIT);
    task.delete(143);
    drop(task);
    before.await_back(lab(), CLEAN);
});

each_of_ours!(a_shim_that_is_killed_while_containerd_is_down_does_not_hold_up_its_start, |target| {
    let _lab = alone();
    let before = before(&Container::new(target).probe(["hello"]));
    let task = Container::new(target).probe(["sleep", "3600"]).detach();
    let shim = shim_of(&task);
    lab().kill_containerd().unwrap();
    kill(shim, Signal::SIGKILL).unwrap();
    let started = Instant::now();
    lab().start_containerd().unwrap();
    assert!(started.elapsed() < Duration::from_secs(10), "containerd took {:?} to start", started.elapsed());
    ctr(&["tasks", "ls"]).expect_code(0);
    drop(task);
    before.await_back(lab(), CLEAN);
});
