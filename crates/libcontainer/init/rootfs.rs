//! Paths of the container, resolved inside its root.
//!
//! Every path below the root is resolved by the kernel with openat2(2) `RESOLVE_IN_ROOT`: a symbolic link
//! or `..` never leads out, and a magic link is never followed. What is missing is made relative to
//! the descriptor of the verified parent. No path is ever put together with the root's.

use super::format::Text;
use super::protocol::{Cause, Fault};
use super::{made, numbers as nr, sys};

/// The mode of directories that are made as targets of mounts.
pub(crate) const DIRECTORY_MODE: u32 = 0o755;
const FILE_MODE: u32 = 0o644;
const PATH_MAX: usize = 4096;
/// The kernel follows as many symbolic links (path_resolution(7)).
const MOST_LINKS: usize = 40;

const IN_ROOT: u64 = nr::RESOLVE_IN_ROOT | nr::RESOLVE_NO_MAGICLINKS;

/// Opens what is there, as an `O_PATH` descriptor.
pub(crate) fn open(root: i32, path: Text<'_>, flags: u64) -> sys::Result<i32> {
    sys::openat2(root, path, nr::O_PATH | flags, 0, IN_ROOT)
}

/// The same; `None` if there is nothing.
pub(crate) fn open_existing(root: i32, path: Text<'_>) -> sys::Result<Option<i32>> {
    match open(root, path, 0) {
        Ok(fd) => Ok(Some(fd)),
        Err(fault) if fault.errno == nr::ENOENT || fault.errno == nr::ENOTDIR => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Opens a regular file for reading. Its type is looked at before it is opened for real: a FIFO would
/// block, and a device could do anything.
pub(crate) fn open_regular(root: i32, path: Text<'_>) -> sys::Result<Option<(i32, u64)>> {
    let Some(probe) = open_existing(root, path)? else { return Ok(None) };
    let regular = sys::status(probe).map(|status| status.is(nr::S_IFREG));
    sys::close(probe);
    if !regular? {
        return Ok(None);
    }
    let flags = nr::O_RDONLY | nr::O_NONBLOCK | nr::O_NOCTTY;
    let file = sys::openat2(root, path, flags, 0, IN_ROOT)?;
    match sys::status(file) {
        Ok(status) if status.is(nr::S_IFREG) => Ok(Some((file, status.size))),
        other => {
            sys::close(file);
            other.map(|_| None)
        }
    }
}

/// Opens a directory, and makes it, with what is missing above it.
pub(crate) fn directory(root: i32, path: Text<'_>, mode: u32) -> sys::Result<i32> {
    match open(root, path, 0) {
        Err(fault) if fault.errno == nr::ENOENT => Walk::new(path)?.directory(root, mode),
        other => other,
    }
}

/// Opens what is there, or makes an empty file, with the directories that are missing above it.
pub(crate) fn file(root: i32, path: Text<'_>) -> sys::Result<i32> {
    match open(root, path, 0) {
        Err(fault) if fault.errno == nr::ENOENT => Walk::new(path)?.file(root),
        other => other,
    }
}

/// Opens a file that is no symbolic link, or makes an empty one.
pub(crate) fn ordinary_file(root: i32, path: Text<'_>) -> sys::Result<i32> {
    let walk = Walk::new(path)?;
    let (parent, name) = walk.parent(root)?;
    let mut buffer = [0; PATH_MAX];
    let opened = terminated(name, &mut buffer).and_then(|name| {
        let resolve = nr::RESOLVE_BENEATH | nr::RESOLVE_NO_SYMLINKS;
        match sys::openat2(parent, name, nr::O_PATH, 0, resolve) {
            Err(fault) if fault.errno == nr::ENOENT => {
                sys::mknodat(parent, name, nr::S_IFREG | FILE_MODE, 0)?;
                made::name(parent, name);
                sys::openat2(parent, name, nr::O_PATH, 0, resolve)
            }
            other => other,
        }
    });
    sys::close(parent);
    opened
}

/// Opens a directory to which no symbolic link leads: procfs and sysfs must lie where their name says
/// (CVE-2023-27561).
pub(crate) fn ordinary_directory(root: i32, path: Text<'_>) -> sys::Result<i32> {
    let resolve = IN_ROOT | nr::RESOLVE_NO_SYMLINKS;
    let flags = nr::O_PATH | nr::O_DIRECTORY | nr::O_NOFOLLOW;
    let opened = match sys::openat2(root, path, flags, 0, resolve) {
        Err(fault) if fault.errno == nr::ENOENT => {
            sys::close(directory(root, path, DIRECTORY_MODE)?);
            sys::openat2(root, path, flags, 0, resolve)
        }
        other => other,
    };
    opened.map_err(|fault| match fault.errno {
        nr::ELOOP | nr::ENOTDIR => Fault::of(Cause::NotOrdinaryDirectory),
        _ => fault,
    })
}

/// A device node or FIFO. One that is there must be the same.
pub(crate) fn node(
    root: i32,
    path: Text<'_>,
    mode: u32,
    (major, minor): (u32, u32),
    (uid, gid): (u32, u32),
) -> sys::Result<()> {
    let walk = Walk::new(path)?;
    let (parent, name) = walk.parent(root)?;
    let mut buffer = [0; PATH_MAX];
    let made = terminated(name, &mut buffer).and_then(|name| {
        let made = sys::mknodat(parent, name, mode, sys::device_number(major, minor));
        match made {
            Err(fault) if fault.errno != nr::EEXIST => return Err(fault),
            _ => {}
        }
        let status = sys::status_at(parent, name)?;
        if made.is_ok() {
            made::inode(&status);
        }
        let same = status.is(mode & nr::S_IFMT)
            && (status.is(nr::S_IFIFO) || (status.major, status.minor) == (major, minor));
        if !same {
            return Err(Fault::of(Cause::WrongDevice));
        }
        if (status.uid, status.gid) == (uid, gid) {
            return Ok(());
        }
        sys::fchownat(parent, name, uid, gid)
    });
    sys::close(parent);
    made
}

/// A symbolic link, unless something of that name is there.
pub(crate) fn symlink(root: i32, target: Text<'_>, path: Text<'_>) -> sys::Result<()> {
    let walk = Walk::new(path)?;
    let (parent, name) = walk.parent(root)?;
    let mut buffer = [0; PATH_MAX];
    let made =
        terminated(name, &mut buffer).and_then(|name| match sys::symlinkat(target, parent, name) {
            Err(fault) if fault.errno == nr::EEXIST => Ok(()),
            Err(fault) => Err(fault),
            Ok(()) => {
                made::name(parent, name);
                Ok(())
            }
        });
    sys::close(parent);
    made
}

/// A name with a NUL, in `buffer`.
fn terminated<'b>(name: &[u8], buffer: &'b mut [u8; PATH_MAX]) -> sys::Result<Text<'b>> {
    let place = buffer.get_mut(..=name.len()).ok_or(Fault::call(nr::OPENAT2, nr::ENAMETOOLONG))?;
    place[..name.len()].copy_from_slice(name);
    place[name.len()] = 0;
    Text::from_bytes_with_nul(place).ok_or(Fault::of(Cause::BadPlan))
}

