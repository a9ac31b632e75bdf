//! What a kubelet does, by `crictl`: pods with sidecars, their network, logs, probes, stats, limits, mounts and ends.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use multiwasm_conformance::command::{Input, LIMIT};
use multiwasm_conformance::cri::{Pod, Running, crictl};
use multiwasm_conformance::ctr::{await_true, lab};
use multiwasm_conformance::guests::{LINUX_IMAGE, WASM_IMAGE, bad};
use multiwasm_conformance::registry::Registry;
use multiwasm_conformance::targets::{ENGINE_ANNOTATION, Target};
use multiwasm_conformance::{each_engine, each_of, each_target};

/// The default grace period of Kubernetes.
const GRACE: Duration = Duration::from_secs(30);

/// What is given by `crictl exec --sync`, which ends it with empty lines.
fn exec_out(container: &Running, words: &[&str]) -> String {
    container.exec(words).expect_code(0).out().trim_end().to_owned()
}

/// A namespace of a process, by its name in /proc.
#[cfg(test)]
fn namespace(pid: u32, name: &str) -> std::path::PathBuf {
    fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap()
}

/// The engine that was chosen for a container, as the shim logs it, once its process has that plug-in.
#[cfg(test)]
fn engine(container: &Running) -> String {
    let log = fs::read_to_string(&lab().log).unwrap();
    let line = log.lines().find(|line| line.contains(container.id()) && line.contains(" runs on "));
    let line = line.unwrap_or_else(|| panic!("nothing is logged of {}", container.id()));
    let chosen = line.split(" runs on ").nth(1).and_then(|rest| rest.split(':').next()).unwrap().to_owned();
    let maps = fs::read_to_string(format!("/proc/{}/maps", container.pid())).unwrap();
    assert!(maps.contains(&format!("/libmultiwasm_{chosen}.so")), "{line}\n{maps}");
    chosen
}

/// What a read-only place answers: Wasmtime's WASI knows no EROFS (conformance/cases/mounts.toml).
fn read_only(target: Target) -> &'static str {
    if target == Target::Wasmtime { "EIO" } else { "EROFS" }
}

each_target!(a_container_and_a_sidecar_share_a_pod, |target| {
    let pod = Pod::new(target).run();
    assert_eq!(pod.inspect()["status"]["state"], "SANDBOX_READY");
    let guest = pod.container(target).probe(["hello", "then", "sleep", "3600"]).start();
    let sidecar = pod.sidecar();
    guest.await_log("sleeping");
    for name in ["net", "ipc", "uts"] {
        let shared = namespace(pod.pid(), name);
        assert_eq!(namespace(guest.pid(), name), shared, "{name} of the guest");
        assert_eq!(namespace(sidecar.pid(), name), shared, "{name} of the sidecar");
        assert_ne!(namespace(std::process::id(), name), shared, "{name} of the machine");
    }
    for name in ["mnt", "pid"] {
        assert_ne!(namespace(guest.pid(), name), namespace(sidecar.pid(), name), "{name}");
    }
    let address = pod.address();
    let shown = exec_out(&sidecar, &["/bin/busybox", "ip", "address", "show", "dev", "eth0"]);
    assert!(shown.contains(&format!("inet {address}/")), "{shown}");
    pod.stop();
    assert_eq!(pod.inspect()["status"]["state"], "SANDBOX_NOTREADY");
    assert_eq!((guest.state(), sidecar.state()), ("CONTAINER_EXITED".into(), "CONTAINER_EXITED".into()));
});

#[test]
fn a_sidecar_and_a_neighbour_reach_a_server() {
    let pod = Pod::of_handler("multiwasm").run();
    let server = pod.container(Target::WasmEdge).args(["/serve.wasm", "8080", "the pod"]).start();
    server.await_log("listening on 8080");
    // busybox's wget, linked statically, needs files of the C library that this image has not.
    let asked = |from: &Running, address: &str| {
        let ask = format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | /bin/busybox nc -w 5 {address} 8080");
        from.exec(&["/bin/busybox", "sh", "-c", &ask])
    };
    let get = |from: &Running, address: &str| {
        let answer = asked(from, address).expect_code(0).out();
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.trim_end().ends_with("hello from the pod"), "{answer}");
    };
    get(&pod.sidecar(), "127.0.0.1");
    let neighbour = Pod::of_handler("runc").run();
    let from = neighbour.sidecar();
    get(&from, &pod.address());
    asked(&from, "127.0.0.1").expect_code(1).expect_err(&["Connection refused"]);
}

