//! What containerd is told of a task: its processes, its metrics, its events in order.

use multiwasm_conformance::command::{Input, LIMIT, Process};
use multiwasm_conformance::ctr::{Container, ctr, lab};
use multiwasm_conformance::each_target;
use nix::sys::signal::Signal;

each_target!(a_tasks_processes_are_listed, |target| {
    let task = Container::new(target).probe(["sleep", "3600"]).detach();
    let pid = task.pid().to_string();
    let listed = ctr(&["tasks", "ps", task.id()]);
    assert!(listed.expect_code(0).out().split_whitespace().any(|word| word == pid), "{listed}");
    task.kill(Signal::SIGKILL).expect_code(0);
    task.await_stopped(LIMIT);
    task.delete(137);
});

each_target!(a_tasks_metrics_are_its_own, |target| {
    let container = Container::new(target).flag("--memory-limit", &(96 << 20).to_string());
    let task = container.probe(["sleep", "3600"]).detach();
    let metrics = ctr(&["tasks", "metrics", "--format", "json", task.id()]);
    // Whatever the cgroup's version, its limit is among them.
    assert!(metrics.expect_code(0).out().contains("100663296"), "{metrics}");
    task.kill(Signal::SIGKILL).expect_code(0);
    task.await_stopped(LIMIT);
    task.delete(137);
});

each_target!(events_come_in_order, |target| {
    let events = Process::start(&lab().ctr("conformance", ["events"]), Input::Nothing).unwrap();
    // One is seen once `ctr` listens; who comes after it is seen whole.
    loop {
        let marker = Container::new(target).probe(["exit", "0"]);
        let id = marker.id().to_owned();
        marker.run().expect_code(0);
        if events.await_out(&id, std::time::Duration::from_secs(1)).is_ok() {
            break;
        }
    }
    let container = Container::new(target).probe(["exit", "3"]);
    let id = container.id().to_owned();
    container.run().expect_code(3);
    // containerd's own, after all of the task's.
    events.await_out(&format!("/containers/delete {{\"id\":\"{id}\"}}"), LIMIT).unwrap();
    events.signal(Signal::SIGTERM);
    let printed = events.finish(LIMIT).unwrap().out();
    let topics: Vec<_> = printed
        .lines()
        .filter(|line| line.contains(&format!("\"{id}\"")))
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with("/tasks/")))
        .collect();
    assert_eq!(topics, ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"], "{printed}");
});
