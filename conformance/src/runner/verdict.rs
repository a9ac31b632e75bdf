//! What was seen of a container against what must be.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::act::quoted;
use super::container::Seen;
use crate::case::expect::Expect;
use crate::case::model::pattern;

/// Most characters that are shown of a stream.
const SHOWN: usize = 4000;

/// Something that was not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The step, or the key of the expectation.
    pub step: String,
    /// What must be.
    pub expected: String,
    /// What was.
    pub seen: String,
}

impl Fault {
    /// A fault.
    pub fn new(step: impl Into<String>, expected: impl Into<String>, seen: impl Into<String>) -> Self {
        Self { step: step.into(), expected: expected.into(), seen: seen.into() }
    }
}

/// The events of the usual steps.
pub const USUAL_EVENTS: [&str; 4] = ["create", "start", "exit", "delete"];

/// All that is not as `expect` says. `events` are those that must have come.
pub fn faults(expect: &Expect, events: Option<&[String]>, seen: &Seen) -> Vec<Fault> {
    let mut faults = Vec::new();
    if let Some(words) = &expect.refused {
        let wanted = || format!("Create fails with {}", quoted(words));
        match &seen.refused {
            None => faults.push(Fault::new("expect.refused", wanted(), "Create succeeded")),
            Some(message) if !words.iter().all(|word| message.contains(word)) => {
                faults.push(Fault::new("expect.refused", wanted(), message));
            }
            Some(_) => {}
        }
    } else if let Some(message) = &seen.refused {
        faults.push(Fault::new("create", "Create succeeds", message));
    } else {
        exits(expect, seen, &mut faults);
        streams(expect, seen, &mut faults);
        if let Some(events) = events {
            told(events, seen, &mut faults);
        }
    }
    if let Some(wanted) = expect.oom {
        let came = seen.events.iter().any(|event| event.name == "oom");
        if came != wanted {
            let say = |there: bool| if there { "an oom event" } else { "no oom event" };
            faults.push(Fault::new("expect.oom", say(wanted), say(came)));
        }
    }
    if let (Some(limit), took) = (expect.within_ms, seen.after_kill) {
        let took = took.map(|took| took.as_millis());
        if took.is_none_or(|took| took > limit.into()) {
            let took = took.map_or("no exit".to_owned(), |took| format!("{took} ms"));
            faults.push(Fault::new("expect.within_ms", format!("exit within {limit} ms of the signal"), took));
        }
    }
    log(expect, seen, &mut faults);
    faults
}

/// How many shims served the containers of a case, against how many must have.
pub fn shims(expect: &Expect, seen: &[Option<PathBuf>]) -> Option<Fault> {
    let wanted = expect.shims?;
    let shims: BTreeSet<_> = seen.iter().flatten().collect();
    let told = || format!("{}, by their sockets: {shims:?}", shims.len());
    (shims.len() != wanted).then(|| Fault::new("expect.shims", format!("{wanted} for all its containers"), told()))
}

fn exits(expect: &Expect, seen: &Seen, faults: &mut Vec<Fault>) {
    let mut told = seen.exits.clone();
    let own = |event: &&crate::client::events::Event| event.exec.is_empty() && event.name == "exit";
    // Of its last task: an earlier one's end was its own.
    let last = seen.events.iter().rposition(|event| event.name == "create").unwrap_or(0);
    told.extend(seen.events[last..].iter().filter(own).filter_map(|event| Some(("its event", event.exit?))));
    if told.is_empty() {
        if let Some(code) = expect.exit {
            faults.push(Fault::new("expect.exit", format!("exit code {code}"), "no exit"));
        }
        return;
    }
    if expect.no_exit {
        faults.push(Fault::new("expect.no_exit", "no exit", format!("exit code {}", told[0].1)));
        return;
    }
    let code = expect.exit.unwrap_or(0);
    if told.iter().any(|(_, told)| *told != code) {
        let told: Vec<_> = told.iter().map(|(who, code)| format!("{code} by {who}")).collect();
        faults.push(Fault::new("expect.exit", format!("exit code {code}"), told.join(", ")));
    }
    for name in &seen.open {
        let seen = "its pipe was still held open long after";
        faults.push(Fault::new(*name, format!("{name} ends with the process"), seen));
    }
}

fn streams(expect: &Expect, seen: &Seen, faults: &mut Vec<Fault>) {
    let (out, err) = (String::from_utf8_lossy(&seen.stdout), String::from_utf8_lossy(&seen.stderr));
    for (name, exact, shown) in [("stdout", &expect.stdout, &out), ("stderr", &expect.stderr, &err)] {
        if let Some(exact) = exact.as_ref().filter(|exact| *exact != shown) {
            faults.push(Fault::new(format!("expect.{name}"), format!("{exact:?}"), text(shown)));
        }
    }
    for (name, parts, shown) in [("stdout_has", &expect.stdout_has, &out), ("stderr_has", &expect.stderr_has, &err)] {
        let missing: Vec<_> = parts.iter().filter(|part| !shown.contains(part.as_str())).cloned().collect();
        if !missing.is_empty() {
            faults.push(Fault::new(format!("expect.{name}"), quoted(&missing), text(shown)));
        }
    }
    let lacks = |line: &&String| !out.lines().any(|shown| shown == line.as_str());
    let missing: Vec<_> = expect.stdout_lines_has.iter().filter(lacks).cloned().collect();
    if !missing.is_empty() {
        faults.push(Fault::new("expect.stdout_lines_has", format!("lines {}", quoted(&missing)), text(&out)));
    }
    let there: Vec<_> = expect.stdout_lacks.iter().filter(|part| out.contains(part.as_str())).cloned().collect();
    if !there.is_empty() {
        faults.push(Fault::new("expect.stdout_lacks", format!("no {}", quoted(&there)), text(&out)));
    }
    if let Some(count) = expect.stdout_bytes {
        let wanted = pattern(count);
        if seen.stdout != wanted {
            let same = seen.stdout.iter().zip(&wanted).take_while(|(one, other)| one == other).count();
            let said = format!("{} bytes, of which the first {same} are right", seen.stdout.len());
            faults.push(Fault::new("expect.stdout_bytes", format!("{count} bytes of the pattern"), said));
        }
    }
}

