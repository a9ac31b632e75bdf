//! What must hold of a case and its types can't say.

use std::collections::BTreeSet;

use super::expect::Expect;
use super::model::{Case, Content, ImageKind, Stdin};
use super::step::Act;
use crate::catalog::CAPABILITIES;

/// What a case may name.
pub struct Names<'a> {
    /// The guests.
    pub guests: &'a BTreeSet<&'a str>,
}

/// The events that containerd has for tasks.
const EVENTS: [&str; 10] =
    ["create", "start", "exit", "delete", "exec-added", "exec-started", "oom", "paused", "resumed", "checkpointed"];
/// The words for targets: all engines, our native path, runc, and single engines.
pub const TARGETS: [&str; 6] = ["engines", "native", "runc", "wasmtime", "wasmedge", "wasmer"];
const STATES: [&str; 4] = ["created", "running", "stopped", "paused"];

/// Says what is wrong with a case, the key first.
pub(super) fn check(case: &Case, names: &Names<'_>) -> Result<(), String> {
    let name_like =
        |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b));
    hold(!case.name.is_empty() && name_like(&case.name), || "name: only a-z, 0-9, `-`, `.` and `_`".into())?;
    hold(!case.about.is_empty(), || "about: it is empty".into())?;
    guest("guest", &case.guest, names)?;
    for target in case.targets.iter().flatten() {
        word("targets", target, &TARGETS)?;
    }
    for need in &case.needs {
        word("needs", need, &CAPABILITIES)?;
    }
    hold(case.copies > 0, || "copies: at least 1".into())?;
    hold(!case.timeout().is_zero(), || "timeout: at least 1".into())?;
    for (path, file) in case.layers.iter().chain([&case.files]).flatten() {
        hold(path.starts_with('/'), || format!("files: {path:?} is not absolute"))?;
        content("files", &file.content, names)?;
    }
    for mount in &case.mounts {
        hold(mount.to.starts_with('/'), || format!("mounts: {:?} is not absolute", mount.to))?;
        hold(!mount.tmpfs || mount.files.is_empty(), || "mounts: a tmpfs begins empty".into())?;
        hold(mount.from.is_none() || mount.files.is_empty(), || "mounts: only a fresh folder gets files".into())?;
        for (path, file) in &mount.files {
            hold(!path.starts_with('/') && !path.contains(".."), || format!("mounts: {path:?} leaves the folder"))?;
            content("mounts", &file.content, names)?;
        }
    }
    if let Some(platform) = &case.platform {
        hold(platform.split('/').count() == 2, || format!("platform: {platform:?} is not of the form wasi/wasm"))?;
    }
    if case.terminal.is_some() {
        hold(says_nothing_of_stderr(&case.expect), || "expect.stderr: a terminal has but one stream".into())?;
    }
    if matches!(case.image, ImageKind::Artifact { .. }) {
        let alone = case.files.is_empty() && case.layers.is_empty();
        hold(alone, || "files: an artifact holds the module alone".into())?;
    }
    surroundings(case, names)?;
    hold(case.stdin != Some(Stdin::Open(false)), || "stdin.open: leave stdin out instead".into())?;
    steps(case)?;
    expect("expect", &case.expect)?;
    for (target, own) in &case.expect.on {
        let key = format!("expect.on.{target}");
        hold(own.because.is_some(), || format!("{key}.because: say why it does otherwise, with a reference"))?;
        hold(own.on.is_empty(), || format!("{key}.on: there is one level only"))?;
        expect(&key, own)?;
    }
    hold(case.expect.because.is_none(), || "expect.because: it belongs into expect.on.TARGET".into())?;
    hold(case.expect.since.is_none(), || "expect.since: it belongs into expect.on.TARGET".into())?;
    hold(!case.expect.sometimes, || "expect.sometimes: it belongs into expect.on.TARGET".into())
}

