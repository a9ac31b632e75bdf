//! `multiwasm extras`, hidden: what packages bring beside the programs and is made from what the programs know, so that
//! it is never older than they are: man pages, completions of shells, the config file with its defaults.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::{Shell, generate_to};

use super::{Cli, Ended};
use crate::config::commented_defaults;

/// The program that the pages and completions are of.
const NAME: &str = "multiwasm";

/// Write man pages, completions and the commented config file into a folder, for packages
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder, which is made if it is missing
    folder: PathBuf,
}

/// Ends with an error that names the file which can't be written.
pub(super) fn run(args: &Args) -> Ended {
    let folder = &args.folder;
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    // Pages of hidden commands are left out, and none has a date, by which two builds would differ.
    clap_mangen::generate_to(Cli::command(), folder)
        .map_err(|error| format!("{}: man pages: {error}", folder.display()))?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut Cli::command(), NAME, folder)
            .map_err(|error| format!("{}: completions of {shell}: {error}", folder.display()))?;
    }
    let config = folder.join("config.toml");
    fs::write(&config, commented_defaults()).map_err(|error| format!("{}: {error}", config.display()))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_that_people_see_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        run(&Args { folder: folder.path().join("new") }).unwrap();
        let written = |name: &str| fs::read_to_string(folder.path().join("new").join(name));
        assert!(written("multiwasm.1").unwrap().contains("multiwasm\\-doctor(1)"));
        assert!(written("multiwasm-run.1").unwrap().contains("HOST[:GUEST[:ro]]"));
        assert!(written("multiwasm-extras.1").is_err());
        for completions in ["multiwasm.bash", "_multiwasm", "multiwasm.fish"] {
            assert!(written(completions).unwrap().contains("doctor"), "{completions}");
        }
        assert!(written("config.toml").unwrap().contains("\n#order = "));
    }
}
