//! Walks a cgroup and everything below it.
//!
//! A container may nest cgroups thousands deep, and so could make a recursive walk run out of stack or
//! of descriptors, and the cgroup undeletable. This one holds two descriptors however deep it is: it
//! goes up through `..`, which in cgroupfs can't lead elsewhere, because a cgroup is never moved to
//! another parent.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use super::directory::Directory;
use crate::error::{Error, Result};

/// What the walk meets.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// A directory, before those below it.
    Enter(BorrowedFd<'a>),
    /// A directory below the top, after those below it; with its parent and its name there.
    Leave(BorrowedFd<'a>, &'a CStr),
}

/// A directory on the way down: its name in its parent, and those below it that are still to be seen.
struct Level {
    name: CString,
    pending: Vec<CString>,
}

/// Walks `top` and everything below it. What vanishes meanwhile is passed over.
pub(super) fn walk(top: &Directory, visit: &mut dyn FnMut(Step<'_>) -> Result<()>) -> Result<()> {
    let failed = |call: &str, errno: Errno| {
        Error::os(
            format_args!("{call} below {}", top.path().display()),
            errno as i32,
        )
    };
    let mut current = top.reopen()?;
    visit(Step::Enter(current.as_fd()))?;
    let mut levels = vec![Level {
        name: CString::default(),
        pending: children(&current).map_err(|errno| failed("getdents64", errno))?,
    }];
    while let Some(level) = levels.last_mut() {
        if let Some(name) = level.pending.pop() {
            match open(current.as_fd(), &name) {
                Ok(child) => current = child,
                Err(Errno::ENOENT) => continue,
                Err(errno) => return Err(failed("openat", errno)),
            }
            visit(Step::Enter(current.as_fd()))?;
            let pending = children(&current).map_err(|errno| failed("getdents64", errno))?;
            levels.push(Level { name, pending });
        } else if let Some(left) = levels.pop()
            && !levels.is_empty()
        {
            current = open(current.as_fd(), c"..").map_err(|errno| failed("openat", errno))?;
            visit(Step::Leave(current.as_fd(), &left.name))?;
        }
    }
    Ok(())
}

fn open(directory: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(directory, name, flags, Mode::empty())
}

/// The names of the directories in a directory; none of one that was removed.
fn children(directory: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let listing = match open(directory.as_fd(), c".").and_then(Dir::from_fd) {
        Err(Errno::ENOENT) => return Ok(Vec::new()),
        listing => listing?,
    };
    let mut names = Vec::new();
    for entry in listing {
        let entry = match entry {
            Err(Errno::ENOENT) => break,
            entry => entry?,
        };
        let name = entry.file_name();
        if entry.file_type() == Some(Type::Directory) && name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}
