//! containerd's `config.toml`: the runtime handlers that Kubernetes' RuntimeClasses name. Other clients of containerd need no
//! configuration, they name the shim.

use toml_edit::{Array, DocumentMut, Item, Table, TableLike, value};

use super::{ALIASES, Edited, NAME, Problem, runtime_type};

/// The file that containerd reads unless it is told another.
pub const PATH: &str = "/etc/containerd/config.toml";

/// What of a pod's annotations is for us: containerd hands over what is asked for.
pub const ANNOTATIONS: [&str; 3] = ["io.containerd.multiwasm.*", "module.wasm.image/*", "run.oci.handler"];

/// Names of the CRI plug-in by which a configuration may switch it off: containerd.io's packages do.
pub(super) const CRI: [&str; 3] = ["cri", "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"];

/// containerd's own handler, its default.
const RUNC: &str = "runc";

/// Where the handlers' tables are, by the configuration's version (containerd's docs/cri/config.md; version 4, of containerd 2.3,
/// has moved other sections only: its docs/man/containerd-config.toml.5.md).
pub fn place(version: i64) -> Result<[&'static str; 4], Problem> {
    match version {
        2 => Ok(["plugins", "io.containerd.grpc.v1.cri", "containerd", "runtimes"]),
        3 | 4 => Ok(["plugins", "io.containerd.cri.v1.runtime", "containerd", "runtimes"]),
        found => Err(Problem::Version { found }),
    }
}

/// Puts the handlers in; `newest` is the version that a file gets which is empty.
///
/// # Errors
/// [`Problem`].
pub fn with(text: &str, newest: i64) -> Result<Edited, Problem> {
    let mut document = parse(text)?;
    if document.is_empty() {
        document.insert("version", value(newest));
    }
    let place = place(version(&document))?;
    let mut notes = Vec::new();
    if is_off(&document) {
        notes.push("disabled_plugins switches the CRI plug-in off: Kubernetes can't use this containerd before that is removed".to_owned());
    }
    let default = default_runtime(&mut document, &place);
    let runtimes = walk(&mut document, &place)?;
    // containerd 1.7 has no handlers but those of the file once that names any, and without its default one no CRI at all.
    if default == RUNC && !runtimes.contains_key(RUNC) {
        let mut runc = Table::new();
        runc.insert("runtime_type", value("io.containerd.runc.v2"));
        runtimes.insert(RUNC, Item::Table(runc));
    }
    for name in [NAME].into_iter().chain(ALIASES) {
        let wanted = runtime_type(name);
        match runtimes.get(name).map(|there| there.get("runtime_type").and_then(Item::as_str).unwrap_or_default()) {
            None => drop(runtimes.insert(name, Item::Table(handler(&wanted)))),
            Some(found) if found == wanted => {
                let there = runtimes.get(name).and_then(|there| there.get("pod_annotations"));
                if there.is_none() {
                    notes.push(format!(
                        "handler {name} was there already and hands no annotations of pods on: pod_annotations = {ANNOTATIONS:?} lets it"
                    ));
                }
            }
            Some(found) if name == NAME => {
                let (key, found) = (format!("{}.{name}.runtime_type", place.join(".")), format!("{found:?}"));
                return Err(Problem::Taken { key, found, wanted });
            }
            Some(found) => {
                notes.push(format!("handler {name} stays what it is, {found:?}: handler {NAME} has all engines"))
            }
        }
    }
    Ok(Edited { text: document.to_string(), notes })
}

/// Takes the handlers out that are ours.
///
/// # Errors
/// [`Problem::Unreadable`]; [`Problem::Default`]; [`Problem::Version`] where it is newer than those that are known.
pub fn without(text: &str) -> Result<Edited, Problem> {
    let mut document = parse(text)?;
    // Before version 2 we are in none.
    if version(&document) >= 2 {
        let place = place(version(&document))?;
        let default = default_runtime(&mut document, &place);
        let ours = ours_in(&mut document, &place);
        if ours.contains(&default.as_str()) {
            let (_, above) = place.split_last().expect("a place has several parts");
            let key = format!("{}.default_runtime_name", above.join("."));
            return Err(Problem::Default { key, name: format!("{default:?}") });
        }
        if let Some(runtimes) = find(&mut document, &place) {
            for name in ours {
                runtimes.remove(name);
            }
        }
    }
    Ok(Edited { text: document.to_string(), notes: Vec::new() })
}

