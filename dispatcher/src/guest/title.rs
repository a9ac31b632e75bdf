//! How a guest's process is shown: by `ps`, `docker top`, `/proc`.
//!
//! Nothing is executed on the way to a guest, so its process would go on under the shim's own command line.

use std::io;

use nix::sys::prctl;

/// What prctl(2) takes with `PR_SET_MM_MAP`: `struct prctl_mm_map` of linux/prctl.h.
#[repr(C)]
struct MemoryMap {
    start_code: u64,
    end_code: u64,
    start_data: u64,
    end_data: u64,
    start_brk: u64,
    brk: u64,
    start_stack: u64,
    arg_start: u64,
    arg_end: u64,
    env_start: u64,
    env_end: u64,
    auxv: u64,
    auxv_size: u32,
    exe_fd: u32,
}

/// Lets this process, and those that it forks, be shown with `args` as their command line.
///
/// # Errors
/// What the kernel says: one without `CONFIG_CHECKPOINT_RESTORE` can't.
pub(crate) fn set_command_line(args: &[String]) -> io::Result<()> {
    let text: Vec<u8> = args.iter().flat_map(|arg| arg.bytes().chain([0])).collect();
    if text.is_empty() {
        return Ok(());
    }
    // Leaked: it is this process's command line from now on.
    let text: &'static [u8] = text.leak();
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let mut map = current(&stat).ok_or_else(|| io::Error::other("/proc/self/stat has not the fields of proc(5)"))?;
    map.arg_start = text.as_ptr() as u64;
    map.arg_end = map.arg_start + text.len() as u64;
    // SAFETY: the map is valid for the call, and its size as said; all in it but the command line is as it was.
    let done = unsafe {
        map.brk = libc::sbrk(0) as u64;
        libc::prctl(libc::PR_SET_MM, libc::PR_SET_MM_MAP, &raw const map, size_of::<MemoryMap>(), 0)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The fields of /proc/self/stat that the kernel wants back (proc(5); the name in parentheses is the second).
fn current(stat: &str) -> Option<MemoryMap> {
    let fields: Vec<u64> =
        stat.rsplit_once(") ")?.1.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
    let field = |number: usize| fields.get(number - 3).copied();
    Some(MemoryMap {
        start_code: field(26)?,
        end_code: field(27)?,
        start_stack: field(28)?,
        start_data: field(45)?,
        end_data: field(46)?,
        start_brk: field(47)?,
        brk: 0,
        arg_start: field(48)?,
        arg_end: field(49)?,
        env_start: field(50)?,
        env_end: field(51)?,
        auxv: 0,
        auxv_size: 0,
        exe_fd: u32::MAX,
    })
}

/// Gives this process the short name of a program called `args[0]`, as execve(2) would.
pub(crate) fn set_name(args: &[String]) {
    let path = args.first().map(String::as_str).unwrap_or_default();
    let name: Vec<u8> = path.rsplit('/').next().unwrap_or(path).bytes().take_while(|byte| *byte != 0).collect();
    if let Ok(name) = std::ffi::CString::new(name) {
        // The kernel takes the first 15 bytes; it has no other fault to find.
        let _ = prctl::set_name(&name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_from_behind_the_name() {
        let numbers: Vec<String> = (4..=52).map(|number| number.to_string()).collect();
        let map = current(&format!("7 (a) b) (c) S {}", numbers.join(" "))).unwrap();
        assert_eq!((map.start_code, map.start_stack, map.start_data), (26, 28, 45));
        assert_eq!((map.arg_start, map.env_end, map.brk), (48, 51, 0));
        assert!(current("7 (a) S 1 2").is_none());
    }

    #[test]
    fn the_command_line_becomes_the_guests() {
        // Of the whole process: no other test looks at it.
        set_command_line(&["/app.wasm".into(), "two words".into(), String::new()]).unwrap();
        assert_eq!(std::fs::read("/proc/self/cmdline").unwrap(), b"/app.wasm\0two words\0\0");
    }
}
