//! What WasmEdge logs, kept for error messages: it would go to stdout, which is the guest's.

use std::cell::RefCell;

use wasmedge_sys::ffi;

/// Most bytes that are kept. The lines that explain a failure are the last ones, and few; a guest that asks for memory
/// again and again in vain makes a line each time.
const KEPT: usize = 16 * 1024;

thread_local! {
    static LINES: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What WasmEdge calls for each line.
pub(crate) type Callback = ffi::WasmEdge_LogCallback_t;
/// It keeps the line.
pub(crate) const CALLBACK: Callback = Some(keep);

/// Takes the log over, for the whole process.
pub(crate) fn capture() {
    // SAFETY: the callback may be called at any time from now on and is there for as long as the library is.
    unsafe {
        ffi::WasmEdge_LogSetCallback(CALLBACK);
        ffi::WasmEdge_LogSetErrorLevel();
    }
}

/// What was logged on this thread since the last call.
pub(crate) fn take() -> String {
    LINES.take()
}

unsafe extern "C" fn keep(message: *const ffi::WasmEdge_LogMessage) {
    // SAFETY: WasmEdge lends a message for the length of the call.
    let text = unsafe { (*message).Message };
    if text.Buf.is_null() {
        return;
    }
    // SAFETY: as above: `Length` readable bytes.
    let text = unsafe { std::slice::from_raw_parts(text.Buf.cast::<u8>(), text.Length as usize) };
    // No panic may leave a callback: a log that is in use, or gone with its thread, loses the line.
    let _ = LINES.try_with(|lines| {
        if let Ok(mut lines) = lines.try_borrow_mut() {
            if lines.len() + text.len() > KEPT {
                lines.clear();
            }
            lines.push_str(&String::from_utf8_lossy(text));
            lines.push('\n');
        }
    });
}