/// The names of the handlers in a configuration that are ours.
///
/// # Errors
/// [`Problem`].
pub fn handlers(text: &str) -> Result<Vec<String>, Problem> {
    let mut document = parse(text)?;
    let place = place(version(&document))?;
    Ok(ours_in(&mut document, &place).into_iter().map(str::to_owned).collect())
}

/// Whether a configuration switches the CRI plug-in off.
///
/// # Errors
/// [`Problem::Unreadable`].
pub fn switches_off(text: &str) -> Result<bool, Problem> {
    Ok(is_off(&parse(text)?))
}

/// The handler of pods that name none.
///
/// # Errors
/// [`Problem`].
pub fn default_handler(text: &str) -> Result<String, Problem> {
    let mut document = parse(text)?;
    let place = place(version(&document))?;
    Ok(default_runtime(&mut document, &place))
}

/// The names of handlers that are ours.
pub(super) fn ours_in(document: &mut DocumentMut, place: &[&str]) -> Vec<&'static str> {
    let Some(runtimes) = find(document, place) else { return Vec::new() };
    let ours = |name: &&str| {
        let found = runtimes.get(name).and_then(|there| there.get("runtime_type")?.as_str());
        found == Some(runtime_type(name).as_str())
    };
    [NAME].into_iter().chain(ALIASES).filter(ours).collect()
}

fn is_off(document: &DocumentMut) -> bool {
    let disabled = document.get("disabled_plugins").and_then(Item::as_array);
    disabled.is_some_and(|names| names.iter().filter_map(|name| name.as_str()).any(|name| CRI.contains(&name)))
}

pub(super) fn parse(text: &str) -> Result<DocumentMut, Problem> {
    text.parse().map_err(|error: toml_edit::TomlError| Problem::Unreadable(error.to_string().trim().replace('\n', " ")))
}

/// A file that says none is of version 1 (containerd's docs/man/containerd-config.toml.5.md).
pub(super) fn version(document: &DocumentMut) -> i64 {
    document.get("version").and_then(Item::as_integer).unwrap_or(1)
}

/// The handler of pods that name none.
fn default_runtime(document: &mut DocumentMut, place: &[&str]) -> String {
    let (_, above) = place.split_last().expect("a place has several parts");
    let named = find(document, above).and_then(|table| table.get("default_runtime_name")?.as_str().map(str::to_owned));
    named.unwrap_or_else(|| RUNC.to_owned())
}

/// A handler's table.
fn handler(runtime_type: &str) -> Table {
    let mut table = Table::new();
    table.insert("runtime_type", value(runtime_type));
    for key in ["pod_annotations", "container_annotations"] {
        table.insert(key, value(ANNOTATIONS.into_iter().collect::<Array>()));
    }
    table
}

/// The table at `place`, made where there is none; tables that hold only others get no line of their own.
fn walk<'a>(document: &'a mut DocumentMut, place: &[&str]) -> Result<&'a mut dyn TableLike, Problem> {
    let mut table: &mut dyn TableLike = document.as_table_mut();
    for (depth, name) in place.iter().enumerate() {
        let implicit = || {
            let mut table = Table::new();
            table.set_implicit(true);
            Item::Table(table)
        };
        let there = table.entry(name).or_insert_with(implicit);
        let found = there.type_name();
        table = there.as_table_like_mut().ok_or_else(|| Problem::Taken {
            key: place[..=depth].join("."),
            found: found.to_owned(),
            wanted: "table".to_owned(),
        })?;
    }
    Ok(table)
}

