//! `multiwasm-conformance prove`.

use std::path::PathBuf;

use comfy_table::{Table, presets};

use super::Ended;
use super::run::{USUAL, named};
use crate::prove::{FAULTS, Setting, prove as prove_one};

/// Show that the suite finds faults: run cases on a shim that is broken on purpose; ends with 1 if one is not found
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// containerd's socket; unless given, the one that CONTAINERD_ADDRESS names, or /run/containerd/containerd.sock
    #[arg(long, value_name = "ADDRESS")]
    containerd: Option<PathBuf>,
    /// containerd-shim-faulty-v1, which `make prove` builds
    #[arg(long, value_name = "FILE")]
    shim: PathBuf,
    /// Only this fault, as often as wanted
    #[arg(long, value_name = "NAME")]
    fault: Vec<String>,
}

pub(super) fn prove(from: Option<&PathBuf>, args: &Args) -> Ended {
    let setting = Setting {
        containerd: args.containerd.clone().or_else(|| named("CONTAINERD_ADDRESS")).unwrap_or_else(|| USUAL.into()),
        log: named("MULTIWASM_LAB_LOG"),
        shim: args.shim.canonicalize().map_err(|error| format!("{}: {error}", args.shim.display()))?,
        from: from.cloned(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(["FAULT", "ON", "FOUND BY", "WHICH SAYS"]);
    if let Some(unknown) = args.fault.iter().find(|name| FAULTS.iter().all(|fault| fault.name != **name)) {
        let names: Vec<_> = FAULTS.iter().map(|fault| fault.name).collect();
        return Err(format!("there is no fault {unknown:?}; there are {}", names.join(", ")).into());
    }
    let wanted: Vec<_> = FAULTS
        .iter()
        .filter(|fault| args.fault.is_empty() || args.fault.iter().any(|name| name == fault.name))
        .collect();
    let (mut good, mut faults) = (!wanted.is_empty(), 0);
    for fault in wanted {
        eprintln!("{}", fault.name);
        let proof = runtime.block_on(prove_one(&setting, fault))?;
        faults += 1;
        for (case, said) in &proof.found {
            table.add_row([fault.name, fault.target, case, &said.chars().take(100).collect::<String>()]);
        }
        for case in &proof.missed {
            table.add_row([fault.name, fault.target, "NOBODY", &format!("{case} does not fail")]);
        }
        for (case, said) in &proof.unsound {
            table.add_row([fault.name, fault.target, "UNSOUND", &format!("{case} fails without it: {said}")]);
        }
        good &= proof.missed.is_empty() && proof.unsound.is_empty();
    }
    println!("{table}\n\n{faults} faults; {}", if good { "each was found" } else { "NOT each was found" });
    Ok(good)
}