each_target!(logs_keep_the_streams_apart, |target| {
    let pod = Pod::new(target).run();
    let guest = pod.container(target).probe(["hello", "then", "say", "to stderr\n", "then", "exit", "3"]).start();
    assert_eq!(guest.ended(), (3, "Error".into()));
    let logs = guest.logs();
    logs.expect_code(0).expect_out("hello from a guest\n").expect_err(&["to stderr"]);
    // A kubelet's format: when, which stream, whether the line is whole.
    let log = fs::read_to_string(guest.log_file()).unwrap();
    assert!(log.contains(" stdout F hello from a guest\n"), "{log}");
    assert!(log.contains(" stderr F to stderr\n"), "{log}");
});

each_target!(arguments_environment_and_hostname_arrive, |target| {
    let pod = Pod::new(target).run();
    let guest = pod.container(target).env("COLOUR", "blau").probe(["env"]).start();
    assert_eq!(guest.ended(), (0, "Completed".into()));
    assert!(guest.logs().out().lines().any(|line| line == "COLOUR=blau"), "{}", guest.logs());
    let guest = pod.container(target).probe(["args", "two words", ""]).start();
    assert_eq!(guest.ended().0, 0);
    guest.logs().expect_out(&format!("{}\nargs\ntwo words\n\n", target.probe()));
});

each_target!(probes_are_answered_by_their_exit, |target| {
    let pod = Pod::new(target).run();
    let guest = pod.container(target).probe(["sleep", "3600"]).start();
    assert_eq!(exec_out(&guest, &[target.probe(), "hello"]), "hello from a guest");
    assert_eq!(exec_out(&guest, &["/bin/busybox", "echo", "hello"]), "hello");
    guest.exec(&[target.probe(), "exit", "3"]).expect_code(1).expect_err(&["exited with 3"]);
    guest.exec(&["/bin/busybox", "false"]).expect_code(1).expect_err(&["exited with 1"]);
    let missing = guest.exec(&["/nowhere"]);
    assert!(missing.code != 0 && missing.err().contains("/nowhere"), "{missing}");
    assert_eq!(guest.state(), "CONTAINER_RUNNING");
});

each_target!(a_probe_that_takes_too_long_is_ended, |target| {
    let pod = Pod::new(target).run();
    let guest = pod.container(target).probe(["sleep", "3600"]).start();
    let began = Instant::now();
    let late = guest.exec_within(1, &[target.probe(), "spin"]);
    assert!(late.code != 0 && late.err().contains("DeadlineExceeded"), "{late}");
    assert!(began.elapsed() < Duration::from_secs(10), "{late}");
    // What was begun does not go on in the container.
    let own = guest.pid();
    let folder = format!("/multiwasm-{}", lab().suite);
    await_true("one process is left", LIMIT, || processes_beside(own, &folder) == [own]);
    assert_eq!(exec_out(&guest, &[target.probe(), "hello"]), "hello from a guest");
});

/// The processes in the cgroup of `pid`, whose path begins with `folder`.
#[cfg(test)]
fn processes_beside(pid: u32, folder: &str) -> Vec<u32> {
    let own = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let path = |text: &str| {
        text.lines().find_map(|line| line.rsplit(':').next().filter(|path| path.starts_with(folder)).map(str::to_owned))
    };
    let wanted = path(&own).unwrap_or_else(|| panic!("{pid} is not below {folder}: {own}"));
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|text| path(&text).as_ref() == Some(&wanted))
    })
    .collect()
}

