//! The page that says where init is, even when it was killed, and that it could not execute the program,
//! even when the filter lets it say nothing.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::uio::pread;
use nix::unistd::ftruncate;

use super::made::Inode;
use crate::error::{Error, Result};
use crate::plan::protocol::StatusPage;

/// The bytes before the inodes.
const HEAD: usize = 16;

/// The file that init maps.
#[derive(Debug)]
pub(super) struct Status(OwnedFd);

impl Status {
    /// A page for a new init.
    pub(super) fn new(data: MFdFlags) -> Result<Self> {
        let failed = |call: &str, errno: Errno| {
            Error::os(format!("{call} of init's status page"), errno as i32)
        };
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING | data;
        let page =
            memfd_create(c"tare-status", flags).map_err(|errno| failed("memfd_create", errno))?;
        let size = i64::try_from(size_of::<StatusPage>()).unwrap_or(0);
        ftruncate(&page, size).map_err(|errno| failed("ftruncate", errno))?;
        let seals = SealFlag::F_SEAL_SEAL | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW;
        fcntl(&page, FcntlArg::F_ADD_SEALS(seals)).map_err(|errno| failed("F_ADD_SEALS", errno))?;
        Ok(Self(page))
    }

    /// The operation that init was in last.
    pub(super) fn operation(&self) -> u32 {
        self.word(0)
    }

    /// The errno of init's execve(2), if that has failed.
    pub(super) fn execve_failed(&self) -> Option<u32> {
        (self.word(1) != 0).then(|| self.word(2))
    }

    /// What init has made in the root filesystem.
    pub(super) fn made(&self) -> Vec<Inode> {
        let mut bytes = vec![0; size_of::<StatusPage>()];
        let length = pread(&self.0, &mut bytes, 0).unwrap_or(0);
        let numbers = bytes.get(HEAD..length).unwrap_or_default().as_chunks::<8>().0;
        let inodes = numbers.as_chunks::<2>().0.iter().map(|inode| inode.map(u64::from_ne_bytes));
        inodes.map(Inode::from).take(self.word(3) as usize).collect()
    }

    fn word(&self, index: i64) -> u32 {
        let mut word = [0; 4];
        match pread(&self.0, &mut word, index * 4) {
            Ok(4) => u32::from_ne_bytes(word),
            _ => 0,
        }
    }
}

impl AsRawFd for Status {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::memory::map_status;

    #[test]
    fn what_init_writes_is_read() {
        let status = Status::new(MFdFlags::empty()).unwrap();
        assert_eq!((status.operation(), status.execve_failed()), (0, None));
        let page = map_status(status.as_raw_fd()).unwrap();
        page.operation.store(7, std::sync::atomic::Ordering::Relaxed);
        assert_eq!((status.operation(), status.execve_failed()), (7, None));
        page.execve_failed(0);
        assert_eq!(status.execve_failed(), Some(0), "as a filter may have it");
        page.execve_failed(13);
        assert_eq!((status.operation(), status.execve_failed()), (7, Some(13)));
        assert_eq!(status.made(), []);
        for number in 0..300 {
            page.add(8 << 32, number);
        }
        let made = status.made();
        assert_eq!((made.len(), made[0], made[254]), (255, (8 << 32, 0), (8 << 32, 254)));
    }
}
