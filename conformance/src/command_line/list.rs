//! `multiwasm-conformance list`.

use comfy_table::{Table, presets};

use super::{Ended, say};
use crate::catalog::Catalog;
use crate::runner::select::{Filter, applies};
use crate::runner::target::Target;

/// Show cases, where they run and what they are about
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only cases of this name, a pattern with `*`, or part of a name, as often as wanted
    #[arg(long, value_name = "PATTERN")]
    case: Vec<String>,
}

pub(super) fn list(catalog: &Catalog, args: &Args) -> Ended {
    let filter = Filter::new(&args.case, catalog)?;
    let targets: Vec<_> = Target::NAMES.iter().filter_map(|name| Target::named(name)).collect();
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(["CASE", "RUNS ON", "WHAT IT SHOWS"]);
    let mut any = false;
    for case in catalog.cases().filter(|case| filter.takes(case)) {
        let on: Vec<_> =
            targets.iter().filter(|target| applies(case, target, catalog)).map(Target::to_string).collect();
        let on = if on.len() == targets.len() { "all".to_owned() } else { on.join(" ") };
        table.add_row([case.full_name(), on, case.about.clone()]);
        any = true;
    }
    if !any {
        return Err("no case is named so".into());
    }
    say(&format!("{table}\n"))?;
    Ok(true)
}
