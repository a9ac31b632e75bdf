//! What idle containers weigh, at 1, 10, 100, and 1000 if asked: with a shim each, and with one for all of them.

use std::collections::BTreeSet;
use std::time::Duration;

use multiwasm_conformance::runner::target::Target;
use multiwasm_conformance::targets::RUNTIME;

use super::processes::{Processes, weigh};
use crate::BenchError;
use crate::container::Running;
use crate::context::Context;
use crate::guests::Guests;
use crate::model::{Part, Unit};
use crate::rounds::{Column, Figure, Rounds, columns, rounds};
use crate::run::Bench;

/// Numbers of containers; the last one is asked for.
const COUNTS: [usize; 4] = [1, 10, 100, 1000];
/// Rounds: weights hardly differ from one to the next, and hundreds of containers take their time. With fewer, `compare`
/// could tell nothing.
const ROUNDS: usize = 5;
/// What a start leaves undone is done by then, such as a spawner's end.
const SETTLED: Duration = Duration::from_secs(2);

/// Measures each target.
///
/// # Errors
/// None of its own: what a target can't do is a note.
pub async fn measure(bench: &mut Bench) -> Result<(), BenchError> {
    let Bench { context, guests, plan, report, progress } = bench;
    let columns = with_groups(&plan.targets, &plan.config);
    for (at, count) in COUNTS.into_iter().enumerate() {
        let large = at == COUNTS.len() - 1;
        if large && !plan.large {
            break;
        }
        let times = if large { 1 } else { ROUNDS.min(plan.rounds.counted) };
        let times = Rounds { warm_up: usize::from(at == 0), counted: times };
        rounds(Part::Memory, &columns, times, report, progress, async |what, _| {
            idle(context, guests, what, count).await
        })
        .await;
    }
    Ok(())
}

/// A target, and what its containers are told beside all else (TOML).
struct Weighed {
    target: Target,
    config: &'static str,
}

/// Each target, and behind them our engines with one shim for all containers, where `config` does not say who shares one.
fn with_groups(targets: &[Target], config: &str) -> Vec<Column<Weighed>> {
    let plain = |Column { name, against, of }| Column { name, against, of: Weighed { target: of, config: "" } };
    let mut all: Vec<_> = columns(targets).into_iter().map(plain).collect();
    let said = config.lines().any(|line| line.trim_start().starts_with("group"));
    let ours = |target: &&Target| target.runtime == RUNTIME && !target.native && !said;
    all.extend(targets.iter().filter(ours).map(|target| Column {
        name: format!("{} (one shim)", target.name),
        against: targets.first().map(|first| first.name.clone()),
        of: Weighed { target: target.clone(), config: "group = \"node\"\n" },
    }));
    all
}

async fn idle(context: &Context, guests: &Guests, what: &Weighed, count: usize) -> Result<Vec<Figure>, BenchError> {
    let Weighed { target, config } = what;
    let (mut running, mut program) = (Vec::with_capacity(count), guests.idle(target));
    program.config += config;
    let mut weighed = Ok(Vec::new());
    for _ in 0..count {
        match context.start_one(target, &program).await {
            Ok(one) => running.push(one),
            Err(error) => {
                weighed = Err(error);
                break;
            }
        }
    }
    if weighed.is_ok() {
        tokio::time::sleep(SETTLED).await;
        weighed = Ok(figures(&running, count));
    }
    // What stays behind would be weighed with the next target's, where all share a shim.
    let mut removed = Ok(());
    for one in &running {
        removed = removed.and(context.containerd.remove(&one.id).await);
    }
    removed?;
    weighed
}

fn figures(running: &[Running], count: usize) -> Vec<Figure> {
    let processes = Processes::now();
    let pids: BTreeSet<u32> = running.iter().flat_map(|one| processes.of_container(one.pid)).collect();
    let weight = weigh(&pids);
    let each = |all: u64| all as f64 / count as f64;
    let mib = |kib: u64| each(kib) / 1024.0;
    let row = |what: &str| format!("{what}, {count}");
    let mut figures = vec![
        Figure::new(row("PSS"), Unit::MiB, mib(weight.pss)),
        Figure::new(row("private"), Unit::MiB, mib(weight.private)),
        Figure::new(row("processes"), Unit::Count, each(weight.processes)),
        Figure::new(row("threads"), Unit::Count, each(weight.threads)),
    ];
    // One call tells little: the median of ten, or of all where there are fewer. What many containers cost the next one is seen
    // within a series; two series meet the machine in different moods.
    let creates: Vec<f64> = running.iter().map(|one| one.phases.create.as_secs_f64() * 1e3).collect();
    let mut create = |what, creates: &[f64]| {
        figures.push(Figure::new(row(what), Unit::Milliseconds, crate::stats::median(creates)));
    };
    if let Some(tenth) = creates.get(5..15) {
        create("tenth create", tenth);
    }
    create("last create", &creates[creates.len().saturating_sub(10)..]);
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_engines_have_a_column_with_one_shim_for_all_where_nothing_else_is_said() {
        let targets: Vec<_> = ["runc", "wasmtime", "native"].iter().filter_map(|name| Target::named(name)).collect();
        let names =
            |config| -> Vec<String> { with_groups(&targets, config).into_iter().map(|column| column.name).collect() };
        assert_eq!(names(""), ["runc", "wasmtime", "native", "wasmtime (one shim)"]);
        assert_eq!(names("engine = \"wasmer\"\n"), ["runc", "wasmtime", "native", "wasmtime (one shim)"]);
        assert_eq!(names("group = \"pod\"\n"), ["runc", "wasmtime", "native"]);
    }
}
