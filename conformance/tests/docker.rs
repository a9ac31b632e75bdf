//! What a Docker user does: attached and detached, ports, volumes, logs, stop, further processes, terminals, limits.

mod terminal;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use multiwasm_conformance::command::{Input, LIMIT};
use multiwasm_conformance::ctr::await_true;
use multiwasm_conformance::docker::{Container, Detached, docker};
use multiwasm_conformance::registry::Registry;
use multiwasm_conformance::targets::Target;
use multiwasm_conformance::{each_engine, each_of, each_target};
use terminal::Terminal;

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

/// A container that does nothing for as long as a test needs it.
fn idle(target: Target) -> Detached {
    let detached = Container::new(target).probe(["sleep", "3600"]).detach();
    detached.await_log("sleeping");
    detached
}

each_target!(exec_runs_modules_and_native_programs, |target| {
    let detached = idle(target);
    detached.exec(&[], &[target.probe(), "hello"]).expect_code(0).expect_out("hello from a guest\n");
    detached.exec(&[], &["/bin/busybox", "echo", "hello"]).expect_code(0).expect_out("hello\n");
    for code in [0, 1, 42, 255] {
        detached.exec(&[], &[target.probe(), "exit", &code.to_string()]).expect_code(code);
        detached.exec(&[], &["/bin/busybox", "sh", "-c", &format!("exit {code}")]).expect_code(code);
    }
    let bytes = b"line\n".repeat(20_000);
    let cat = detached.start_exec(&["-i"], &[target.probe(), "cat"], Input::Bytes(bytes.clone()));
    let output = cat.finish(LIMIT).unwrap();
    output.expect_code(0).expect_err(&["end of input after 100000 bytes"]);
    assert!(output.stdout == bytes, "{} bytes came back", output.stdout.len());
});

each_target!(exec_has_its_own_user_folder_and_environment, |target| {
    let detached = idle(target);
    let asked = ["--user=1000:1001", "--workdir=/tmp", "--env=COLOUR=blau"];
    let script = "/bin/busybox id -u; /bin/busybox id -g; pwd; echo $COLOUR $HOME";
    let output = detached.exec(&asked, &["/bin/busybox", "sh", "-c", script]);
    output.expect_code(0).expect_out("1000\n1001\n/tmp\nblau /\n");
    let output = detached.exec(&asked, &[target.probe(), "env"]);
    assert!(output.expect_code(0).out().lines().any(|line| line == "COLOUR=blau"), "{output}");
    detached.exec(&asked, &[target.probe(), "write", "made", "inside"]).expect_code(0);
    detached.exec(&[], &[target.probe(), "read", "/tmp/made"]).expect_code(0).expect_out("inside");
    assert_ne!(detached.exec(&asked, &[target.probe(), "write", "/data/file", "x"]).code, 0);
});

each_target!(a_missing_entrypoint_ends_with_127, |target| {
    let output = Container::new(target).flag("--entrypoint=/nowhere").run();
    output.expect_code(127).expect_err(&["/nowhere"]);
});

each_target!(exec_of_what_can_not_be_run_says_so, |target| {
    let detached = idle(target);
    // Docker 26 tells what is missing by the code of what can't be executed.
    let version = docker(&["version", "--format={{.Server.Version}}"]);
    let missing = if version.out().starts_with("26.") { 126 } else { 127 };
    for (name, code) in [("/nowhere", missing), ("nowhere", missing), ("/tmp", 126)] {
        let output = detached.exec(&[], &[name]);
        output.expect_code(code);
        let said = output.out() + &output.err();
        assert!(said.contains(name), "{output}");
    }
    detached.exec(&["--workdir=/nowhere"], &["/bin/busybox", "true"]).expect_code(missing);
    // None of that has hurt the container.
    detached.exec(&[], &[target.probe(), "hello"]).expect_code(0);
});

each_engine!(exec_of_a_bad_module_names_file_and_engine, |target| {
    let detached = idle(target);
    let output = detached.exec(&[], &["/missing-import.wasm"]);
    output.expect_code(126);
    let said = output.out() + &output.err();
    assert!(said.contains("/missing-import.wasm") && said.contains(&target.to_string()), "{output}");
});

