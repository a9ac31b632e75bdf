//! `-info`: who this runtime is, for `ctr plugins inspect-runtime` and CRI's runtime handlers.

use std::collections::HashMap;
use std::io::Write;

use containerd_shim::protos::protobuf::{self, Message, MessageField};
use containerd_shim::protos::types::introspection::{RuntimeInfo, RuntimeVersion};

/// Writes a `containerd.types.RuntimeInfo` to stdout.
pub(super) fn info(name: &str, _options: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
    let info = RuntimeInfo {
        name: runtime_name(name),
        version: MessageField::some(RuntimeVersion {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Default::default()
        }),
        annotations: HashMap::from([("engine-abi".to_owned(), multiwasm_engine::abi::ENGINE_ABI.to_string())]),
        ..Default::default()
    };
    let bytes = info.write_to_bytes().map_err(|error: protobuf::Error| error)?;
    std::io::stdout().write_all(&bytes)?;
    Ok(())
}

/// `containerd-shim-multiwasm-v1` → `io.containerd.multiwasm.v1`.
fn runtime_name(binary: &str) -> String {
    let file = binary.rsplit('/').next().unwrap_or(binary);
    let short = file.strip_prefix("containerd-shim-").unwrap_or(file);
    format!("io.containerd.{}", short.replacen("-v", ".v", 1))
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_follow_the_binary() {
        assert_eq!(super::runtime_name("/usr/bin/containerd-shim-wasmedge-v1"), "io.containerd.wasmedge.v1");
    }
}
