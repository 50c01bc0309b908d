//! The terminal: a pseudoterminal of the container's own devpts (pty(7), ioctl_tty(2)).
//!
//! Nothing is what its name says. `/dev/pts` must be a devpts, in which nobody can make or rename
//! anything; `ptmx` is opened there without crossing a mount, so that what an image or a neighbour has
//! put in its place is not even opened; and the other end comes from the master's descriptor, never by
//! a path (CVE-2025-52565).

use super::format::Text;
use super::protocol::{Cause, Fault};
use super::run::Init;
use super::{control, mounts, numbers as nr, rootfs, sys};

/// The multiplexer of a devpts: its inode and its device.
const MULTIPLEXER: (u64, u32, u32) = (2, 5, 2);

/// Makes the terminal: `/dev/console`, the controlling terminal of init's session, and the standard
/// streams. The host side gets the master end.
pub(crate) fn make(init: &mut Init, columns: u32, rows: u32) -> sys::Result<()> {
    let (pts, console) = (Text::from_c_str(c"/dev/pts"), Text::from_c_str(c"/dev/console"));
    let master = multiplexer(init.root, pts);
    let master = about(init, pts, master)?;
    sys::ioctl(master, nr::TIOCSPTLCK, &mut 0i32)?;
    let flags = nr::O_RDWR | nr::O_NOCTTY | nr::O_CLOEXEC;
    let terminal = sys::ioctl_open(master, nr::TIOCGPTPEER, flags)?;
    resize(terminal, columns, rows)?;
    let covered = cover(init.root, console, terminal);
    about(init, console, covered)?;
    sys::ioctl_number(terminal, nr::TIOCSCTTY, 0)?;
    for stream in 0..3 {
        sys::dup3(terminal, stream)?;
    }
    sys::close(terminal);
    control::hand_over_console(master)?;
    sys::close(master);
    Ok(())
}

/// Names the path in the report of a failure.
fn about<T>(init: &mut Init, path: Text<'_>, result: sys::Result<T>) -> sys::Result<T> {
    if result.is_err() {
        init.detail.set(path.bytes());
    }
    result
}

/// Opens the multiplexer of the devpts at this path, which makes a new pseudoterminal.
fn multiplexer(root: i32, path: Text<'_>) -> sys::Result<i32> {
    let directory = rootfs::open(root, path, nr::O_DIRECTORY)?;
    let master = multiplexer_at(directory);
    sys::close(directory);
    master
}

fn multiplexer_at(directory: i32) -> sys::Result<i32> {
    let wrong = Fault::of(Cause::NotMultiplexer);
    if sys::filesystem_magic(directory)? != nr::DEVPTS_SUPER_MAGIC {
        return Err(wrong);
    }
    let resolve = nr::RESOLVE_BENEATH | nr::RESOLVE_NO_SYMLINKS | nr::RESOLVE_NO_XDEV;
    let flags = nr::O_RDWR | nr::O_NOCTTY;
    match sys::openat2(directory, Text::from_c_str(c"ptmx"), flags, 0, resolve) {
        Ok(master) => {
            let status = sys::status(master)?;
            let found = (status.inode, status.major, status.minor);
            if found == MULTIPLEXER { Ok(master) } else { Err(wrong) }
        }
        // Something is mounted over it.
        Err(fault) if fault.errno == nr::EXDEV => Err(wrong),
        Err(fault) => Err(fault),
    }
}

/// Sets the size (struct winsize); without one it stays at the kernel's, which is none.
fn resize(terminal: i32, columns: u32, rows: u32) -> sys::Result<()> {
    let number = |of: u32| u16::try_from(of).map_err(|_e| Fault::of(Cause::BadPlan));
    let mut size = [number(rows)?, number(columns)?, 0, 0];
    sys::ioctl(terminal, nr::TIOCSWINSZ, &mut size)
}

/// Covers a file with the terminal. A link there would have it cover something else.
fn cover(root: i32, path: Text<'_>, terminal: i32) -> sys::Result<()> {
    let target = rootfs::ordinary_file(root, path)?;
    if sys::status(target)?.is(nr::S_IFDIR) {
        // The kernel would say EINVAL, which says nothing.
        return Err(Fault::call(nr::MOVE_MOUNT, nr::EISDIR));
    }
    let copy = mounts::copy(terminal, 0)?;
    let done = mounts::attach_over(root, copy, target, path);
    sys::close(copy);
    sys::close(target);
    done
}
