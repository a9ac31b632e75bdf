//! `multiwasm engines`: which engines are installed and what they can do.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use multiwasm_engine::Capabilities;
use serde::Serialize;

use super::{Ended, columns, print_json};
use crate::config::Config;
use crate::engines::{Engines, Installed, open_at};

/// Show the installed engines, their versions and what they can do
///
/// Capabilities: modules and components run; preview1, preview2, wasix, threads, sockets and http are what guests may ask for; aot: it
/// compiles ahead, into the cache; needs-aot: it has no interpreter, so modules are compiled before they first run; memory-limit,
/// fuel: a guest's memory, or its instructions, can be limited.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

/// One engine, usable or not.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// Empty where it can't be opened.
    pub(super) version: String,
    pub(super) capabilities: Vec<&'static str>,
    /// Why it can't be opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

impl Line {
    /// Opens an engine and asks it.
    pub(super) fn of(installed: Installed) -> Self {
        let Installed { name, path } = installed;
        match open_at(&path, &name) {
            Ok(plugin) => {
                let described = plugin.description();
                let can = |(capability, _): &&(Capabilities, &str)| described.capabilities.has(*capability);
                let capabilities = Capabilities::NAMES.iter().filter(can).map(|(_, name)| *name).collect();
                Self { name, path, version: described.version.clone(), capabilities, error: None }
            }
            Err(error) => {
                Self { name, path, version: String::new(), capabilities: Vec::new(), error: Some(error.to_string()) }
            }
        }
    }
}

/// Ends with 1 if there is no engine, or one that can't be used.
pub(super) fn run(args: &Args) -> Ended {
    let engines = Engines::of(&Config::load(None)?);
    let lines: Vec<_> = engines.installed().into_iter().map(Line::of).collect();
    let usable = !lines.is_empty() && lines.iter().all(|line| line.error.is_none());
    if args.json {
        print_json(&lines)?;
    } else {
        let mut rows = vec![["NAME", "VERSION", "PATH", "CAPABILITIES"].map(str::to_owned)];
        for line in lines.iter().filter(|line| line.error.is_none()) {
            let path = line.path.display().to_string();
            rows.push([line.name.clone(), line.version.clone(), path, line.capabilities.join(" ")]);
        }
        if rows.len() > 1 {
            write!(std::io::stdout(), "{}", columns(&rows))?;
        }
        for error in lines.iter().filter_map(|line| line.error.as_ref()) {
            eprintln!("multiwasm: {error}");
        }
        if lines.is_empty() {
            eprintln!("multiwasm: {}", engines.none_installed());
        }
    }
    Ok(if usable { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
