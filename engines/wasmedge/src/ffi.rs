//! Safe and owning wrappers of the part of WasmEdge's C API that a plug-in needs; no other file calls that API, but
//! for the log.

use std::ffi::{CStr, CString, c_char};
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::path::Path;
use std::ptr::{self, NonNull};

use wasmedge_sys::ffi;

use crate::log;

/// A result other than success, with what was logged about it.
#[derive(Debug)]
pub(crate) struct Failure {
    /// WasmEdge's error code; `0x01` is a guest's `proc_exit`.
    pub(crate) code: u32,
    /// WasmEdge's words for the code.
    pub(crate) words: String,
    /// What was logged meanwhile: offsets, indices, call stack.
    pub(crate) details: String,
}

impl Failure {
    /// The guest called `proc_exit`: `WasmEdge_ErrCode_Terminated`.
    pub(crate) const TERMINATED: u32 = ffi::WasmEdge_ErrCode_Terminated;

    fn of(result: ffi::WasmEdge_Result) -> Self {
        // SAFETY: plain values in; the message is a constant of the library.
        let (code, words) =
            unsafe { (ffi::WasmEdge_ResultGetCode(result), CStr::from_ptr(ffi::WasmEdge_ResultGetMessage(result))) };
        Self { code, words: words.to_string_lossy().into_owned(), details: log::take() }
    }

    fn no_memory() -> Self {
        Self {
            code: ffi::WasmEdge_ErrCode_RuntimeError,
            words: "out of memory in the engine".to_owned(),
            details: log::take(),
        }
    }
}

/// Runs one call of the API, so that the log of a failure is that call's alone.
pub(crate) fn checked(call: impl FnOnce() -> ffi::WasmEdge_Result) -> Result<(), Failure> {
    drop(log::take());
    match call() {
        // Not `WasmEdge_ResultOK`, which takes a `proc_exit` for success.
        ffi::WasmEdge_Result { Code: 0 } => Ok(()),
        result => Err(Failure::of(result)),
    }
}

/// A context of the API that is deleted with its owner.
macro_rules! owned {
    ($(#[$meta:meta])* $name:ident($context:ident) by $delete:ident) => {
        $(#[$meta])*
        pub(crate) struct $name(NonNull<ffi::$context>);

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: made by the function that the API pairs with this one, and not used again.
                unsafe { ffi::$delete(self.0.as_ptr()) }
            }
        }
    };
}

/// The library's version, as its own command prints it.
pub(crate) fn version() -> String {
    // SAFETY: the version is a constant of the library.
    unsafe { CStr::from_ptr(ffi::WasmEdge_VersionGet()) }.to_string_lossy().into_owned()
}

/// An address within the library, by which its object is found.
pub(crate) fn address() -> usize {
    ffi::WasmEdge_VersionGet as *const () as usize
}

owned! {
    /// What loader, compiler and executor are made with.
    Config(WasmEdge_ConfigureContext) by WasmEdge_ConfigureDelete
}

/// Who executes a module's functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The interpreter: native code in a module is not so much as looked at.
    Interpreter,
    /// Native code that the compiler made.
    Compiled,
}

impl Config {
    /// The library's own settings, and `mode`.
    pub(crate) fn new(mode: Mode) -> Result<Self, Failure> {
        // SAFETY: takes nothing.
        let config =
            NonNull::new(unsafe { ffi::WasmEdge_ConfigureCreate() }).map(Self).ok_or_else(Failure::no_memory)?;
        let mode = match mode {
            Mode::Interpreter => ffi::WasmEdge_RunMode_Interpreter,
            Mode::Compiled => ffi::WasmEdge_RunMode_AOT,
        };
        // SAFETY: the context is alive, the value one of the enumeration.
        unsafe { ffi::WasmEdge_ConfigureSetRunMode(config.0.as_ptr(), mode) };
        Ok(config)
    }

