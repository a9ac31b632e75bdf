//! Made-up reports for the tests of the writers: a small one to count by hand, and one as large as they get, to look at.
//! `SAMPLE_REPORT=FOLDER cargo test -p multiwasm-conformance --lib report` writes the large one into FOLDER in every form.

use super::model::{Area, Cell, Containerd, Engine, Failure, Outcome, Report, Run, SCHEMA, Target, Timestamp};

/// What a guest could print to leave the place that a report gives it.
pub(super) const HOSTILE: &str = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">]]>&amp;<!-- \u{1b}[31m";

/// Two runs of four cases on three targets.
pub(super) fn small() -> Report {
    let run = |version: &str, red: bool| Run {
        areas: vec![area("stdio", "streams"), area("components", "preview 2")],
        targets: vec![target("wasmtime"), target("wasmer"), target("runc")],
        seconds: 92.5,
        cells: small_cells(red),
        ..of(version)
    };
    report(vec![run("1.7.24", false), run("2.1.9", true)])
}

fn small_cells(red: bool) -> Vec<Cell> {
    let lacking = || Outcome::NotOffered { reason: "no component model".to_owned() };
    let other = Outcome::ExpectedDifference { because: "it says so in other words".to_owned() };
    let (wasmer, runc) = match red {
        false => (Outcome::Passed, Outcome::Passed),
        true => (hostile(), Outcome::NotRun { reason: "containerd went away".to_owned() }),
    };
    vec![
        cell("stdio", "stdin-to-eof", "wasmtime", Outcome::Passed),
        cell("stdio", "stdin-to-eof", "wasmer", Outcome::Passed),
        cell("stdio", "stdin-to-eof", "runc", Outcome::Passed),
        cell("stdio", "binary", "wasmtime", Outcome::Passed),
        cell("stdio", "binary", "wasmer", wasmer),
        cell("stdio", "binary", "runc", runc),
        cell("components", "runs", "wasmtime", Outcome::Passed),
        cell("components", "runs", "wasmer", lacking()),
        cell("components", "runs", "runc", lacking()),
        cell("components", "refused", "wasmtime", Outcome::Passed),
        cell("components", "refused", "wasmer", other),
    ]
}

/// Three runs of 300 cases on five targets, with outcomes of every kind.
pub(super) fn large() -> Report {
    let areas = [
        ("args", "arguments as given, argv[0] too"),
        ("environment", "variables reach the guest, and no others"),
        ("clocks", "time, its resolution, and sleeping"),
        ("files", "files and directories: open, read, write, seek, rename, remove"),
        ("permissions", "what a user may not do, a guest may not do either"),
        ("symlinks", "links inside the root, and links that would leave it"),
        ("stdio", "streams: end of file, binary, large, slow and closed readers"),
        ("mounts", "bind mounts, tmpfs, read-only mounts, a mount over a file"),
        ("signals", "signals, and the exit code that they make"),
        ("limits", "memory with its OOM event, cpu, pids, deadlines"),
        ("images", "platforms, artifacts of each media type, indexes, path#function"),
        ("selection", "each source of the engine's choice, and their order"),
        ("errors", "what cannot start is refused in Create with file, engine and cause"),
        ("lifecycle", "the task API's states, events in order, many at once, restarts"),
        ("components", "preview 2 on the engines that have it, a clear refusal on the others"),
    ];
    let names = [
        "exit-code-zero",
        "one-of-many",
        "empty",
        "unicode",
        "large",
        "binary-safe",
        "after-restart",
        "wait-by-eight",
        "kill-while-created",
        "kill-while-running",
        "delete-twice",
        "read-only-root",
        "two-hundred-at-once",
        "slow-reader",
        "closed-reader",
        "stdin-to-eof",
        "nested",
        "relative-path",
        "as-another-user",
        "endless-loop",
    ];
    let targets = ["wasmtime", "wasmedge", "wasmer", "native", "runc"];
    let runs = ["1.6.20", "1.7.24", "2.1.9"].into_iter().enumerate().map(|(number, version)| {
        let rows = areas.iter().flat_map(|(area, _)| names.iter().map(move |case| (*area, *case)));
        let cells = rows.enumerate().flat_map(|(row, (area, case))| {
            targets.iter().map(move |name| cell(area, case, name, large_outcome(number, row, area, case, name)))
        });
        Run {
            areas: areas.iter().map(|(name, about)| self::area(name, about)).collect(),
            targets: targets.iter().map(|name| target(name)).collect(),
            seconds: 172.4,
            cells: cells.collect(),
            ..of(version)
        }
    });
    report(runs.collect())
}

