//! Which layer of an artifact a container's arguments name, and what the guest gets of them.

use crate::rootfs::entry::readings;

/// What runs, and with which arguments.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// The number of the layer.
    pub(super) layer: usize,
    /// The function that `#function` names.
    pub(super) function: Option<String>,
    /// argv, argv\[0\] included.
    pub(super) args: Vec<String>,
}

/// Reads `process.args` against the names of the layers; none where it is not clear which of several is meant.
///
/// The first argument names the module: a layer by its title, with `#function` behind it if another function shall be
/// called. An image of one layer need not be named: an empty name and `/`, which are there for clients that want some command,
/// stand for it, and so does any name, where the image's config has an entrypoint or the name looks like a module's.
/// Else no argument is the module's: all are the guest's, and the layer's name comes before them, as with an ordinary image
/// that has an entrypoint.
pub(super) fn of(layers: &[&str], has_entrypoint: bool, args: &[String]) -> Option<Command> {
    let first = args.first().map_or("", String::as_str);
    let only = || (layers.len() == 1).then_some(0);
    let named_by_layer = |layer: usize, rest: &[String]| Command {
        layer,
        function: None,
        args: std::iter::once(layers[layer].to_owned()).chain(rest.iter().cloned()).collect(),
    };
    let as_given = |layer, function: Option<&str>| Command {
        layer,
        function: function.filter(|name| !name.is_empty()).map(str::to_owned),
        args: args.to_vec(),
    };
    if first.is_empty() || first == "/" {
        return only().map(|layer| named_by_layer(layer, args.get(1..).unwrap_or_default()));
    }
    for (file, function) in readings(first) {
        let mut matching = layers.iter().enumerate().filter(|(_, name)| plain(name) == plain(file));
        match (matching.next(), matching.next()) {
            (Some((layer, _)), None) => return Some(as_given(layer, function)),
            (Some(_), Some(_)) => return None,
            (None, _) => {}
        }
    }
    let (file, function) = first.split_once('#').map_or((first, None), |(file, function)| (file, Some(function)));
    let layer = only()?;
    if has_entrypoint || file.starts_with('/') || file.ends_with(".wasm") {
        Some(as_given(layer, function))
    } else {
        Some(named_by_layer(layer, args))
    }
}

/// A file's name without what says no more than that it starts at the root.
fn plain(name: &str) -> &str {
    name.trim_start_matches("./").trim_start_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(layers: &[&str], has_entrypoint: bool, args: &[&str]) -> Option<(usize, Option<String>, String)> {
        let args: Vec<_> = args.iter().map(|arg| arg.to_string()).collect();
        of(layers, has_entrypoint, &args).map(|found| (found.layer, found.function, found.args.join(" ")))
    }

    #[test]
    fn the_only_module_need_not_be_named() {
        for (has_entrypoint, args, function, argv) in [
            (true, &[][..], None, "app.wasm"),
            (false, &[], None, "app.wasm"),
            (true, &["", "x"], None, "app.wasm x"),
            (true, &["/", "x"], None, "app.wasm x"),
            (true, &["made-up", "x"], None, "made-up x"),
            (true, &["made-up#f", "x"], Some("f"), "made-up#f x"),
            (
                true,
                &["other.wasm#wasi:cli/run@0.2.0#run"],
                Some("wasi:cli/run@0.2.0#run"),
                "other.wasm#wasi:cli/run@0.2.0#run",
            ),
            (false, &["/app.wasm#f", "x"], Some("f"), "/app.wasm#f x"),
            (false, &["./app.wasm"], None, "./app.wasm"),
            (false, &["/made-up", "x"], None, "/made-up x"),
            (false, &["other.wasm#", "x"], None, "other.wasm# x"),
            (false, &["serve", "--port=80"], None, "app.wasm serve --port=80"),
            (false, &["#f"], None, "app.wasm #f"),
        ] {
            let found = command(&["app.wasm"], has_entrypoint, args);
            assert_eq!(found, Some((0, function.map(str::to_owned), argv.to_owned())), "{has_entrypoint} {args:?}");
        }
    }

    #[test]
    fn one_of_several_is_named_or_none_is_taken() {
        let layers = ["a.wasm", "lib/b#2.wasm", "twice", "twice"];
        let found =
            |layer, function: Option<&str>, argv: &str| Some((layer, function.map(str::to_owned), argv.to_owned()));
        assert_eq!(command(&layers, true, &["/a.wasm", "x"]), found(0, None, "/a.wasm x"));
        assert_eq!(command(&layers, false, &["/lib/b#2.wasm#f"]), found(1, Some("f"), "/lib/b#2.wasm#f"));
        for args in [&[][..], &["/"], &["c.wasm"], &["twice"], &["serve"]] {
            assert_eq!(command(&layers, true, args), None, "{args:?}");
        }
    }
}
