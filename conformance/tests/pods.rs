//! Native containers, and several containers in one pod: what a Kubernetes pod with a pause container needs.

use std::fs;

use multiwasm_conformance::ctr::{Container, Task};
use multiwasm_conformance::targets::Target;
use multiwasm_conformance::{each_engine, each_of};

each_of!(a_static_program_runs_natively, |target| {
    let output = Container::new(target).args(["/bin/busybox", "sh", "-c", "echo from busybox; exit 5"]).run();
    output.expect_code(5).expect_out("from busybox\n");
}, native Native, runc Runc);

each_of!(a_native_program_is_the_first_of_its_namespace, |target| {
    let output = Container::new(target).args(["/bin/busybox", "sh", "-c", "echo $$; /bin/busybox ls /proc/self/fd"]).run();
    let out = output.expect_code(0).out();
    let mut words = out.split_whitespace();
    assert_eq!(words.next(), Some("1"), "{output}");
    // Its three streams, and the one that lists them: nothing of ours is left open.
    assert_eq!(words.collect::<Vec<_>>(), ["0", "1", "2", "3"], "{output}");
}, native Native, runc Runc);

/// The shim of a container: the process whose child, or child's child, its first process is.
fn shim_of(task: &Task) -> i32 {
    let status =
        |pid: i32| fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_else(|error| panic!("{pid}: {error}"));
    let parent = status(task.pid()).lines().find_map(|line| line.strip_prefix("PPid:").map(|pid| pid.trim().parse()));
    parent.unwrap_or_else(|| panic!("{} has no parent", task.id())).unwrap_or_else(|error| panic!("{error}"))
}

fn in_pod(target: Target, pod: &str, kind: &str) -> Container {
    Container::new(target)
        .annotation("io.kubernetes.cri.container-type", kind)
        .annotation("io.kubernetes.cri.sandbox-id", pod)
        .probe(["sleep", "3600"])
}

each_engine!(containers_of_one_pod_share_a_shim, |target| {
    let pause = Container::new(Target::Native);
    let pod = pause.id().to_owned();
    let pause = pause
        .annotation("io.kubernetes.cri.container-type", "sandbox")
        .annotation("io.kubernetes.cri.sandbox-id", &pod)
        .probe(["sleep", "3600"])
        .detach();
    let (one, two) = (in_pod(target, &pod, "container").detach(), in_pod(target, &pod, "container").detach());
    let alone = Container::new(target).probe(["sleep", "3600"]).detach();
    let shim = shim_of(&pause);
    assert_eq!((shim_of(&one), shim_of(&two)), (shim, shim), "the pod's containers have the pod's shim");
    assert_ne!(shim_of(&alone), shim, "a container without a pod has its own");
    assert_ne!(one.pid(), two.pid());
    for (task, signal, code) in [(one, "SIGTERM", 143), (two, "SIGKILL", 137), (pause, "SIGTERM", 143)] {
        task.kill(signal.parse().unwrap()).expect_code(0);
        task.await_stopped(multiwasm_conformance::command::LIMIT);
        task.delete(code);
    }
});

each_engine!(a_container_of_a_pod_ends_and_the_others_live, |target| {
    let pause = Container::new(Target::Native);
    let pod = pause.id().to_owned();
    let pause = pause.annotation("io.kubernetes.cri.sandbox-id", &pod).probe(["sleep", "3600"]).detach();
    let before = shim_of(&pause);
    for code in [0, 42] {
        in_pod(target, &pod, "container").probe(["exit", &code.to_string()]).run().expect_code(code);
    }
    assert_eq!(shim_of(&pause), before);
    assert_eq!(pause.state().map(|(_, state)| state).as_deref(), Some("RUNNING"));
});
