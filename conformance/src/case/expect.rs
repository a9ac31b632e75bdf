//! What must be seen of a container.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What must be seen; what is not said is not looked at, but for the exit code: 0 unless something else is said.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The exit code.
    #[serde(default)]
    pub exit: Option<u32>,
    /// No exit is told, neither by an answer nor by an event.
    #[serde(default)]
    pub no_exit: bool,
    /// Standard output, exactly.
    #[serde(default)]
    pub stdout: Option<String>,
    /// Texts that standard output has somewhere.
    #[serde(default)]
    pub stdout_has: Vec<String>,
    /// Whole lines that standard output has.
    #[serde(default)]
    pub stdout_lines_has: Vec<String>,
    /// Texts that standard output has nowhere.
    #[serde(default)]
    pub stdout_lacks: Vec<String>,
    /// Standard output is so many bytes of the pattern.
    #[serde(default)]
    pub stdout_bytes: Option<usize>,
    /// Standard error, exactly.
    #[serde(default)]
    pub stderr: Option<String>,
    /// Texts that standard error has somewhere.
    #[serde(default)]
    pub stderr_has: Vec<String>,
    /// Milliseconds from the last kill to the exit, at most.
    #[serde(default)]
    pub within_ms: Option<u64>,
    /// Create fails, and its message has all of these.
    #[serde(default)]
    pub refused: Option<Vec<String>>,
    /// The task's events, all of them in this order.
    #[serde(default)]
    pub events: Option<Vec<String>>,
    /// Whether the kernel killed for memory, and containerd told so.
    #[serde(default)]
    pub oom: Option<bool>,
    /// Texts of the shim's log lines.
    #[serde(default)]
    pub log_has: Vec<String>,
    /// The engine that ran.
    #[serde(default)]
    pub took_engine: Option<String>,
    /// How many shims serve its copies and the containers beside them.
    #[serde(default)]
    pub shims: Option<usize>,
    /// What single targets do otherwise.
    #[serde(default)]
    pub on: BTreeMap<String, Expect>,
    /// Why a target does otherwise, with a reference.
    #[serde(default)]
    pub because: Option<String>,
    /// The first version of containerd with which a target does otherwise.
    #[serde(default)]
    pub since: Option<String>,
    /// Whether a target does otherwise only at times, and as the others at others.
    #[serde(default)]
    pub sometimes: bool,
}

impl Expect {
    /// What holds on a target: what is said of it alone before what is said of all. One that refuses shows nothing else,
    /// and one whose stream is another's is not asked for the common one.
    pub fn on(&self, target: &str) -> Self {
        let Some(own) = self.on.get(target) else { return Self { on: BTreeMap::new(), ..self.clone() } };
        if own.refused.is_some() {
            return own.clone();
        }
        let mut all = Self { on: BTreeMap::new(), because: own.because.clone(), ..self.clone() };
        all.exit = own.exit.or(all.exit);
        all.sometimes = own.sometimes;
        all.no_exit = own.no_exit;
        if own.no_exit {
            all.exit = None;
        }
        if own.says_stdout() {
            all.stdout.clone_from(&own.stdout);
            all.stdout_has.clone_from(&own.stdout_has);
            all.stdout_lines_has.clone_from(&own.stdout_lines_has);
            all.stdout_lacks.clone_from(&own.stdout_lacks);
            all.stdout_bytes = own.stdout_bytes;
        }
        if own.stderr.is_some() || !own.stderr_has.is_empty() {
            all.stderr.clone_from(&own.stderr);
            all.stderr_has.clone_from(&own.stderr_has);
        }
        if !own.log_has.is_empty() {
            all.log_has.clone_from(&own.log_has);
        }
        all.within_ms = own.within_ms.or(all.within_ms);
        all.events = own.events.clone().or(all.events);
        all.oom = own.oom.or(all.oom);
        all.shims = own.shims.or(all.shims);
        all.took_engine = own.took_engine.clone().or(all.took_engine);
        // Where the others refuse and this one does not, what it shows is its own.
        all.refused = None;
        all
    }

    /// Leaves out what holds only from a later version of containerd on.
    pub fn retain_for(&mut self, containerd: &str) {
        let reached = |since: &String| version(since) <= version(containerd);
        self.on.retain(|_, own| own.since.as_ref().is_none_or(reached));
    }

    /// Whether anything is said of standard output.
    pub fn says_stdout(&self) -> bool {
        self.stdout.is_some()
            || self.stdout_bytes.is_some()
            || !(self.stdout_has.is_empty() && self.stdout_lines_has.is_empty() && self.stdout_lacks.is_empty())
    }

    /// Every text in it that may hold the guest's path.
    pub fn texts_mut(&mut self) -> impl Iterator<Item = &mut String> {
        let lists = [
            &mut self.stdout_has,
            &mut self.stdout_lines_has,
            &mut self.stdout_lacks,
            &mut self.stderr_has,
            &mut self.log_has,
        ];
        let lists = lists.into_iter().flatten();
        lists.chain(self.refused.iter_mut().flatten()).chain(&mut self.stdout).chain(&mut self.stderr)
    }
}

/// The numbers of a version, for comparing.
fn version(text: &str) -> Vec<u64> {
    let number = |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0);
    text.trim_start_matches('v').split('.').map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_holds_from_its_version_on() {
        let otherwise = Expect { since: Some("2.0".into()), ..Expect::default() };
        let expect = Expect { on: BTreeMap::from([("runc".into(), otherwise)]), ..Expect::default() };
        for (containerd, there) in
            [("1.7.24", false), ("v1.6.20", false), ("2.0.0", true), ("2.1.9", true), ("10.0", true)]
        {
            let mut expect = expect.clone();
            expect.retain_for(containerd);
            assert_eq!(expect.on.contains_key("runc"), there, "{containerd}");
        }
    }
}
