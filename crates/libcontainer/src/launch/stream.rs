//! Bytes with a descriptor over a stream socket, to somebody who may read slowly or not at all.

use std::io::IoSlice;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};

use crate::error::{Error, ErrorKind, Result};
use crate::process::poll_until;

/// How long the other side may leave the socket full.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends all of it, the descriptor with the first byte. `unread` is what is wrong if nobody reads it.
pub(super) fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    along: &OwnedFd,
    (to, unread): (&str, &'static str),
) -> Result<()> {
    let along = [along.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&along)];
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    let deadline = Instant::now() + PATIENCE;
    let mut sent = 0;
    while sent < bytes.len() {
        let rest = [IoSlice::new(bytes.get(sent..).unwrap_or_default())];
        let control: &[ControlMessage<'_>] = if sent == 0 { &rights } else { &[] };
        match sendmsg::<UnixAddr>(socket.as_raw_fd(), &rest, control, flags, None) {
            Ok(0) => {
                let message = format!("sendmsg to {to}: nothing was sent");
                return Err(Error::new(ErrorKind::Os, message));
            }
            Ok(length) => sent += length,
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                if poll_until(socket, PollFlags::POLLOUT, Some(deadline))?.is_empty() {
                    return Err(Error::new(ErrorKind::Os, unread));
                }
            }
            Err(errno) => return Err(Error::os(format!("sendmsg to {to}"), errno as i32)),
        }
    }
    Ok(())
}
