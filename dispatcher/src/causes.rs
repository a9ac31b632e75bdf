//! An error with its causes, in one line for people.

use std::error::Error;

/// An error and its causes; one that the text has named already is not said twice.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn causes_are_said_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("{told}")]
        struct Outer {
            told: &'static str,
            source: io::Error,
        }
        let outer = |told| Outer { told, source: io::Error::other("disk on fire") };
        assert_eq!(chain(&outer("can't write")), "can't write: disk on fire");
        assert_eq!(chain(&outer("can't write: disk on fire")), "can't write: disk on fire");
    }
}
