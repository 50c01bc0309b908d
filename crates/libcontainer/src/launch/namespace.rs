//! Namespaces that the container joins.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, fstat, stat};

use crate::error::{Error, ErrorKind, Result};
use crate::plan::NamespaceKind;
use crate::sys::ioctl::namespace_kind;

/// Opens a namespace and verifies its kind: setns(2) with another one would fail too, but could not say
/// what was there.
pub(super) fn open_namespace(kind: NamespaceKind, path: &Path, property: &str) -> Result<OwnedFd> {
    // A FIFO would block, and a terminal must not become ours.
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let failed = |call: &str, errno: Errno| {
        Error::os(format!("{property}.path: {call}({})", path.display()), errno as i32)
            .with_property(property)
    };
    let namespace = open(path, flags, Mode::empty()).map_err(|errno| failed("open", errno))?;
    match namespace_kind(namespace.as_fd()) {
        Ok(found) if found == kind.flag() => Ok(namespace),
        // EINVAL, ENOTTY: no namespace at all.
        Ok(_) | Err(Errno::EINVAL | Errno::ENOTTY) => {
            let message = format!("{property}.path: {} is not a {kind} namespace", path.display());
            Err(Error::new(ErrorKind::InvalidConfig, message).with_property(property))
        }
        Err(errno) => Err(failed("ioctl(NS_GET_NSTYPE)", errno)),
    }
}

/// Refuses a namespace that is the caller's own, with this message.
pub(super) fn check_foreign(
    namespace: BorrowedFd<'_>,
    kind: NamespaceKind,
    message: &str,
) -> Result<()> {
    let own = format!("/proc/thread-self/ns/{}", kind.file());
    let given = fstat(namespace).map_err(|e| Error::os("fstat of a namespace", e as i32))?;
    let own = stat(own.as_str()).map_err(|e| Error::os(format!("stat {own}"), e as i32))?;
    if (given.st_dev, given.st_ino) != (own.st_dev, own.st_ino) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidConfig, message).with_property("linux.sysctl"))
}
