//! The host's errors that wasmer-wasix has no word for.
//!
//! Between the host and the guest's error numbers stand virtual-fs's errors, which are few: no access, a read-only file
//! system and what is not permitted are one there, and a full device or a name that is too long are nameless. So what the
//! host said last is noted here, and read when the answer reaches the guest.

use std::cell::Cell;
use std::io;

use wasmer_wasix::virtual_fs::FsError;
use wasmer_wasix::wasmer_wasix_types::wasi::Errno;

thread_local! {
    /// What the host said last on this thread, since somebody last forgot it; 0: nothing.
    static SAID: Cell<i32> = const { Cell::new(0) };
}

/// What virtual-fs calls an error of the host, which is noted.
pub(crate) fn error_of(error: io::Error) -> FsError {
    note(&error);
    match error.raw_os_error() {
        Some(libc::ENOTEMPTY) => FsError::DirectoryNotEmpty,
        Some(libc::ENOTDIR) => FsError::BaseNotDirectory,
        Some(libc::EISDIR) => FsError::NotAFile,
        // Files are opened for reading and writing first; on this error they are for reading alone.
        Some(libc::EROFS | libc::ETXTBSY) => FsError::PermissionDenied,
        Some(libc::ENOSPC | libc::EDQUOT) => FsError::WriteZero,
        Some(libc::EBADF) => FsError::InvalidFd,
        Some(libc::ENODEV | libc::ENXIO) => FsError::NoDevice,
        Some(libc::EOPNOTSUPP) => FsError::Unsupported,
        _ => error.into(),
    }
}

/// Keeps in mind what the host said.
pub(crate) fn note(error: &io::Error) {
    SAID.set(error.raw_os_error().unwrap_or(0));
}

/// Forgets what the host said, for what comes now or because something else was done then.
pub(crate) fn forget() {
    SAID.set(0);
}

/// The better answer for a guest that is about to get `answer`; none where that one is good.
pub(crate) fn better(answer: i32) -> Option<Errno> {
    const COARSE: [Errno; 5] = [Errno::Perm, Errno::Io, Errno::Inval, Errno::Notsup, Errno::Noent];
    COARSE.iter().find(|coarse| **coarse as i32 == answer)?;
    match SAID.get() {
        libc::EACCES => Some(Errno::Access),
        libc::EROFS => Some(Errno::Rofs),
        libc::EXDEV => Some(Errno::Xdev),
        libc::EISDIR => Some(Errno::Isdir),
        libc::EFBIG => Some(Errno::Fbig),
        libc::ENOSPC => Some(Errno::Nospc),
        libc::EDQUOT => Some(Errno::Dquot),
        libc::EMFILE => Some(Errno::Mfile),
        libc::ENFILE => Some(Errno::Nfile),
        libc::ETXTBSY => Some(Errno::Txtbsy),
        libc::ENAMETOOLONG => Some(Errno::Nametoolong),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_said_is_better_than_a_coarse_answer() {
        assert_eq!(error_of(io::Error::from_raw_os_error(libc::EROFS)), FsError::PermissionDenied);
        assert_eq!(better(Errno::Perm as i32), Some(Errno::Rofs));
        // What does not come from the host's error stays.
        assert_eq!(better(Errno::Badf as i32), None);
        forget();
        assert_eq!(better(Errno::Perm as i32), None);
    }

    #[test]
    fn a_link_to_another_file_system_is_no_lack_of_links() {
        // On `Unsupported` wasmer-wasix makes a link that lives in memory alone.
        assert_ne!(error_of(io::Error::from_raw_os_error(libc::EXDEV)), FsError::Unsupported);
        assert_eq!(better(Errno::Io as i32), Some(Errno::Xdev));
    }
}
