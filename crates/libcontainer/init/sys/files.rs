//! Descriptors, paths, files, directories.

use super::super::format::Text;
use super::super::numbers as nr;
use super::{Result, address, address_mut, call, done, fd, opened, raw, text, word};

/// read(2).
pub(crate) fn read(from: i32, into: &mut [u8]) -> Result<usize> {
    call(nr::READ, [fd(from), address_mut(into), into.len()])
}

/// write(2).
pub(crate) fn write(to: i32, bytes: &[u8]) -> Result<usize> {
    call(nr::WRITE, [fd(to), address(bytes), bytes.len()])
}

/// close(2). Linux always closes, whatever it returns.
pub(crate) fn close(this: i32) {
    raw(nr::CLOSE, [fd(this), 0, 0, 0, 0, 0]);
}

/// close_range(2).
pub(crate) fn close_range(first: u32, last: u32) -> Result<()> {
    done(nr::CLOSE_RANGE, [first as usize, last as usize, 0])
}

/// fcntl(2) `F_SETFD`: closed by execve(2).
pub(crate) fn set_close_on_exec(this: i32) -> Result<()> {
    const F_SETFD: usize = 2;
    const FD_CLOEXEC: usize = 1;
    done(nr::FCNTL, [fd(this), F_SETFD, FD_CLOEXEC])
}

/// fcntl(2) `F_SETFL`, without `O_NONBLOCK` and all else that it can set.
pub(crate) fn set_blocking(this: i32) -> Result<()> {
    const F_SETFL: usize = 4;
    done(nr::FCNTL, [fd(this), F_SETFL, 0])
}

/// fcntl(2) `F_DUPFD_CLOEXEC`: the lowest number from `least` on that is free.
pub(crate) fn duplicate(this: i32, least: u32) -> Result<i32> {
    const F_DUPFD_CLOEXEC: usize = 1030;
    opened(nr::FCNTL, [fd(this), F_DUPFD_CLOEXEC, least as usize])
}

/// fcntl(2) `F_GETFD`: whether there is such a descriptor.
pub(crate) fn is_open(number: u32) -> bool {
    const F_GETFD: usize = 1;
    done(nr::FCNTL, [number as usize, F_GETFD, 0]).is_ok()
}

/// dup3(2).
pub(crate) fn dup3(from: i32, to: i32) -> Result<()> {
    done(nr::DUP3, [fd(from), fd(to), 0])
}

/// ioctl(2) with a structure.
pub(crate) fn ioctl<T>(on: i32, request: u32, argument: &mut T) -> Result<()> {
    done(nr::IOCTL, [fd(on), request as usize, address_mut(argument)])
}

/// ioctl(2) with a number, or with nothing.
pub(crate) fn ioctl_number(on: i32, request: u32, argument: u64) -> Result<()> {
    done(nr::IOCTL, [fd(on), request as usize, word(argument)])
}

/// ioctl(2) that opens something.
pub(crate) fn ioctl_open(on: i32, request: u32, flags: u64) -> Result<i32> {
    opened(nr::IOCTL, [fd(on), request as usize, word(flags)])
}

/// fchdir(2).
pub(crate) fn fchdir(to: i32) -> Result<()> {
    done(nr::FCHDIR, [fd(to)])
}

/// chdir(2).
pub(crate) fn chdir(to: Text<'_>) -> Result<()> {
    done(nr::CHDIR, [text(to)])
}

/// chdir(2) to the root.
pub(crate) fn chdir_root() -> Result<()> {
    done(nr::CHDIR, [address(c"/")])
}

/// getcwd(2), raw: a directory that can't be reached from the root begins with `(unreachable)`.
pub(crate) fn getcwd(into: &mut [u8]) -> Result<usize> {
    call(nr::GETCWD, [address_mut(into), into.len()])
}

/// openat2(2).
pub(crate) fn openat2(at: i32, path: Text<'_>, flags: u64, mode: u64, resolve: u64) -> Result<i32> {
    let how = [flags | nr::O_CLOEXEC, mode, resolve];
    loop {
        // The kernel could not rule out that a concurrent rename led outside; it asks to try again.
        match opened(nr::OPENAT2, [fd(at), text(path), address(&how), size_of_val(&how)]) {
            Err(fault) if fault.errno == nr::EAGAIN => {}
            other => return other,
        }
    }
}

/// mkdirat(2).
pub(crate) fn mkdirat(at: i32, name: Text<'_>, mode: u32) -> Result<()> {
    done(nr::MKDIRAT, [fd(at), text(name), mode as usize])
}

/// mknodat(2).
pub(crate) fn mknodat(at: i32, name: Text<'_>, mode: u32, device: u64) -> Result<()> {
    done(nr::MKNODAT, [fd(at), text(name), mode as usize, word(device)])
}

/// symlinkat(2).
pub(crate) fn symlinkat(target: Text<'_>, at: i32, name: Text<'_>) -> Result<()> {
    done(nr::SYMLINKAT, [text(target), fd(at), text(name)])
}

