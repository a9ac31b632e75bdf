//! How far a run is: a bar on a terminal, else a line from time to time.

use std::cell::RefCell;
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::model::Part;

/// How far apart lines are where there is no terminal.
const APART: Duration = Duration::from_secs(10);

/// Shows how far a run is.
pub struct Progress {
    bar: Option<ProgressBar>,
    quiet: bool,
    lines: RefCell<Lines>,
}

/// What is known without a bar.
struct Lines {
    part: &'static str,
    done: usize,
    all: usize,
    last: Instant,
}

impl Progress {
    /// A bar where there is a terminal; nothing at all if `quiet`.
    pub fn new(quiet: bool) -> Self {
        let bar = || {
            let style = ProgressStyle::with_template("{prefix:<10} {bar:30} {pos}/{len}, {elapsed}, {msg}");
            ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        };
        let lines = Lines { part: "", done: 0, all: 0, last: Instant::now() };
        Self { bar: (stderr().is_terminal() && !quiet).then(bar), quiet, lines: RefCell::new(lines) }
    }

    /// Shows nothing.
    pub fn silent() -> Self {
        Self { bar: None, ..Self::new(true) }
    }

    /// A part of so many steps begins, or goes on with as many more.
    pub fn begin(&self, part: Part, steps: usize) {
        let mut lines = self.lines.borrow_mut();
        if lines.part == part.name() {
            lines.all += steps;
        } else {
            *lines = Lines { part: part.name(), done: 0, all: steps, last: lines.last };
            if let Some(bar) = &self.bar {
                bar.reset();
                bar.set_prefix(part.name());
            } else if !self.quiet {
                eprintln!("{}", part.name());
            }
        }
        if let Some(bar) = &self.bar {
            bar.set_length(lines.all as u64);
        }
    }

    /// The next step begins, which is of this name.
    pub fn next(&self, name: &str) {
        let mut lines = self.lines.borrow_mut();
        if let Some(bar) = &self.bar {
            bar.set_message(name.to_owned());
            bar.set_position(lines.done as u64);
        } else if !self.quiet && lines.last.elapsed() >= APART {
            eprintln!("{}: {} of {}, {name}", lines.part, lines.done, lines.all);
            lines.last = Instant::now();
        }
        lines.done += 1;
    }

    /// Something that people should see at once.
    pub fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None if self.quiet => {}
            None => eprintln!("{line}"),
        }
    }

    /// Nothing more comes.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
