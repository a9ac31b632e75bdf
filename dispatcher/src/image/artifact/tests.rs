use super::super::content::tests::Memory;
use super::*;

const MODULE: &[u8] = b"\0asm\x01\0\0\0";
const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";

/// Adds a manifest with a config and layers of these media types; a layer may have a title.
fn add_manifest(store: &mut Memory, config: &str, layers: &[(&str, Option<&str>)]) -> Descriptor {
    let config = store.add(config, b"{}");
    let mut described = Vec::new();
    for (media_type, title) in layers {
        let mut layer = store.add(media_type, MODULE);
        let titled = |title: &str| [("org.opencontainers.image.title".to_owned(), title.to_owned())].into();
        layer.set_annotations(title.map(titled));
        described.push(layer);
    }
    let text = serde_json::json!({
        "schemaVersion": 2, "mediaType": MANIFESTS[0], "config": config, "layers": described,
    });
    store.add(MANIFESTS[0], text.to_string())
}

/// Adds an index of manifests, each with its platform (`os/architecture`, or empty) or as an attestation.
fn add_index(store: &mut Memory, manifests: &[(&Descriptor, &str)]) -> Descriptor {
    let entry = |(manifest, platform): &(&Descriptor, &str)| {
        let mut entry = serde_json::to_value(manifest).unwrap();
        match platform.split_once('/') {
            Some((os, architecture)) => {
                entry["platform"] = serde_json::json!({ "os": os, "architecture": architecture });
            }
            None if *platform == "attestation" => {
                entry["annotations"] = serde_json::json!({ "vnd.docker.reference.type": "attestation-manifest" });
            }
            None => {}
        }
        entry
    };
    let entries: Vec<_> = manifests.iter().map(entry).collect();
    let text = serde_json::json!({ "schemaVersion": 2, "mediaType": INDEXES[0], "manifests": entries });
    store.add(INDEXES[0], text.to_string())
}

#[test]
fn every_kind_of_module_layer_is_found() {
    for media_type in MODULES {
        let mut store = Memory::default();
        let target = add_manifest(&mut store, WASM_CONFIG, &[(media_type, Some("app.wasm"))]);
        let manifest = manifest(&store, &target, Platforms::Wasm).unwrap();
        let modules = manifest.modules().unwrap().unwrap();
        assert_eq!((modules.len(), modules[0].name, manifest.has_entrypoint()), (1, "app.wasm", false));
        assert_eq!(content::read(&store, "layer", modules[0].descriptor, 100).unwrap(), MODULE);
    }
}

#[test]
fn a_module_may_stand_among_ordinary_layers() {
    let mut store = Memory::default();
    let layers = [("application/vnd.oci.image.layer.v1.tar+gzip", None), ("application/wasm", None)];
    let target = add_manifest(&mut store, CONFIGS[0], &layers);
    let manifest = manifest(&store, &target, Platforms::Wasm).unwrap();
    let modules = manifest.modules().unwrap().unwrap();
    assert!(modules.len() == 1 && modules[0].name.starts_with("sha256:") && manifest.has_entrypoint());
}

#[test]
fn an_ordinary_image_is_none_and_another_artifact_an_error() {
    let mut store = Memory::default();
    for layers in [&[("application/vnd.oci.image.layer.v1.tar", None)][..], &[]] {
        let target = add_manifest(&mut store, CONFIGS[0], layers);
        assert!(manifest(&store, &target, Platforms::Wasm).unwrap().modules().unwrap().is_none());
    }
    for (config, layer) in [(WASM_CONFIG, "application/vnd.oci.image.layer.v1.tar"), (CONFIGS[0], "text/x-lua")] {
        let target = add_manifest(&mut store, config, &[(layer, None)]);
        let error = manifest(&store, &target, Platforms::Wasm).unwrap().modules().unwrap_err().to_string();
        let names = [target.digest().as_ref(), "application/wasm", layer, config];
        assert!(names.iter().all(|name| error.contains(name)), "{error}");
    }
}

#[test]
fn a_title_that_is_no_name_is_not_taken() {
    let mut store = Memory::default();
    for title in ["", "a\0b", "a\nb"] {
        let target = add_manifest(&mut store, WASM_CONFIG, &[("application/wasm", Some(title))]);
        let manifest = manifest(&store, &target, Platforms::Wasm).unwrap();
        assert!(manifest.modules().unwrap().unwrap()[0].name.starts_with("sha256:"));
    }
}

