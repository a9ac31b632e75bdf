//! What is compared: engines through our shim, runc, and any other runtime by its name.

use multiwasm_conformance::runner::target::Target;

/// What is compared where nothing is said; the first one is what the others are set against.
pub const USUAL: [&str; 4] = ["runc", "wasmtime", "wasmedge", "wasmer"];

/// A target by the name that `--engine` takes.
///
/// # Errors
/// There is none of that name.
pub fn engine(name: &str) -> Result<Target, String> {
    Target::named(name).ok_or_else(|| format!("there is {}; other runtimes go by --runtime", Target::NAMES.join(", ")))
}

/// A runtime as `--runtime` takes it: `NAME`, and behind `=` whether it runs our `wasm` image or our `linux` image.
///
/// # Errors
/// Behind `=` is something else.
pub fn runtime(text: &str) -> Result<Target, String> {
    let (name, image) = text.split_once('=').unwrap_or((text, ""));
    let mut target = Target::runtime(name);
    match image {
        "" => {}
        "wasm" => target.native = false,
        "linux" => target.native = true,
        other => return Err(format!("{other:?} is no image: `wasm` or `linux`, or none for what the name suggests")),
    }
    Ok(target)
}

/// The targets with names that fit a table's heading: of `io.containerd.NAME.v1` the middle, where no other has it.
pub fn named(mut targets: Vec<Target>) -> Vec<Target> {
    for at in 0..targets.len() {
        let full = targets[at].name.clone();
        let short = full.strip_prefix("io.containerd.").and_then(|rest| rest.rsplit_once(".v")).map(|(name, _)| name);
        if let Some(short) = short.filter(|short| targets.iter().all(|target| target.name != *short)) {
            targets[at].name = short.to_owned();
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    targets.retain(|target| seen.insert(target.name.clone()));
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtimes_run_what_their_name_suggests_or_what_is_said() {
        assert!(!runtime("io.containerd.before.v1").unwrap().native);
        assert!(runtime("io.containerd.crun.v1").unwrap().native);
        assert!(!runtime("io.containerd.crun.v1=wasm").unwrap().native);
        assert!(runtime("io.containerd.multiwasm.v1=linux").unwrap().native);
        assert!(runtime("io.containerd.x.v1=alpine").is_err());
    }

    #[test]
    fn names_are_short_where_they_can_be() {
        let all = ["io.containerd.wasmtime.v1", "io.containerd.before.v1", "/opt/containerd-shim-x-v1"];
        let mut targets = vec![engine("wasmtime").unwrap(), engine("wasmtime").unwrap()];
        targets.extend(all.iter().map(|name| runtime(name).unwrap()));
        let names: Vec<_> = named(targets).into_iter().map(|target| target.name).collect();
        assert_eq!(names, ["wasmtime", "io.containerd.wasmtime.v1", "before", "/opt/containerd-shim-x-v1"]);
    }
}
