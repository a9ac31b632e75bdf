//! docker-desktop-config's manifests fit each other, the handlers that `multiwasm install` writes, the installer and the example.

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use multiwasm_conformance::command::run;
    use multiwasm_conformance::targets::ENGINE_ANNOTATION;
    use serde::Deserialize;
    use serde_yaml::Value;

    const RUNTIME_CLASSES: &str = "docker-desktop-config/runtimeclasses.yaml";
    const DEPLOYMENT: &str = "docker-desktop-config/deployment.yaml";
    const DAEMON_SET: &str = "docker-desktop-config/daemonset.yaml";

    fn path(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
    }

    fn text(name: &str) -> String {
        fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The objects of a manifest, each with a name.
    fn objects(name: &str) -> Vec<Value> {
        let text = text(name);
        let parsed = serde_yaml::Deserializer::from_str(&text).map(Value::deserialize);
        let objects: Vec<_> = parsed.map(|object| object.unwrap_or_else(|error| panic!("{name}: {error}"))).collect();
        for object in &objects {
            assert!(!word(&object["metadata"]["name"]).is_empty(), "{name}");
        }
        objects
    }

    /// The one object of this API and kind.
    fn object(name: &str, api: &str, kind: &str) -> Value {
        let of_kind = |object: &Value| object["kind"] == kind && object["apiVersion"] == api;
        let mut found: Vec<_> = objects(name).into_iter().filter(of_kind).collect();
        assert_eq!(found.len(), 1, "{name}: {api} {kind}");
        found.remove(0)
    }

    #[track_caller]
    fn word(value: &Value) -> &str {
        value.as_str().unwrap_or_else(|| panic!("{value:?} is no string"))
    }

    #[track_caller]
    fn list(value: &Value) -> &[Value] {
        value.as_sequence().unwrap_or_else(|| panic!("{value:?} is no list"))
    }

    #[track_caller]
    fn words(value: &Value) -> Vec<&str> {
        list(value).iter().map(word).collect()
    }

    /// Fails unless a pod with these labels is chosen by this selector, which says something.
    #[track_caller]
    fn selects(selector: &Value, labels: &Value) {
        let wanted = selector.as_mapping().unwrap_or_else(|| panic!("{selector:?} selects nothing"));
        assert!(!wanted.is_empty());
        for (key, value) in wanted {
            assert_eq!(labels.get(key), Some(value), "{key:?} of the selector");
        }
    }

    /// The handlers that `multiwasm install containerd` writes: dispatcher/tests/written.rs has it that these files are its work.
    fn handlers(name: &str, plugin: &str) -> BTreeSet<String> {
        let config: toml::Table = text(name).parse().unwrap_or_else(|error| panic!("{name}: {error}"));
        let runtimes = config["plugins"][plugin]["containerd"]["runtimes"].as_table().unwrap();
        let ours = runtimes.iter().filter(|(name, handler)| {
            handler["runtime_type"].as_str() == Some(format!("io.containerd.{name}.v1").as_str())
        });
        ours.map(|(name, _)| name.clone()).collect()
    }

    fn runtime_classes() -> BTreeSet<String> {
        objects(RUNTIME_CLASSES).iter().map(|class| word(&class["metadata"]["name"]).to_owned()).collect()
    }

    #[test]
    fn each_handler_has_its_runtime_class() {
        let classes = objects(RUNTIME_CLASSES);
        for class in &classes {
            assert_eq!((word(&class["apiVersion"]), word(&class["kind"])), ("node.k8s.io/v1", "RuntimeClass"));
            assert_eq!(class["handler"], class["metadata"]["name"]);
        }
        let named: BTreeSet<_> = classes.iter().map(|class| word(&class["handler"]).to_owned()).collect();
        assert_eq!(named.len(), classes.len(), "two of one name");
        assert_eq!(named, handlers("docker-desktop-config/containerd-v2.toml", "io.containerd.grpc.v1.cri"));
        assert_eq!(named, handlers("docker-desktop-config/containerd-v3.toml", "io.containerd.cri.v1.runtime"));
    }

    #[test]
    fn the_deployment_runs_the_example_behind_its_service() {
        let deployment = object(DEPLOYMENT, "apps/v1", "Deployment");
        let service = object(DEPLOYMENT, "v1", "Service");
        assert_eq!(objects(DEPLOYMENT).len(), 2);
        let (spec, template) = (&deployment["spec"], &deployment["spec"]["template"]);
        selects(&spec["selector"]["matchLabels"], &template["metadata"]["labels"]);
        selects(&service["spec"]["selector"], &template["metadata"]["labels"]);
        assert!(runtime_classes().contains(word(&template["spec"]["runtimeClassName"])));
        let engine = word(&template["metadata"]["annotations"][ENGINE_ANNOTATION]);
        assert!(runtime_classes().contains(engine), "{engine}");

        let dockerfile = text("examples/http-server/Dockerfile");
        let said = |word: &str| {
            let line = dockerfile.lines().find_map(|line| line.strip_prefix(word));
            line.unwrap_or_else(|| panic!("the example's Dockerfile has no {word}")).trim().to_owned()
        };
        let port: u64 = said("EXPOSE").parse().unwrap();
        let [container] = list(&template["spec"]["containers"]) else { panic!("one container") };
        assert_eq!(container["ports"][0]["containerPort"], port);
        assert_eq!(container["readinessProbe"]["httpGet"]["port"], port);
        assert_eq!(service["spec"]["ports"][0]["targetPort"], port);
        let check = said("HEALTHCHECK").split_once("CMD ").unwrap().1.to_owned();
        let check: Vec<String> = serde_json::from_str(&check).unwrap();
        assert_eq!(words(&container["livenessProbe"]["exec"]["command"]), check);
    }

    #[test]
    fn the_daemon_set_runs_the_installer_as_it_wants_to_be_run() {
        let namespace = object(DAEMON_SET, "v1", "Namespace");
        let set = object(DAEMON_SET, "apps/v1", "DaemonSet");
        assert_eq!(objects(DAEMON_SET).len(), 2);
        assert_eq!(set["metadata"]["namespace"], namespace["metadata"]["name"]);
        // Without it the namespace lets no privileged container in.
        assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "privileged");
        let template = &set["spec"]["template"];
        selects(&set["spec"]["selector"]["matchLabels"], &template["metadata"]["labels"]);

        let [installer] = list(&template["spec"]["initContainers"]) else { panic!("one installer") };
        let [stays] = list(&template["spec"]["containers"]) else { panic!("one container that stays") };
        assert_eq!(installer["image"], stays["image"]);
        assert_eq!(installer["securityContext"]["privileged"], true);
        let [mount] = list(&installer["volumeMounts"]) else { panic!("one mount") };
        let [volume] = list(&template["spec"]["volumes"]) else { panic!("one volume") };
        assert_eq!(mount["name"], volume["name"]);
        assert_eq!(volume["hostPath"]["path"], "/");
        let script = text("docker-desktop-config/installer/install.sh");
        let wanted = format!("host=${{HOST_ROOT:-{}}}\n", word(&mount["mountPath"]));
        assert!(script.contains(&wanted), "install.sh has no {wanted:?}");
        asks_for_a_host(&words(&installer["args"]));
    }

    #[test]
    fn the_installer_knows_the_arguments_that_its_documentation_has() {
        for arguments in [&["files"][..], &["docker", "containerd", "k3s"], &["uninstall", "containerd"]] {
            asks_for_a_host(arguments);
        }
        assert_eq!(install_sh(&["podman"]).0, 2);
    }

    /// Fails unless the installer takes the arguments, so that a host's root is all that it misses.
    #[track_caller]
    fn asks_for_a_host(arguments: &[&str]) {
        let (code, said) = install_sh(arguments);
        assert!(code == 1 && said.contains("the host's root is not at"), "{arguments:?}: {code}: {said}");
    }

    /// The installer without a host: its exit code, and what it says.
    fn install_sh(arguments: &[&str]) -> (i32, String) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        let script = path("docker-desktop-config/installer/install.sh").display().to_string();
        let variables = ["HOST_ROOT", "SOURCE"].map(|name| format!("{name}={}", folder.path().display()));
        let command = [&["env", &variables[0], &variables[1], "sh", &script], arguments].concat();
        let output = run(&command).unwrap_or_else(|error| panic!("{error}"));
        (output.code, output.err())
    }
}
