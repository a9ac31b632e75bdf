//! `multiwasm-conformance chaos`.

use std::io::{IsTerminal, stderr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::Ended;
use crate::catalog::Catalog;
use crate::chaos::Arena;
use crate::chaos::plan::{Round, Victim};

/// Kill shims, guests, containerd at random moments and see that nothing is lost or left; ends with 1 if something is. In a
/// lab only: `scripts/lab run forky -- multiwasm-conformance chaos`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// So many rounds
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// The first round's seed; those that follow count up from it. Unless given, of the clock
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// What is killed; all of these unless given
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = victim)]
    kill: Vec<Victim>,
    /// Tell of each round before it begins
    #[arg(long)]
    verbose: bool,
}

fn victim(name: &str) -> Result<Victim, String> {
    let known = Victim::ALL.map(|(name, _)| name).join(", ");
    Victim::named(name).ok_or_else(|| format!("one of {known}"))
}

pub(super) fn chaos(catalog: &Arc<Catalog>, args: &Args) -> Ended {
    let victims = if args.kill.is_empty() { Victim::ALL.map(|(_, victim)| victim).to_vec() } else { args.kill.clone() };
    let clock = || std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(1, |now| now.as_secs());
    let first = args.seed.unwrap_or_else(clock);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} rounds, {elapsed}, {msg}")?;
    let bar = stderr().is_terminal().then(|| ProgressBar::new(args.rounds).with_style(style));
    let say = |line: String| match &bar {
        Some(bar) => bar.println(line),
        None => eprintln!("{line}"),
    };
    say(format!("{} rounds from seed {first}", args.rounds));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let arena = runtime.block_on(Arena::new(catalog))?;
    let began = Instant::now();
    let (mut bad, mut times) = (0, Vec::new());
    for number in 0..args.rounds {
        let round = Round::of(first.wrapping_add(number), &victims);
        if args.verbose {
            say(format!("round {number}: {round}"));
        }
        let outcome = runtime.block_on(arena.run(&round, number as usize));
        if outcome.hit {
            times.push((round.victim, outcome.recovered));
        }
        if !outcome.faults.is_empty() {
            bad += 1;
            say(format!("FAILED round {number}: {round}\n  {}", outcome.faults.join("\n  ")));
        }
        if let Some(bar) = &bar {
            bar.set_message(format!("{bad} failed"));
            bar.inc(1);
        }
    }
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    let left = runtime.block_on(arena.end())?;
    for thing in &left {
        println!("left: {thing}");
    }
    println!("{} rounds from seed {first} in {:.0?}: {bad} failed", args.rounds, began.elapsed());
    println!("from the kill until nothing was left, in ms:");
    println!("{:<12}{:>6}{:>8}{:>8}{:>8}{:>8}", "KILLED", "times", "half", "90 %", "99 %", "most");
    for (name, victim) in Victim::ALL {
        let mut of_it: Vec<_> = times.iter().filter(|(killed, _)| *killed == victim).map(|(_, time)| *time).collect();
        of_it.sort_unstable();
        if of_it.is_empty() {
            continue;
        }
        let at = |percent| part(&of_it, percent).as_millis();
        println!("{name:<12}{:>6}{:>8}{:>8}{:>8}{:>8}", of_it.len(), at(50), at(90), at(99), at(100));
    }
    Ok(bad == 0 && left.is_empty())
}

/// The time that so many percent don't exceed; of sorted times, at least one.
fn part(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent).div_ceil(100).clamp(1, sorted.len()) - 1]
}