each_target!(exec_streams_its_input, |target| {
    let pod = Pod::new(target).run();
    let guest = pod.container(target).probe(["sleep", "3600"]).start();
    let bytes = b"line\n".repeat(20_000);
    let output = guest.exec_with_input(Input::Bytes(bytes.clone()), &[target.probe(), "cat"]);
    output.expect_code(0).expect_err(&["end of input after 100000 bytes"]);
    assert!(output.stdout == bytes, "{} bytes came back", output.stdout.len());
});

/// A number as CRI's JSON has it, which is text.
fn number(value: &serde_json::Value) -> u64 {
    value["value"].as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no number: {value}"))
}

each_target!(stats_tell_memory_and_time, |target| {
    let pod = Pod::new(target).run();
    let guest = pod.container(target).probe(["spin"]).start();
    guest.await_log("spinning");
    let first = guest.stats();
    assert_eq!(first["attributes"]["id"], guest.id());
    let memory = number(&first["memory"]["workingSetBytes"]);
    assert!((64 << 10..512 << 20).contains(&memory), "{first}");
    await_true("its time goes on", LIMIT, || {
        number(&guest.stats()["cpu"]["usageCoreNanoSeconds"]) > number(&first["cpu"]["usageCoreNanoSeconds"])
    });
    let shown = crictl(&["statsp", "--output", "json", "--id", pod.id()]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.expect_code(0).stdout).unwrap();
    let of_pod = &shown["stats"][0]["linux"];
    assert_eq!(of_pod["containers"][0]["attributes"]["id"], guest.id(), "{shown}");
    assert!(number(&of_pod["cpu"]["usageCoreNanoSeconds"]) > 0, "{shown}");
    assert!(number(&of_pod["process"]["processCount"]) >= 1, "{shown}");
});

each_target!(who_exceeds_its_memory_is_oom_killed, |target| {
    let pod = Pod::new(target).run();
    let sidecar = pod.sidecar();
    let guest = pod.container(target).memory(64 << 20).probe(["say", "begun\n", "then", "eat", "512"]).start();
    assert_eq!(guest.ended(), (137, "OOMKilled".into()));
    guest.logs().expect_err(&["begun"]);
    assert_eq!(sidecar.state(), "CONTAINER_RUNNING");
    assert_eq!(pod.inspect()["status"]["state"], "SANDBOX_READY");
});

each_target!(a_limit_is_changed_while_it_runs, |target| {
    let pod = Pod::new(target).run();
    let guest = pod.container(target).memory(512 << 20).probe(["sleep", "3600"]).start();
    crictl(&["update", "--memory", "33554432", guest.id()]).expect_code(0);
    let killed = guest.exec(&[target.probe(), "eat", "128"]);
    assert!(killed.code != 0 && killed.err().contains("exited with 137"), "{killed}");
});

each_target!(a_termination_message_is_left_for_the_kubelet, |target| {
    let folder = tempfile::tempdir().unwrap();
    let message = folder.path().join("message");
    fs::write(&message, "").unwrap();
    let pod = Pod::new(target).run();
    let guest = pod
        .container(target)
        .mount(&message, "/dev/termination-log", false)
        .probe(["write", "/dev/termination-log", "the disk is full", "then", "exit", "5"])
        .start();
    assert_eq!(guest.ended(), (5, "Error".into()));
    assert_eq!(fs::read_to_string(&message).unwrap(), "the disk is full");
});

each_target!(stop_asks_first, |target| {
    let pod = Pod::new(target).run();
    let guest = pod.container(target).probe(["spin"]).start();
    guest.await_log("spinning");
    let stopped = guest.stop(GRACE);
    stopped.expect_code(0);
    assert!(stopped.took < GRACE / 6, "{stopped}");
    assert_eq!(guest.ended(), (143, "Error".into()));
});

each_of!(who_does_not_hear_is_killed_when_the_grace_period_is_over, |target| {
    let pod = Pod::new(target).run();
    let deaf = "trap '' TERM; echo deaf; while :; do /bin/busybox sleep 1; done";
    let guest = pod.container(target).args(["/bin/busybox", "sh", "-c", deaf]).start();
    guest.await_log("deaf");
    let stopped = guest.stop(Duration::from_secs(2));
    stopped.expect_code(0);
    assert!(stopped.took >= Duration::from_secs(2), "{stopped}");
    assert_eq!(guest.ended(), (137, "Error".into()));
}, native Native, runc Runc);

