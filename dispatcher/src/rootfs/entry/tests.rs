//! Entrypoints in rootfs folders that were made to mislead.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use super::*;

/// A bundle with a rootfs, and a folder of the host beside it.
struct Bundle(tempfile::TempDir);

impl Bundle {
    fn new(files: &[(&str, &str)], links: &[(&str, &str)]) -> Self {
        let bundle = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(bundle.rootfs()).unwrap();
        for (path, content) in files {
            let path = bundle.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        for (path, target) in links {
            let path = bundle.rootfs().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            symlink(target, path).unwrap();
        }
        bundle
    }

    fn rootfs(&self) -> PathBuf {
        self.0.path().join("rootfs")
    }

    fn host(&self, path: &str) -> String {
        self.0.path().join(path).to_str().unwrap().to_owned()
    }

    fn find(&self, arg: &str) -> Result<Entry, EntryError> {
        self.find_with(arg, json!({}), json!([]))
    }

    fn find_with(&self, arg: &str, process: Value, mounts: Value) -> Result<Entry, EntryError> {
        let mut spec = json!({
            "ociVersion": "1.0.2",
            "process": { "cwd": "/", "args": [arg], "user": { "uid": 0, "gid": 0 } },
            "mounts": mounts,
        });
        let fields = process.as_object().unwrap().clone();
        spec["process"].as_object_mut().unwrap().extend(fields);
        Entry::find(self.0.path(), &self.rootfs(), &serde_json::from_value(spec).unwrap())
    }
}

fn content(entry: Result<Entry, EntryError>) -> String {
    let entry = entry.unwrap_or_else(|error| panic!("{error}"));
    String::from_utf8(entry.map().unwrap().to_vec()).unwrap()
}

fn message(entry: Result<Entry, EntryError>) -> String {
    entry.map(|entry| entry.path).unwrap_err().to_string()
}

fn bind(source: &str, destination: &str) -> Value {
    json!({ "type": "bind", "source": source, "destination": destination, "options": ["rbind", "ro"] })
}

#[test]
fn a_path_is_found_from_the_working_directory_and_through_path() {
    let bundle =
        Bundle::new(&[("rootfs/app.wasm", "root"), ("rootfs/srv/app.wasm", "srv"), ("rootfs/bin/tool", "tool")], &[]);
    assert_eq!(content(bundle.find("/app.wasm")), "root");
    assert_eq!(content(bundle.find("./srv/app.wasm")), "srv");
    assert_eq!(content(bundle.find_with("./app.wasm", json!({"cwd": "/srv"}), json!([]))), "srv");
    assert_eq!(content(bundle.find_with("app.wasm", json!({"cwd": "/srv"}), json!([]))), "srv");
    assert_eq!(content(bundle.find_with("app.wasm", json!({"cwd": "/bin"}), json!([]))), "root");
    let path = json!({"env": ["A=1", "PATH=/usr/bin:/bin"], "cwd": "/srv"});
    let entry = bundle.find_with("tool", path, json!([])).unwrap();
    assert_eq!((entry.path.as_str(), entry.len), ("/bin/tool", 4));
}

#[test]
fn links_and_dots_never_leave_the_rootfs() {
    let bundle = Bundle::new(
        &[("rootfs/etc/passwd", "inside"), ("rootfs/deep/er/app.wasm", "deep"), ("secret", "outside")],
        &[
            ("absolute", "/etc/passwd"),
            ("dots", "../../../../../../../../etc/passwd"),
            ("chain", "deep/link"),
            ("deep/link", "./er/../er/app.wasm"),
            ("above", "../secret"),
            ("folder", "/deep/er"),
            ("loop", "/loop"),
        ],
    );
    assert_eq!(content(bundle.find("/absolute")), "inside");
    assert_eq!(content(bundle.find("/dots")), "inside");
    assert_eq!(content(bundle.find("/../../../../../../../../../etc/passwd")), "inside");
    assert_eq!(content(bundle.find("/chain")), "deep");
    assert_eq!(content(bundle.find("/folder/app.wasm")), "deep");
    assert_eq!(content(bundle.find("/folder/../../etc/passwd")), "inside");
    assert!(matches!(bundle.find("/above"), Err(EntryError::Missing { .. })));
    assert!(message(bundle.find("/loop")).contains("symbolic links"), "{}", message(bundle.find("/loop")));
}

#[test]
fn a_function_is_split_off_unless_a_file_has_the_whole_name() {
    let bundle = Bundle::new(&[("rootfs/app.wasm", "plain"), ("rootfs/odd#name", "odd")], &[]);
    let entry = bundle.find("/app.wasm#wasi:cli/run@0.2.0#run").unwrap();
    assert_eq!((entry.path.as_str(), entry.function.as_deref()), ("/app.wasm", Some("wasi:cli/run@0.2.0#run")));
    let entry = bundle.find("app.wasm#add").unwrap();
    assert_eq!((entry.path.as_str(), entry.function.as_deref()), ("/app.wasm", Some("add")));
    assert_eq!(bundle.find("/odd#name").unwrap().function, None);
    assert_eq!(bundle.find("/odd#name#f").unwrap().function.as_deref(), Some("f"));
    assert_eq!(bundle.find("/app.wasm#").unwrap().function, None);
}

#[test]
fn bind_mounts_are_looked_into_and_the_last_one_covers() {
    let bundle = Bundle::new(
        &[
            ("rootfs/data/app.wasm", "hidden"),
            ("host/file", "file"),
            ("host/one/app.wasm", "one"),
            ("host/two/app.wasm", "two"),
        ],
        &[("run", "data"), ("var/link", "/data/app.wasm")],
    );
    symlink("/etc/passwd", bundle.host("host/one/escape")).unwrap();
    symlink("/data/app.wasm", bundle.host("host/one/back")).unwrap();
    let (file, one, two) = (bundle.host("host/file"), bundle.host("host/one"), bundle.host("host/two"));
    let find = |arg: &str, mounts| bundle.find_with(arg, json!({}), mounts);
    assert_eq!(content(find("/app.wasm", json!([bind(&file, "/app.wasm")]))), "file");
    assert_eq!(content(find("/data/app.wasm", json!([bind(&one, "/data")]))), "one");
    assert_eq!(content(find("/var/link", json!([bind(&one, "/data")]))), "one");
    // A destination is resolved in the container too, and may be relative to it.
    assert_eq!(content(find("/data/app.wasm", json!([bind(&one, "/run")]))), "one");
    assert_eq!(content(find("/data/app.wasm", json!([bind(&one, "/data"), bind(&two, "/data")]))), "two");
    assert_eq!(content(find("/data/x/app.wasm", json!([bind(&one, "/data"), bind(&two, "/data/x")]))), "two");
    assert!(find("/data/x/app.wasm", json!([bind(&two, "/data/x"), bind(&one, "/data")])).is_err());
    // Links of a source belong to the container, not to the host.
    assert_eq!(content(find("/data/back", json!([bind(&one, "/data")]))), "one");
    assert!(matches!(find("/data/escape", json!([bind(&one, "/data")])), Err(EntryError::Missing { .. })));
    // Relative sources start at the bundle.
    assert_eq!(content(find("/data/app.wasm", json!([bind("host/two", "/data")]))), "two");
}

#[test]
fn a_mounted_file_is_copied_and_others_are_mapped() {
    let bundle = Bundle::new(&[("rootfs/app.wasm", "inside"), ("rootfs/empty", ""), ("file", "mounted")], &[]);
    assert!(matches!(bundle.find("/app.wasm").unwrap().map().unwrap(), Content::Mapped(..)));
    assert!(bundle.find("/empty").unwrap().map().unwrap().is_empty());
    assert_eq!(bundle.find("/app.wasm").unwrap().first_bytes(3).unwrap(), b"ins");
    assert_eq!(bundle.find("/app.wasm").unwrap().first_bytes(99).unwrap(), b"inside");
    let mounts = json!([bind(&bundle.host("file"), "/app.wasm")]);
    let entry = bundle.find_with("/app.wasm", json!({}), mounts).unwrap();
    fs::write(bundle.host("file"), "short").unwrap();
    assert!(matches!(entry.map().unwrap(), Content::Copied(bytes) if bytes == b"short"));
}

#[test]
fn errors_name_the_path_and_where_it_was_looked_for() {
    let bundle = Bundle::new(&[("rootfs/bin/sub/file", "")], &[]);
    nix::unistd::mkfifo(&bundle.rootfs().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let process = json!({"env": ["PATH=/bin"], "cwd": "/srv"});
    assert_eq!(
        message(bundle.find_with("app.wasm", process, json!([]))),
        "entrypoint app.wasm not found in the container: no such file or directory: looked for /bin/app.wasm, /srv/app.wasm, /app.wasm"
    );
    assert_eq!(message(bundle.find("/bin")), "entrypoint /bin in the container can't be run: a folder, not a file");
    assert!(message(bundle.find("/fifo")).ends_with("a device, socket or FIFO, not a file"));
    assert!(message(bundle.find("/bin/sub/file/x")).contains("not found"));
    let tmpfs = json!([{ "type": "tmpfs", "source": "tmpfs", "destination": "/bin" }]);
    assert!(message(bundle.find_with("/bin/sub/file", json!({}), tmpfs)).contains("tmpfs mount /bin"));
    let gone = json!([bind("/nowhere/at/all", "/bin")]);
    assert!(message(bundle.find_with("/bin/x", json!({}), gone)).contains("/nowhere/at/all"));
    assert!(matches!(bundle.find_with("", json!({}), json!([])), Err(EntryError::NoArgs)));
    assert!(matches!(bundle.find_with("x", json!({"args": []}), json!([])), Err(EntryError::NoArgs)));
}
