//! ioctl(2) of namespaces (ioctl_nsfs(2)).

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

/// `NS_GET_NSTYPE`: the kind of a namespace, as `CLONE_NEW…`.
pub(crate) fn namespace_kind(namespace: BorrowedFd<'_>) -> nix::Result<u32> {
    const NS_GET_NSTYPE: libc::c_ulong = 0xb703;
    // SAFETY: the request takes no argument, and the descriptor is borrowed for the call.
    let kind = unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_NSTYPE) };
    Errno::result(kind).map(i32::cast_unsigned)
}
