//! Tables, medians, and the machine that they are of.

use std::fmt::Write;
use std::fs;
use std::time::Duration;

use multiwasm_conformance::lab::Lab;

/// Rows as columns that are as wide as they must be; the first row is the heading. Numbers stand on the right.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |row: &Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let mut line = String::new();
        for (column, width) in widths.iter().enumerate() {
            let cell = cell(row, column);
            let right = rows.iter().skip(1).all(|row| row.get(column).is_none_or(|cell| is_number(cell)));
            let _ = if right { write!(line, "{cell:>width$}  ") } else { write!(line, "{cell:<width$}  ") };
        }
        let _ = writeln!(text, "{}", line.trim_end());
        if number == 0 {
            let _ = writeln!(text, "{}", "-".repeat(widths.iter().sum::<usize>() + 2 * columns.saturating_sub(1)));
        }
    }
    text
}

fn is_number(cell: &str) -> bool {
    cell.is_empty() || cell.starts_with(|first: char| first.is_ascii_digit() || first == '-')
}

/// Milliseconds with one digit after the point.
pub fn ms(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1000.0)
}

/// The value below which `part` of the sorted values lie, by the nearest rank.
pub fn quantile(sorted: &[Duration], part: f64) -> Duration {
    let Some(last) = sorted.len().checked_sub(1) else { return Duration::ZERO };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank among a few hundred values")]
    let rank = (last as f64 * part).round() as usize;
    sorted[rank.min(last)]
}

/// Median, and between which values eight of ten lie.
pub fn spread(times: &[Duration]) -> (Duration, Duration, Duration) {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    (quantile(&sorted, 0.5), quantile(&sorted, 0.1), quantile(&sorted, 0.9))
}

/// The machine, the kernel, and the daemons, in one line.
pub fn machine(lab: &Lab) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: String, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        line.split(':').nth(1).unwrap_or_default().trim().to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let memory: u64 =
        field(read("/proc/meminfo"), "MemTotal").split(' ').next().and_then(|kib| kib.parse().ok()).unwrap_or(0);
    let versions = lab.containerd_version().unwrap_or_else(|error| error.to_string());
    format!(
        "{}, {cores} cores, {} GiB, Linux {}; containerd {versions}; load {}",
        field(read("/proc/cpuinfo"), "model name"),
        memory >> 20,
        read("/proc/sys/kernel/osrelease").trim(),
        read("/proc/loadavg").split(' ').next().unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let times: Vec<_> = (1..=11).map(Duration::from_millis).collect();
        assert_eq!(quantile(&times, 0.5), Duration::from_millis(6));
        assert_eq!(quantile(&times, 0.1), Duration::from_millis(2));
        assert_eq!(quantile(&times, 1.0), Duration::from_millis(11));
        assert_eq!(quantile(&[], 0.5), Duration::ZERO);
    }

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let rows = [["name", "ms"], ["ä", "12.0"], ["long name", "3.5"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows), "name         ms\n---------------\nä          12.0\nlong name   3.5\n");
    }
}
