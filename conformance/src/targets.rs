//! What a test body runs on, and the macros that run one body on each.

use std::fmt;

use crate::image::Platform;

/// The runtime that is tested.
pub const RUNTIME: &str = "io.containerd.multiwasm.v1";
/// The annotation that chooses an engine.
pub const ENGINE_ANNOTATION: &str = "io.containerd.multiwasm.engine";

/// Where a body runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// Wasmtime through our shim.
    Wasmtime,
    /// WasmEdge through our shim.
    WasmEdge,
    /// Wasmer through our shim.
    Wasmer,
    /// A native program through our shim.
    Native,
    /// A native program through runc: what proves the body.
    Runc,
}

impl Target {
    /// The targets that run WebAssembly.
    pub const ENGINES: [Self; 3] = [Self::Wasmtime, Self::WasmEdge, Self::Wasmer];

    /// The engine's name as the annotation takes it; none for native targets.
    pub fn engine(self) -> Option<&'static str> {
        match self {
            Self::Wasmtime => Some("wasmtime"),
            Self::WasmEdge => Some("wasmedge"),
            Self::Wasmer => Some("wasmer"),
            Self::Native | Self::Runc => None,
        }
    }

    /// The runtime's name as containerd takes it.
    pub fn runtime(self) -> &'static str {
        if self == Self::Runc { "io.containerd.runc.v2" } else { RUNTIME }
    }

    /// The probe's path in the image.
    pub fn probe(self) -> &'static str {
        if self.engine().is_some() { "/probe.wasm" } else { "/probe" }
    }

    /// The platform of the image that it runs.
    pub fn platform(self) -> Platform {
        if self.engine().is_some() { Platform::Wasi } else { Platform::Linux }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Runc => "runc",
            _ => self.engine().unwrap_or_default(),
        })
    }
}

/// One body, a test on each engine: `each_engine!(name, |target| { … });` makes `name::wasmtime` and so on.
#[macro_export]
macro_rules! each_engine {
    ($(#[$attribute:meta])* $name:ident, |$target:ident| $body:block) => {
        $crate::each_of!($(#[$attribute])* $name, |$target| $body, wasmtime Wasmtime, wasmedge WasmEdge, wasmer Wasmer);
    };
}

/// One body, a test on each engine, on our native path, and on runc, which proves it.
#[macro_export]
macro_rules! each_target {
    ($(#[$attribute:meta])* $name:ident, |$target:ident| $body:block) => {
        $crate::each_of!(
            $(#[$attribute])* $name, |$target| $body,
            wasmtime Wasmtime, wasmedge WasmEdge, wasmer Wasmer, native Native, runc Runc
        );
    };
}

/// One body, a test on each engine and on our native path: what runc does otherwise, or not at all.
#[macro_export]
macro_rules! each_of_ours {
    ($(#[$attribute:meta])* $name:ident, |$target:ident| $body:block) => {
        $crate::each_of!(
            $(#[$attribute])* $name, |$target| $body,
            wasmtime Wasmtime, wasmedge WasmEdge, wasmer Wasmer, native Native
        );
    };
}

/// One body, a test on each of the targets that are named.
#[macro_export]
macro_rules! each_of {
    ($(#[$attribute:meta])* $name:ident, |$target:ident| $body:block, $($test:ident $variant:ident),+) => {
        $(#[$attribute])*
        #[cfg(test)]
        mod $name {
            #[allow(unused_imports)] // not every body asks for what its file brings
            use super::*;
            fn body($target: $crate::targets::Target) $body
            $(#[test] fn $test() { body($crate::targets::Target::$variant) })+
        }
    };
}