/// The task's events, in order. The kernel may kill more than once, and when is its own matter.
fn told(wanted: &[String], seen: &Seen, faults: &mut Vec<Fault>) {
    let of_memory = wanted.iter().any(|name| name == "oom");
    let mut names: Vec<&str> = seen.events.iter().map(|event| event.name.as_str()).collect();
    names.retain(|name| of_memory || *name != "oom");
    names.dedup_by(|one, other| one == other && *one == "oom");
    if names != wanted {
        faults.push(Fault::new("expect.events", wanted.join(", "), names.join(", ")));
    }
}

fn log(expect: &Expect, seen: &Seen, faults: &mut Vec<Fault>) {
    // Where containerd's log can't be read nothing can be said of it.
    let Some(lines) = &seen.log else { return };
    let has = |part: &str| lines.iter().any(|line| line.contains(part));
    let missing: Vec<_> = expect.log_has.iter().filter(|part| !has(part)).cloned().collect();
    if !missing.is_empty() {
        faults.push(Fault::new("expect.log_has", quoted(&missing), lines.join("\n")));
    }
    if let Some(engine) = expect.took_engine.as_ref().filter(|engine| !has(&format!("runs on {engine}:"))) {
        let chosen: Vec<_> = lines.iter().filter(|line| line.contains(" runs on ")).cloned().collect();
        faults.push(Fault::new("expect.took_engine", format!("it runs on {engine}"), chosen.join("\n")));
    }
}

/// A stream for people, its begin where it is long.
pub fn text(stream: &str) -> String {
    let shown: String = stream.chars().take(SHOWN).collect();
    let more = if shown.len() < stream.len() { format!(" … {} bytes in all", stream.len()) } else { String::new() };
    format!("{shown:?}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::events::Event;

    fn event(name: &str, exit: Option<u32>) -> Event {
        Event { name: name.to_owned(), exec: String::new(), exit }
    }

    fn seen() -> Seen {
        Seen {
            exits: vec![("Wait", 3), ("Delete", 3)],
            stdout: b"one\ntwo\n".to_vec(),
            events: vec![event("create", None), event("start", None), event("exit", Some(3)), event("delete", Some(3))],
            log: Some(vec!["x runs on wasmer: asked for".to_owned()]),
            ..Seen::default()
        }
    }

    fn steps(change: impl FnOnce(&mut Expect, &mut Seen)) -> Vec<String> {
        let (mut expect, mut seen) = (Expect { exit: Some(3), ..Expect::default() }, seen());
        change(&mut expect, &mut seen);
        let events = USUAL_EVENTS.map(str::to_owned);
        faults(&expect, Some(&events), &seen).into_iter().map(|fault| fault.step).collect()
    }

    #[test]
    fn each_rule_finds_what_breaks_it_and_nothing_else() {
        assert!(steps(|_, _| {}).is_empty());
        assert_eq!(steps(|expect, _| expect.exit = None), ["expect.exit"]);
        assert_eq!(steps(|_, seen| seen.exits[1].1 = 0), ["expect.exit"]);
        assert_eq!(steps(|_, seen| seen.events[2].exit = Some(0)), ["expect.exit"]);
        assert_eq!(steps(|_, seen| drop(seen.events.remove(1))), ["expect.events"]);
        assert_eq!(steps(|_, seen| seen.events.swap(0, 1)), ["expect.events"]);
        assert_eq!(steps(|_, seen| seen.open.push("stdout")), ["stdout"]);
        assert_eq!(steps(|_, seen| seen.refused = Some("no".into())), ["create"]);
        assert_eq!(steps(|expect, _| expect.stdout = Some("one\n".into())), ["expect.stdout"]);
        assert_eq!(steps(|expect, _| expect.stdout_lines_has = vec!["on".into()]), ["expect.stdout_lines_has"]);
        assert_eq!(steps(|expect, _| expect.stdout_lacks = vec!["tw".into()]), ["expect.stdout_lacks"]);
        assert_eq!(steps(|expect, _| expect.stdout_bytes = Some(8)), ["expect.stdout_bytes"]);
        assert_eq!(steps(|expect, _| expect.stderr_has = vec!["x".into()]), ["expect.stderr_has"]);
        assert_eq!(steps(|expect, _| expect.oom = Some(true)), ["expect.oom"]);
        assert_eq!(steps(|expect, _| expect.within_ms = Some(9)), ["expect.within_ms"]);
        assert_eq!(steps(|expect, _| expect.took_engine = Some("wasmtime".into())), ["expect.took_engine"]);
        assert!(steps(|expect, _| expect.took_engine = Some("wasmer".into())).is_empty());
        assert_eq!(steps(|expect, _| expect.refused = Some(vec![])), ["expect.refused"]);
    }
}
