//! Takes back what init has made in the root filesystem, after a create that failed: targets of mounts,
//! with the directories above them, devices, links, the working directory.
//!
//! Init says what it has made by device and inode, the plan says where. Only what is both is removed, and
//! no directory that something was put into meanwhile, nor what a mount covers: another container may have
//! the same root filesystem. What init has made on a file system of the container is gone with it; what it has
//! made in a volume, and what lies behind a link that leads nowhere, stays.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, open, openat2, readlinkat};
use nix::sys::stat::{FileStat, Mode, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::covered::Covered;
use crate::plan::Plan;
use crate::plan::format::{Operation, Text};
use crate::plan::protocol::MOST_MADE;

/// Device and inode.
pub(crate) type Inode = (u64, u64);

/// Removes what of this init has made. That something can't be removed is not what the caller has to be
/// told: another failure led here.
pub(crate) fn take_back(plan: &Plan, made: &[Inode]) {
    // Of what was made, a full page does not name all.
    if made.is_empty() || made.len() >= MOST_MADE {
        return;
    }
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let Ok(root) = open(&plan.rootfs, flags, Mode::empty()) else { return };
    let Ok(covered) = Covered::look() else { return };
    let removal = Removal { root, made, covered };
    let records: Vec<_> = plan.image.records().collect();
    for path in records.iter().rev().filter_map(|record| made_by(&record.operation)) {
        removal.remove(&path);
        // A link of the image may have led to where it was made.
        if let Some(path) = real(&removal.root, &path) {
            removal.remove(&path);
        }
    }
}

/// What is removed, and where.
struct Removal<'a> {
    root: OwnedFd,
    made: &'a [Inode],
    covered: Covered,
}

impl Removal<'_> {
    /// Removes the components of a path, from the last one up to one that stays: it keeps those above it.
    fn remove(&self, path: &Path) {
        path.ancestors().map_while(|path| self.remove_one(path)).for_each(drop);
    }

    /// Removes the last component of a path. None if it stays, or is not there.
    fn remove_one(&self, path: &Path) -> Option<()> {
        let name = path.file_name()?;
        let parent = open_in(&self.root, path.parent()?, OFlag::O_DIRECTORY).ok()?;
        let status = fstatat(&parent, name, AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
        let is_made = self.made.contains(&(status.st_dev, status.st_ino)) && is_as_made(&status);
        if !is_made || self.covered.has(&parent, name) {
            return None;
        }
        let how = match status.st_mode & libc::S_IFMT {
            libc::S_IFDIR => UnlinkatFlags::RemoveDir,
            _ => UnlinkatFlags::NoRemoveDir,
        };
        unlinkat(&parent, name, how).ok()
    }
}

/// The path that an operation makes.
fn made_by(operation: &Operation<'_>) -> Option<PathBuf> {
    let path = |text: Text<'_>| PathBuf::from(std::ffi::OsStr::from_bytes(text.bytes()));
    match *operation {
        Operation::Attach { target, .. } => Some(path(target)),
        Operation::MakeDirectory { path: made, .. }
        | Operation::MakeNode { path: made, .. }
        | Operation::Symlink { path: made, .. } => Some(path(made)),
        Operation::Terminal { .. } => Some(PathBuf::from("/dev/console")),
        _ => None,
    }
}

/// Whether it can be what init has made: a file that has bytes is somebody else's work.
fn is_as_made(status: &FileStat) -> bool {
    status.st_mode & libc::S_IFMT != libc::S_IFREG || status.st_size == 0
}

/// Where the longest part of a path that is there really lies below the root, if links lead elsewhere.
fn real(root: &OwnedFd, path: &Path) -> Option<PathBuf> {
    let parts: Vec<&Path> = path.ancestors().collect();
    // Above a part that is there, all are.
    let gone = parts.partition_point(|part| open_in(root, part, OFlag::empty()).is_err());
    let there = open_in(root, parts.get(gone)?, OFlag::empty()).ok()?;
    let below = |fd: &OwnedFd| {
        let link = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
        readlinkat(nix::fcntl::AT_FDCWD, link.as_str()).ok().map(PathBuf::from)
    };
    let real = Path::new("/").join(below(&there)?.strip_prefix(below(root)?).ok()?);
    (real != path).then_some(real)
}

fn open_in(root: &OwnedFd, path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
    let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let flags = flags | OFlag::O_PATH | OFlag::O_CLOEXEC;
    openat2(root, path, OpenHow::new().flags(flags).resolve(resolve))
}
