//! The phases of a start, by the answers of containerd's calls and by its events, beside the reference in the same rounds.

use std::time::Duration;

use crate::BenchError;
use crate::events::{Events, Until};
use crate::model::Part;
use crate::rounds::{Figure, columns, rounds};
use crate::run::Bench;

/// Measures each target.
///
/// # Errors
/// containerd sends no events. What a target can't do is a note.
pub async fn measure(bench: &mut Bench) -> Result<(), BenchError> {
    let Bench { context, guests, plan, report, progress } = bench;
    let columns = columns(&plan.targets);
    let socket = context.lab.containerd.clone();
    // It waits on threads of its own.
    let events = tokio::task::spawn_blocking(move || Events::subscribe(&socket)).await;
    let events = events.map_err(|error| BenchError::Unexpected(format!("the client of events: {error}")))??;
    rounds(Part::Start, &columns, plan.rounds, report, progress, async |target, _| {
        events.skip();
        let phases = context.run(target, &guests.tiny(target), false).await?.phases;
        let life = events.next_life(context.containerd.namespace(), Until::Delete)?;
        let between = |name, from: Duration, to: Duration| Figure::time(name, to.saturating_sub(from));
        Ok(vec![
            Figure::time("record", phases.record),
            Figure::time("create", phases.create),
            Figure::time("start", phases.start),
            Figure::time("run", phases.run),
            Figure::time("create + start + run", phases.task()),
            Figure::time("delete", phases.delete),
            Figure::time("all", phases.life()),
            between("events: recorded to created", life.recorded, life.created),
            between("events: created to started", life.created, life.started),
            between("events: started to exit", life.started, life.exited),
            between("events: exit to deleted", life.exited, life.deleted),
        ])
    })
    .await;
    Ok(())
}
