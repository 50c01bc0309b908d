//! The console socket: who listens there gets the master end of the container's terminal.

use std::io::IoSlice;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};

use crate::error::{Error, ErrorKind, Result};
use crate::process::poll_until;

/// What other runtimes send along, too: a message over a stream needs a byte.
const NAME: &[u8] = b"/dev/pts/ptmx";

/// How long the other side may leave the socket full.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends the master end, in one message.
pub(crate) fn send(socket: BorrowedFd<'_>, master: &OwnedFd) -> Result<()> {
    let along = [master.as_raw_fd()];
    let control = [ControlMessage::ScmRights(&along)];
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let bytes = [IoSlice::new(NAME)];
        match sendmsg::<UnixAddr>(socket.as_raw_fd(), &bytes, &control, flags, None) {
            // The descriptor goes with the first byte.
            Ok(0) => {
                let message = "sendmsg to the console socket: nothing was sent";
                return Err(Error::new(ErrorKind::Os, message));
            }
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                if poll_until(socket, PollFlags::POLLOUT, Some(deadline))?.is_empty() {
                    let message = "the console socket is full, and nobody reads it";
                    return Err(Error::new(ErrorKind::Os, message));
                }
            }
            Err(errno) => return Err(Error::os("sendmsg to the console socket", errno as i32)),
        }
    }
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
