//! The C types of the contract, one to one as in `include/multiwasm_engine.h`, which documents each field.
#![allow(missing_docs)] // the header is the documentation; saying it twice would let the two drift apart

use std::ffi::c_void;

/// The version of the table that this crate speaks.
pub const ENGINE_ABI: u32 = 1;
/// The one symbol that a plug-in exports, terminated for `dlsym`.
pub const ENGINE_SYMBOL: &[u8] = b"multiwasm_engine_table\0";
/// What [`ENGINE_SYMBOL`] names.
pub type TableFunction = unsafe extern "C" fn() -> *const EngineTable;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Bytes {
    pub data: *const u8,
    pub len: usize,
}

// SAFETY: a `Bytes` is a pointer and a length; who reads through it answers for the memory behind it.
unsafe impl Sync for Bytes {}
// SAFETY: as above.
unsafe impl Send for Bytes {}

impl Bytes {
    /// Lends `bytes` to the other side for as long as the caller keeps them.
    pub const fn lend(bytes: &[u8]) -> Self {
        Self { data: bytes.as_ptr(), len: bytes.len() }
    }

    /// The bytes behind the pointer.
    ///
    /// # Safety
    /// `data` must point to `len` readable bytes that outlive `'a`, or `len` be 0.
    pub unsafe fn as_slice<'a>(self) -> &'a [u8] {
        if self.len == 0 || self.data.is_null() {
            return &[];
        }
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct List {
    pub items: *const Bytes,
    pub len: usize,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Sink {
    pub context: *mut c_void,
    pub write: Option<unsafe extern "C" fn(context: *mut c_void, data: *const u8, len: usize)>,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Settings {
    pub size: usize,
    pub optimize: u32,
    pub reserved: u32,
}

pub const FORM_BYTES: u32 = 0;
pub const FORM_ARTIFACT: u32 = 1;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Source {
    pub size: usize,
    pub form: u32,
    pub component: u32,
    pub name: Bytes,
    pub bytes: Bytes,
    pub artifact: Bytes,
    pub function: Bytes,
}

pub const PREOPEN_READ_ONLY: u32 = 1;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Preopen {
    pub guest: Bytes,
    pub host: Bytes,
    pub flags: u32,
    pub reserved: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Guest {
    pub size: usize,
    pub args: List,
    pub env: List,
    pub cwd: Bytes,
    pub preopens: *const Preopen,
    pub preopens_len: usize,
    pub stdin_fd: i32,
    pub stdout_fd: i32,
    pub stderr_fd: i32,
    pub reserved: u32,
    pub memory_limit: u64,
}

pub const OK: u32 = 0;

pub const EXITED: u32 = 0;
pub const TRAPPED: u32 = 1;
pub const BROKE: u32 = 2;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Outcome {
    pub size: usize,
    pub end: u32,
    pub code: i32,
}

pub type Open = unsafe extern "C" fn(*const Settings, *mut *mut c_void, Sink) -> u32;
pub type Fingerprint = unsafe extern "C" fn(*mut c_void, Sink);
pub type PrepareCompile = unsafe extern "C" fn(*mut c_void, Sink) -> u32;
pub type Compile = unsafe extern "C" fn(*mut c_void, *const Source, Bytes, Sink) -> u32;
pub type Load = unsafe extern "C" fn(*mut c_void, *const Source, *mut *mut c_void, Sink) -> u32;
pub type Instantiate = unsafe extern "C" fn(*mut c_void, *mut c_void, *const Guest, *mut *mut c_void, Sink) -> u32;
pub type Run = unsafe extern "C" fn(*mut c_void, *mut c_void, *mut Outcome, Sink);
pub type DropModule = unsafe extern "C" fn(*mut c_void, *mut c_void);
pub type Close = unsafe extern "C" fn(*mut c_void);

#[repr(C)]
pub struct EngineTable {
    pub abi: u32,
    pub size: u32,
    pub name: Bytes,
    pub version: Bytes,
    pub capabilities: u64,
    pub open: Option<Open>,
    pub fingerprint: Option<Fingerprint>,
    pub prepare_compile: Option<PrepareCompile>,
    pub compile: Option<Compile>,
    pub load: Option<Load>,
    pub instantiate: Option<Instantiate>,
    pub run: Option<Run>,
    pub drop_module: Option<DropModule>,
    pub close: Option<Close>,
}