/// The node and the pod.
fn surroundings(case: &Case, names: &Names<'_>) -> Result<(), String> {
    for plugin in case.node.iter().flat_map(|node| &node.plugins) {
        let said = [&plugin.copy, &plugin.text, &plugin.link, &plugin.c].into_iter().flatten().count();
        hold(said == 1, || "node.plugins: a plug-in is just one of copy, text, link, c".into())?;
    }
    let options = [&case.runtime_options, &case.runtime_options_file, &case.runtime_options_path];
    hold(options.into_iter().flatten().count() < 2, || "runtime_options: there is one form of them at a time".into())?;
    hold(case.beside.is_empty() || case.pod.is_some(), || "beside: name the pod".into())?;
    for beside in &case.beside {
        guest("beside.guest", &beside.guest, names)?;
        if let Some(target) = &beside.target {
            word("beside.target", target, &["native", "wasmtime", "wasmedge", "wasmer"])?;
        }
    }
    Ok(())
}

fn steps(case: &Case) -> Result<(), String> {
    let steps = case.steps();
    hold(!steps.is_empty(), || "steps: there is none".into())?;
    let mut execs = BTreeSet::new();
    for step in &steps {
        let key = format!("steps: {}", step.name());
        if let Act::Exec(exec) = &step.act {
            // Twice is one thing that a case may be about.
            execs.insert(exec.id.clone());
            hold(!exec.args.is_empty(), || format!("{key}: args is empty"))?;
        }
        if let Some(exec) = &step.exec {
            hold(step.may_name_exec(), || format!("{key}: is never about an exec"))?;
            hold(execs.contains(exec), || format!("{key}: no step before it adds an exec {exec:?}"))?;
        }
        match &step.act {
            Act::State { is } => word(&key, is, &STATES)?,
            Act::AwaitEvent { event } => word(&key, event, &EVENTS)?,
            Act::WriteStdin { .. } if step.exec.is_none() => {
                hold(case.stdin == Some(Stdin::Open(true)), || format!("{key}: needs stdin = {{ open = true }}"))?;
            }
            Act::WriteFile { path, .. } | Act::ReadFile { path, .. } => {
                let inside = |to: &str| path.strip_prefix(to).is_some_and(|rest| rest.starts_with('/'));
                let found = case.mounts.iter().any(|mount| !mount.tmpfs && inside(&mount.to));
                hold(found, || format!("{key}: {path:?} is in no mount of the case"))?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn expect(key: &str, expect: &Expect) -> Result<(), String> {
    for event in expect.events.iter().flatten() {
        word(&format!("{key}.events"), event, &EVENTS)?;
    }
    let others = expect.exit.is_some() || expect.says_stdout() || !says_nothing_of_stderr(expect);
    hold(!(expect.refused.is_some() && others), || format!("{key}: what is refused shows no exit and no output"))
}

fn says_nothing_of_stderr(expect: &Expect) -> bool {
    expect.stderr.is_none() && expect.stderr_has.is_empty()
}

fn content(key: &str, content: &Content, names: &Names<'_>) -> Result<(), String> {
    match content {
        Content::Guest(name) | Content::Twin(name) => guest(key, name, names),
        Content::Wat(text) => wat::parse_str(text).map(drop).map_err(|error| format!("{key}: {error}")),
        _ => Ok(()),
    }
}

fn guest(key: &str, name: &str, names: &Names<'_>) -> Result<(), String> {
    hold(names.guests.contains(name), || {
        let known = names.guests.iter().copied().collect::<Vec<_>>().join(", ");
        format!("{key}: no guest {name:?} in guests.toml; there are {known}")
    })
}

fn word(key: &str, word: &str, known: &[&str]) -> Result<(), String> {
    hold(known.contains(&word), || format!("{key}: unknown word {word:?}, expected one of {}", known.join(", ")))
}

fn hold(holds: bool, reason: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(reason()) }
}
