//! Read-only directories, held to by the kernel: WasmEdge's own idea of them lets a guest create, rename and remove
//! below their subdirectories (and has to, as the rights that it would take away are among those that Rust's library
//! asks for when it opens a file to read).
//!
//! In a container the mount is read-only and nothing is left to do. Elsewhere Landlock takes the right to change files
//! from the process, but for the directories that the guest may write to.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use multiwasm_engine::{EngineError, ErrorKind, Guest};

// From the kernel's uapi/linux/landlock.h.
const VERSION: u32 = 1;
const RULE_PATH_BENEATH: u32 = 1;
/// To write to files, and to make and remove entries of every kind.
const CHANGE: u64 = (1 << 1) | 0x1ff0;
/// To move entries between directories; since version 2.
const REFER: u64 = 1 << 13;
/// To cut files; since version 3.
const TRUNCATE: u64 = 1 << 14;

#[repr(C)]
struct Ruleset {
    handled: u64,
}

#[repr(C, packed)]
struct PathBeneath {
    allowed: u64,
    parent: RawFd,
}

/// What the process will have to keep to.
pub(crate) struct Protection(OwnedFd);

/// Prepares what the kernel does not do already for the guest's read-only directories; none where that is all.
///
/// # Errors
/// Where a directory is to be read-only and the kernel has no means to make it so.
pub(crate) fn prepare(guest: &Guest<'_>) -> Result<Option<Protection>, EngineError> {
    let failed = |error: io::Error| EngineError::failed(format_args!("can't protect read-only directories: {error}"));
    let mut open = None;
    for preopen in guest.preopens.iter().filter(|preopen| preopen.read_only) {
        let folder = File::open(preopen.host).map_err(failed)?;
        if !mounted_read_only(&folder).map_err(failed)? {
            open = Some(preopen);
        }
    }
    let Some(open) = open else { return Ok(None) };
    let Some(handled) = handled() else {
        return Err(EngineError::new(
            ErrorKind::Unsupported,
            format_args!(
                "wasmedge alone can't make the directory {} read-only, and this kernel has no Landlock: mount it \
                 read-only",
                open.host.display()
            ),
        ));
    };
    let rules = ruleset(handled).map_err(failed)?;
    for preopen in guest.preopens.iter().filter(|preopen| !preopen.read_only) {
        let folder = File::open(preopen.host).map_err(failed)?;
        allow(&rules, handled, &folder).map_err(failed)?;
    }
    Ok(Some(Protection(rules)))
}

impl Protection {
    /// Holds this thread, and what it starts, to it for ever.
    pub(crate) fn enforce(&self) -> io::Result<()> {
        // SAFETY: takes numbers alone.
        unsafe {
            // Without a privilege the kernel wants to know that none can be gained.
            checked(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0).into())?;
            checked(libc::syscall(libc::SYS_landlock_restrict_self, self.0.as_raw_fd(), 0))?;
        }
        Ok(())
    }
}

fn mounted_read_only(folder: &File) -> io::Result<bool> {
    let mut about = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: an open descriptor and a place for the answer, which is there after success.
    let about = unsafe {
        checked(libc::fstatvfs(folder.as_raw_fd(), about.as_mut_ptr()).into())?;
        about.assume_init()
    };
    Ok(about.f_flag & libc::ST_RDONLY != 0)
}

/// The rights that this kernel can take away; none where it has no Landlock.
fn handled() -> Option<u64> {
    // SAFETY: asks for the version, with no rules.
    match unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, ptr::null::<Ruleset>(), 0, VERSION) } {
        ..1 => None,
        1 => Some(CHANGE),
        2 => Some(CHANGE | REFER),
        3.. => Some(CHANGE | REFER | TRUNCATE),
    }
}

fn ruleset(handled: u64) -> io::Result<OwnedFd> {
    let rules = Ruleset { handled };
    // SAFETY: the struct is as long as said and lent; what comes back is a new descriptor.
    unsafe {
        let fd = checked(libc::syscall(libc::SYS_landlock_create_ruleset, &rules, size_of::<Ruleset>(), 0))?;
        Ok(OwnedFd::from_raw_fd(fd as RawFd))
    }
}

fn allow(rules: &OwnedFd, allowed: u64, folder: &File) -> io::Result<()> {
    let rule = PathBeneath { allowed, parent: folder.as_raw_fd() };
    // SAFETY: both descriptors are open, the struct is lent.
    unsafe { checked(libc::syscall(libc::SYS_landlock_add_rule, rules.as_raw_fd(), RULE_PATH_BENEATH, &rule, 0)) }?;
    Ok(())
}

fn checked(returned: i64) -> io::Result<i64> {
    if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}