each_target!(stop_without_grace_kills, |target| {
    let pod = Pod::new(target).run();
    let guest = pod.container(target).probe(["spin"]).start();
    guest.await_log("spinning");
    guest.stop(Duration::ZERO).expect_code(0);
    assert_eq!(guest.ended(), (137, "Error".into()));
});

each_of!(what_is_left_in_a_shared_pid_namespace_ends_with_its_container, |target| {
    let pod = Pod::new(target).run();
    let leave = "/bin/busybox sleep 3600 & echo up; wait";
    let guest = pod.container(target).security("namespace_options", serde_json::json!({ "pid": 0 }));
    let guest = guest.args(["/bin/busybox", "sh", "-c", leave]).start();
    guest.await_log("up");
    assert_eq!(namespace(guest.pid(), "pid"), namespace(pod.pid(), "pid"));
    let folder = format!("/multiwasm-{}", lab().suite);
    let both = processes_beside(guest.pid(), &folder);
    assert_eq!(both.len(), 2);
    // It holds the container's output: as long as it lives, containerd waits for more.
    guest.stop(Duration::ZERO).expect_code(0);
    assert_eq!(guest.ended(), (137, "Error".into()));
    await_true("none is left", LIMIT, || both.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists()));
}, native Native, runc Runc);

each_target!(a_volume_is_shared_within_a_pod, |target| {
    let volume = tempfile::tempdir().unwrap();
    let pod = Pod::new(target).run();
    let guest = pod
        .container(target)
        .mount(volume.path(), "/mnt", false)
        .probe(["write", "/mnt/made", "inside", "then", "sleep", "3600"])
        .start();
    guest.await_log("sleeping");
    assert_eq!(fs::read_to_string(volume.path().join("made")).unwrap(), "inside");
    fs::write(volume.path().join("given"), "outside").unwrap();
    assert_eq!(exec_out(&guest, &[target.probe(), "read", "/mnt/given"]), "outside");
    let other = pod.container(target).mount(volume.path(), "/elsewhere", true);
    let other = other.probe(["read", "/elsewhere/made", "then", "write", "/elsewhere/more", "x"]).start();
    assert_eq!(other.ended().0, 1);
    let denied = format!("probe: write /elsewhere/more: {}", read_only(target));
    other.logs().expect_out("inside").expect_err(&[&denied]);
    assert!(!volume.path().join("more").exists());
});

