//! `multiwasm inspect`: what a file is, what it imports, and which engine `auto` takes for it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use super::subject::Subject;
use super::{Ended, image, print_json};
use crate::config::Config;
use crate::engines::Engines;
use crate::module::{EntryKind, Export, FIRST_BYTES, Facts, Import, Module};
use crate::selection::{Inputs, select};

/// Show what a module is, what it imports, and which engine `auto` takes for it and why
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A WebAssembly module or component, `FILE#FUNCTION` to see whether that function can be called; or the name or path of
    /// an image, to see what its entrypoint is
    #[arg(value_name = "FILE|IMAGE")]
    file: PathBuf,
    #[command(flatten)]
    from: image::From,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, thiserror::Error)]
enum InspectError {
    #[error("{path}: {reason}")]
    Torn { path: PathBuf, reason: crate::module::ModuleError },
}

/// The answer.
#[derive(Debug, Serialize)]
struct Report {
    file: PathBuf,
    /// The function that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<String>,
    /// `module`, `component`, or what else the file is.
    kind: String,
    /// Bytes.
    size: u64,
    imports: Vec<Import>,
    exports: Vec<Export>,
    /// The custom section with native code.
    native_code: Option<&'static str>,
    /// What `auto` takes; none for a native program or if there is no such engine.
    engine: Option<String>,
    /// Why, or why not.
    reason: String,
}

/// Ends with 1 if the file is none that would be run.
pub(super) fn run(args: &Args) -> Ended {
    let Subject { name, path, function, content, .. } = &Subject::find(&args.file, &args.from)?;
    let (file, function) = (PathBuf::from(name), function.clone());
    let report = match EntryKind::of_file(path, &content[..content.len().min(FIRST_BYTES)]) {
        EntryKind::Wasm | EntryKind::WasmText => {
            let facts = Module::read(content).map_err(|reason| InspectError::Torn { path: file.clone(), reason })?;
            of_module(file, function, content.len(), facts)?
        }
        kind => of_other(file, function, content.len(), kind),
    };
    if args.json {
        print_json(&report)?;
    } else {
        write!(io::stdout(), "{}", readable(&report))?;
    }
    let runs = report.engine.is_some() || report.reason == NATIVE;
    Ok(if runs { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

const NATIVE: &str = "no engine: a native program, which runs as in any container";

fn of_other(file: PathBuf, function: Option<String>, size: usize, kind: EntryKind) -> Report {
    let reason = match kind {
        EntryKind::Elf | EntryKind::Script => NATIVE,
        EntryKind::Precompiled(_) => "no engine: native code in place of a module is not run",
        _ => "no engine: nothing that can be run",
    };
    Report {
        file,
        function,
        kind: kind.to_string(),
        size: size as u64,
        imports: Vec::new(),
        exports: Vec::new(),
        native_code: None,
        engine: None,
        reason: reason.to_owned(),
    }
}

fn of_module(
    file: PathBuf,
    function: Option<String>,
    size: usize,
    facts: Facts,
) -> Result<Report, crate::config::ConfigError> {
    let config = Config::load(None)?;
    let engines = Engines::of(&config);
    let name = file.display().to_string();
    let inputs = Inputs { file: &name, order: &config.order, ..Inputs::default() };
    let choice = select(&inputs, Some(&facts), &engines.names(), |name| engines.capabilities(name));
    let lacks = facts.lacks(function.as_deref());
    let (engine, reason) = match (choice, lacks) {
        (Ok(_), Some(lacks)) => (None, format!("the {} {lacks}", facts.kind)),
        (Ok(choice), None) => (Some(choice.engine), choice.reason),
        (Err(error), _) => (None, error.to_string()),
    };
    Ok(Report {
        file,
        function,
        kind: facts.kind.to_string(),
        size: size as u64,
        imports: facts.imports,
        exports: facts.exports,
        native_code: facts.native,
        engine,
        reason,
    })
}

fn readable(report: &Report) -> String {
    let mut lines = vec![
        ("file", report.file.display().to_string()),
        ("kind", report.kind.clone()),
        ("size", format!("{} bytes", report.size)),
    ];
    lines.extend(report.function.iter().map(|function| ("function", function.clone())));
    for (number, group) in grouped(&report.imports).into_iter().enumerate() {
        lines.push((if number == 0 { "imports" } else { "" }, group));
    }
    if let Some(section) = report.native_code {
        let found = format!("in custom section {section}: not run, unless allow_native_code is set in the config file");
        lines.push(("native code", found));
    }
    lines.push(("auto takes", report.engine.clone().unwrap_or_else(|| "none".to_owned())));
    lines.push(("because", report.reason.clone()));
    lines.iter().fold(String::new(), |mut text, (name, value)| {
        let _ = writeln!(text, "{name:<13}{value}");
        text
    })
}

/// A line for each module that is imported from, with the names; a component's imports have none.
fn grouped(imports: &[Import]) -> Vec<String> {
    let mut groups = BTreeMap::<_, Vec<_>>::new();
    for import in imports {
        groups.entry(import.module.as_str()).or_default().push(import.name.as_str());
    }
    let line = |(module, names): (&str, Vec<&str>)| match names.join(" ") {
        names if names.trim().is_empty() => module.to_owned(),
        names => format!("{module}: {names}"),
    };
    groups.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_grouped_by_module() {
        let import = |module: &str, name: &str| Import { module: module.into(), name: name.into(), kind: "func" };
        let imports = [import("wasi", "b"), import("env", "m"), import("wasi", "a"), import("wasi:cli/run", "")];
        assert_eq!(grouped(&imports), ["env: m", "wasi: b a", "wasi:cli/run"]);
    }

    #[test]
    fn a_function_is_looked_for() {
        let text = r#"(module (func (export "_start")) (func (export "serve")))"#;
        let report = |function: &str| {
            let facts = Module::read(&wat::parse_str(text).unwrap()).unwrap();
            of_module("/app.wasm".into(), Some(function.to_owned()), 1, facts).unwrap()
        };
        let lacking = report("server");
        // Where no engine is installed, that is the reason in any case.
        if !Engines::of(&Config::load(None).unwrap()).names().is_empty() {
            assert_eq!(lacking.reason, "the module exports no function server: it exports _start, serve");
            assert!(report("serve").engine.is_some());
        }
        assert_eq!((lacking.engine, lacking.function.as_deref()), (None, Some("server")));
    }

    #[test]
    fn a_report_reads_well() {
        let report = Report {
            file: "/app.wasm".into(),
            function: Some("serve".into()),
            kind: "module".into(),
            size: 42,
            imports: vec![Import { module: "env".into(), name: "f".into(), kind: "func" }],
            exports: Vec::new(),
            native_code: Some("wasmedge"),
            engine: Some("wasmer".into()),
            reason: "so it is".into(),
        };
        assert_eq!(
            readable(&report),
            "file         /app.wasm\n\
             kind         module\n\
             size         42 bytes\n\
             function     serve\n\
             imports      env: f\n\
             native code  in custom section wasmedge: not run, unless allow_native_code is set in the config file\n\
             auto takes   wasmer\n\
             because      so it is\n"
        );
    }
}