/// A path on which something is missing, walked component by component.
struct Walk {
    path: [u8; PATH_MAX],
    length: usize,
}

impl Walk {
    fn new(path: Text<'_>) -> sys::Result<Self> {
        let mut walk = Self { path: [0; PATH_MAX], length: 0 };
        walk.append(path.bytes())?;
        Ok(walk)
    }

    fn append(&mut self, bytes: &[u8]) -> sys::Result<()> {
        let end = self.length + bytes.len();
        let too_long = Fault::call(nr::OPENAT2, nr::ENAMETOOLONG);
        self.path.get_mut(self.length..end).ok_or(too_long)?.copy_from_slice(bytes);
        self.length = end;
        Ok(())
    }

    fn bytes(&self) -> &[u8] {
        &self.path[..self.length]
    }

    /// Where the last component starts and where it ends.
    fn last(&self) -> (usize, usize) {
        let path = self.bytes();
        let end = path.iter().rposition(|&b| b != b'/').map_or(0, |last| last + 1);
        let start = path[..end].iter().rposition(|&b| b == b'/').map_or(0, |slash| slash + 1);
        (start, end)
    }

    /// The parent directory, made if it is missing, and the last component.
    fn parent(&self, root: i32) -> sys::Result<(i32, &[u8])> {
        let path = self.bytes();
        let (start, end) = self.last();
        let name = &path[start..end];
        if matches!(name, b"" | b"." | b"..") {
            return Err(Fault::call(nr::OPENAT2, nr::EEXIST));
        }
        let mut buffer = [0; PATH_MAX];
        let parent = if start == 0 { b"/".as_slice() } else { &path[..start] };
        let parent = directory(root, terminated(parent, &mut buffer)?, DIRECTORY_MODE)?;
        Ok((parent, name))
    }

