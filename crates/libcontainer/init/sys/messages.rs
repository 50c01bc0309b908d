//! Sockets: messages with descriptors, connections to the gate.

use super::super::numbers as nr;
use super::super::protocol::{Cause, Fault};
use super::{Result, address, address_mut, call, fd, opened, word};

/// socket(2) for ioctls on network interfaces.
pub(crate) fn inet_socket() -> Result<i32> {
    const AF_INET: usize = 2;
    const SOCK_DGRAM: usize = 2;
    opened(nr::SOCKET, [AF_INET, SOCK_DGRAM | word(nr::O_CLOEXEC), 0])
}

/// accept4(2).
pub(crate) fn accept(listener: i32) -> Result<i32> {
    opened(nr::ACCEPT4, [fd(listener), 0, 0, word(nr::O_CLOEXEC)])
}

/// struct iovec.
#[repr(C)]
struct Iovec {
    base: usize,
    length: usize,
}

/// struct msghdr.
#[repr(C)]
struct Header {
    name: usize,
    name_length: u32,
    vectors: usize,
    vector_count: usize,
    control: usize,
    control_length: usize,
    flags: u32,
}

/// The most descriptors that one message carries (SCM_MAX_FD).
pub(crate) const MOST_DESCRIPTORS: usize = 253;

/// A control message with descriptors: struct cmsghdr and what follows.
#[repr(C)]
struct Control {
    length: usize,
    level: u32,
    kind: u32,
    descriptors: [i32; MOST_DESCRIPTORS],
}

const CONTROL_HEADER: usize = 16;
const SOL_SOCKET: u32 = 1;
const SCM_RIGHTS: u32 = 1;

/// sendmsg(2), with a descriptor if there is one. A reader that is gone is an error, not a signal.
pub(crate) fn send(socket: i32, bytes: &[u8], descriptor: Option<i32>) -> Result<()> {
    const MSG_NOSIGNAL: usize = 0x4000;
    let vector = Iovec { base: address(bytes), length: bytes.len() };
    let mut control = Control {
        length: CONTROL_HEADER + 4,
        level: SOL_SOCKET,
        kind: SCM_RIGHTS,
        descriptors: [0; MOST_DESCRIPTORS],
    };
    control.descriptors[0] = descriptor.unwrap_or(-1);
    let header = Header {
        name: 0,
        name_length: 0,
        vectors: address(&vector),
        vector_count: 1,
        control: if descriptor.is_some() { address(&control) } else { 0 },
        control_length: if descriptor.is_some() { CONTROL_HEADER + 8 } else { 0 },
        flags: 0,
    };
    let sent = call(nr::SENDMSG, [fd(socket), address(&header), MSG_NOSIGNAL])?;
    // Who takes a part for the whole waits for an answer that never comes.
    if sent == bytes.len() { Ok(()) } else { Err(Fault::of(Cause::NotInForce)) }
}

/// recvmsg(2): the bytes received, and how many descriptors were put into `descriptors`. That the kernel
/// had no room for all of them is a failure: it says so in a flag only, and what is missing would be a
/// cgroup that nobody joins.
pub(crate) fn receive(
    socket: i32,
    into: &mut [u8],
    descriptors: &mut [i32; MOST_DESCRIPTORS],
) -> Result<(usize, usize)> {
    const MSG_CMSG_CLOEXEC: usize = 0x4000_0000;
    const MSG_CTRUNC: u32 = 8;
    let vector = Iovec { base: address_mut(into), length: into.len() };
    let mut control = Control { length: 0, level: 0, kind: 0, descriptors: [-1; MOST_DESCRIPTORS] };
    let mut header = Header {
        name: 0,
        name_length: 0,
        vectors: address(&vector),
        vector_count: 1,
        control: address_mut(&mut control),
        control_length: size_of::<Control>(),
        flags: 0,
    };
    let bytes = call(nr::RECVMSG, [fd(socket), address_mut(&mut header), MSG_CMSG_CLOEXEC])?;
    if header.flags & MSG_CTRUNC != 0 {
        return Err(Fault::call(nr::RECVMSG, nr::EMFILE));
    }
    let rights = header.control_length >= CONTROL_HEADER
        && control.level == SOL_SOCKET
        && control.kind == SCM_RIGHTS;
    let count = if rights { control.length.saturating_sub(CONTROL_HEADER) / 4 } else { 0 };
    *descriptors = control.descriptors;
    Ok((bytes, count.min(MOST_DESCRIPTORS)))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::{AsRawFd, FromRawFd};

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    use super::*;

    #[test]
    fn descriptors_come_along_with_words() {
        let kind = SockType::SeqPacket;
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC).unwrap();
        let (ours, theirs) = (ours.as_raw_fd(), theirs);
        let file = std::fs::File::open("/proc/self/comm").unwrap();
        send(theirs.as_raw_fd(), b"with", Some(file.as_raw_fd())).unwrap();
        send(theirs.as_raw_fd(), b"without", None).unwrap();
        drop(theirs);

        let mut descriptors = [-1; MOST_DESCRIPTORS];
        let mut bytes = [0; 16];
        assert_eq!(receive(ours, &mut bytes, &mut descriptors), Ok((4, 1)));
        assert_eq!(&bytes[..4], b"with");
        // SAFETY: the kernel has just made it for this process, and nobody else knows it.
        let mut received = unsafe { std::fs::File::from_raw_fd(descriptors[0]) };
        let mut text = String::new();
        received.read_to_string(&mut text).unwrap();
        assert!(!text.is_empty());
        assert_eq!(receive(ours, &mut bytes, &mut descriptors), Ok((7, 0)));
        assert_eq!(receive(ours, &mut bytes, &mut descriptors), Ok((0, 0)), "hung up");
        let gone = send(ours, b"x", None).unwrap_err();
        assert_eq!((gone.call, gone.errno), (nr::SENDMSG, 32), "EPIPE, and no signal");
    }
}
