//! Which modules of wasi-testsuite an engine itself fails: conformance/testsuite-expectations.toml, with evidence.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::format::Test;
use crate::case::expect::Expect;
use crate::runner::target::Target;

/// The file that comes with the command.
pub const OWN: &str = include_str!("../../testsuite-expectations.toml");

/// Why expectations can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ExpectationsError {
    /// They are not of their form.
    #[error("expectations: {0}")]
    Form(String),
    /// One names no module of the checkout, or no engine.
    #[error("expectations: {engine} on {test}: {reason}")]
    Names {
        /// The engine that it names.
        engine: String,
        /// The module that it names.
        test: String,
        /// What is wrong.
        reason: String,
    },
}

/// All expectations.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectations {
    /// One for each engine and module.
    #[serde(default)]
    expectation: Vec<Expectation>,
}

/// A module that an engine fails by itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// The engine, and the version that was looked at.
    pub engine: String,
    /// That version.
    pub version: String,
    /// The module, `rust/renumber` for one.
    pub test: String,
    /// The exit code of the container.
    pub exit: u32,
    /// Texts that its standard error has.
    #[serde(default)]
    pub stderr_has: Vec<String>,
    /// What the engine does otherwise.
    pub because: String,
    /// What the engine alone ended with and printed, without us.
    pub alone: String,
    /// Where upstream says so: an issue, or the place in the source.
    #[serde(default)]
    pub upstream: Option<String>,
}

impl Expectations {
    /// Reads the text of such a file.
    ///
    /// # Errors
    /// It is not of the form.
    pub fn read(text: &str) -> Result<Self, ExpectationsError> {
        toml::from_str(text).map_err(|error| ExpectationsError::Form(error.to_string().trim_end().to_owned()))
    }

    /// Whether each names a known engine and one of the tests, once.
    ///
    /// # Errors
    /// The first that does not.
    pub fn check(&self, tests: &[Test]) -> Result<(), ExpectationsError> {
        let known: BTreeSet<_> = tests.iter().map(|test| format!("{}/{}", test.language, test.name)).collect();
        let mut seen = BTreeSet::new();
        for Expectation { engine, test, .. } in &self.expectation {
            let wrong = |reason: &str| {
                let (engine, test, reason) = (engine.clone(), test.clone(), reason.to_owned());
                Err(ExpectationsError::Names { engine, test, reason })
            };
            if !is_engine(engine) {
                return wrong("there is no such engine");
            }
            if !known.contains(test) {
                return wrong("there is no such module in the checkout: remove it, or correct its name");
            }
            if !seen.insert((engine, test)) {
                return wrong("it is there twice");
            }
        }
        Ok(())
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Expectation> {
        self.expectation.iter()
    }

    /// What engines do otherwise in a test, by engine.
    pub fn of(&self, test: &str) -> BTreeMap<String, Expect> {
        let of_test = self.expectation.iter().filter(|expectation| expectation.test == test);
        of_test.map(|expectation| (expectation.engine.clone(), expectation.expect())).collect()
    }
}

impl Expectation {
    fn expect(&self) -> Expect {
        let upstream = self.upstream.as_ref().map_or_else(String::new, |upstream| format!(" ({upstream})"));
        Expect {
            exit: Some(self.exit),
            stderr_has: self.stderr_has.clone(),
            because: Some(format!("{}{upstream}", self.because)),
            ..Expect::default()
        }
    }
}

fn is_engine(name: &str) -> bool {
    Target::named(name).is_some_and(|target| target.engine.is_some())
}

#[cfg(test)]
mod tests {
    use super::super::format::{tests, tests::checkout};
    use super::*;

    const ONE: &str = "[[expectation]]\nengine = \"wasmer\"\nversion = \"1\"\ntest = \"c/a\"\nexit = 134\n\
                       because = \"b\"\nalone = \"c\"\n";

    #[test]
    fn the_file_of_the_tree_is_of_the_form_and_names_engines() {
        let own = Expectations::read(OWN).unwrap_or_else(|error| panic!("{error}"));
        for Expectation { engine, test, alone, because, .. } in own.iter() {
            assert!(is_engine(engine), "{engine} on {test}");
            assert!(!alone.is_empty() && !because.is_empty(), "{engine} on {test} lacks its evidence");
        }
    }

    #[test]
    fn one_that_names_nothing_is_an_error() {
        let folder = checkout(&[("c/wasm32-wasip1/a.wasm", "")]);
        let tests = tests(folder.path()).unwrap();
        let checked = |text: &str| Expectations::read(text).unwrap().check(&tests).map_err(|error| error.to_string());
        assert_eq!(checked(ONE), Ok(()));
        assert!(checked(&ONE.replace("c/a", "c/b")).unwrap_err().contains("no such module"));
        assert!(checked(&ONE.replace("wasmer", "wasmr")).unwrap_err().contains("no such engine"));
        assert!(checked(&format!("{ONE}{ONE}")).unwrap_err().contains("twice"));
        assert!(Expectations::read(&ONE.replace("alone", "along")).is_err());
    }

    #[test]
    fn it_holds_for_its_engine_alone() {
        let expectations = Expectations::read(ONE).unwrap();
        let on = expectations.of("c/a");
        assert_eq!(on["wasmer"].exit, Some(134));
        assert_eq!((on.len(), expectations.of("c/b").len()), (1, 0));
    }
}