each_target!(many_processes_at_once_have_each_their_end, |target| {
    let detached = idle(target);
    let start = |code: i32| {
        let code = code.to_string();
        detached.start_exec(&[], &[target.probe(), "exit", &code], Input::Nothing)
    };
    let processes: Vec<_> = (1..=20).map(|code| (code, start(code))).collect();
    for (code, process) in processes {
        process.finish(LIMIT).unwrap().expect_code(code);
    }
});

each_target!(killing_a_container_ends_what_exec_began, |target| {
    let detached = idle(target);
    let module = detached.start_exec(&[], &[target.probe(), "spin"], Input::Nothing);
    let program =
        detached.start_exec(&[], &["/bin/busybox", "sh", "-c", "echo up; /bin/busybox sleep 3600"], Input::Nothing);
    module.await_out("spinning", LIMIT).unwrap();
    program.await_out("up", LIMIT).unwrap();
    detached.docker(&["kill"]).expect_code(0);
    assert_eq!(detached.wait(), 137);
    module.finish(LIMIT).unwrap().expect_code(137);
    program.finish(LIMIT).unwrap().expect_code(137);
    assert_ne!(detached.exec(&[], &[target.probe(), "hello"]).code, 0);
});

each_target!(a_terminal_shows_what_is_typed_and_ends_with_ctrl_d, |target| {
    let mut terminal = Terminal::start(&Container::new(target).probe(["cat"]).words_at_terminal());
    terminal.type_in("hallo\r");
    terminal.await_shown("hallo\r\n");
    terminal.await_shown("hallo\r\n");
    terminal.type_in("\x04");
    let (code, shown) = terminal.finish();
    assert_eq!(code, 0, "{shown:?}");
    assert!(shown.contains("end of input after 6 bytes"), "{shown:?}");
});

each_engine!(ctrl_c_ends_a_guest_at_a_terminal, |target| {
    let mut terminal = Terminal::start(&Container::new(target).probe(["spin"]).words_at_terminal());
    terminal.await_shown("spinning");
    terminal.type_in("\x03");
    assert_eq!(terminal.finish().0, 130);
});

each_target!(exec_at_a_terminal_has_its_size_and_its_signals, |target| {
    let detached = idle(target);
    let words = ["/bin/busybox", "env", "B=/bin/busybox", "/bin/busybox", "sh"];
    let mut shell = Terminal::start(&detached.exec_words_at_terminal(&words));
    shell.await_shown("# ");
    // A size is a call of its own, and may be on its way.
    let await_size = |shell: &mut Terminal, size: &str| {
        shell.type_in(&format!("until test \"$($B stty size)\" = '{size}'; do :; done; echo 'it is' {size}\r"));
        shell.await_shown(&format!("it is {size}\r\n"));
    };
    await_size(&mut shell, "24 80");
    shell.resize(111, 33);
    await_size(&mut shell, "33 111");
    shell.type_in("exit 7\r");
    assert_eq!(shell.finish().0, 7);
    let mut module = Terminal::start(&detached.exec_words_at_terminal(&[target.probe(), "spin"]));
    module.await_shown("spinning");
    module.type_in("\x03");
    assert_eq!(module.finish().0, 130);
});

each_target!(a_terminal_without_input_is_logged, |target| {
    let detached = Container::new(target).flag("--tty").probe(["hello"]).detach();
    assert_eq!(detached.wait(), 0);
    await_true("the log has it", LIMIT, || detached.docker(&["logs"]).out() == "hello from a guest\r\n");
});

each_target!(a_paused_container_stands_still, |target| {
    let detached = Container::new(target).probe(["spin"]).detach();
    detached.await_log("spinning");
    let pid = detached.inspect("{{.State.Pid}}");
    // User and system time, in clock ticks (proc(5)).
    let used = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').map(str::to_owned).collect();
        fields[11..=12].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum::<u64>()
    };
    detached.docker(&["pause"]).expect_code(0);
    assert_eq!(detached.inspect("{{.State.Status}}"), "paused");
    let before = used();
    assert_ne!(detached.exec(&[], &[target.probe(), "hello"]).code, 0);
    assert_ne!(detached.docker(&["pause"]).code, 0);
    assert_eq!(used(), before);
    detached.docker(&["unpause"]).expect_code(0);
    await_true("it goes on", LIMIT, || used() > before);
    detached.docker(&["pause"]).expect_code(0);
    detached.docker(&["rm", "--force"]).expect_code(0);
});