/// readlinkat(2).
pub(crate) fn readlinkat(at: i32, name: Text<'_>, into: &mut [u8]) -> Result<usize> {
    call(nr::READLINKAT, [fd(at), text(name), address_mut(into), into.len()])
}

/// fchmod(2).
pub(crate) fn fchmod(file: i32, mode: u32) -> Result<()> {
    done(nr::FCHMOD, [fd(file), mode as usize])
}

/// fchown(2); `u32::MAX` leaves an id as it is.
pub(crate) fn fchown(file: i32, uid: u32, gid: u32) -> Result<()> {
    done(nr::FCHOWN, [fd(file), uid as usize, gid as usize])
}

/// fchownat(2) without following a symbolic link.
pub(crate) fn fchownat(at: i32, name: Text<'_>, uid: u32, gid: u32) -> Result<()> {
    let flags = nr::AT_SYMLINK_NOFOLLOW as usize;
    done(nr::FCHOWNAT, [fd(at), text(name), uid as usize, gid as usize, flags])
}

/// What statx(2) tells that init looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Status {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    pub(crate) major: u32,
    pub(crate) minor: u32,
    /// The number of the device that it lies on, as stat(2) has it in `st_dev`.
    pub(crate) device: u64,
    pub(crate) inode: u64,
    /// The id of the mount that it lies on.
    pub(crate) mount: u64,
}

impl Status {
    /// Whether the file is of this type (`S_IFDIR` and so on).
    pub(crate) fn is(&self, kind: u32) -> bool {
        self.mode & nr::S_IFMT == kind
    }
}

/// struct statx (linux/stat.h).
#[repr(C)]
#[derive(Default)]
struct Statx {
    mask: u32,
    block_size: u32,
    attributes: u64,
    links: u32,
    uid: u32,
    gid: u32,
    mode: u16,
    spare0: u16,
    inode: u64,
    size: u64,
    blocks: u64,
    attributes_mask: u64,
    times: [u64; 8],
    rdev_major: u32,
    rdev_minor: u32,
    dev_major: u32,
    dev_minor: u32,
    mount: u64,
    spare: [u64; 13],
}

fn statx(at: i32, path: usize, flags: u32) -> Result<Status> {
    const BASIC: usize = 0x7ff;
    const MOUNT_ID: usize = 0x1000;
    let mut buffer = Statx::default();
    done(nr::STATX, [fd(at), path, flags as usize, BASIC | MOUNT_ID, address_mut(&mut buffer)])?;
    Ok(Status {
        mode: u32::from(buffer.mode),
        uid: buffer.uid,
        gid: buffer.gid,
        size: buffer.size,
        major: buffer.rdev_major,
        minor: buffer.rdev_minor,
        device: device_number(buffer.dev_major, buffer.dev_minor),
        inode: buffer.inode,
        mount: buffer.mount,
    })
}

/// As the C library puts it together in `st_dev`, and as mknod(2) takes it.
pub(crate) fn device_number(major: u32, minor: u32) -> u64 {
    let (major, minor) = (u64::from(major), u64::from(minor));
    minor & 0xff | (major & 0xfff) << 8 | (minor & !0xff) << 12 | (major & !0xfff) << 32
}

/// statx(2) of what is open.
pub(crate) fn status(of: i32) -> Result<Status> {
    statx(of, address(c""), nr::AT_EMPTY_PATH)
}

/// statx(2) of a name, without following a symbolic link.
pub(crate) fn status_at(at: i32, name: Text<'_>) -> Result<Status> {
    statx(at, text(name), nr::AT_SYMLINK_NOFOLLOW)
}

/// statx(2) of a path, following symbolic links.
pub(crate) fn status_of(path: Text<'_>) -> Result<Status> {
    statx(nr::AT_FDCWD, text(path), 0)
}

/// fstatfs(2): the magic number of the file system.
pub(crate) fn filesystem_magic(of: i32) -> Result<u64> {
    statfs(of).map(|buffer| buffer[0])
}

/// fstatfs(2): the flags of the mount (`ST_`).
pub(crate) fn flags_of_mount(of: i32) -> Result<u64> {
    statfs(of).map(|buffer| buffer[10])
}

/// struct statfs (asm-generic/statfs.h), in words.
fn statfs(of: i32) -> Result<[u64; 16]> {
    let mut buffer = [0u64; 16];
    done(nr::FSTATFS, [fd(of), address_mut(&mut buffer)])?;
    Ok(buffer)
}

/// faccessat2(2): whether the effective user may execute.
pub(crate) fn may_execute(path: Text<'_>) -> Result<()> {
    const X_OK: usize = 1;
    let at = fd(nr::AT_FDCWD);
    done(nr::FACCESSAT2, [at, text(path), X_OK, nr::AT_EACCESS as usize])
}

/// getdents64(2).
pub(crate) fn getdents64(directory: i32, into: &mut [u8]) -> Result<usize> {
    call(nr::GETDENTS64, [fd(directory), address_mut(into), into.len()])
}

/// sendfile(2) between positions of both files.
pub(crate) fn sendfile(to: i32, from: i32, count: usize) -> Result<usize> {
    call(nr::SENDFILE, [fd(to), fd(from), 0, count])
}