fn large_outcome(run: usize, row: usize, area: &str, case: &str, target: &str) -> Outcome {
    let because = |text: &str| Outcome::ExpectedDifference { because: text.to_owned() };
    match (area, case, target) {
        ("stdio", "binary-safe", "wasmer") => hostile(),
        ("stdio", "stdin-to-eof", "wasmedge") if run == 2 => failure(
            "expect.stdout",
            "first line\nsecond line\nthird line, the last\n",
            "first line\nsecond  line\nthird line, the last",
        ),
        ("signals", "kill-while-running", "wasmedge" | "wasmer") => failure("expect.exit", "143", "137"),
        ("lifecycle", "two-hundred-at-once", "wasmtime") if run == 0 => Outcome::Failed {
            failure: Failure {
                step: "leaks".to_owned(),
                expected: "nothing is left".to_owned(),
                seen: "2 things are left".to_owned(),
                leaks: vec![
                    "process 4711 containerd-shim-multiwasm-v1 -namespace c17 -id lifecycle-200".to_owned(),
                    "mount /run/containerd/io.containerd.runtime.v2.task/c17/lifecycle-200/rootfs".to_owned(),
                ],
                log: log(),
            },
        },
        ("errors", "nested", "wasmtime") => failure(
            "create",
            "an error with \"/app.wasm\", \"wasmtime\", \"unknown import\"",
            &format!(
                "failed to create shim task: {}: unknown",
                "the module asks for what this engine lacks ".repeat(12)
            ),
        ),
        ("clocks" | "files", "endless-loop" | "nested", "wasmedge") => because(
            "poll_oneoff rounds up to milliseconds, https://github.com/WasmEdge/WasmEdge/issues/0000 (a made-up address)",
        ),
        ("symlinks", "relative-path", "wasmer") => because("a path with more than 128 links is ELOOP after 32"),
        ("components", _, "wasmedge" | "wasmer" | "native" | "runc") => {
            Outcome::NotOffered { reason: format!("{target} does not run components") }
        }
        ("selection", _, "native" | "runc") => {
            Outcome::NotOffered { reason: "there is no engine to choose".to_owned() }
        }
        ("limits", "large", _) if run == 0 => {
            Outcome::NotRun { reason: "cgroup v2 is needed and this machine has v1".to_owned() }
        }
        _ if row == 217 && target == "runc" => Outcome::NotRun { reason: "the run was stopped".to_owned() },
        _ => Outcome::Passed,
    }
}

fn hostile() -> Outcome {
    let seen = format!("0: 00 01 02\n{HOSTILE}\n3: \u{202e}txet\t\n4: same\n");
    failure("expect.stdout", "0: 00 01 02\n1: 03 04 05\n2: 06 07 08\n4: same\n", &seen)
}

fn failure(step: &str, expected: &str, seen: &str) -> Outcome {
    let (step, expected, seen) = (step.to_owned(), expected.to_owned(), seen.to_owned());
    Outcome::Failed { failure: Failure { step, expected, seen, log: log(), leaks: Vec::new() } }
}

fn log() -> String {
    let line = |n: usize| {
        format!(
            "time=\"2026-02-03T04:05:{n:02}Z\" level=info msg=\"task event {n}\" namespace=cases runtime=io.containerd.multiwasm.v1\n"
        )
    };
    (0..18).map(line).collect::<String>() + "time=\"2026-02-03T04:05:19Z\" level=warning msg=\"" + HOSTILE + "\"\n"
}

fn cell(area: &str, case: &str, target: &str, outcome: Outcome) -> Cell {
    let ran = !matches!(outcome, Outcome::NotRun { .. } | Outcome::NotOffered { .. });
    Cell {
        area: area.to_owned(),
        case: case.to_owned(),
        about: format!("what {case} means for {area}, told in one line"),
        source: case
            .len()
            .is_multiple_of(2)
            .then(|| "https://github.com/opencontainers/runtime-spec/blob/main/config.md".to_owned()),
        target: target.to_owned(),
        outcome,
        milliseconds: if ran { 20 + 7 * (area.len() * case.len() % 97) as u64 } else { 0 },
        command: format!("multiwasm-conformance --case {area}/{case} --target {target}"),
    }
}

fn of(version: &str) -> Run {
    let engines = [("wasmtime", "48.0.0"), ("wasmedge", "0.17.1"), ("wasmer", "7.4.2")];
    let engine = |(name, version): (&str, &str)| Engine { name: name.to_owned(), version: version.to_owned() };
    Run {
        containerd: Containerd { version: version.to_owned() },
        kernel: "6.1.0".to_owned(),
        cgroup: 2,
        architecture: "x86_64".to_owned(),
        engines: engines.map(engine).to_vec(),
        targets: Vec::new(),
        areas: Vec::new(),
        started: time("2026-02-03T04:00:00Z"),
        seconds: 0.0,
        cells: Vec::new(),
    }
}

fn report(runs: Vec<Run>) -> Report {
    Report { schema: SCHEMA, made: time("2026-02-03T04:05:06Z"), version: "0.1.0".to_owned(), runs }
}

fn target(name: &str) -> Target {
    let engine = name.starts_with("wasm").then(|| name.to_owned());
    let runtime = if name == "runc" { "io.containerd.runc.v2" } else { "io.containerd.multiwasm.v1" };
    Target { name: name.to_owned(), runtime: runtime.to_owned(), engine }
}

fn area(name: &str, about: &str) -> Area {
    Area { name: name.to_owned(), about: about.to_owned() }
}

fn time(text: &str) -> Timestamp {
    Timestamp::try_from(text.to_owned()).unwrap()
}

#[test]
fn the_large_sample_is_written_where_it_is_wanted() {
    let report = large();
    assert_eq!(report.runs.iter().map(|run| run.cells.len()).sum::<usize>(), 4500);
    let Some(folder) = std::env::var_os("SAMPLE_REPORT").map(std::path::PathBuf::from) else { return };
    let forms = [
        ("report.json", super::json::write(&report)),
        ("report.md", super::markdown::write(&report)),
        ("report.xml", super::junit::write(&report)),
        ("report.html", super::html::write(&report)),
    ];
    for (name, text) in forms {
        std::fs::write(folder.join(name), text).unwrap();
    }
}
