//! What may be done with files and directories.

use wasmer_wasix::wasmer_wasix_types::wasi::Rights;

const READ_FILES: Rights = Rights::FD_READ
    .union(Rights::FD_SEEK)
    .union(Rights::FD_TELL)
    .union(Rights::FD_ADVISE)
    .union(Rights::FD_FDSTAT_SET_FLAGS)
    .union(Rights::FD_FILESTAT_GET)
    .union(Rights::POLL_FD_READWRITE);
const WRITE_FILES: Rights = READ_FILES
    .union(Rights::FD_WRITE)
    .union(Rights::FD_SYNC)
    .union(Rights::FD_DATASYNC)
    .union(Rights::FD_ALLOCATE)
    .union(Rights::FD_FILESTAT_SET_SIZE)
    .union(Rights::FD_FILESTAT_SET_TIMES);
const READ_DIRECTORIES: Rights = Rights::FD_READDIR
    .union(Rights::FD_FDSTAT_SET_FLAGS)
    .union(Rights::FD_FILESTAT_GET)
    .union(Rights::PATH_OPEN)
    .union(Rights::PATH_READLINK)
    .union(Rights::PATH_FILESTAT_GET);

/// What may be done with a directory itself.
pub(crate) const DIRECTORIES: Rights = READ_DIRECTORIES
    .union(Rights::FD_SYNC)
    .union(Rights::FD_DATASYNC)
    .union(Rights::FD_FILESTAT_SET_TIMES)
    .union(Rights::PATH_CREATE_DIRECTORY)
    .union(Rights::PATH_CREATE_FILE)
    .union(Rights::PATH_LINK_SOURCE)
    .union(Rights::PATH_LINK_TARGET)
    .union(Rights::PATH_RENAME_SOURCE)
    .union(Rights::PATH_RENAME_TARGET)
    .union(Rights::PATH_FILESTAT_SET_SIZE)
    .union(Rights::PATH_FILESTAT_SET_TIMES)
    .union(Rights::PATH_SYMLINK)
    .union(Rights::PATH_REMOVE_DIRECTORY)
    .union(Rights::PATH_UNLINK_FILE);

/// What may be done with a directory and all in it.
pub(crate) const ALL: Rights = DIRECTORIES.union(WRITE_FILES);

/// What may be done with a directory and all in it where nothing may change.
pub(crate) const READ_ONLY: Rights = READ_DIRECTORIES.union(READ_FILES);
