//! The console socket: who listens there gets the master end of the container's terminal.

use std::os::fd::{BorrowedFd, OwnedFd};

use super::stream;
use crate::error::Result;

/// What other runtimes send along, too: a message over a stream needs a byte.
const NAME: &[u8] = b"/dev/pts/ptmx";

/// Sends the master end.
pub(crate) fn send(socket: BorrowedFd<'_>, master: &OwnedFd) -> Result<()> {
    let unread = "the console socket is full, and nobody reads it";
    stream::send(socket, NAME, master, ("the console socket", unread))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn who_is_gone_is_an_error_and_no_signal() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let master = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let error = send(ours.as_fd(), &master).unwrap_err();
        assert_eq!(error.errno(), Some(libc::EPIPE), "{error}");
    }
}