    /// No linear memory grows beyond so many pages of 64 KiB.
    pub(crate) fn limit_memory(&mut self, pages: u64) {
        // SAFETY: the context is alive.
        unsafe { ffi::WasmEdge_ConfigureSetMaxMemoryPage(self.0.as_ptr(), pages) };
    }

    /// The compiler's effort, 0 to 3, and its form: a shared object for this very processor.
    pub(crate) fn compile_with(&mut self, level: u32) {
        // SAFETY: the context is alive; the enumeration's first four values are the levels 0 to 3.
        unsafe {
            ffi::WasmEdge_ConfigureCompilerSetOptimizationLevel(self.0.as_ptr(), level.min(3));
            ffi::WasmEdge_ConfigureCompilerSetOutputFormat(self.0.as_ptr(), ffi::WasmEdge_CompilerOutputFormat_Native);
        }
    }
}

owned! {
    /// The compiler.
    Compiler(WasmEdge_CompilerContext) by WasmEdge_CompilerDelete
}

impl Compiler {
    /// The compiler; none where the library was built without it.
    pub(crate) fn new(config: &Config) -> Option<Self> {
        // SAFETY: the configuration is alive and copied.
        NonNull::new(unsafe { ffi::WasmEdge_CompilerCreate(config.0.as_ptr()) }).map(Self)
    }

    /// Compiles a module to a shared object at `path`.
    pub(crate) fn compile(&mut self, wasm: &[u8], path: &CStr) -> Result<(), Failure> {
        // SAFETY: the bytes and the path are lent for the length of the call.
        checked(|| unsafe { ffi::WasmEdge_CompilerCompileFromBytes(self.0.as_ptr(), lend_bytes(wasm), path.as_ptr()) })
    }
}

owned! {
    /// A module as it was read.
    Ast(WasmEdge_ASTModuleContext) by WasmEdge_ASTModuleDelete
}

owned!(Loader(WasmEdge_LoaderContext) by WasmEdge_LoaderDelete);
owned!(Validator(WasmEdge_ValidatorContext) by WasmEdge_ValidatorDelete);

/// What a module wants from outside.
pub(crate) struct Import<'a> {
    /// The module that should have it.
    pub(crate) module: String,
    /// Its name there.
    pub(crate) name: String,
    /// Its type; none where it is no function.
    pub(crate) function: Option<FunctionType<'a>>,
}

/// A function that a module offers.
pub(crate) struct Export<'a> {
    /// Its name.
    pub(crate) name: String,
    /// Its type; none where it is no function.
    pub(crate) function: Option<FunctionType<'a>>,
}

impl Ast {
    /// Reads and validates a module in binary format. Only the interpreter runs what comes of it.
    pub(crate) fn from_bytes(config: &Config, wasm: &[u8]) -> Result<Self, Failure> {
        Self::read(config, |loader, ast| {
            // SAFETY: loader and place are alive, the bytes lent for the length of the call.
            unsafe { ffi::WasmEdge_LoaderParseFromBytes(loader, ast, lend_bytes(wasm)) }
        })
    }

    /// Maps and validates a shared object that [`Compiler::compile`] wrote.
    pub(crate) fn from_artifact(config: &Config, path: &CStr) -> Result<Self, Failure> {
        Self::read(config, |loader, ast| {
            // SAFETY: loader and place are alive, the path lent for the length of the call. That the file is what the
            // compiler wrote is the caller's to know: its code is mapped and will be run.
            unsafe { ffi::WasmEdge_LoaderParseFromFile(loader, ast, path.as_ptr()) }
        })
    }

