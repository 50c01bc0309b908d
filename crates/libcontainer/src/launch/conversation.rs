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

/// Says a word, with descriptors.
pub(super) fn say(socket: BorrowedFd<'_>, word: u32, along: &[RawFd]) -> Result<()> {
    let word = word.to_le_bytes();
    let bytes = [IoSlice::new(&word)];
    let rights = [ControlMessage::ScmRights(along)];
    let control: &[ControlMessage<'_>] = if along.is_empty() { &[] } else { &rights };
    loop {
        let fd = socket.as_raw_fd();
        match sendmsg::<UnixAddr>(fd, &bytes, control, MsgFlags::MSG_NOSIGNAL, None) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(Error::os("sendmsg to init", errno as i32)),
        }
    }
}

/// Lets init go on.
pub(super) fn say_continue(socket: BorrowedFd<'_>, along: &[RawFd]) -> Result<()> {
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
                let fd = message.cmsgs().ok().and_then(|mut messages| {
                    messages.find_map(|message| match message {
                        ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
                        _ => None,
                    })
                });
                break (message.bytes, fd);
            }
            Err(Errno::EINTR) => {}
            // Init was killed with a word of ours unread.
            Err(Errno::ECONNRESET) => return Ok(Received::HungUp),
            // The stage that should have said something has ended.
            Err(Errno::EAGAIN) if how.contains(MsgFlags::MSG_DONTWAIT) => {
                return Ok(Received::HungUp);
            }
            Err(errno) => return Err(Error::os("recvmsg from init", errno as i32)),
        }
    };
    let fd = fd.map(crate::sys::own);
    match length {
        0 => Ok(Received::HungUp),
        MESSAGE => Ok(Received::Message(Box::new(Message::from_bytes(&bytes)), fd)),
        _ => Err(Error::new(ErrorKind::Internal, format!("init sent a message of {length} bytes"))),
    }
}
