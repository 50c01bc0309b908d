//! Messages over a socket to init.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, sendmsg};

use crate::error::{Error, ErrorKind, Result};
use crate::plan::protocol::{CONTINUE, MESSAGE, Message};

/// What came.
#[derive(Debug)]
pub(super) enum Received {
    /// A message, and a descriptor if one came along.
    Message(Box<Message>, Option<OwnedFd>),
    /// The other side has hung up.
    HungUp,
}

/// Says a word, with descriptors. False if the other side has hung up: whoever listens next hears of that,
/// and before it of whatever was said last.
pub(super) fn say(socket: BorrowedFd<'_>, word: u32, along: &[RawFd]) -> Result<bool> {
    let word = word.to_le_bytes();
    let bytes = [IoSlice::new(&word)];
    let rights = [ControlMessage::ScmRights(along)];
    let control: &[ControlMessage<'_>] = if along.is_empty() { &[] } else { &rights };
    loop {
        let fd = socket.as_raw_fd();
        match sendmsg::<UnixAddr>(fd, &bytes, control, MsgFlags::MSG_NOSIGNAL, None) {
            Ok(sent) if sent == word.len() => return Ok(true),
            // Nobody would answer.
            Ok(_) => return Err(Error::new(ErrorKind::Internal, "sendmsg to init: cut short")),
            Err(Errno::EINTR) => {}
            // The latter from a connection that init has not accepted.
            Err(Errno::EPIPE | Errno::ECONNRESET) => return Ok(false),
            Err(errno) => return Err(Error::os("sendmsg to init", errno as i32)),
        }
    }
}

/// Lets init go on. False if it has ended.
pub(super) fn say_continue(socket: BorrowedFd<'_>, along: &[RawFd]) -> Result<bool> {
    say(socket, CONTINUE, along)
}

/// Waits for the next message of init.
pub(super) fn hear(socket: BorrowedFd<'_>) -> Result<Received> {
    receive(socket, MsgFlags::empty())
}

/// The same from a stage that another one shares the socket with: that it has ended does not hang up.
pub(super) fn hear_until(socket: BorrowedFd<'_>, stage: BorrowedFd<'_>) -> Result<Received> {
    let mut fds = [PollFd::new(socket, PollFlags::POLLIN), PollFd::new(stage, PollFlags::POLLIN)];
    while let Err(errno) = poll(&mut fds, PollTimeout::NONE) {
        if errno != Errno::EINTR {
            return Err(Error::os("poll(init)", errno as i32));
        }
    }
    // What the stage said before it ended comes first.
    receive(socket, MsgFlags::MSG_DONTWAIT)
}

fn receive(socket: BorrowedFd<'_>, how: MsgFlags) -> Result<Received> {
    let mut bytes = [0u8; MESSAGE];
    let mut control = nix::cmsg_space!([RawFd; 1]);
    let (length, fd) = loop {
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let flags = how | MsgFlags::MSG_CMSG_CLOEXEC;
        match recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut slices, Some(&mut control), flags) {
            Ok(message) => {
                // The padding has room for a second one, which must not stay open either.
                let fds =
                    message.cmsgs().ok().into_iter().flatten().flat_map(|message| match message {
                        ControlMessageOwned::ScmRights(fds) => fds,
                        _ => Vec::new(),
                    });
                let fds: Vec<OwnedFd> = fds.map(crate::sys::own).collect();
                break (message.bytes, fds.into_iter().next());
            }
            // Init has ended with a word of ours unread: this comes before what it said last.
            Err(Errno::EINTR | Errno::ECONNRESET) => {}
            // The stage that should have said something has ended.
            Err(Errno::EAGAIN) if how.contains(MsgFlags::MSG_DONTWAIT) => {
                return Ok(Received::HungUp);
            }
            Err(errno) => return Err(Error::os("recvmsg from init", errno as i32)),
        }
    };
    match length {
        0 => Ok(Received::HungUp),
        MESSAGE => Ok(Received::Message(Box::new(Message::from_bytes(&bytes)), fd)),
        _ => Err(Error::new(ErrorKind::Internal, format!("init sent a message of {length} bytes"))),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::time::{Duration, Instant};

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    use nix::unistd::pipe2;

    use super::*;
    use crate::process::poll_until;

    #[test]
    fn what_was_said_last_is_heard_though_a_word_was_not() {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap();
        assert!(say_continue(ours.as_fd(), &[]).unwrap());
        let message = [IoSlice::new(&[0; MESSAGE])];
        let fd = theirs.as_raw_fd();
        sendmsg::<UnixAddr>(fd, &message, &[], MsgFlags::empty(), None).unwrap();
        drop(theirs);
        assert!(matches!(hear(ours.as_fd()).unwrap(), Received::Message(..)));
        assert!(matches!(hear(ours.as_fd()).unwrap(), Received::HungUp));
        assert!(!say_continue(ours.as_fd(), &[]).unwrap());
    }

    /// The room for the control message of one descriptor is that for two: it is aligned.
    #[test]
    fn of_two_descriptors_that_come_along_one_is_kept_and_none_is_leaked() {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap();
        let (read, write) = pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
        let along = [ours.as_raw_fd(), write.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&along)];
        let message = [IoSlice::new(&[0; MESSAGE])];
        let fd = theirs.as_raw_fd();
        sendmsg::<UnixAddr>(fd, &message, &rights, MsgFlags::empty(), None).unwrap();
        let Received::Message(_, Some(kept)) = hear(ours.as_fd()).unwrap() else {
            panic!("no message with a descriptor");
        };
        drop((write, kept));
        // The pipe hangs up when nobody can write to it any more.
        let deadline = Instant::now() + Duration::from_secs(10);
        let events = poll_until(read.as_fd(), PollFlags::empty(), Some(deadline)).unwrap();
        assert_eq!(events, PollFlags::POLLHUP);
    }
}
