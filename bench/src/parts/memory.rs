//! What idle containers weigh, at 1, 10, 100, and 1000 if asked.

use std::collections::BTreeSet;
use std::time::Duration;

use multiwasm_conformance::runner::target::Target;

use super::processes::{Processes, weigh};
use crate::BenchError;
use crate::container::Running;
use crate::context::Context;
use crate::guests::Guests;
use crate::model::{Part, Unit};
use crate::rounds::{Figure, Rounds, columns, rounds};
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
    let columns = columns(&plan.targets);
    for (at, count) in COUNTS.into_iter().enumerate() {
        let large = at == COUNTS.len() - 1;
        if large && !plan.large {
            break;
        }
        let times = if large { 1 } else { ROUNDS.min(plan.rounds.counted) };
        let times = Rounds { warm_up: usize::from(at == 0), counted: times };
        rounds(Part::Memory, &columns, times, report, progress, async |target, _| {
            idle(context, guests, target, count).await
        })
        .await;
    }
    Ok(())
}

async fn idle(context: &Context, guests: &Guests, target: &Target, count: usize) -> Result<Vec<Figure>, BenchError> {
    let (mut running, program) = (Vec::with_capacity(count), guests.idle(target));
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
    for one in &running {
        context.containerd.remove(&one.id).await?;
    }
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
