//! The template that K3s and RKE2 make containerd's configuration of.
//!
//! They find `containerd-shim-wasmtime-v1`, `-wasmedge-v1` and `-wasmer-v1` in `/usr/bin` and `/usr/sbin` by themselves and make handlers
//! of these names, with the runtime type `io.containerd.NAME.v2` (k3s, pkg/agent/containerd/runtimes.go): so those are not
//! written here, TOML allows no table twice. The template is theirs (`base`) with our handler behind it, between two marks.

use super::containerd::{ANNOTATIONS, default_handler, place};
use super::{Edited, NAME, Problem, runtime_type};

/// The folders of K3s and of RKE2 that have containerd's configuration, and the template beside it.
pub const FOLDERS: [&str; 2] =
    ["/var/lib/rancher/k3s/agent/etc/containerd", "/var/lib/rancher/rke2/agent/etc/containerd"];

/// The configuration that was made last.
pub const MADE: &str = "config.toml";

const BEGIN: &str = "# multiwasm: begin";
const END: &str = "# multiwasm: end";

/// The template's name for this version of the configuration.
pub fn template(version: i64) -> &'static str {
    if version >= 3 { "config-v3.toml.tmpl" } else { "config.toml.tmpl" }
}

/// The version of a configuration that was made; 3 where none was, as of newer releases.
pub fn version(made: Option<&str>) -> i64 {
    let table: Option<toml::Table> = made.and_then(|text| text.parse().ok());
    table.and_then(|table| table.get("version")?.as_integer()).unwrap_or(3)
}

/// Puts the handler into a template, which may be empty.
///
/// # Errors
/// [`Problem::Version`]; [`Problem::Taken`] where its owner has written the handler's table, as TOML allows no two;
/// [`Problem::Unreadable`] where the end of ours is missing.
pub fn with(text: &str, version: i64) -> Result<Edited, Problem> {
    let place = place(version)?;
    let head = if text.trim().is_empty() { "{{ template \"base\" . }}\n".to_owned() } else { cut(text)? };
    if names(&head, &place) {
        return Err(Problem::Taken {
            key: format!("{}.{NAME}", place.join(".")),
            found: "there already, written by another hand".to_owned(),
            wanted: format!("between the lines {BEGIN:?} and {END:?}"),
        });
    }
    let annotations = ANNOTATIONS.map(|pattern| format!("{pattern:?}")).join(", ");
    let [plugins, plugin, part, runtimes] = place;
    let text = format!(
        "{}\n\n{BEGIN}\n[{plugins}.\"{plugin}\".{part}.{runtimes}.{NAME}]\n  runtime_type = \"{}\"\n  pod_annotations = \
         [{annotations}]\n  container_annotations = [{annotations}]\n{END}\n",
        head.trim_end(),
        runtime_type(NAME)
    );
    Ok(Edited { text, notes: Vec::new() })
}

/// Whether a template has it, by our hand or another.
pub fn has(text: &str, version: i64) -> bool {
    text.contains(BEGIN) || place(version).is_ok_and(|place| names(text, &place))
}

/// Takes it out; `made` is the configuration that K3s made last.
///
/// # Errors
/// [`Problem::Unreadable`] where the end of it is missing; [`Problem::Default`].
pub fn without(text: &str, made: Option<&str>) -> Result<Edited, Problem> {
    let left = cut(text)?;
    let default = made.and_then(|made| default_handler(made).ok());
    if left != text && default.as_deref() == Some(NAME) {
        let key =
            "default_runtime_name in what K3s made at its last start, of its option --default-runtime or the template,";
        let key = key.to_owned();
        return Err(Problem::Default { key, name: format!("{NAME:?}") });
    }
    Ok(Edited { text: left, notes: Vec::new() })
}

/// A template without what is between our marks.
fn cut(text: &str) -> Result<String, Problem> {
    let Some((before, rest)) = text.split_once(BEGIN) else { return Ok(text.to_owned()) };
    let Some((_, after)) = rest.split_once(END) else {
        return Err(Problem::Unreadable(format!("there is a line {BEGIN:?} and no line {END:?}")));
    };
    Ok(format!("{}\n{}", before.trim_end(), after.trim_start()))
}

