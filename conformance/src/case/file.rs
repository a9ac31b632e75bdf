//! A file of cases, read with errors that name file, case and key.

use serde::Deserialize;

use super::check::{Names, check};
use super::model::Case;

/// Why a file of cases is wrong.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// It is not TOML, or lacks what a file of cases has.
    #[error("{file}: {reason}")]
    File {
        /// The file's name.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// A case has a wrong key or value.
    #[error("{file}: case {case}: {reason}")]
    Case {
        /// The file's name.
        file: String,
        /// The case's name, or its number.
        case: String,
        /// The key, and what is wrong with it.
        reason: String,
    },
}

/// A file of cases.
#[derive(Debug, Clone)]
pub struct Area {
    /// What reports call it.
    pub name: String,
    /// What its cases are about.
    pub about: String,
    /// Its cases.
    pub cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    area: String,
    about: String,
    #[serde(default)]
    case: Vec<toml::Table>,
}

impl Area {
    /// Reads the text of `file`; cases may name what is in `names`.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn read(file: &str, text: &str, names: &Names<'_>) -> Result<Self, CaseError> {
        let of_file = |reason: String| CaseError::File { file: file.to_owned(), reason };
        let table: Table = toml::from_str(text).map_err(|error| of_file(error.to_string().trim_end().to_owned()))?;
        let mut cases: Vec<Case> = Vec::with_capacity(table.case.len());
        for (at, case) in table.case.into_iter().enumerate() {
            let name =
                case.get("name").and_then(|name| name.as_str()).map_or(format!("number {}", at + 1), str::to_owned);
            let of_case = |reason: String| CaseError::Case { file: file.to_owned(), case: name.clone(), reason };
            let mut case: Case =
                case.try_into().map_err(|error: toml::de::Error| of_case(one_line(&error.to_string())))?;
            case.area.clone_from(&table.area);
            check(&case, names).map_err(of_case)?;
            if cases.iter().any(|other| other.name == case.name) {
                return Err(of_case("name: another case of this file has it".to_owned()));
            }
            cases.push(case);
        }
        if format!("{}.toml", table.area) != file {
            return Err(of_file(format!("area: {:?} is not the file's name", table.area)));
        }
        Ok(Self { name: table.area, about: table.about, cases })
    }
}

/// What toml says over several lines, in one.
fn one_line(message: &str) -> String {
    message.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}
