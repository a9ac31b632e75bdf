//! Tests of reading configuration.

use super::*;
use crate::options::Compile;
use multiwasm_engine::Optimize;
use std::fmt::Write;

const TYPE: &str = "runtimeoptions.v1.Options";

/// Holds a file below docs/ to what the tables say; `UPDATE_DOCS=1` writes it.
pub(crate) fn compare_documentation(file: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(file);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "docs/{file} is old: UPDATE_DOCS=1 cargo test -p multiwasm --lib writes it");
}

fn load(text: &str) -> Result<Config, ConfigError> {
    load_with(text, None)
}

fn load_with(text: &str, options: Option<(&str, &[u8])>) -> Result<Config, ConfigError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    Config::load_from(file.path(), options)
}

fn runtime_options(config_path: &str, config_body: &str) -> Vec<u8> {
    let (type_url, config_path) = (String::new(), config_path.to_owned());
    RuntimeOptions { type_url, config_path, config_body: config_body.into() }.encode_to_vec()
}

#[test]
fn nothing_said_means_defaults() {
    assert_eq!(Config::load_from(Path::new("/nonexistent/config.toml"), None).unwrap(), Config::default());
    assert_eq!(load("").unwrap(), Config::default());
}

#[test]
fn the_defaults_of_the_documentation_hold() {
    let mut text = String::new();
    for key in KEYS {
        let value = match key.default {
            literal if literal.starts_with('[') || literal.parse::<u64>().is_ok() || literal == "false" => {
                literal.to_owned()
            }
            string => format!("{string:?}"),
        };
        let _ = writeln!(text, "{} = {value}", key.path);
    }
    for definition in DEFINITIONS.iter().filter(|definition| !definition.default.contains(' ')) {
        let _ = writeln!(text, "{} = {:?}", definition.config.unwrap(), definition.default);
    }
    assert_eq!(load(&text).unwrap(), Config::default());
}

#[test]
fn the_commented_defaults_are_all_keys_and_hold() {
    let commented = commented_defaults();
    assert_eq!(load(&commented).unwrap(), Config::default());
    // Words begin after a space, keys right after the sign.
    let keys = commented.lines().filter(|line| !line.starts_with("# ") && !line.is_empty());
    let uncommented: Vec<_> = keys.map(|line| line.trim_start_matches('#')).collect();
    let uncommented = uncommented.join("\n");
    let config = load(&uncommented).unwrap();
    let wanted = Config {
        file_engine: Some(EngineChoice::Auto),
        options: Options { memory_limit: Some(1 << 30), ..Options::default() },
        ..Config::default()
    };
    assert_eq!(config, wanted);
    for key in paths() {
        let last = key.rsplit('.').next().unwrap();
        assert!(uncommented.contains(&format!("\n{last} = ")) || uncommented.starts_with(last), "{key}: {uncommented}");
    }
}

#[test]
fn every_key_is_read() {
    let config = load(
        r#"
        engine = "wasmer"
        order = ["wasmedge"]
        engine_path = ["/opt/engines"]
        allow_native_code = true
        memory_limit = "1g"
        kernel_filesystems = true
        group = "container"
        SystemdCgroup = true
        compile = { memory = 1024, cpu_seconds = 5, timeout = 6, mode = "eager", optimize = "quick" }
        [cache]
        path = "/tmp/cache"
        limit = "7m"
        [log]
        level = "trace"
        "#,
    );
    let options = Options {
        engine: None,
        function: None,
        memory_limit: Some(1 << 30),
        compile: Compile::Eager,
        optimize: Optimize::Quick,
        kernel_filesystems: true,
    };
    let wanted = Config {
        options,
        runtime_engine: None,
        file_engine: Some(EngineChoice::Named("wasmer".into())),
        order: vec!["wasmedge".into()],
        engine_path: vec!["/opt/engines".into()],
        allow_native_code: true,
        group: Group::Container,
        compile: Limits { memory: 1024, cpu_seconds: 5, timeout: std::time::Duration::from_secs(6), cache: 7 << 20 },
        cache: "/tmp/cache".into(),
        log: tracing::Level::TRACE,
    };
    assert_eq!(config.unwrap(), wanted);
}

