//! Where the time goes inside the shim: the lines `step: NAME` that it logs where containerd's level is debug.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use multiwasm_conformance::runner::log::Log;
use multiwasm_conformance::runner::target::Target;
use multiwasm_conformance::targets::RUNTIME;

use crate::BenchError;
use crate::model::{Part, Unit};
use crate::rounds::{Column, Figure, columns, rounds};
use crate::run::Bench;

/// containerd copies a shim's lines to its own log some moments later.
const COPIED: Duration = Duration::from_millis(150);

/// Measures each engine of our shim. Others log no steps.
///
/// # Errors
/// containerd's log can't be read.
pub async fn measure(bench: &mut Bench) -> Result<(), BenchError> {
    let Bench { context, guests, plan, report, progress } = bench;
    let ours = columns(&plan.targets).into_iter().filter(|column| is_ours(&column.of));
    let ours: Vec<_> = ours.map(|column| Column { against: None, ..column }).collect();
    let start = Log::from_now(&context.lab.log).map_err(BenchError::file(&context.lab.log.display().to_string()))?;
    rounds(Part::Steps, &ours, plan.rounds, report, progress, async |target, _| {
        // One container at a time: all lines from now on are its own.
        let (log, called) = (start.later(), SystemTime::now());
        context.run(target, &guests.tiny(target), false).await?;
        tokio::time::sleep(COPIED).await;
        let steps = steps(&log.lines(&["step: "]), called);
        if steps.is_empty() {
            let what = "the shim logged no steps: start the lab with MULTIWASM_LAB_LOG_LEVEL=debug";
            return Err(BenchError::Unexpected(what.to_owned()));
        }
        Ok(between(called, &steps))
    })
    .await;
    Ok(())
}

/// Whether it may log steps: our shim by its own name, or another by a name of the user's.
fn is_ours(target: &Target) -> bool {
    target.runtime == RUNTIME || !target.native
}

/// A step that is done, and when.
type Step = (SystemTime, String);

/// The steps since `called`, in the order of their times: lines of several processes come in any order, and the last ones of
/// the container before may come late. A name that comes again has its number behind.
fn steps(lines: &[String], called: SystemTime) -> Vec<Step> {
    let mut steps: Vec<_> = lines.iter().filter_map(|line| step(line)).filter(|(at, _)| *at >= called).collect();
    steps.sort_by_key(|(at, _)| *at);
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (_, name) in &mut steps {
        let times = seen.entry(name.clone()).or_default();
        *times += 1;
        if *times > 1 {
            name.push_str(&format!(" ({times})"));
        }
    }
    steps
}

/// `2026-01-31T12:00:00.123456Z DEBUG step: NAME`, whatever stands before the time.
fn step(line: &str) -> Option<Step> {
    let (before, name) = line.split_once("step: ")?;
    let times = before.split_whitespace().rev();
    let at = times.filter_map(|word| humantime::parse_rfc3339(word).ok()).next()?;
    Some((at, name.trim().to_owned()))
}

/// The time that ended with each step, and how long after the first call it came. Both, since several processes work at once:
/// a step that ends late in one of them ends the time of whatever was logged just before in another.
fn between(called: SystemTime, steps: &[Step]) -> Vec<Figure> {
    let took = |from: SystemTime, to: SystemTime| to.duration_since(from).unwrap_or_default();
    let row = |name: String, time: Duration| Figure::new(name, Unit::Microseconds, time.as_secs_f64() * 1e6);
    let first = steps.first().map(|(at, name)| row(format!("(record, exec of the shim) {name}"), took(called, *at)));
    let later = steps.windows(2).map(|pair| row(pair[1].1.clone(), took(pair[0].0, pair[1].0)));
    let mut figures: Vec<Figure> = first.into_iter().chain(later).collect();
    figures.extend(steps.iter().map(|(at, name)| Figure::time(format!("{name}, since the call"), took(called, *at))));
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_told_by_the_time_that_ends_with_them() {
        let lines = [
            "2026-01-31T12:00:00.000300Z DEBUG step: worker: recorded",
            "2026-01-31T12:00:00.000100Z DEBUG step: server: forked",
            "time=\"x\" 2026-01-31T12:00:00.000700Z DEBUG step: worker: made",
            "nothing of ours step: ",
            "2026-01-31T11:59:59.999999Z DEBUG step: server: exit",
            "2026-01-31T12:00:00.000900Z DEBUG step: worker: recorded",
        ]
        .map(str::to_owned);
        let called = humantime::parse_rfc3339("2026-01-31T12:00:00Z").unwrap();
        let told: Vec<_> =
            between(called, &steps(&lines, called)).into_iter().map(|f| (f.row, f.value.round())).collect();
        let row = |name: &str, value| (name.to_owned(), value);
        let first = row("(record, exec of the shim) server: forked", 100.0);
        assert_eq!(told[..3], [first, row("worker: recorded", 200.0), row("worker: made", 400.0)]);
        let last = between(called, &steps(&lines, called)).pop().unwrap();
        assert_eq!((last.row.as_str(), last.unit), ("worker: recorded (2), since the call", Unit::Milliseconds));
        assert!((last.value - 0.9).abs() < 1e-6);
    }
}
