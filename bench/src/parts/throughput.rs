//! Whole lives of tiny containers, so many at a time: containers a second.

use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinSet;

use crate::BenchError;
use crate::model::{Part, Unit};
use crate::rounds::{Figure, columns, rounds};
use crate::run::Bench;

/// How many are under way at once.
const AT_ONCE: [usize; 3] = [1, 2, 8];
/// Lives in one value: enough that the last ones, when no longer all places are taken, weigh little.
const LIVES: usize = 24;

/// Measures each target.
///
/// # Errors
/// None of its own: what a target can't do is a note.
pub async fn measure(bench: &mut Bench) -> Result<(), BenchError> {
    let Bench { context, guests, plan, report, progress } = bench;
    let columns = columns(&plan.targets);
    // A value is of many containers, so a few of them do.
    let count = plan.fewer(4);
    rounds(Part::Throughput, &columns, count, report, progress, async |target, _| {
        let mut figures = Vec::new();
        for at_once in AT_ONCE {
            let (mut lives, began) = (JoinSet::new(), Instant::now());
            for _ in 0..LIVES {
                if lives.len() == at_once {
                    ended(lives.join_next().await)?;
                }
                let (context, target, program) = (Arc::clone(context), target.clone(), guests.tiny(target));
                lives.spawn(async move { context.run(&target, &program, false).await.map(drop) });
            }
            while !lives.is_empty() {
                ended(lives.join_next().await)?;
            }
            let each_second = LIVES as f64 / began.elapsed().as_secs_f64();
            figures.push(Figure::new(format!("{at_once} at a time"), Unit::ContainersPerSecond, each_second));
        }
        Ok(figures)
    })
    .await;
    Ok(())
}

fn ended(life: Option<Result<Result<(), BenchError>, tokio::task::JoinError>>) -> Result<(), BenchError> {
    match life {
        Some(Ok(life)) => life,
        Some(Err(error)) => Err(BenchError::Unexpected(format!("a container's task: {error}"))),
        None => Ok(()),
    }
}
