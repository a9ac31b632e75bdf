//! Docker's `daemon.json`.
//!
//! Docker finds a shim by its full name (`--runtime io.containerd.multiwasm.v1`) without being told. What it must be told is to
//! keep images in containerd's image store, without which it knows no platform `wasi/wasm`; and a short name is convenient.

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstObject, CstRootNode};

use super::{Edited, NAME, Problem, runtime_type};

/// The file that `dockerd` reads unless it is told another.
pub const PATH: &str = "/etc/docker/daemon.json";

const STORE: &str = "containerd-snapshotter";
/// The runtime of containers that name none.
const DEFAULT: &str = "default-runtime";

/// Puts the image store and the runtime's short name in.
///
/// # Errors
/// [`Problem`].
pub fn with(text: &str) -> Result<Edited, Problem> {
    let text = if text.trim().is_empty() { "{\n}\n" } else { text };
    let root = parse(text)?;
    let object = object_of(&root)?;
    let features = child(&object, "features")?;
    match features.get(STORE).and_then(|store| store.value()) {
        None => drop(features.append(STORE, CstInputValue::Bool(true))),
        Some(value) => match value.as_boolean_lit() {
            Some(store) if store.value() => {}
            Some(store) => store.set_value(true),
            None => return Err(taken(&format!("features.{STORE}"), &value.to_string(), "true or false")),
        },
    }
    let runtimes = child(&object, "runtimes")?;
    match runtimes.get(NAME) {
        None => {
            let runtime = [("runtimeType".to_owned(), CstInputValue::String(runtime_type(NAME)))];
            runtimes.append(NAME, CstInputValue::Object(runtime.into()));
        }
        Some(there) if is_ours(there.object_value().as_ref()) => {}
        Some(there) => {
            let found = there.value().map(|value| value.to_string()).unwrap_or_default();
            return Err(taken(&format!("runtimes.{NAME}"), &found, &format!("runtimeType {}", runtime_type(NAME))));
        }
    }
    Ok(Edited { text: root.to_string(), notes: Vec::new() })
}

/// Takes the short name out. The image store stays: by now images may be in it.
///
/// # Errors
/// [`Problem::Unreadable`]; [`Problem::Default`].
pub fn without(text: &str) -> Result<Edited, Problem> {
    if text.trim().is_empty() {
        return Ok(Edited { text: text.to_owned(), notes: Vec::new() });
    }
    let root = parse(text)?;
    let object = object_of(&root)?;
    if let Some(runtimes) = object.object_value("runtimes")
        && let Some(ours) = runtimes.get(NAME)
        && is_ours(ours.object_value().as_ref())
    {
        // dockerd does not start with a default that it doesn't know.
        if string(&object, DEFAULT).as_deref() == Some(NAME) {
            return Err(Problem::Default { key: DEFAULT.to_owned(), name: format!("{NAME:?}") });
        }
        ours.remove();
        if runtimes.properties().is_empty()
            && let Some(empty) = object.get("runtimes")
        {
            empty.remove();
        }
    }
    let store = object.object_value("features").and_then(|features| features.get(STORE)).is_some();
    let note = || format!("features.{STORE} stays: images may be in that store");
    Ok(Edited { text: root.to_string(), notes: store.then(note).into_iter().collect() })
}

/// What is known of a configuration without changing it: whether images are in containerd's store (none where it does not say),
/// and whether it has the short name.
///
/// # Errors
/// [`Problem::Unreadable`].
pub fn state(text: &str) -> Result<(Option<bool>, bool), Problem> {
    if text.trim().is_empty() {
        return Ok((None, false));
    }
    let root = parse(text)?;
    let object = object_of(&root)?;
    let store = object.object_value("features").and_then(|features| features.get(STORE)?.value()?.as_boolean_lit());
    let ours = object.object_value("runtimes").and_then(|runtimes| runtimes.get(NAME)?.object_value());
    Ok((store.map(|store| store.value()), is_ours(ours.as_ref())))
}

/// What becomes of images that are there, where a change is one of the image store.
pub fn moved(before: &str, after: &str) -> Option<String> {
    let store = |text| state(text).ok().and_then(|(store, _)| store);
    match (store(before), store(after)) {
        (Some(true), Some(true)) => None,
        (_, Some(true)) => Some(
            "images of Docker's own store are not seen while containerd's is on; they are there again when it is off"
                .to_owned(),
        ),
        (Some(true), _) => Some(format!(
            "features.{STORE} goes with it: images in containerd's store, all for wasi/wasm among them, are not seen until it is on \
             again (a Docker 29 that was installed anew has it on without being told)"
        )),
        _ => None,
    }
}

