//! Several runs as one report.

use std::cmp::Ordering;

use super::model::{Report, Run, SCHEMA, Timestamp};

/// Why reports can't be one.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// They are of different versions of the project: a matrix of both would be of neither.
    #[error("reports of {first} and of {other} can't be one: run the cases again with one version")]
    Versions {
        /// The version of the first report.
        first: String,
        /// The version of another.
        other: String,
    },
    /// There is none.
    #[error("no report to merge")]
    None,
}

/// The runs of all reports as one report made now, oldest containerd first.
///
/// # Errors
/// Where there is no report, or they are of different versions of the project.
pub fn merge(reports: impl IntoIterator<Item = Report>) -> Result<Report, MergeError> {
    let mut reports = reports.into_iter();
    let first = reports.next().ok_or(MergeError::None)?;
    let mut merged = Report { schema: SCHEMA, made: Timestamp::now(), ..first };
    for report in reports {
        if report.version != merged.version {
            return Err(MergeError::Versions { first: merged.version, other: report.version });
        }
        merged.runs.extend(report.runs);
    }
    merged.runs.sort_by(by_containerd);
    Ok(merged)
}

/// By the numbers of the version (1.7.9 before 1.7.24), then by the time of the run.
fn by_containerd(a: &Run, b: &Run) -> Ordering {
    let numbers = |run: &Run| -> Vec<u64> {
        let digits = run.containerd.version.split(|c: char| !c.is_ascii_digit());
        digits.filter_map(|number| number.parse().ok()).collect()
    };
    numbers(a).cmp(&numbers(b)).then(a.started.cmp(&b.started))
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn runs_stand_in_the_order_of_containerds_versions() {
        let of = |version: &str| {
            let mut report = sample::small();
            report.runs.truncate(1);
            report.runs[0].containerd.version = version.to_owned();
            report
        };
        let merged = merge([of("2.1.9"), of("1.7.24"), of("1.7.9"), of("1.6.20~ds1")]).unwrap();
        let versions: Vec<_> = merged.runs.iter().map(|run| run.containerd.version.as_str()).collect();
        assert_eq!(versions, ["1.6.20~ds1", "1.7.9", "1.7.24", "2.1.9"]);
    }

    #[test]
    fn two_versions_of_the_project_are_not_one_report() {
        let other = Report { version: "0.2.0".to_owned(), ..sample::small() };
        let error = merge([sample::small(), other]).unwrap_err().to_string();
        assert!(error.contains("0.1.0") && error.contains("0.2.0"), "{error}");
        assert!(matches!(merge([]), Err(MergeError::None)));
    }
}
