//! A directory of a hierarchy, held open, and its control files.
//!
//! Everything starts at a descriptor of the mount point whose filesystem was verified: a mount
//! namespace in which something else lies there must not get directories of ours, nor lose its own.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat, mkdirat};
use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, fstatfs};
use nix::unistd::{UnlinkatFlags, read, unlinkat, write};

use super::placement::Place;
use crate::error::{Error, ErrorKind, Result};

/// Whether mkdir(2) has made the directory, or it was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mkdir {
    Made,
    Existed,
}

/// A directory of a hierarchy.
#[derive(Debug)]
pub(super) struct Directory {
    file: File,
    /// For messages only.
    path: PathBuf,
    locked: bool,
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.locked {
            // Closing alone would leave the lock to a child that another thread has just forked.
            self.file.unlock().ok();
        }
    }
}

/// A value that a control file of a cgroup is to get: settings are data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Write {
    /// The name of the file.
    pub(crate) file: &'static str,
    /// What is written, in one write(2).
    pub(crate) value: String,
}

impl Directory {
    /// Opens the mount point of the place's hierarchy, and verifies that it is one.
    pub(super) fn hierarchy(place: &Place) -> Result<Self> {
        place.verify()?;
        let path = place.mountpoint.clone();
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let fd = openat(AT_FDCWD, &path, flags, Mode::empty())
            .map_err(|errno| os("openat", &path, errno))?;
        let found = fstatfs(&fd).map_err(|errno| os("fstatfs", &path, errno))?;
        let (expected, name) = if place.is_unified() {
            (CGROUP2_SUPER_MAGIC, "cgroup2")
        } else {
            (CGROUP_SUPER_MAGIC, "cgroup")
        };
        if found.filesystem_type() != expected {
            let message = format!("{}: no {name} filesystem is mounted there", path.display());
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        Ok(Self { file: File::from(fd), path, locked: false })
    }

    /// Opens a directory below, by a relative path; `..` and foreign mounts are refused.
    pub(super) fn open(&self, below: &Path) -> Result<Self> {
        let path = self.path.join(below);
        let how =
            OpenHow::new().flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC).resolve(
                ResolveFlag::RESOLVE_BENEATH
                    | ResolveFlag::RESOLVE_NO_SYMLINKS
                    | ResolveFlag::RESOLVE_NO_XDEV,
            );
        let fd = openat2(&self.file, below, how).map_err(|errno| os("openat2", &path, errno))?;
        Ok(Self { file: File::from(fd), path, locked: false })
    }

    /// mkdir(2) of one directory below.
    pub(super) fn mkdir(&self, below: &Path) -> Result<Mkdir> {
        let mode = Mode::from_bits_truncate(0o755);
        match mkdirat(&self.file, below, mode) {
            Ok(()) => {}
            Err(Errno::EEXIST) => return Ok(Mkdir::Existed),
            Err(errno) => return Err(os("mkdirat", &self.path.join(below), errno)),
        }
        // The caller's umask can have taken away anything, and is not ours to change.
        match fchmodat(&self.file, below, mode, FchmodatFlags::FollowSymlink) {
            Ok(()) => Ok(Mkdir::Made),
            Err(errno) => {
                // What failed is told; that this fails too says nothing more.
                self.rmdir(below).ok();
                Err(os("fchmodat", &self.path.join(below), errno))
            }
        }
    }

    /// rmdir(2) of one directory below. That it isn't there is fine.
    pub(super) fn rmdir(&self, below: &Path) -> Result<()> {
        match unlinkat(&self.file, below, UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(os("rmdir", &self.path.join(below), errno)),
        }
    }

    /// Reads a control file of this directory, or of one below.
    pub(super) fn read(&self, file: impl AsRef<Path>) -> Result<String> {
        let file = file.as_ref();
        read_at(self.as_fd(), file).map_err(|errno| os("read", &self.path.join(file), errno))
    }

    /// Writes a value into a control file of this directory, or of one below.
    pub(super) fn write(&self, file: impl AsRef<Path>, value: &str) -> Result<()> {
        let file = file.as_ref();
        let fd = self.open_file(file, OFlag::O_WRONLY)?;
        self.write_to(&fd, file, value)
    }

