//! Folders of the machine inside a container.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use multiwasm_conformance::ctr::Container;
use multiwasm_conformance::each_target;

each_target!(a_mount_shows_the_machines_files, |target| {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("given"), "from outside\n").unwrap();
    let output = Container::new(target).mount(folder.path(), "/mnt", "ro").probe(["read", "/mnt/given"]).run();
    output.expect_code(0).expect_out("from outside\n");
});

each_target!(a_read_write_mount_is_written_through, |target| {
    let folder = tempfile::tempdir().unwrap();
    let output =
        Container::new(target).mount(folder.path(), "/mnt", "rw").probe(["write", "/mnt/made", "inside"]).run();
    output.expect_code(0);
    assert_eq!(fs::read_to_string(folder.path().join("made")).unwrap(), "inside");
});

each_target!(a_read_only_mount_refuses_writing, |target| {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("given"), "as it was").unwrap();
    for path in ["/mnt/made", "/mnt/given"] {
        let output = Container::new(target).mount(folder.path(), "/mnt", "ro").probe(["write", path, "inside"]).run();
        output.expect_code(1).expect_err(&["probe: write", path]);
    }
    assert!(!folder.path().join("made").exists());
    assert_eq!(fs::read_to_string(folder.path().join("given")).unwrap(), "as it was");
});

each_target!(a_read_only_rootfs_refuses_writing, |target| {
    let mut container = Container::new(target).probe(["write", "/data/new", "text"]);
    container = container.switch("--read-only");
    container.run().expect_code(1).expect_err(&["probe: write /data/new"]);
});

each_target!(a_mount_inside_a_mount_is_found, |target| {
    let (outer, inner) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::create_dir(outer.path().join("deep")).unwrap();
    let output = Container::new(target)
        .mount(outer.path(), "/mnt", "ro")
        .mount(inner.path(), "/mnt/deep", "rw")
        .probe(["write", "/mnt/deep/made", "inside"])
        .run();
    output.expect_code(0);
    assert_eq!(fs::read_to_string(inner.path().join("made")).unwrap(), "inside");
});

each_target!(root_without_capabilities_is_bound_by_modes_too, |target| {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "given").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    chown(&secret, Some(1000), Some(1000)).unwrap();
    let mut container = Container::new(target).mount(folder.path(), "/mnt", "ro");
    for capability in CONTAINERDS {
        container = container.flag("--cap-drop", capability);
    }
    assert_ne!(container.probe(["read", "/mnt/secret"]).run().code, 0);
});

/// What containerd gives root where nothing else is said (its `oci` package, `defaultUnixCaps`).
const CONTAINERDS: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];