#[test]
fn a_relative_path_in_the_environment_is_refused() {
    for name in [CONFIG_VARIABLE, ENGINE_PATH_VARIABLE, CACHE_VARIABLE] {
        let error = Config::load_in(|asked| (asked == name).then(|| "there".into())).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("{name} in the environment names there, which is relative: an absolute path is needed")
        );
    }
    let named = |asked: &str| (asked == ENGINE_PATH_VARIABLE).then(|| "/a::/b".into());
    assert_eq!(Config::load_in(named).unwrap().engine_path, [Path::new("/a"), Path::new("/b")]);
}

#[test]
fn the_environment_may_name_the_nodes_file() {
    let named = |value: &'static str| node_file(move |name| (name == CONFIG_VARIABLE).then(|| value.into()));
    assert_eq!(named("/other/config.toml"), Path::new("/other/config.toml"));
    assert_eq!(named("relative.toml"), Path::new(DEFAULT_PATH));
    assert_eq!(node_file(|_| None), Path::new(DEFAULT_PATH));
}

#[test]
fn runtime_options_come_on_top() {
    let file = "engine = \"wasmer\"\nallow_native_code = true\ngroup = \"container\"";
    let body = runtime_options("", "SystemdCgroup = true\nengine = \"auto\"\ngroup = \"pod\"");
    let config = load_with(file, Some((TYPE, &body))).unwrap();
    assert_eq!(config.file_engine, Some(EngineChoice::Named("wasmer".into())));
    assert_eq!(config.runtime_engine, Some(EngineChoice::Auto));
    assert_eq!((config.allow_native_code, config.group), (true, Group::Pod));
}

#[test]
fn runtime_options_may_name_a_file() {
    let named = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(named.path(), "engine = \"wasmedge\"").unwrap();
    let options = runtime_options(named.path().to_str().unwrap(), "nonsense");
    let config = load_with("", Some((TYPE, &options))).unwrap();
    assert_eq!(config.runtime_engine, Some(EngineChoice::Named("wasmedge".into())));

    let error = load_with("", Some((TYPE, &runtime_options("/nonexistent.toml", "")))).unwrap_err().to_string();
    assert!(error.starts_with("configuration /nonexistent.toml (ConfigPath"), "{error}");
}

#[test]
fn the_configuration_of_another_program_is_told_by_name() {
    let other = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(other.path(), "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\n").unwrap();
    let path = other.path().to_str().unwrap();
    let error = load_with("", Some((TYPE, &runtime_options(path, "")))).unwrap_err().to_string();
    assert!(error.contains(path) && error.contains("unknown key "), "{error}");
}

#[test]
fn options_of_other_runtimes_are_ignored() {
    let config = load_with("", Some(("containerd.runc.v1.Options", &[0xff, 0xff])));
    assert_eq!(config.unwrap(), Config::default());
    let error = load_with("", Some((TYPE, &[0xff, 0xff]))).unwrap_err().to_string();
    assert!(error.starts_with("runtime options of type runtimeoptions.v1.Options can't be decoded"), "{error}");
}

#[test]
fn unknown_keys_and_bad_values_say_what_is_allowed() {
    for (text, wanted) in [
        ("orders = []", "unknown key orders (did you mean order?); allowed are engine, memory_limit, compile.mode"),
        ("[compile]\nlevel = 1", "unknown key compile.level"),
        ("[plugins]\nx = 1", "unknown key plugins; allowed are"),
        ("function = \"f\"", "unknown key function"),
        ("compile = 1", "key compile has the value 1; allowed is a table"),
        ("order = [\"X\"]", "key order has the value [\"X\"]; allowed is a list of engine names"),
        ("allow_native_code = \"yes\"", "key allow_native_code has the value \"yes\"; allowed is true or false"),
        ("engine = [1]", "key engine has the value [1]; allowed is auto, wasmtime"),
        ("compile.timeout = 0", "key compile.timeout has the value 0; allowed is seconds, at least 1"),
        ("cache.path = \"x\"", "key cache.path has the value \"x\"; allowed is an absolute path"),
        ("\n= 3", "line 2: not TOML"),
    ] {
        let error = load(text).unwrap_err().to_string();
        assert!(error.contains(wanted), "{text}: {error}");
    }
}

#[test]
fn the_documentation_is_that_of_the_tables() {
    compare_documentation("configuration.md", &documentation());
}
