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
use nix::sys::stat::{Mode, fstat};

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
        Error::os(format_args!("{call} below {}", top.path().display()), errno as i32)
    };
    visit(Step::Enter(top.as_fd()))?;
    let mut levels = vec![Level {
        name: CString::default(),
        pending: children(top.as_fd()).map_err(|errno| failed("getdents64", errno))?,
    }];
    let mut below: Option<OwnedFd> = None;
    while let Some(level) = levels.last_mut() {
        let current = below.as_ref().map_or(top.as_fd(), AsFd::as_fd);
        if let Some(name) = level.pending.pop() {
            let child = match open(current, &name) {
                Err(Errno::ENOENT) => continue,
                child => child.map_err(|errno| failed("openat", errno))?,
            };
            visit(Step::Enter(child.as_fd()))?;
            let pending = children(child.as_fd()).map_err(|errno| failed("getdents64", errno))?;
            levels.push(Level { name, pending });
            below = Some(child);
        } else if let Some(left) = levels.pop()
            && !levels.is_empty()
        {
            let parent = open(current, c"..").map_err(|errno| failed("openat", errno))?;
            visit(Step::Leave(parent.as_fd(), &left.name))?;
            below = Some(parent);
        }
    }
    Ok(())
}

fn open(directory: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(directory, name, flags, Mode::empty())
}

/// The names of the directories in a directory; none of one that was removed.
fn children(directory: BorrowedFd<'_>) -> Result<Vec<CString>, Errno> {
    // cgroupfs counts a link for each directory in it, as Unix always did. Most have none.
    if fstat(directory)?.st_nlink == 2 {
        return Ok(Vec::new());
    }
    let listing = match open(directory, c".").and_then(Dir::from_fd) {
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