    fn read(
        config: &Config,
        parse: impl FnOnce(
            *mut ffi::WasmEdge_LoaderContext,
            *mut *mut ffi::WasmEdge_ASTModuleContext,
        ) -> ffi::WasmEdge_Result,
    ) -> Result<Self, Failure> {
        // SAFETY: the configuration is alive and copied.
        let loader = NonNull::new(unsafe { ffi::WasmEdge_LoaderCreate(config.0.as_ptr()) })
            .map(Loader)
            .ok_or_else(Failure::no_memory)?;
        let mut ast = ptr::null_mut();
        checked(|| parse(loader.0.as_ptr(), &mut ast))?;
        let ast = NonNull::new(ast).map(Self).ok_or_else(Failure::no_memory)?;
        // SAFETY: as for the loader.
        let validator = NonNull::new(unsafe { ffi::WasmEdge_ValidatorCreate(config.0.as_ptr()) })
            .map(Validator)
            .ok_or_else(Failure::no_memory)?;
        // SAFETY: both contexts are alive.
        checked(|| unsafe { ffi::WasmEdge_ValidatorValidate(validator.0.as_ptr(), ast.0.as_ptr()) })?;
        Ok(ast)
    }

    /// All imports, in the module's order.
    pub(crate) fn imports(&self) -> Vec<Import<'_>> {
        let ast = self.0.as_ptr();
        // SAFETY: the module is alive; the list gets as many entries as it has room for, each alive as long as the
        // module is.
        unsafe {
            let mut list = vec![ptr::null(); ffi::WasmEdge_ASTModuleListImportsLength(ast) as usize];
            ffi::WasmEdge_ASTModuleListImports(ast, list.as_mut_ptr(), list.len() as u32);
            list.into_iter()
                .map(|import| Import {
                    module: text(ffi::WasmEdge_ImportTypeGetModuleName(import)),
                    name: text(ffi::WasmEdge_ImportTypeGetExternalName(import)),
                    function: FunctionType::borrowed(ffi::WasmEdge_ImportTypeGetFunctionType(ast, import)),
                })
                .collect()
        }
    }

    /// All exports, in the module's order.
    pub(crate) fn exports(&self) -> Vec<Export<'_>> {
        let ast = self.0.as_ptr();
        // SAFETY: as in `imports`.
        unsafe {
            let mut list = vec![ptr::null(); ffi::WasmEdge_ASTModuleListExportsLength(ast) as usize];
            ffi::WasmEdge_ASTModuleListExports(ast, list.as_mut_ptr(), list.len() as u32);
            list.into_iter()
                .map(|export| Export {
                    name: text(ffi::WasmEdge_ExportTypeGetExternalName(export)),
                    function: FunctionType::borrowed(ffi::WasmEdge_ExportTypeGetFunctionType(ast, export)),
                })
                .collect()
        }
    }
}

/// The type of a function of something that lives for `'a`.
#[derive(Clone, Copy)]
pub(crate) struct FunctionType<'a>(NonNull<ffi::WasmEdge_FunctionTypeContext>, PhantomData<&'a ()>);

impl FunctionType<'_> {
    /// # Safety
    /// The type is null or lives for the lifetime that the caller gives it.
    unsafe fn borrowed(context: *const ffi::WasmEdge_FunctionTypeContext) -> Option<Self> {
        NonNull::new(context.cast_mut()).map(|context| Self(context, PhantomData))
    }

    /// How many parameters and how many results.
    pub(crate) fn arity(self) -> (usize, usize) {
        let context = self.0.as_ptr();
        // SAFETY: the type is alive.
        unsafe {
            (
                ffi::WasmEdge_FunctionTypeGetParametersLength(context) as usize,
                ffi::WasmEdge_FunctionTypeGetReturnsLength(context) as usize,
            )
        }
    }

    /// Parameters, then results.
    fn values(self) -> Vec<ffi::WasmEdge_ValType> {
        let (parameters, results) = self.arity();
        let mut types = vec![ffi::WasmEdge_ValType { Data: [0; 8] }; parameters + results];
        let (head, tail) = types.split_at_mut(parameters);
        // SAFETY: the type is alive; each list has room for what it gets.
        unsafe {
            ffi::WasmEdge_FunctionTypeGetParameters(self.0.as_ptr(), head.as_mut_ptr(), head.len() as u32);
            ffi::WasmEdge_FunctionTypeGetReturns(self.0.as_ptr(), tail.as_mut_ptr(), tail.len() as u32);
        }
        types
    }

    /// Whether a function of this type serves where `other` is wanted.
    pub(crate) fn is(self, other: FunctionType<'_>) -> bool {
        self.arity() == other.arity()
            && self.values().into_iter().zip(other.values()).all(|(ours, theirs)| {
                // SAFETY: plain values.
                unsafe { ffi::WasmEdge_ValTypeIsEqual(ours, theirs) }
            })
    }
}

