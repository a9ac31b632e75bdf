//! containerd's version: what it says when it is asked.

use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;

use super::{Finding, Verdict, version_of};
use crate::image::containerd::{connect, late};

/// The oldest containerd that multiwasm is tested with (docs/containerd.md).
const OLDEST: (u32, u32) = (1, 6);

/// How long it may take for its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks the one that listens here.
pub(super) fn check(address: &Path) -> Finding {
    judge(&ask(address, PATIENCE))
}

fn ask(address: &Path, patience: Duration) -> Result<String, String> {
    let (runtime, client) = connect(address, patience)?;
    let answer = runtime.block_on(async { timeout(patience, client.version().version(())).await });
    let answer = answer.map_err(|_| late(patience))?.map_err(|status| status.message().to_owned())?;
    Ok(answer.into_inner().version)
}

fn judge(answer: &Result<String, String>) -> Finding {
    let (verdict, found) = match answer {
        // `v1.7.24`; Debian leaves the v out.
        Ok(said) => match version_of(said.trim_start_matches('v')) {
            Some(version) if version < OLDEST => {
                let (major, minor) = OLDEST;
                let found = format!(
                    "{said} is too old, {major}.{minor} is the oldest that multiwasm is for: install a newer containerd"
                );
                (Verdict::Problem, found)
            }
            Some(_) => (Verdict::Ok, said.clone()),
            None => (Verdict::Warning, format!("not known, it says {said:?}: 1.6 or newer is needed")),
        },
        Err(reason) => {
            (Verdict::Warning, format!("not known, it does not say: {reason}: see its log, journalctl -u containerd"))
        }
    };
    Finding::new(verdict, "containerd's version", found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn an_old_containerd_is_a_problem() {
        let said = |version: &str| judge(&Ok(version.to_owned()));
        for old in ["v1.5.18", "1.4.13~ds1", "0.2.3"] {
            let finding = said(old);
            assert!(finding.verdict == Verdict::Problem && finding.found.contains("install a newer"), "{finding:?}");
        }
        for new in ["v1.6.0", "1.6.20~ds1", "v2.3.0-rc.0", "2.1.9"] {
            assert_eq!(said(new).verdict, Verdict::Ok, "{new}");
        }
        assert_eq!(said("dev").verdict, Verdict::Warning);
    }

    #[test]
    fn one_that_does_not_answer_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let address = folder.path().join("containerd.sock");
        let _listener = UnixListener::bind(&address).unwrap();
        let finding = judge(&ask(&address, Duration::from_millis(50)));
        assert!(finding.verdict == Verdict::Warning && finding.found.contains("no answer for"), "{finding:?}");
    }
}