    /// Makes an empty file, where a symbolic link that points nowhere points to if there is one.
    fn file(mut self, root: i32) -> sys::Result<i32> {
        for _ in 0..MOST_LINKS {
            let mut buffer = [0; PATH_MAX];
            let (parent, name) = self.parent(root)?;
            let name = terminated(name, &mut buffer)?;
            let made = sys::mknodat(parent, name, nr::S_IFREG | FILE_MODE, 0);
            if made.is_ok() {
                made::name(parent, name);
            }
            let link = follow(parent, name);
            sys::close(parent);
            match made {
                Err(fault) if fault.errno != nr::EEXIST => return Err(fault),
                _ => {}
            }
            let mut whole = [0; PATH_MAX];
            match open(root, terminated(self.bytes(), &mut whole)?, 0) {
                Err(fault) if fault.errno == nr::ENOENT => {
                    let (target, length) = link?;
                    let (start, _) = self.last();
                    self = self.redirected(start, &target[..length], b"")?;
                }
                other => return other,
            }
        }
        Err(Fault::call(nr::OPENAT2, nr::ELOOP))
    }

    /// Makes the directories that are missing.
    fn directory(mut self, root: i32, mode: u32) -> sys::Result<i32> {
        let mut links = 0;
        let mut end = 0;
        let mut parent = directory_at(root, b"/")?;
        while let Some((start, next)) = self.component(end) {
            let opened = self.step(root, parent, (start, next), mode);
            sys::close(parent);
            match opened? {
                Step::Opened(fd) => {
                    parent = fd;
                    end = next;
                }
                Step::Link(target, length) => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(Fault::call(nr::OPENAT2, nr::ELOOP));
                    }
                    let mut rest = [0; PATH_MAX];
                    let tail = self.length - next;
                    rest[..tail].copy_from_slice(&self.path[next..self.length]);
                    self = self.redirected(start, &target[..length], &rest[..tail])?;
                    end = 0;
                    parent = directory_at(root, b"/")?;
                }
            }
        }
        Ok(parent)
    }

    /// The next component behind `from`: where it starts and where it ends.
    fn component(&self, from: usize) -> Option<(usize, usize)> {
        let rest = self.bytes().get(from..)?;
        let start = from + rest.iter().position(|&b| b != b'/')?;
        let length = self.bytes()[start..].iter().position(|&b| b == b'/');
        Some((start, length.map_or(self.length, |length| start + length)))
    }

    /// Opens the path up to one component, which is made if it is missing.
    fn step(
        &self,
        root: i32,
        parent: i32,
        (start, end): (usize, usize),
        mode: u32,
    ) -> sys::Result<Step> {
        match directory_at(root, &self.path[..end]) {
            Err(fault) if fault.errno == nr::ENOENT => {}
            other => return other.map(Step::Opened),
        }
        let mut buffer = [0; PATH_MAX];
        let name = terminated(&self.path[start..end], &mut buffer)?;
        match sys::mkdirat(parent, name, mode) {
            Ok(()) => made::name(parent, name),
            Err(fault) if fault.errno != nr::EEXIST => return Err(fault),
            Err(_) => {}
        }
        match directory_at(root, &self.path[..end]) {
            Err(fault) if fault.errno == nr::ENOENT => {
                let (target, length) = follow(parent, name)?;
                Ok(Step::Link(target, length))
            }
            other => other.map(Step::Opened),
        }
    }

    /// The path in which the component that starts at `start` is replaced by what its link says.
    fn redirected(&self, start: usize, target: &[u8], rest: &[u8]) -> sys::Result<Self> {
        let mut walk = Self { path: [0; PATH_MAX], length: 0 };
        if target.first() != Some(&b'/') {
            walk.append(&self.path[..start])?;
        }
        walk.append(target)?;
        walk.append(rest)?;
        Ok(walk)
    }
}

/// What came of one component.
#[allow(clippy::large_enum_variant, reason = "there is no heap")]
enum Step {
    Opened(i32),
    /// It is a symbolic link that points nowhere yet: its target.
    Link([u8; PATH_MAX], usize),
}

fn directory_at(root: i32, path: &[u8]) -> sys::Result<i32> {
    let mut buffer = [0; PATH_MAX];
    open(root, terminated(path, &mut buffer)?, nr::O_DIRECTORY)
}

/// The target of a symbolic link.
fn follow(parent: i32, name: Text<'_>) -> sys::Result<([u8; PATH_MAX], usize)> {
    let mut target = [0; PATH_MAX];
    let length = sys::readlinkat(parent, name, &mut target)?;
    Ok((target, length.min(PATH_MAX)))
}

#[cfg(test)]
#[path = "rootfs/tests.rs"]
mod tests;
