//! Reading and emptying directories through descriptors.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd};
use std::{fs, io};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::path_of;
use crate::error::{Context, Error, Result};

/// The names in a directory, and which are directories.
pub(super) fn names(directory: BorrowedFd<'_>) -> Result<Vec<(OsString, bool)>> {
    let failed = |error| Error::io("readdir", &error);
    let mut names = Vec::new();
    for entry in fs::read_dir(path_of(directory)).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        match entry.file_type() {
            Ok(kind) => names.push((entry.file_name(), kind.is_dir())),
            // Where a directory doesn't know it, it is looked up, and the name may be gone by then.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(names)
}

/// Removes a file; one that isn't there is all right, and a directory is left to [`clear`].
pub(super) fn remove_file(directory: BorrowedFd<'_>, name: &str) -> Result<()> {
    match unlinkat(directory, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT | Errno::EISDIR) => Ok(()),
        Err(errno) => Err(Error::os(format!("unlinkat(\"{name}\")"), errno as i32)),
    }
}

/// Removes everything in a directory, but nothing beyond a mount: somebody else's files would be there.
pub(super) fn clear(directory: BorrowedFd<'_>) -> Result<()> {
    let names = match names(directory) {
        // The directory was removed meanwhile.
        Err(error) if error.errno() == Some(libc::ENOENT) => return Ok(()),
        names => names?,
    };
    for (name, is_directory) in names {
        let shown = name.display();
        let flags = if is_directory {
            let how = OpenHow::new()
                .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
                .resolve(ResolveFlag::RESOLVE_NO_XDEV | ResolveFlag::RESOLVE_NO_SYMLINKS);
            let inner = match openat2(directory, name.as_os_str(), how) {
                Ok(inner) => inner,
                // Somebody else clears it too.
                Err(Errno::ENOENT) => continue,
                Err(errno) => {
                    return Err(Error::os(format!("openat2(\"{shown}\")"), errno as i32));
                }
            };
            clear(inner.as_fd()).context(|| name.display())?;
            UnlinkatFlags::RemoveDir
        } else {
            UnlinkatFlags::NoRemoveDir
        };
        match unlinkat(directory, name.as_os_str(), flags) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(Error::os(format!("unlinkat(\"{shown}\")"), errno as i32)),
        }
    }
    Ok(())
}
