//! Standard output, and files of the container's root file system.

use crate::BenchError;
use crate::model::{Part, Unit};
use crate::rounds::{Figure, columns, rounds};
use crate::run::Bench;

/// How many MiB are moved in one value.
const MIB: &str = "64";

/// Measures each target.
///
/// # Errors
/// None of its own: what a target can't do is a note.
pub async fn measure(bench: &mut Bench) -> Result<(), BenchError> {
    let Bench { context, guests, plan, report, progress } = bench;
    let columns = columns(&plan.targets);
    rounds(Part::Io, &columns, plan.fewer(2), report, progress, async |target, _| {
        let mut figures = Vec::new();
        for words in [&["stdout", MIB][..], &["file", MIB, "/data/file"]] {
            let ended = context.run(target, &guests.bench(target, words), true).await?;
            for line in String::from_utf8_lossy(&ended.stderr).lines() {
                figures.push(figure(line)?);
            }
        }
        Ok(figures)
    })
    .await;
    Ok(())
}

/// A name and MiB a second, or microseconds for each of many.
fn figure(line: &str) -> Result<Figure, BenchError> {
    let told = line.split_once('\t').and_then(|(name, value)| Some((name, value.parse().ok()?)));
    let (name, value) = told.ok_or_else(|| BenchError::Unexpected(format!("the guest said {line:?}")))?;
    let unit = if name == "open and close" { Unit::Microseconds } else { Unit::MiBPerSecond };
    Ok(Figure::new(name, unit, value))
}