#[test]
fn an_index_leads_to_the_manifest_for_webassembly() {
    let mut store = Memory::default();
    let native = add_manifest(&mut store, CONFIGS[0], &[("application/vnd.oci.image.layer.v1.tar", None)]);
    let wasm = add_manifest(&mut store, WASM_CONFIG, &[("application/wasm", None)]);
    let other = add_manifest(&mut store, WASM_CONFIG, &[("application/wasm", Some("other"))]);
    for (manifests, expected) in [
        (&[(&native, "linux/amd64"), (&wasm, "wasi/wasm")][..], &wasm),
        (&[(&other, "wasi/wasm32"), (&wasm, "wasi/wasm")], &wasm),
        (&[(&native, "unknown/unknown"), (&wasm, "wasi/wasm32")], &wasm),
        (&[(&native, "attestation"), (&wasm, "")], &wasm),
        (&[(&other, ""), (&wasm, "wasip2/wasm")], &wasm),
        (&[(&native, "linux/amd64"), (&wasm, "wasip1/wasm"), (&other, "wasi/wasm32")], &wasm),
    ] {
        let target = add_index(&mut store, manifests);
        let found = manifest(&store, &target, Platforms::Wasm).unwrap();
        assert_eq!(found.digest, expected.digest().to_string(), "{manifests:?}");
    }
}

#[test]
fn an_index_without_one_says_what_it_has() {
    let mut store = Memory::default();
    let native = add_manifest(&mut store, CONFIGS[0], &[]);
    let target = add_index(&mut store, &[(&native, "linux/amd64"), (&native, "unknown/unknown")]);
    let error = manifest(&store, &target, Platforms::Wasm).unwrap_err().to_string();
    assert!(
        error.contains("found linux/amd64, unknown/unknown") && error.contains(target.digest().as_ref()),
        "{error}"
    );
}

#[test]
fn a_manifest_that_was_not_pulled_is_passed_over() {
    let mut store = Memory::default();
    let wasm = add_manifest(&mut store, WASM_CONFIG, &[("application/wasm", None)]);
    let absent = add_manifest(&mut store, WASM_CONFIG, &[("application/wasm", Some("absent"))]);
    store.remove(&absent);
    let target = add_index(&mut store, &[(&absent, "wasi/wasm"), (&wasm, "wasi/wasm32")]);
    assert_eq!(manifest(&store, &target, Platforms::Wasm).unwrap().digest, wasm.digest().to_string());
    let target = add_index(&mut store, &[(&absent, "wasi/wasm")]);
    let error = manifest(&store, &target, Platforms::Wasm).unwrap_err();
    assert_eq!(
        error,
        Problem::Missing { what: "manifest", digest: absent.digest().to_string(), place: "memory".to_owned() }
    );
}

#[test]
fn one_text_is_not_both_index_and_manifest() {
    let mut store = Memory::default();
    let wasm = add_manifest(&mut store, WASM_CONFIG, &[("application/wasm", None)]);
    let text = serde_json::json!({ "schemaVersion": 2, "mediaType": INDEXES[0], "config": wasm, "layers": [] });
    let target = store.add(MANIFESTS[0], text.to_string());
    let error = manifest(&store, &target, Platforms::Wasm).unwrap_err().to_string();
    assert!(error.contains("says that it is application/vnd.oci.image.index.v1+json"), "{error}");
}

#[test]
fn what_leads_nowhere_ends() {
    let mut store = Memory::default();
    let wasm = add_manifest(&mut store, WASM_CONFIG, &[("application/wasm", None)]);
    let inner = add_index(&mut store, &[(&wasm, "wasi/wasm")]);
    let middle = add_index(&mut store, &[(&inner, "wasi/wasm")]);
    let outer = add_index(&mut store, &[(&middle, "wasi/wasm")]);
    for target in [&outer, &store.add("application/octet-stream", b"x"), &store.add(MANIFESTS[0], b"{")] {
        let error = manifest(&store, target, Platforms::Wasm).unwrap_err();
        assert!(matches!(error, Problem::Malformed { .. }), "{error}");
    }
}