fn find<'a>(document: &'a mut DocumentMut, place: &[&str]) -> Option<&'a mut dyn TableLike> {
    let mut table: &mut dyn TableLike = document.as_table_mut();
    for name in place {
        table = table.get_mut(name)?.as_table_like_mut()?;
    }
    Some(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: &str = r#"# The node's own.
version = 2

[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    sandbox_image = "registry.k8s.io/pause:3.9" # pinned
    [plugins."io.containerd.grpc.v1.cri".containerd]
      default_runtime_name = "runc"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
        runtime_type = "io.containerd.runc.v2"
"#;

    #[test]
    fn handlers_come_beside_what_is_there() {
        let edited = with(DEFAULT, 3).unwrap().text;
        assert!(edited.starts_with(DEFAULT), "{edited}");
        assert!(edited.contains(r#"[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.multiwasm]"#), "{edited}");
        assert!(edited.contains(r#"pod_annotations = ["io.containerd.multiwasm.*", "#), "{edited}");
        assert_eq!(handlers(&edited).unwrap(), ["multiwasm", "wasmtime", "wasmedge", "wasmer"]);
        assert_eq!(with(&edited, 3).unwrap().text, edited);
        assert_eq!(without(&edited).unwrap().text, DEFAULT);
    }

    #[test]
    fn an_empty_file_is_of_the_newest_version() {
        let edited = with("", 3).unwrap().text;
        assert!(edited.starts_with("version = 3\n"), "{edited}");
        assert!(
            edited.contains("[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.multiwasm]")
                || edited.contains(r#"[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.multiwasm]"#),
            "{edited}"
        );
        assert_eq!(handlers("").unwrap_err(), Problem::Version { found: 1 });
        let toml: toml::Table = edited.parse().unwrap();
        let runtimes = &toml["plugins"]["io.containerd.cri.v1.runtime"]["containerd"]["runtimes"];
        assert_eq!(runtimes["runc"]["runtime_type"].as_str(), Some("io.containerd.runc.v2"));
        let other =
            "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd]\ndefault_runtime_name = \"crun\"\n";
        assert!(!with(other, 3).unwrap().text.contains("io.containerd.runc.v2"));
    }

    #[test]
    fn version_4_has_the_handlers_where_version_3_has_them() {
        let of = |version: i64| format!("version = {version}\n\n[debug]\nlevel = 'info'\n");
        let edited = |version| with(&of(version), 3).unwrap().text;
        assert_eq!(edited(4), edited(3).replace("version = 3", "version = 4"));
        assert_eq!(handlers(&edited(4)).unwrap().len(), 4);
        assert_eq!(without(&edited(4)).unwrap().text.lines().next(), Some("version = 4"));
        // Nobody can say what of ours is in a file of a later one.
        assert_eq!(without(&of(5)).unwrap_err(), Problem::Version { found: 5 });
        assert_eq!(without("disabled_plugins = [\"cri\"]\n").unwrap().text, "disabled_plugins = [\"cri\"]\n");
    }

    #[test]
    fn a_default_that_would_be_gone_is_told() {
        let edited = with(DEFAULT, 3).unwrap().text;
        for name in ["multiwasm", "wasmedge"] {
            let text = edited.replace(r#"default_runtime_name = "runc""#, &format!("default_runtime_name = '{name}'"));
            assert_eq!(default_handler(&text).unwrap(), name);
            let error = without(&text).unwrap_err().to_string();
            let wanted = format!("plugins.io.containerd.grpc.v1.cri.containerd.default_runtime_name is \"{name}\"");
            assert!(error.starts_with(&wanted) && error.ends_with("\"runc\" for one"), "{error}");
        }
        // Another's handler of this name stays, and may be the default.
        let other = DEFAULT.replace("runtimes.runc", "runtimes.wasmer").replace("\"runc\"", "\"wasmer\"");
        assert_eq!(without(&other).unwrap().text, other);
    }

    #[test]
    fn what_is_in_the_way_is_told() {
        let other = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.wasmtime]\nruntime_type = \"io.containerd.spin.v2\"\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\nruntime_type = \"io.containerd.runc.v2\"\n";
        let edited = with(other, 3).unwrap();
        assert!(edited.notes[0].contains("handler wasmtime stays"), "{:?}", edited.notes);
        assert_eq!(handlers(&edited.text).unwrap(), ["multiwasm", "wasmedge", "wasmer"]);
        assert_eq!(without(&edited.text).unwrap().text, other);
        let disabled = with("version = 2\ndisabled_plugins = [\"cri\"]\n", 3).unwrap();
        assert!(disabled.notes[0].contains("disabled_plugins"));
        for (text, says) in [
            ("[plugins]\n", "version is 1"),
            (
                "version = 5\n",
                "version is 5 (1 where none is said), known are 2 to 4: take a newer release of multiwasm",
            ),
            ("version = \n", "can't be read"),
            ("version = 2\nplugins = 1\n", "plugins is integer, wanted table"),
            (&other.replace("runtimes.wasmtime", "runtimes.multiwasm"), "wanted io.containerd.multiwasm.v1"),
        ] {
            let error = with(text, 3).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