/// A folder as a kubelet fills it for a config map: a change of all files is one rename.
#[cfg(test)]
fn config_map(folder: &Path, version: &str, value: &str) {
    let content = folder.join(format!("..{version}"));
    fs::create_dir(&content).unwrap();
    fs::write(content.join("colour"), value).unwrap();
    symlink(format!("..{version}"), folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    if !folder.join("colour").exists() {
        symlink("..data/colour", folder.join("colour")).unwrap();
    }
}

each_target!(a_config_map_is_read_and_its_changes_are_seen, |target| {
    let folder = tempfile::tempdir().unwrap();
    config_map(folder.path(), "2026_01", "blue");
    let pod = Pod::new(target).run();
    let guest = pod
        .container(target)
        .mount(folder.path(), "/etc/config", true)
        .probe(["read", "/etc/config/colour", "then", "sleep", "3600"])
        .start();
    guest.await_log("sleeping");
    assert!(guest.logs().out().starts_with("blue"), "{}", guest.logs());
    config_map(folder.path(), "2026_02", "green");
    assert_eq!(exec_out(&guest, &[target.probe(), "read", "/etc/config/colour"]), "green");
    let write = guest.exec(&[target.probe(), "write", "/etc/config/colour", "red"]);
    write.expect_code(1).expect_err(&[read_only(target)]);
});

each_target!(a_user_and_a_read_only_root_are_kept_to, |target| {
    let volume = tempfile::tempdir().unwrap();
    fs::write(volume.path().join("secret"), "given").unwrap();
    fs::set_permissions(volume.path().join("secret"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    fs::set_permissions(volume.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let pod = Pod::new(target).run();
    let guest = pod
        .container(target)
        .mount(volume.path(), "/mnt", false)
        .security("run_as_user", serde_json::json!({ "value": 1000 }))
        .security("readonly_rootfs", true)
        .probe(["read", "/data/file", "then", "read", "/mnt/secret", "then", "write", "/tmp/new", "x"])
        .start();
    assert_eq!(guest.ended().0, 1);
    let (logs, denied) = (guest.logs(), format!("write /tmp/new: {}", read_only(target)));
    logs.expect_out("what /data/file holds\n").expect_err(&["read /mnt/secret: EACCES", &denied]);
});

each_engine!(the_pods_annotation_chooses_the_engine, |target| {
    let wanted = target.engine().unwrap();
    let pod = Pod::new(target).run();
    for image in [WASM_IMAGE, LINUX_IMAGE] {
        let guest = pod.container(target).image(image).probe(["sleep", "3600"]).start();
        guest.await_log("sleeping");
        assert_eq!(engine(&guest), wanted, "{image}");
    }
});

each_engine!(the_containers_annotation_and_the_handler_choose_too, |target| {
    let wanted = target.engine().unwrap();
    let other = if wanted == "wasmer" { "wasmtime" } else { "wasmer" };
    let pod = Pod::of_handler("multiwasm").annotation(ENGINE_ANNOTATION, other).run();
    let guest = pod.container(target).annotation(ENGINE_ANNOTATION, wanted).probe(["sleep", "3600"]).start();
    guest.await_log("sleeping");
    assert_eq!(engine(&guest), wanted);
    let pod = Pod::of_handler(wanted).run();
    let guest = pod.container(target).probe(["sleep", "3600"]).start();
    guest.await_log("sleeping");
    assert_eq!(engine(&guest), wanted);
    assert_eq!(exec_out(&pod.sidecar(), &["/bin/busybox", "echo", "native"]), "native");
});

each_engine!(a_module_that_can_not_start_names_file_and_engine, |target| {
    let pod = Pod::new(target).run();
    let (guest, started) = pod.container(target).args([bad::MISSING_IMPORT]).try_start();
    started.expect_code(1).expect_err(&[bad::MISSING_IMPORT, target.engine().unwrap()]);
    assert_eq!(guest.ended().1, "StartError");
    let status = guest.inspect();
    let message = status["status"]["message"].as_str().unwrap_or_default();
    assert!(message.contains(bad::MISSING_IMPORT), "what kubectl describe shows: {status}");
});

#[test]
fn an_engine_that_is_not_there_is_named() {
    let pod = Pod::of_handler("multiwasm").run();
    let guest = pod.container(Target::Wasmtime).annotation(ENGINE_ANNOTATION, "nowhere");
    let (_, started) = guest.try_start();
    started.expect_code(1).expect_err(&["nowhere", ENGINE_ANNOTATION]);
}

/// The table of docs/kubernetes.md. CRI asks for the machine's own platform, whatever the handler.
#[test]
fn a_pull_takes_what_there_is_for_this_machine() {
    let registry = Registry::start();
    let pod = Pod::of_handler("multiwasm").run();
    for (name, _) in registry.images() {
        let pulled = crictl(&["pull", &name]);
        if name.contains("/index:") {
            pulled.expect_code(1).expect_err(&["no match for platform in manifest"]);
            continue;
        }
        pulled.expect_code(0);
        let guest = pod.container(Target::Wasmtime).image(&name).probe(["hello", "then", "sleep", "3600"]);
        guest.start().await_log("sleeping");
    }
}

#[test]
fn an_artifact_that_was_pulled_runs_in_a_pod() {
    let registry = Registry::start();
    let pod = Pod::of_handler("multiwasm").run();
    for artifact in registry.artifacts() {
        let pulled = crictl(&["pull", &artifact.name]);
        if artifact.index {
            pulled.expect_code(1).expect_err(&["no match for platform in manifest"]);
            continue;
        }
        pulled.expect_code(0);
        let guest = pod.container(Target::Wasmtime).image(&artifact.name);
        guest.probe(["hello", "then", "sleep", "3600"]).start().await_log("sleeping");
    }
}
