//! The compiler: WasmEdge's own, in the library that is loaded, or, where that one has the stand-in for LLVM (`build.rs`), in
//! a second copy of it with the real one, which lives beside the first in a link-map of its own (dlmopen(3)).

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::OnceLock;

use multiwasm_engine::{EngineError, ErrorKind};
use wasmedge_sys::ffi;

use crate::ffi::{Compiler, Config, Failure, Mode, address};
use crate::{log, outcome};

/// Opens a library in a link-map where nothing else is (dlfcn.h).
const LM_ID_NEWLM: libc::c_long = -1;

unsafe extern "C" {
    fn dlmopen(namespace: libc::c_long, path: *const c_char, flags: c_int) -> *mut c_void;
}

type Context = *mut ffi::WasmEdge_ConfigureContext;
type Configure = unsafe extern "C" fn() -> Context;
type SetLevel = unsafe extern "C" fn(Context, ffi::WasmEdge_CompilerOptimizationLevel);
type SetFormat = unsafe extern "C" fn(Context, ffi::WasmEdge_CompilerOutputFormat);
type Create = unsafe extern "C" fn(*const ffi::WasmEdge_ConfigureContext) -> *mut ffi::WasmEdge_CompilerContext;
type Compile = unsafe extern "C" fn(
    *mut ffi::WasmEdge_CompilerContext,
    ffi::WasmEdge_Bytes,
    *const c_char,
) -> ffi::WasmEdge_Result;
type Listen = unsafe extern "C" fn(log::Callback);
type Quiet = unsafe extern "C" fn();

/// What compiling takes of the second copy.
struct Second {
    configure: Configure,
    set_level: SetLevel,
    set_format: SetFormat,
    create: Create,
    compile: Compile,
}

static SECOND: OnceLock<Result<Second, String>> = OnceLock::new();

/// Whether the library was built with a compiler.
pub(crate) fn is_there() -> bool {
    Config::new(Mode::Interpreter).is_ok_and(|config| Compiler::new(&config).is_some())
}

/// Loads what compiling needs besides, if anything.
pub(crate) fn prepare() -> Result<(), EngineError> {
    if !has_stand_in() {
        return Ok(());
    }
    let second = SECOND.get_or_init(Second::load).as_ref();
    second.map(drop).map_err(|error| EngineError::failed(format_args!("WasmEdge's compiler can't be loaded: {error}")))
}

/// Compiles a module to a shared object at `path`, with an effort from 0 to 3.
pub(crate) fn compile(wasm: &[u8], path: &CStr, level: u32) -> Result<(), EngineError> {
    let failed = |failure: Failure| outcome::error(&failure);
    if has_stand_in() {
        prepare()?;
        let Some(Ok(second)) = SECOND.get() else {
            return Err(EngineError::failed("WasmEdge's compiler is not loaded"));
        };
        return second.compile(wasm, path, level).map_err(failed);
    }
    let mut config = Config::new(Mode::Interpreter).map_err(failed)?;
    config.compile_with(level);
    let mut compiler = Compiler::new(&config).ok_or_else(|| {
        EngineError::new(ErrorKind::Unsupported, "this build of the WasmEdge library has no compiler")
    })?;
    compiler.compile(wasm, path).map_err(failed)
}

/// Whether the LLVM that WasmEdge's library was given is the stand-in.
fn has_stand_in() -> bool {
    // SAFETY: looks a name up among what this object sees.
    !unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"multiwasm_no_llvm".as_ptr()) }.is_null()
}

impl Second {
    fn load() -> Result<Self, String> {
        let mut found = libc::Dl_info {
            dli_fname: std::ptr::null(),
            dli_fbase: std::ptr::null_mut(),
            dli_sname: std::ptr::null(),
            dli_saddr: std::ptr::null_mut(),
        };
        // SAFETY: the address is one of the library's, the place valid for one write.
        if unsafe { libc::dladdr(address() as *const c_void, &raw mut found) } == 0 {
            return Err("the library that is loaded has no name".to_owned());
        }
        // SAFETY: the name is the dynamic linker's, and stays.
        let library = unsafe { dlmopen(LM_ID_NEWLM, found.dli_fname, libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if library.is_null() {
            // SAFETY: after a failure this is a text, valid until the next call on this thread.
            return Err(unsafe { CStr::from_ptr(libc::dlerror()) }.to_string_lossy().into_owned());
        }
        let symbol = |name: &CStr| {
            // SAFETY: the library is open and never closed.
            let symbol = unsafe { libc::dlsym(library, name.as_ptr()) };
            if symbol.is_null() { Err(format!("{} is missing in it", name.to_string_lossy())) } else { Ok(symbol) }
        };
        // SAFETY: the functions have the types that the API's header, from which `ffi` is generated, gives them.
        let second = unsafe {
            let listen = std::mem::transmute::<*mut c_void, Listen>(symbol(c"WasmEdge_LogSetCallback")?);
            let quiet = std::mem::transmute::<*mut c_void, Quiet>(symbol(c"WasmEdge_LogSetErrorLevel")?);
            listen(log::CALLBACK);
            quiet();
            let set_level = symbol(c"WasmEdge_ConfigureCompilerSetOptimizationLevel")?;
            let set_format = symbol(c"WasmEdge_ConfigureCompilerSetOutputFormat")?;
            Self {
                configure: std::mem::transmute::<*mut c_void, Configure>(symbol(c"WasmEdge_ConfigureCreate")?),
                set_level: std::mem::transmute::<*mut c_void, SetLevel>(set_level),
                set_format: std::mem::transmute::<*mut c_void, SetFormat>(set_format),
                create: std::mem::transmute::<*mut c_void, Create>(symbol(c"WasmEdge_CompilerCreate")?),
                compile: std::mem::transmute::<*mut c_void, Compile>(symbol(c"WasmEdge_CompilerCompileFromBytes")?),
            }
        };
        Ok(second)
    }

    fn compile(&self, wasm: &[u8], path: &CStr, level: u32) -> Result<(), Failure> {
        // What is made here ends with the process, which is the compiler's own.
        // SAFETY: the contexts are this copy's own; the bytes and the path are lent for the length of the call.
        crate::ffi::checked(|| unsafe {
            let config = (self.configure)();
            (self.set_level)(config, level.min(3));
            (self.set_format)(config, ffi::WasmEdge_CompilerOutputFormat_Native);
            (self.compile)((self.create)(config), crate::ffi::lend_bytes(wasm), path.as_ptr())
        })
    }
}