owned! {
    /// A module instance: the guest, or the host functions that it imports.
    Module(WasmEdge_ModuleInstanceContext) by WasmEdge_ModuleInstanceDelete
}

impl Module {
    /// Preview 1 with nobody in its world: good for looking functions up.
    pub(crate) fn wasi_functions() -> Result<Self, Failure> {
        // SAFETY: every list is empty.
        NonNull::new(unsafe { ffi::WasmEdge_ModuleInstanceCreateWASI(ptr::null(), 0, ptr::null(), 0, ptr::null(), 0) })
            .map(Self)
            .ok_or_else(Failure::no_memory)
    }

    /// Preview 1 for one guest. `preopens` are `guest:host` or `guest:host:readonly`; `stdio` stays the caller's and
    /// must stay open while the guest runs.
    pub(crate) fn wasi(
        args: &[CString],
        env: &[CString],
        preopens: &[CString],
        stdio: [BorrowedFd<'_>; 3],
    ) -> Result<Self, Failure> {
        let [args, env, preopens] = [args, env, preopens].map(pointers);
        let [stdin, stdout, stderr] = stdio.map(|fd| fd.as_raw_fd());
        drop(log::take());
        // SAFETY: the lists are as long as said, their strings terminated, and all of them are copied; descriptors are
        // lent, the library does not close them.
        let module = unsafe {
            ffi::WasmEdge_ModuleInstanceCreateWASIWithFds(
                args.as_ptr(),
                args.len() as u32,
                env.as_ptr(),
                env.len() as u32,
                preopens.as_ptr(),
                preopens.len() as u32,
                stdin,
                stdout,
                stderr,
            )
        };
        NonNull::new(module).map(Self).ok_or_else(Failure::no_memory)
    }

    /// The descriptor here that is behind the guest's descriptor `fd`.
    pub(crate) fn native_fd(&self, fd: u32) -> Option<RawFd> {
        let mut native = 0;
        // SAFETY: the module is alive, the place is ours.
        let status =
            unsafe { ffi::WasmEdge_ModuleInstanceWASIGetNativeHandler(self.0.as_ptr(), fd as i32, &mut native) };
        (status == 0).then_some(native as RawFd)
    }

    /// What the guest gave `proc_exit`.
    pub(crate) fn exit_code(&self) -> u32 {
        // SAFETY: the module is alive.
        unsafe { ffi::WasmEdge_ModuleInstanceWASIGetExitCode(self.0.as_ptr()) }
    }

    /// The type of the function `name`.
    pub(crate) fn function(&self, name: &str) -> Option<FunctionType<'_>> {
        let function = self.find(name)?;
        // SAFETY: function and type live as long as the module.
        unsafe { FunctionType::borrowed(ffi::WasmEdge_FunctionInstanceGetFunctionType(function.as_ptr())) }
    }

    fn find(&self, name: &str) -> Option<NonNull<ffi::WasmEdge_FunctionInstanceContext>> {
        // SAFETY: the module is alive, the name lent for the length of the call.
        NonNull::new(unsafe { ffi::WasmEdge_ModuleInstanceFindFunction(self.0.as_ptr(), lend_text(name)) })
    }
}

