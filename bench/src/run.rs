//! A run: which parts on which targets, and the report of it all.

use std::path::PathBuf;
use std::sync::Arc;

use multiwasm_conformance::lab::Lab;
use multiwasm_conformance::report::Timestamp;
use multiwasm_conformance::runner::target::Target;

use crate::BenchError;
use crate::context::Context;
use crate::guests::Guests;
use crate::machine::load;
use crate::model::{Machine, Part, Report, SCHEMA};
use crate::parts::{compute, io, memory, sizes, start, steps, throughput};
use crate::progress::Progress;
use crate::rounds::Rounds;

/// What a run does.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The words of the command, for who wants to repeat it.
    pub command: String,
    /// The parts.
    pub parts: Vec<Part>,
    /// What is compared; the first one is what the others are set against.
    pub targets: Vec<Target>,
    /// How often.
    pub rounds: Rounds,
    /// Whether a thousand containers are weighed too.
    pub large: bool,
    /// Modules that `sizes` starts beside its own, with the argument `--version`.
    pub modules: Vec<PathBuf>,
    /// Annotations of every Wasm container.
    pub annotations: Vec<(String, String)>,
    /// The configuration that our runtime is given by its options (TOML).
    pub config: String,
}

impl Plan {
    /// The rounds of a part whose values are dearer by so many times: at least five, the fewest with which
    /// `compare` can tell anything, or all where there are fewer.
    pub fn fewer(&self, times: usize) -> Rounds {
        let Rounds { warm_up, counted } = self.rounds;
        Rounds { warm_up: warm_up.min(1), counted: (counted / times).max(counted.min(5)) }
    }
}

/// What all parts work with.
pub struct Bench {
    /// containerd.
    pub context: Arc<Context>,
    /// The guests of most parts.
    pub guests: Guests,
    /// What is to be done.
    pub plan: Plan,
    /// What was measured so far.
    pub report: Report,
    /// How far it is.
    pub progress: Progress,
}

/// Measures all that the plan says, and removes what it made.
///
/// # Errors
/// There is no lab, or containerd refuses what every part needs. What a single target can't do is a note of the report.
pub async fn run(lab: &Lab, plan: Plan, progress: Progress) -> Result<Report, BenchError> {
    let report = Report {
        schema: SCHEMA,
        made: Timestamp::now(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        command: plan.command.clone(),
        machine: Machine::of(lab),
        targets: plan.targets.iter().map(|target| target.name.clone()).collect(),
        series: Vec::new(),
        notes: Vec::new(),
    };
    let context = Arc::new(Context::new(lab, &plan.annotations, &plan.config).await?);
    let measured = match Guests::new(&context).await {
        Ok(guests) => {
            let mut bench = Bench { context: Arc::clone(&context), guests, plan, report, progress };
            all_parts(&mut bench).await.map(|()| bench.report)
        }
        Err(error) => Err(error),
    };
    // All that had a share of it has ended by now.
    if let Some(context) = Arc::into_inner(context) {
        context.end().await?;
    }
    let mut report = measured?;
    report.machine.load_after = load();
    report.made = Timestamp::now();
    Ok(report)
}

async fn all_parts(bench: &mut Bench) -> Result<(), BenchError> {
    for part in bench.plan.parts.clone() {
        match part {
            Part::Start => start::measure(bench).await?,
            Part::Sizes => sizes::measure(bench).await?,
            Part::Throughput => throughput::measure(bench).await?,
            Part::Memory => memory::measure(bench).await?,
            Part::Steps => steps::measure(bench).await?,
            Part::Compute => compute::measure(bench).await?,
            Part::Io => io::measure(bench).await?,
        }
    }
    bench.progress.end();
    Ok(())
}
