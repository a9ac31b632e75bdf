//! The template that K3s and RKE2 make containerd's configuration of.
//!
//! They find `containerd-shim-wasmtime-v1`, `-wasmedge-v1` and `-wasmer-v1` in `/usr/bin` and `/usr/sbin` by themselves and make handlers
//! of these names, with the runtime type `io.containerd.NAME.v2` (k3s, pkg/agent/containerd/runtimes.go): so those are not
//! written here, TOML allows no table twice. The template is theirs (`base`) with our handler behind it, between two marks.

use super::containerd::{ANNOTATIONS, place};
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
/// [`Problem::Version`].
pub fn with(text: &str, version: i64) -> Result<Edited, Problem> {
    let place = place(version)?;
    let head = if text.trim().is_empty() { "{{ template \"base\" . }}\n".to_owned() } else { without(text)?.text };
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

/// Whether a template has it.
pub fn has(text: &str) -> bool {
    text.contains(BEGIN)
}

/// Takes it out.
///
/// # Errors
/// [`Problem::Unreadable`] where the end of it is missing.
pub fn without(text: &str) -> Result<Edited, Problem> {
    let Some((before, rest)) = text.split_once(BEGIN) else {
        return Ok(Edited { text: text.to_owned(), notes: Vec::new() });
    };
    let Some((_, after)) = rest.split_once(END) else {
        return Err(Problem::Unreadable(format!("there is a line {BEGIN:?} and no line {END:?}")));
    };
    let text = format!("{}\n{}", before.trim_end(), after.trim_start());
    Ok(Edited { text, notes: Vec::new() })
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
        assert_eq!(without(&edited).unwrap().text, own);
        assert!(without("# multiwasm: begin\n").is_err());
    }

    #[test]
    fn the_template_is_that_of_the_configurations_version() {
        assert_eq!(template(version(Some("version = 2\n"))), "config.toml.tmpl");
        assert_eq!(template(version(Some("version = 3\n"))), "config-v3.toml.tmpl");
        assert_eq!(template(version(None)), "config-v3.toml.tmpl");
    }
}