owned! {
    /// What runs functions.
    Executor(WasmEdge_ExecutorContext) by WasmEdge_ExecutorDelete
}

owned! {
    /// The modules that a guest can import from.
    Store(WasmEdge_StoreContext) by WasmEdge_StoreDelete
}

impl Store {
    /// An empty store.
    pub(crate) fn new() -> Result<Self, Failure> {
        // SAFETY: takes nothing.
        NonNull::new(unsafe { ffi::WasmEdge_StoreCreate() }).map(Self).ok_or_else(Failure::no_memory)
    }
}

impl Executor {
    /// An executor with these settings.
    pub(crate) fn new(config: &Config) -> Result<Self, Failure> {
        // SAFETY: the configuration is alive and copied; no statistics are wanted.
        NonNull::new(unsafe { ffi::WasmEdge_ExecutorCreate(config.0.as_ptr(), ptr::null_mut()) })
            .map(Self)
            .ok_or_else(Failure::no_memory)
    }

    /// Offers `host` to guests under its own name. It must outlive them.
    pub(crate) fn register(&self, store: &Store, host: &Module) -> Result<(), Failure> {
        // SAFETY: all contexts are alive.
        checked(|| unsafe { ffi::WasmEdge_ExecutorRegisterImport(self.0.as_ptr(), store.0.as_ptr(), host.0.as_ptr()) })
    }

    /// Instantiates a module; its start section runs. It must outlive the instance, as the hosts in the store must.
    pub(crate) fn instantiate(&self, store: &Store, ast: &Ast) -> Result<Module, Failure> {
        let mut module = ptr::null_mut();
        // SAFETY: all contexts are alive, the place is ours.
        checked(|| unsafe {
            ffi::WasmEdge_ExecutorInstantiate(self.0.as_ptr(), &mut module, store.0.as_ptr(), ast.0.as_ptr())
        })?;
        NonNull::new(module).map(Module).ok_or_else(Failure::no_memory)
    }

    /// Calls a function that takes nothing; what it returns is dropped.
    pub(crate) fn call(&self, module: &Module, name: &str) -> Result<(), Failure> {
        let results = module.function(name).map_or(0, |function| function.arity().1);
        // SAFETY: plain values.
        let mut results = vec![unsafe { ffi::WasmEdge_ValueGenI32(0) }; results];
        let function = module.find(name).map_or(ptr::null(), |function| function.as_ptr().cast_const());
        // SAFETY: the contexts are alive (a missing function is an error of the call), and there is room for all
        // results.
        checked(|| unsafe {
            ffi::WasmEdge_ExecutorInvoke(
                self.0.as_ptr(),
                function,
                ptr::null(),
                0,
                results.as_mut_ptr(),
                results.len() as u32,
            )
        })
    }
}

/// A path for the C API.
pub(crate) fn c_path(path: &Path) -> Option<CString> {
    use std::os::unix::ffi::OsStrExt;
    CString::new(path.as_os_str().as_bytes()).ok()
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).collect()
}

pub(crate) fn lend_bytes(bytes: &[u8]) -> ffi::WasmEdge_Bytes {
    // Lengths are 32 bit in the API; a longer module is cut here and then refused as torn.
    ffi::WasmEdge_Bytes { Length: bytes.len().try_into().unwrap_or(u32::MAX), Buf: bytes.as_ptr() }
}

fn lend_text(text: &str) -> ffi::WasmEdge_String {
    ffi::WasmEdge_String { Length: text.len().try_into().unwrap_or(u32::MAX), Buf: text.as_ptr().cast() }
}

/// # Safety
/// `string` is one that the library lends.
unsafe fn text(string: ffi::WasmEdge_String) -> String {
    if string.Buf.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise: `Length` readable bytes.
    let bytes = unsafe { std::slice::from_raw_parts(string.Buf.cast::<u8>(), string.Length as usize) };
    String::from_utf8_lossy(bytes).into_owned()
}