/// Whether there is something at our handler's place. A template is no TOML before K3s has filled it in; a header is some by
/// itself, and so is a line below its header.
fn names(text: &str, place: &[&str]) -> bool {
    let mut header = "";
    text.lines().map(str::trim).any(|line| {
        let lines = if line.starts_with('[') { line.to_owned() } else { format!("{header}\n{line}") };
        let Ok(table) = lines.parse::<toml::Table>() else { return false };
        if line.starts_with('[') {
            header = line;
        }
        let table = toml::Value::Table(table);
        let runtimes = place.iter().try_fold(&table, |table, name| table.get(name));
        runtimes.is_some_and(|runtimes| runtimes.get(NAME).is_some())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_grows_by_one_handler_and_shrinks_again() {
        let empty = with("", 3).unwrap().text;
        assert!(empty.starts_with("{{ template \"base\" . }}\n\n# multiwasm: begin\n"), "{empty}");
        let made: toml::Table = empty.replace("{{ template \"base\" . }}", "version = 3").parse().unwrap();
        let handler = &made["plugins"]["io.containerd.cri.v1.runtime"]["containerd"]["runtimes"]["multiwasm"];
        assert_eq!(handler["runtime_type"].as_str(), Some("io.containerd.multiwasm.v1"));
        assert_eq!(with(&empty, 3).unwrap().text, empty);
        let own = "{{ template \"base\" . }}\n\n[debug]\n  level = \"debug\"\n";
        let edited = with(own, 2).unwrap().text;
        assert!(edited.contains("io.containerd.grpc.v1.cri"), "{edited}");
        assert_eq!(without(&edited, None).unwrap().text, own);
        assert!(without("# multiwasm: begin\n", None).is_err());
        assert!(has(&edited, 2) && !has(own, 2));
    }

    #[test]
    fn a_handler_of_another_hand_is_told_and_no_second_one_written() {
        for text in [
            "{{ template \"base\" . }}\n[plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes.multiwasm]\n  runtime_type = \"x\"\n",
            "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.'multiwasm'] # ours\n",
            "[ plugins . \"io.containerd.cri.v1.runtime\" . containerd.runtimes.multiwasm.options ]\n",
            "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes]\n{{ if .X }}\n  multiwasm.runtime_type = \"x\"\n{{ end }}\n",
            "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes]\nmultiwasm = { runtime_type = \"x\" }\n",
        ] {
            let error = with(text, 4).unwrap_err().to_string();
            let key = "plugins.io.containerd.cri.v1.runtime.containerd.runtimes.multiwasm";
            assert!(
                error.starts_with(&format!("{key} is there already")) && error.ends_with("rename or remove it"),
                "{error}"
            );
            assert!(has(text, 3), "{text}");
        }
        for text in [
            "# [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.multiwasm]\n",
            "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.wasmtime]\n",
            "[plugins.'io.containerd.cri.v1.runtime'.containerd]\ndefault_runtime_name = \"multiwasm\"\n",
        ] {
            assert!(with(text, 3).is_ok() && !has(text, 3), "{text}");
        }
    }

    #[test]
    fn a_default_that_would_be_gone_is_told() {
        let made =
            "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd]\ndefault_runtime_name = \"multiwasm\"\n";
        let template = with("", 3).unwrap().text;
        let error = without(&template, Some(made)).unwrap_err().to_string();
        assert!(error.contains("--default-runtime or the template, is \"multiwasm\""), "{error}");
        assert!(without(&template, Some("version = 3\n")).is_ok());
        assert_eq!(without("[debug]\n", Some(made)).unwrap().text, "[debug]\n");
    }

    #[test]
    fn the_template_is_that_of_the_configurations_version() {
        assert_eq!(template(version(Some("version = 2\n"))), "config.toml.tmpl");
        assert_eq!(template(version(Some("version = 3\n"))), "config-v3.toml.tmpl");
        assert_eq!(template(version(Some("version = 4\n"))), "config-v3.toml.tmpl");
        assert_eq!(template(version(None)), "config-v3.toml.tmpl");
    }
}
