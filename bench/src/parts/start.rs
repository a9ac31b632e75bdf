//! The phases of a start, beside the reference in the same rounds.

use crate::BenchError;
use crate::model::Part;
use crate::rounds::{Figure, columns, rounds};
use crate::run::Bench;

/// Measures each target.
///
/// # Errors
/// None of its own: what a target can't do is a note.
pub async fn measure(bench: &mut Bench) -> Result<(), BenchError> {
    let Bench { context, guests, plan, report, progress } = bench;
    let columns = columns(&plan.targets);
    rounds(Part::Start, &columns, plan.rounds, report, progress, async |target, _| {
        let phases = context.run(target, &guests.tiny(target), false).await?.phases;
        Ok(vec![
            Figure::time("record", phases.record),
            Figure::time("create", phases.create),
            Figure::time("start", phases.start),
            Figure::time("run", phases.run),
            Figure::time("create + start + run", phases.task()),
            Figure::time("delete", phases.delete),
            Figure::time("all", phases.life()),
        ])
    })
    .await;
    Ok(())
}
