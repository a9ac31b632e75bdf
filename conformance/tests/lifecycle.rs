//! What every container does, whatever runs it: arguments, environment, streams, exit codes, signals.

use std::time::{Duration, Instant};

use multiwasm_conformance::command::{Input, LIMIT};
use multiwasm_conformance::ctr::Container;
use multiwasm_conformance::{each_engine, each_target};
use nix::sys::signal::Signal;

each_target!(arguments_arrive_as_given, |target| {
    let output = Container::new(target).probe(["args", "two words", "", "--flag=ü", "last"]).run();
    output.expect_code(0).expect_out(&format!("{}\nargs\ntwo words\n\n--flag=ü\nlast\n", target.probe()));
});

each_target!(environment_is_the_containers_alone, |target| {
    let output = Container::new(target).env("COLOUR=blau und grün").env("EMPTY=").probe(["env"]).run();
    // The runtime may add these three.
    let added = |line: &&str| ["PATH=", "HOSTNAME=", "HOME="].iter().any(|name| line.starts_with(name));
    let out = output.expect_code(0).out();
    let mut lines: Vec<_> = out.lines().filter(|line| !added(line)).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["COLOUR=blau und grün", "EMPTY="], "{output}");
});

each_target!(relative_paths_start_at_cwd, |target| {
    let output = Container::new(target).flag("--cwd", "/data").probe(["read", "file"]).run();
    output.expect_code(0).expect_out("what /data/file holds\n");
});

each_target!(absolute_paths_start_at_the_rootfs_whatever_cwd_is, |target| {
    let output = Container::new(target).flag("--cwd", "/data").probe(["read", "/data/file"]).run();
    output.expect_code(0).expect_out("what /data/file holds\n");
});

each_target!(the_rootfs_is_the_images, |target| {
    let output = Container::new(target).probe(["ls", "/data"]).run();
    output.expect_code(0).expect_out("file\n");
});

each_target!(a_guest_writes_to_its_rootfs, |target| {
    let output = Container::new(target).probe(["write", "/data/new", "text"]).run();
    output.expect_code(0).expect_out("");
});

each_target!(stdin_is_read_to_its_end, |target| {
    let bytes: Vec<u8> = (0..300_000_u32).map(|n| (n % 253) as u8).collect();
    let output = Container::new(target).input(Input::Bytes(bytes.clone())).probe(["cat"]).run();
    output.expect_code(0).expect_err(&["end of input after 300000 bytes"]);
    assert!(output.stdout == bytes, "what came back is not what was sent: {} bytes", output.stdout.len());
});

// Detached without streams: an attached `ctr` loses an end of its own standard input that comes before the task is there.
each_target!(no_stdin_is_its_end_at_once, |target| {
    let task = Container::new(target).probe(["cat"]).detach();
    task.await_stopped(LIMIT);
    task.delete(0);
});

each_target!(sixteen_mebibytes_come_through_stdout_whole, |target| {
    let count = 16 << 20;
    let output = Container::new(target).probe(["spew", &count.to_string()]).run();
    output.expect_code(0);
    assert_eq!(output.stdout.len(), count);
    let wrong = output.stdout.iter().enumerate().position(|(at, byte)| usize::from(*byte) != at % 251);
    assert_eq!(wrong, None, "the first wrong byte");
});

each_target!(stderr_is_kept_apart_from_stdout, |target| {
    let output = Container::new(target).probe(["say", "to the error stream"]).run();
    output.expect_code(0).expect_out("");
    assert_eq!(output.err(), "to the error stream\n");
});

each_target!(exit_codes_arrive, |target| {
    for code in [0, 1, 42, 255] {
        Container::new(target).probe(["exit", &code.to_string()]).run().expect_code(code);
    }
});

each_engine!(a_trap_ends_with_134_and_says_why, |target| {
    let output = Container::new(target).probe(["trap"]).run();
    output.expect_code(134).expect_out("").expect_err(&["unreachable"]);
});

each_engine!(a_trap_names_the_guests_function, |target| {
    let output = Container::new(target).probe(["trap"]).run();
    output.expect_code(134).expect_err(&["deliberate_trap"]);
});

each_engine!(an_access_out_of_bounds_ends_with_134, |target| {
    let output = Container::new(target).probe(["oob"]).run();
    output.expect_code(134).expect_err(&["out of bounds memory access"]);
});

each_engine!(endless_recursion_ends_with_134, |target| {
    Container::new(target).probe(["recurse"]).run().expect_code(134);
});

each_target!(sigterm_ends_an_endless_loop_within_a_second, |target| {
    let running = Container::new(target).probe(["spin"]).start().await_out("spinning\n");
    let sent = Instant::now();
    running.task.kill(Signal::SIGTERM).expect_code(0);
    running.finish().expect_code(143);
    assert!(sent.elapsed() < Duration::from_secs(1), "it took {:?}", sent.elapsed());
});

each_target!(sigint_ends_a_guest_with_130, |target| {
    let running = Container::new(target).probe(["sleep", "3600"]).start().await_out("sleeping\n");
    running.task.kill(Signal::SIGINT).expect_code(0);
    running.finish().expect_code(130);
});

each_target!(sigkill_ends_a_guest_with_137, |target| {
    for verb in [["spin", ""], ["sleep", "3600"]] {
        let running = Container::new(target).probe(verb).start().await_out("ing\n");
        running.task.kill(Signal::SIGKILL).expect_code(0);
        running.finish().expect_code(137);
    }
});

each_target!(a_sleep_ends_by_itself, |target| {
    let output = Container::new(target).probe(["sleep", "0.2"]).run();
    output.expect_code(0).expect_out("sleeping\nawake\n");
});

each_engine!(a_function_is_called_by_its_name, |target| {
    let output = Container::new(target).args(["/probe.wasm#answer"]).run();
    output.expect_code(0).expect_out("answer\n");
});