/// Docker takes strict JSON; the parser that keeps blanks and order takes more.
fn parse(text: &str) -> Result<CstRootNode, Problem> {
    let strict = serde_json::from_str::<serde_json::Value>(text).map(drop);
    strict.map_err(|error| Problem::Unreadable(error.to_string()))?;
    CstRootNode::parse(text, &ParseOptions::default()).map_err(|error| Problem::Unreadable(error.to_string()))
}

fn object_of(root: &CstRootNode) -> Result<CstObject, Problem> {
    root.object_value().ok_or_else(|| Problem::Unreadable("it is no JSON object".to_owned()))
}

/// The object of this name, made where there is none.
fn child(object: &CstObject, name: &str) -> Result<CstObject, Problem> {
    let found = || object.get(name).and_then(|there| there.value()).map(|value| value.to_string()).unwrap_or_default();
    object.object_value_or_create(name).ok_or_else(|| taken(name, &found(), "an object"))
}

fn string(object: &CstObject, name: &str) -> Option<String> {
    object.get(name)?.value()?.as_string_lit()?.decoded_value().ok()
}

fn is_ours(runtime: Option<&CstObject>) -> bool {
    let named = runtime.and_then(|runtime| string(runtime, "runtimeType"));
    named == Some(runtime_type(NAME))
}

fn taken(key: &str, found: &str, wanted: &str) -> Problem {
    Problem::Taken { key: key.to_owned(), found: found.to_owned(), wanted: wanted.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"{
  "features": {
    "containerd-snapshotter": true
  },
  "runtimes": {
    "multiwasm": {
      "runtimeType": "io.containerd.multiwasm.v1"
    }
  }
}
"#;

    #[test]
    fn an_empty_file_becomes_a_whole_one_and_stays_one() {
        for text in ["", "\n", "{}\n", "{\n}\n"] {
            let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            assert_eq!(value(&with(text).unwrap().text), value(WHOLE), "{text:?}");
        }
        assert_eq!(with(WHOLE).unwrap(), Edited { text: WHOLE.to_owned(), notes: vec![] });
    }

    #[test]
    fn what_is_not_ours_stays_as_it_is() {
        let text = "{\n\t\"log-driver\": \"local\",\n\t\"runtimes\": { \"crun\": {\"path\": \"/usr/bin/crun\"} },\n\t\"bip\":   \"10.1.0.1/24\"\n}\n";
        let edited = with(text).unwrap().text;
        assert!(edited.starts_with("{\n\t\"log-driver\": \"local\",\n\t\"runtimes\": {"), "{edited}");
        assert!(edited.contains(r#""crun": {"path": "/usr/bin/crun"}"#), "{edited}");
        assert!(edited.contains("\t\"bip\":   \"10.1.0.1/24\""), "{edited}");
        assert_eq!(with(&edited).unwrap().text, edited);
        let back = without(&edited).unwrap().text;
        assert!(back.contains("crun") && !back.contains(NAME), "{back}");
    }

    #[test]
    fn an_image_store_that_is_off_is_turned_on() {
        let edited = with(r#"{"features": {"containerd-snapshotter": false, "buildkit": true}}"#).unwrap();
        assert!(edited.text.contains(r#""containerd-snapshotter": true, "buildkit": true"#), "{}", edited.text);
        assert_eq!(state(&edited.text).unwrap(), (Some(true), true));
        assert_eq!(state("{}").unwrap(), (None, false));
    }

    #[test]
    fn which_images_are_not_seen_any_more_is_said() {
        let (on, off) = (with("").unwrap().text, r#"{"features": {"containerd-snapshotter": false}}"#);
        for before in ["", "{}", off] {
            assert!(moved(before, &on).unwrap().starts_with("images of Docker's own store"), "{before}");
            assert!(moved(&on, before).unwrap().starts_with("features.containerd-snapshotter goes"), "{before}");
        }
        assert_eq!((moved(&on, &on), moved("", off)), (None, None));
    }

    #[test]
    fn a_default_that_would_be_gone_is_told() {
        let named = |name: &str| with(&format!("{{\"default-runtime\": {name:?}}}")).unwrap().text;
        let error = without(&named(NAME)).unwrap_err().to_string();
        assert!(error.starts_with("default-runtime is \"multiwasm\", which would be there no more"), "{error}");
        // The shim's own name needs no entry.
        for name in ["runc", "io.containerd.multiwasm.v1"] {
            assert!(without(&named(name)).is_ok(), "{name}");
        }
    }

    #[test]
    fn what_can_not_be_changed_is_left_alone() {
        for (text, says) in [
            ("{\"a\": 1,}", "it can't be read"),
            ("[1]", "no JSON object"),
            (r#"{"runtimes": 1}"#, "runtimes is 1, wanted an object"),
            (r#"{"runtimes": {"multiwasm": {"path": "/bin/x"}}}"#, "wanted runtimeType io.containerd.multiwasm.v1"),
            (r#"{"features": {"containerd-snapshotter": "yes"}}"#, "wanted true or false"),
        ] {
            let error = with(text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
