//! What a Docker user does: attached and detached, ports, volumes, logs, stop.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use multiwasm_conformance::command::Input;
use multiwasm_conformance::ctr::await_true;
use multiwasm_conformance::docker::{Container, docker};
use multiwasm_conformance::targets::Target;
use multiwasm_conformance::{each_of, each_target};

each_target!(an_attached_run_prints_and_exits_as_the_guest_does, |target| {
    Container::new(target).probe(["hello"]).run().expect_code(0).expect_out("hello from a guest\n");
    for code in [0, 1, 42, 255] {
        Container::new(target).probe(["exit", &code.to_string()]).run().expect_code(code);
    }
});

each_target!(arguments_and_environment_arrive, |target| {
    let output = Container::new(target).probe(["args", "two words", "--flag"]).run();
    output.expect_code(0).expect_out(&format!("{}\nargs\ntwo words\n--flag\n", target.probe()));
    let output = Container::new(target).flag("-e=COLOUR=blau").probe(["env"]).run();
    assert!(output.expect_code(0).out().lines().any(|line| line == "COLOUR=blau"), "{output}");
});

each_target!(stdin_is_read_to_its_end, |target| {
    let bytes = b"line\n".repeat(20_000);
    let output = Container::new(target).input(Input::Bytes(bytes.clone())).probe(["cat"]).run();
    output.expect_code(0).expect_err(&["end of input after 100000 bytes"]);
    assert!(output.stdout == bytes, "{} bytes came back", output.stdout.len());
    let output = Container::new(target).probe(["cat"]).run();
    output.expect_code(0).expect_out("").expect_err(&["end of input after 0 bytes"]);
});

each_target!(a_detached_run_is_logged_and_waited_for, |target| {
    let detached = Container::new(target).probe(["sleep", "0.3"]).detach();
    assert_eq!(detached.wait(), 0);
    detached.docker(&["logs"]).expect_code(0).expect_out("sleeping\nawake\n");
    let detached = Container::new(target).probe(["exit", "42"]).detach();
    assert_eq!(detached.wait(), 42);
});

each_target!(stop_ends_an_endless_loop_within_a_second, |target| {
    let detached = Container::new(target).probe(["spin"]).detach();
    detached.await_log("spinning");
    let asked = Instant::now();
    detached.docker(&["stop"]).expect_code(0);
    let took = asked.elapsed();
    assert_eq!(detached.wait(), 143);
    assert!(took < Duration::from_secs(1), "docker stop took {took:?}");
});

each_target!(kill_ends_a_guest_with_137, |target| {
    let detached = Container::new(target).probe(["spin"]).detach();
    detached.await_log("spinning");
    detached.docker(&["kill"]).expect_code(0);
    assert_eq!(detached.wait(), 137);
});

each_target!(volumes_are_read_and_written, |target| {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("given"), "from outside\n").unwrap();
    let volume = |option: &str| format!("--volume={}:/mnt{option}", folder.path().display());
    Container::new(target)
        .flag(&volume(""))
        .probe(["read", "/mnt/given"])
        .run()
        .expect_code(0)
        .expect_out("from outside\n");
    Container::new(target).flag(&volume("")).probe(["write", "/mnt/made", "inside"]).run().expect_code(0);
    assert_eq!(fs::read_to_string(folder.path().join("made")).unwrap(), "inside");
    let output = Container::new(target).flag(&volume(":ro")).probe(["write", "/mnt/more", "inside"]).run();
    output.expect_code(1).expect_err(&["probe: write /mnt/more"]);
    assert!(!folder.path().join("more").exists());
});

each_target!(rm_leaves_no_container, |target| {
    let output = Container::new(target).flag("--label=conformance=rm").probe(["hello"]).run();
    output.expect_code(0);
    let filter = format!("--filter=name={target}-{}-", std::process::id());
    let label = "--filter=label=conformance=rm";
    await_true("the container is removed", Duration::from_secs(10), || {
        docker(&["ps", "--all", "--quiet", label, &filter]).expect_code(0).out().is_empty()
    });
});

/// What an HTTP server says to a plain request.
fn get(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn a_published_port_reaches_a_server_on_wasmedges_sockets() {
    let server = Container::auto().flag("--publish=18080:8080").args(["/serve.wasm", "8080", "wasmedge"]).detach();
    server.await_log("listening on 8080");
    for _ in 0..20 {
        let answer = get(18080).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("hello from wasmedge\n"), "{answer}");
    }
    let asked = Instant::now();
    server.docker(&["stop"]).expect_code(0);
    assert!(asked.elapsed() < Duration::from_secs(1), "docker stop took {:?}", asked.elapsed());
    assert_eq!(server.wait(), 143);
}

each_of!(a_published_port_reaches_a_native_server, |target| {
    let port: u16 = if target == Target::Runc { 18081 } else { 18082 };
    let serve = "while true; do printf 'HTTP/1.0 200 OK\r\n\r\nhello from busybox\n' | /bin/busybox nc -l -p 80; done";
    let server = Container::new(target)
        .flag(&format!("--publish={port}:80"))
        .args(["/bin/busybox", "sh", "-c", serve])
        .detach();
    await_true("busybox answers", Duration::from_secs(20), || {
        get(port).is_ok_and(|answer| answer.ends_with("hello from busybox\n"))
    });
    drop(server);
}, native Native, runc Runc);

each_target!(inspect_knows_the_pid_and_the_container_has_a_network_of_its_own, |target| {
    let detached = Container::new(target).probe(["sleep", "3600"]).detach();
    let pid = docker(&["inspect", "--format", "{{.State.Pid}}", detached.name()]).expect_code(0).out();
    let network = |pid: &str| fs::read_link(format!("/proc/{}/ns/net", pid.trim())).unwrap();
    assert_ne!(network(&pid), network("self"));
});

each_target!(a_user_reads_and_writes_what_that_user_may, |target| {
    let folder = tempfile::tempdir().unwrap();
    let (secret, open) = (folder.path().join("secret"), folder.path().join("open"));
    for (path, mode) in [(&secret, 0o600), (&open, 0o644)] {
        fs::write(path, "given").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let as_user = || {
        let volume = format!("--volume={}:/mnt", folder.path().display());
        Container::new(target).flag("--user=1000:1000").flag(&volume)
    };
    as_user().probe(["read", "/mnt/open"]).run().expect_code(0).expect_out("given");
    assert_ne!(as_user().probe(["read", "/mnt/secret"]).run().code, 0);
    assert_ne!(as_user().probe(["write", "/mnt/new", "x"]).run().code, 0);
    assert!(!folder.path().join("new").exists());
});
