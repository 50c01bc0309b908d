//! What makes verbs on one container exclude each other: flock(2) of its directory.

use std::fs::{File, TryLockError};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// A locked directory.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    /// The directory.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Waits for the lock until the deadline. Somebody holds it for as long as create runs, which can
    /// wait for a hook; a holder that dies lets go of it.
    pub(super) fn take(directory: OwnedFd, deadline: Instant) -> Result<Self> {
        let file = File::from(directory);
        let mut pause = Duration::from_micros(500);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(20));
                }
                Err(TryLockError::WouldBlock) => {
                    let call = "another operation on it has not ended in time: flock(LOCK_EX)";
                    return Err(Error::os(call, libc::EWOULDBLOCK));
                }
                Err(TryLockError::Error(error)) if is_interrupted(&error) => {}
                Err(TryLockError::Error(error)) => return Err(Error::io("flock(LOCK_EX)", &error)),
            }
        }
    }
}

impl Drop for Lock {
    /// Said, rather than left to close(2): a child that another thread of the caller forks at this
    /// moment has a copy of the descriptor, and would keep the lock with it.
    fn drop(&mut self) {
        self.0.unlock().ok();
    }
}

fn is_interrupted(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(libc::EINTR)
}
