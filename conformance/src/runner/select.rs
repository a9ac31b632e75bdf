//! Which cases run on which targets.

use globset::{Glob, GlobMatcher};

use super::target::Target;
use super::{cgroup, machine};
use crate::case::Case;
use crate::catalog::Catalog;

/// A filter is no pattern.
#[derive(Debug, thiserror::Error)]
#[error("--case {pattern}: {reason}")]
pub struct FilterError {
    pattern: String,
    reason: String,
}

/// Cases by their names: a whole name, a glob where there is a `*`, `?` or `[`, else a part of names.
#[derive(Debug, Default)]
pub struct Filter(Vec<Pattern>);

#[derive(Debug)]
enum Pattern {
    Whole(String),
    Glob(GlobMatcher),
    Part(String),
}

impl Filter {
    /// Those that any of the patterns names; all where there is none.
    ///
    /// # Errors
    /// A pattern is none, or names no case.
    pub fn new(patterns: &[String], catalog: &Catalog) -> Result<Self, FilterError> {
        let pattern = |text: &String| {
            let pattern = Self::pattern(text, catalog)?;
            if !catalog.cases().any(|case| pattern.takes(&case.full_name())) {
                let reason = "no case is named so: `multiwasm-conformance list` shows all".to_owned();
                return Err(FilterError { pattern: text.clone(), reason });
            }
            Ok(pattern)
        };
        patterns.iter().map(pattern).collect::<Result<_, _>>().map(Self)
    }

    fn pattern(text: &str, catalog: &Catalog) -> Result<Pattern, FilterError> {
        if catalog.cases().any(|case| case.full_name() == text) {
            Ok(Pattern::Whole(text.to_owned()))
        } else if text.contains(['*', '?', '[']) {
            let glob = Glob::new(text)
                .map_err(|error| FilterError { pattern: text.to_owned(), reason: error.kind().to_string() })?;
            Ok(Pattern::Glob(glob.compile_matcher()))
        } else {
            Ok(Pattern::Part(text.to_owned()))
        }
    }

    /// Whether it names this case.
    pub fn takes(&self, case: &Case) -> bool {
        let name = case.full_name();
        self.0.is_empty() || self.0.iter().any(|pattern| pattern.takes(&name))
    }
}

impl Pattern {
    fn takes(&self, name: &str) -> bool {
        match self {
            Self::Whole(whole) => name == whole,
            Self::Glob(glob) => glob.is_match(name),
            Self::Part(part) => name.contains(part.as_str()),
        }
    }
}

/// Why a case can't be run on this target here; none where it can.
pub fn not_here(case: &Case, target: &Target) -> Option<String> {
    let here = machine::cgroup();
    if let Some(wanted) = case.cgroup.filter(|wanted| *wanted != here) {
        return Some(format!("it is about cgroup v{wanted}, and this machine has v{here}"));
    }
    if cgroup::is_systemds() && here != 2 {
        return Some("systemd is asked for cgroups on v2 alone, and this machine has v1".to_owned());
    }
    // It would have to be told by options of its own.
    (cgroup::is_systemds() && target.is("runc")).then(|| "runc is not told that systemd makes the cgroups".to_owned())
}

/// Whether a case is one for this target at all: another has no cell.
pub fn applies(case: &Case, target: &Target, catalog: &Catalog) -> bool {
    let has_twin = !catalog.guest(&case.guest).twin.is_empty();
    match &case.targets {
        Some(words) => words.iter().any(|word| target.is(word)) && (has_twin || !target.native),
        None => has_twin || !target.native,
    }
}

/// The command that runs one cell alone, where `verb` runs all.
pub fn alone(verb: &str, case: &Case, target: &Target) -> String {
    let on = if Target::named(&target.name).is_some() { "--engine" } else { "--runtime" };
    format!("multiwasm-conformance {verb} {on} {} --case {}", target.name, case.full_name())
}
