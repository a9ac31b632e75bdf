//! What guests of both kinds get: arguments, environment, preopens, limits, and an executor without threads.

use multiwasm_engine::{EngineError, ErrorKind, Guest};
use tokio::runtime::{Builder, Runtime};
use wasmtime::ResourceLimiter;
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use crate::stdio::{Input, Output};

/// The guest's world as its container has it.
pub(crate) fn wasi(guest: &Guest<'_>) -> Result<WasiCtxBuilder, EngineError> {
    let mut wasi = WasiCtxBuilder::new();
    // A guest is alone in its process: where it waits, the process waits. Before the preopens, which copy it.
    wasi.allow_blocking_current_thread(true);
    wasi.args(guest.args).initial_cwd(guest.cwd);
    for entry in guest.env {
        let (key, value) = entry.split_once('=').unwrap_or((entry, ""));
        wasi.env(key, value);
    }
    for preopen in guest.preopens {
        let perms = if preopen.read_only { FsPerms::ReadOnly } else { FsPerms::ReadWrite };
        wasi.preopened_dir(preopen.host, preopen.guest, perms).map_err(|error| {
            EngineError::failed(format_args!("preopen {} ({}): {error:#}", preopen.guest, preopen.host.display()))
        })?;
    }
    let lost = |which| move |error| EngineError::failed(format_args!("the guest's {which}: {error}"));
    wasi.stdin(Input::new(guest.stdin).map_err(lost("stdin"))?);
    wasi.stdout(Output::new(guest.stdout).map_err(lost("stdout"))?);
    wasi.stderr(Output::new(guest.stderr).map_err(lost("stderr"))?);
    // The container's network namespace is the guest's limit, as it is for a native process.
    wasi.inherit_network().allow_ip_name_lookup(true).allow_tcp(true).allow_udp(true);
    Ok(wasi)
}

/// The executor that drives host functions which wait: on this thread, where an own one of `wasmtime-wasi` would start
/// as many threads as there are CPUs.
pub(crate) fn executor() -> Result<Runtime, EngineError> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| EngineError::failed(format_args!("event loop: {error}")))
}

/// Keeps linear memories below the guest's limit, and remembers what it refused.
pub(crate) struct Limits {
    most: Option<u64>,
    refused: Option<usize>,
}

impl Limits {
    pub(crate) fn new(guest: &Guest<'_>) -> Self {
        Self { most: guest.memory_limit, refused: None }
    }

    /// Why an instantiation failed, now that these are its limits.
    pub(crate) fn blame(&self, name: &str, error: &wasmtime::Error) -> EngineError {
        let words = format!("{error:#}");
        match (self.refused, self.most) {
            (Some(wanted), Some(most)) => EngineError::new(
                ErrorKind::Limit,
                format_args!("{name} needs a memory of {wanted} bytes from the start, its limit is {most}"),
            ),
            // Wasmtime reserves address space for a memory before it uses any of it.
            _ if words.contains("mmap") || words.contains("allocate memory") => EngineError::new(
                ErrorKind::Limit,
                format_args!("{name}: {words}: each of its memories reserves 4 GiB of address space, raise RLIMIT_AS"),
            ),
            _ => EngineError::failed(format_args!("{name} can't be instantiated: {words}")),
        }
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let fits = self.most.is_none_or(|most| desired as u64 <= most);
        if !fits {
            self.refused = Some(desired);
        }
        Ok(fits)
    }

    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(true)
    }
}
