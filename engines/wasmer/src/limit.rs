//! How large a linear memory may grow.

use std::ptr::NonNull;

use multiwasm_engine::{EngineError, ErrorKind};
use wasmer::sys::vm::{MemoryStyle, TableStyle, VMMemory, VMMemoryDefinition, VMTable, VMTableDefinition};
use wasmer::sys::{BaseTunables, NativeEngineExt, Tunables};
use wasmer::{Engine, MemoryError, MemoryType, Module, Pages, TableType, WASM_PAGE_SIZE};

/// Whether every memory of `module` can begin within `limit` bytes.
pub(crate) fn check(module: &Module, limit: Option<u64>) -> Result<(), EngineError> {
    let Some(limit) = limit else { return Ok(()) };
    for memory in module.info().memories.values() {
        let least = memory.minimum.0 as u64 * WASM_PAGE_SIZE as u64;
        if least > limit {
            return Err(EngineError::new(
                ErrorKind::Limit,
                format_args!("the module's memory begins with {least} bytes, and the memory limit is {limit} bytes"),
            ));
        }
    }
    Ok(())
}

/// `engine`, with every memory that is made in it from now on held below `limit` bytes.
pub(crate) fn apply(mut engine: Engine, limit: Option<u64>) -> Engine {
    if let Some(limit) = limit {
        let most = Pages(u32::try_from(limit / WASM_PAGE_SIZE as u64).unwrap_or(u32::MAX));
        engine.set_tunables(Limited { base: BaseTunables::new(), most });
    }
    engine
}

/// Wasmer's own choices, but for the size of memories.
struct Limited {
    base: BaseTunables,
    most: Pages,
}

impl Limited {
    /// `wanted`, with a maximum that is within the limit.
    fn limited(&self, wanted: &MemoryType) -> Result<MemoryType, MemoryError> {
        if wanted.minimum > self.most {
            return Err(MemoryError::MinimumMemoryTooLarge { min_requested: wanted.minimum, max_allowed: self.most });
        }
        let maximum = wanted.maximum.map_or(self.most, |maximum| maximum.min(self.most));
        Ok(MemoryType { maximum: Some(maximum), ..*wanted })
    }
}

impl Tunables for Limited {
    fn memory_style(&self, memory: &MemoryType) -> MemoryStyle {
        self.base.memory_style(memory)
    }

    fn table_style(&self, table: &TableType) -> TableStyle {
        self.base.table_style(table)
    }

    fn create_host_memory(&self, wanted: &MemoryType, style: &MemoryStyle) -> Result<VMMemory, MemoryError> {
        self.base.create_host_memory(&self.limited(wanted)?, style)
    }

    unsafe fn create_vm_memory(
        &self,
        wanted: &MemoryType,
        style: &MemoryStyle,
        definition: NonNull<VMMemoryDefinition>,
    ) -> Result<VMMemory, MemoryError> {
        let limited = self.limited(wanted)?;
        // SAFETY: the caller's promise about `definition` is passed on.
        unsafe { self.base.create_vm_memory(&limited, style, definition) }
    }

    fn create_host_table(&self, table: &TableType, style: &TableStyle) -> Result<VMTable, String> {
        self.base.create_host_table(table, style)
    }

    unsafe fn create_vm_table(
        &self,
        table: &TableType,
        style: &TableStyle,
        definition: NonNull<VMTableDefinition>,
    ) -> Result<VMTable, String> {
        // SAFETY: the caller's promise about `definition` is passed on.
        unsafe { self.base.create_vm_table(table, style, definition) }
    }
}