    /// Writes values in their order; a file that comes twice in a row is opened once.
    pub(super) fn write_all(&self, writes: &[Write]) -> Result<()> {
        for same_file in writes.chunk_by(|a, b| a.file == b.file) {
            let Some(file) = same_file.first().map(|write| Path::new(write.file)) else {
                continue;
            };
            let fd = self.open_file(file, OFlag::O_WRONLY)?;
            for write in same_file {
                self.write_to(&fd, file, &write.value)?;
            }
        }
        Ok(())
    }

    /// Opens a control file of this directory, or of one below.
    pub(super) fn open_file(&self, file: &Path, access: OFlag) -> Result<OwnedFd> {
        open_at(self.as_fd(), file, access)
            .map_err(|errno| os("openat", &self.path.join(file), errno))
    }

    /// Writes a value into a control file that is open.
    pub(super) fn write_to(&self, fd: &OwnedFd, file: &Path, value: &str) -> Result<()> {
        write_fd(fd, value).map_err(|errno| {
            let path = self.path.join(file);
            let call = format!("write({:?}, {value:?})", path.display().to_string());
            Error::os(call, errno as i32)
        })
    }

    /// Takes the lock on this directory that makes one creator of a cgroup the only one. It goes with
    /// the value.
    pub(super) fn lock(&mut self) -> Result<()> {
        match self.file.try_lock() {
            Ok(()) => {
                self.locked = true;
                Ok(())
            }
            Err(std::fs::TryLockError::WouldBlock) => Err(Error::new(
                ErrorKind::Exists,
                format!(
                    "container's cgroup {}: another container is being created in it",
                    self.path.display()
                ),
            )),
            Err(std::fs::TryLockError::Error(e)) => {
                Err(Error::io(format_args!("flock({:?})", self.path.display().to_string()), &e))
            }
        }
    }

    /// Any directory, for tests of what is written where.
    #[cfg(test)]
    pub(super) fn of_files(path: &Path) -> Self {
        Self { file: File::open(path).unwrap(), path: path.to_path_buf(), locked: false }
    }

    /// The path, for messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Reads a control file of the cgroup that a descriptor stands for.
pub(super) fn read_at(cgroup: BorrowedFd<'_>, file: &Path) -> Result<String, Errno> {
    let content = read_to_end(&open_at(cgroup, file, OFlag::O_RDONLY)?)?;
    Ok(String::from_utf8_lossy(&content).into_owned())
}

/// Reads a file of the kernel's, whose size nobody knows, in as few system calls as there can be: the
/// kernel may end a read between two lines, so that only an empty one is the end.
pub(super) fn read_to_end(fd: &OwnedFd) -> Result<Vec<u8>, Errno> {
    let mut content = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match read(fd, &mut buffer) {
            Ok(0) => return Ok(content),
            Ok(n) => content.extend_from_slice(buffer.get(..n).unwrap_or_default()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Writes a control file of the cgroup that a descriptor stands for.
pub(super) fn write_at(cgroup: BorrowedFd<'_>, file: &Path, value: &str) -> Result<(), Errno> {
    write_fd(&open_at(cgroup, file, OFlag::O_WRONLY)?, value)
}

fn open_at(cgroup: BorrowedFd<'_>, file: &Path, access: OFlag) -> Result<OwnedFd, Errno> {
    let flags = access | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    openat(cgroup, file, flags, Mode::empty())
}

/// The kernel takes the whole of a value or nothing.
fn write_fd(fd: &OwnedFd, value: &str) -> Result<(), Errno> {
    loop {
        match write(fd, value.as_bytes()) {
            Err(Errno::EINTR) => {}
            written => return written.map(drop),
        }
    }
}

/// The failure of a system call on a path.
pub(super) fn os(call: &str, path: &Path, errno: Errno) -> Error {
    Error::os(format_args!("{call}({:?})", path.display().to_string()), errno as i32)
}

/// Whether a failure means that the directory is gone: ENOENT on its path, ENODEV on a file of it that
/// was open.
pub(super) fn is_gone(error: &Error) -> bool {
    matches!(error.errno(), Some(libc::ENOENT | libc::ENODEV))
}
