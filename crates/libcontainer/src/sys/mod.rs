//! The only unsafe code of the host side: one function a system call.
#![allow(unsafe_code, reason = "system calls that no crate wraps")]

pub(crate) mod bpf;
pub(crate) mod ioctl;
pub(crate) mod pidfd;
pub(crate) mod probe;
pub(crate) mod spawn;

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Owns a descriptor that a control message has brought: nix hands it out as a number.
pub(crate) fn own(received: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just made this descriptor for us in recvmsg(2), so that nobody else owns
    // it; the callers pass each number of a message once.
    unsafe { OwnedFd::from_raw_fd(received) }
}