each_target!(limits_are_updated_and_shown, |target| {
    let detached = idle(target);
    let shown =
        || detached.docker(&["stats", "--no-stream", "--format", "{{.MemUsage}} {{.PIDs}}"]).expect_code(0).out();
    // Without a limit it is the machine's.
    assert!(shown().contains("GiB"), "{}", shown());
    detached.docker(&["update", "--memory=64m", "--memory-swap=128m", "--pids-limit=32", "--cpus=0.5"]).expect_code(0);
    assert!(shown().contains("/ 64MiB"), "{}", shown());
    detached.docker(&["update", "--memory=96m", "--memory-swap=256m"]).expect_code(0);
    assert!(shown().contains("/ 96MiB"), "{}", shown());
    let second = detached.start_exec(&[], &[target.probe(), "spin"], Input::Nothing);
    second.await_out("spinning", LIMIT).unwrap();
    let number: u32 = shown().split_whitespace().last().unwrap().parse().unwrap();
    assert!(number >= 2, "{}", shown());
});

each_target!(top_shows_what_runs, |target| {
    let detached = idle(target);
    let second = detached.start_exec(&[], &["/bin/busybox", "sleep", "1234"], Input::Open);
    let wanted = format!("{} sleep 3600", target.probe());
    await_true("both are shown", LIMIT, || {
        let shown = detached.docker(&["top"]).expect_code(0).out();
        shown.contains(&wanted) && shown.contains("/bin/busybox sleep 1234")
    });
    drop(second);
});

each_target!(a_container_is_stopped_and_started_again, |target| {
    let detached = Container::new(target).flag("--tty").probe(["spin"]).detach();
    detached.await_log("spinning");
    detached.docker(&["restart", "--time=1"]).expect_code(0);
    detached.exec(&[], &[target.probe(), "hello"]).expect_code(0).expect_out("hello from a guest\n");
    detached.docker(&["kill"]).expect_code(0);
    assert_eq!(detached.wait(), 137);
});

each_target!(files_are_copied_in_and_out, |target| {
    let folder = tempfile::tempdir().unwrap();
    let (given, taken) = (folder.path().join("given"), folder.path().join("taken"));
    fs::write(&given, "by hand").unwrap();
    let detached = idle(target);
    let inside = format!("{}:/tmp/copied", detached.name());
    docker(&["cp", &given.display().to_string(), &inside]).expect_code(0);
    detached.exec(&[], &[target.probe(), "read", "/tmp/copied"]).expect_code(0).expect_out("by hand");
    docker(&["cp", &inside, &taken.display().to_string()]).expect_code(0);
    assert_eq!(fs::read_to_string(&taken).unwrap(), "by hand");
});

#[test]
fn an_image_that_was_pulled_runs() {
    let registry = Registry::start();
    for (name, platform) in registry.images() {
        let platform = format!("--platform={}", platform.name());
        docker(&["pull", &platform, &name]).expect_code(0);
        let said =
            docker(&["run", "--rm", "--runtime=io.containerd.multiwasm.v1", &platform, &name, "/probe.wasm", "hello"]);
        docker(&["rmi", &name]).expect_code(0);
        said.expect_code(0).expect_out("hello from a guest\n");
    }
}

/// The table of docs/images.md.
#[test]
fn an_artifact_that_was_pulled_runs() {
    let version = docker(&["version", "--format", "{{.Server.Version}}"]);
    let registry = Registry::start();
    for artifact in registry.artifacts() {
        // One that names none is taken with any, and found again without.
        let asked = format!("--platform={}", artifact.platform.unwrap_or("wasi/wasm"));
        docker(&["pull", &asked, &artifact.name]).expect_code(0);
        let mut words = vec!["run", "--rm", "--runtime=io.containerd.multiwasm.v1"];
        words.extend(artifact.platform.map(|_| asked.as_str()));
        words.extend([artifact.name.as_str(), "hello"]);
        let said = docker(&words);
        docker(&["rmi", &artifact.name]);
        if version.out().starts_with("26.") {
            // It finds none in an index whose config is no image's, and of the others it tells containerd nothing.
            let reason = if artifact.index && !artifact.has_entrypoint {
                "No such image"
            } else {
                "containerd has no image on record"
            };
            assert_ne!(said.code, 0, "{said}");
            said.expect_err(&[reason]);
            continue;
        }
        said.expect_code(0).expect_out("hello from a guest\n");
    }
}
