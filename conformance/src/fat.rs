//! A module that is costly to compile and cheap to run: many long functions, of which one short one is called.

use wasm_encoder::{
    CodeSection, ExportKind, ExportSection, Function, FunctionSection, ImportSection, InstructionSink, MemArg,
    MemorySection, MemoryType, Module, TypeSection, ValType,
};

/// How large the module is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Functions that are never called.
    pub functions: u32,
    /// Rounds of arithmetic, memory access and calls in each; a round is about 240 bytes of WebAssembly.
    pub rounds: u32,
}

/// Calls a round: a call is two bytes of WebAssembly and compiled in no time, but its relocation is kept until the end.
const CALLS: u32 = 100;

/// 9.6 MB that take more than 500 MB to compile: 644 MB by Wasmtime 48.0, 535 MB by Wasmer 7.4, 1.7 GB by WasmEdge 0.17
/// without optimising (peak resident sizes by time(1); how to measure it again stands in `examples/fat.rs`).
pub const COSTLY: Size = Size { functions: 1000, rounds: 40 };

/// A module that imports a function of this name, which nobody offers.
pub fn importing(name: &str) -> Vec<u8> {
    let (mut types, mut imports) = (TypeSection::new(), ImportSection::new());
    types.ty().function([], []);
    imports.import("env", name, wasm_encoder::EntityType::Function(0));
    let mut exports = ExportSection::new();
    exports.export("_start", ExportKind::Func, 0);
    let mut module = Module::new();
    module.section(&types).section(&imports).section(&exports);
    module.finish()
}

/// As [`module`], but another one for each `name` (shorter than 126 bytes), so that no cache has it.
pub fn unique(size: Size, name: &str) -> Vec<u8> {
    let mut module = module(size);
    let name = name.as_bytes();
    // A custom section (0) of its size, whose name this is: less than 128, so each length is one byte of LEB128.
    assert!(name.len() < 126, "a name of {} bytes", name.len());
    module.extend([0, name.len() as u8 + 1, name.len() as u8]);
    module.extend(name);
    module
}

/// The module. `_start` exits with 7, so that a test sees that it ran.
pub fn module(size: Size) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([], []);
    types.ty().function([ValType::I32, ValType::I64], [ValType::I64]);
    types.ty().function([ValType::I32], []);
    let mut imports = ImportSection::new();
    imports.import("wasi_snapshot_preview1", "proc_exit", wasm_encoder::EntityType::Function(2));
    let mut functions = FunctionSection::new();
    functions.function(0).function(0);
    let mut code = CodeSection::new();
    let mut start = Function::new([]);
    start.instructions().i32_const(7).call(0).end();
    code.function(&start);
    let mut leaf = Function::new([]);
    leaf.instructions().end();
    code.function(&leaf);
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for _ in 0..size.functions {
        functions.function(1);
        code.function(&function(size.rounds, &mut numbers));
    }
    let mut memories = MemorySection::new();
    memories.memory(MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None });
    let mut exports = ExportSection::new();
    exports.export("_start", ExportKind::Func, 1).export("memory", ExportKind::Memory, 0);
    let mut module = Module::new();
    module.section(&types).section(&imports).section(&functions).section(&memories).section(&exports).section(&code);
    module.finish()
}

/// A function whose rounds depend on each other and on memory, so that no compiler makes it short.
fn function(rounds: u32, numbers: &mut Numbers) -> Function {
    let mut function = Function::new([(4, ValType::I64)]);
    let mut body = function.instructions();
    for _ in 0..rounds {
        round(&mut body, numbers);
    }
    // No value lives across these.
    for _ in 0..rounds * CALLS {
        body.call(2);
    }
    body.local_get(2).local_get(3).i64_add().local_get(4).i64_xor().local_get(5).i64_add().end();
    function
}

fn round(body: &mut InstructionSink<'_>, numbers: &mut Numbers) {
    let number = numbers.next();
    let at = MemArg { offset: number & 0x7ff8, align: 3, memory_index: 0 };
    let (one, two) = (2 + (number >> 16) as u32 % 4, 2 + (number >> 20) as u32 % 4);
    body.local_get(0).i64_load(at).local_get(one).i64_mul().i64_const(number.cast_signed() >> 24);
    body.i64_xor().local_get(two).i64_rotl().local_tee(two);
    body.i64_const(3).i64_lt_u().if_(wasm_encoder::BlockType::Empty);
    body.local_get(0).local_get(one).local_get(1).i64_sub().i64_store(at).end();
}

/// A sequence that is the same at every run (xorshift64*, Vigna 2016).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}
