//! ioctl(2) of namespaces (ioctl_nsfs(2)) and terminals (ioctl_tty(2)).

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

/// `NS_GET_NSTYPE`: the kind of a namespace, as `CLONE_NEW…`.
pub(crate) fn namespace_kind(namespace: BorrowedFd<'_>) -> nix::Result<u32> {
    const NS_GET_NSTYPE: libc::c_ulong = 0xb703;
    // SAFETY: the request takes no argument, and the descriptor is borrowed for the call.
    let kind = unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_NSTYPE) };
    Errno::result(kind).map(i32::cast_unsigned)
}

/// `TIOCGWINSZ`: the size of a terminal.
pub(crate) fn window_size(terminal: BorrowedFd<'_>) -> nix::Result<libc::winsize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel writes one struct winsize, which `size` is, and the descriptor is borrowed for
    // the call.
    let done = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    Errno::result(done).map(|_| size)
}

/// `TIOCSWINSZ`: tells a terminal its size.
pub(crate) fn set_window_size(terminal: BorrowedFd<'_>, size: libc::winsize) -> nix::Result<()> {
    // SAFETY: the kernel reads one struct winsize, which `size` is, and the descriptor is borrowed for
    // the call.
    let done = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    Errno::result(done).map(drop)
}
