//! Faults on purpose are in builds of tests alone.

use std::fs;

/// The annotation that turns one on.
const ANNOTATION: &[u8] = b"io.containerd.multiwasm-test.fault";

#[test]
fn a_shim_knows_of_faults_only_where_it_was_built_to() {
    let program = fs::read(env!("CARGO_BIN_EXE_containerd-shim-multiwasm-v1")).unwrap();
    let knows = program.windows(ANNOTATION.len()).any(|window| window == ANNOTATION);
    assert_eq!(knows, cfg!(feature = "faults"));
}
