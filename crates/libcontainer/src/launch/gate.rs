//! The gate: a socket in the container's state directory, on which init waits for `start`.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen as listen_on,
    socket,
};
use nix::sys::stat::{Mode, fchmod};

use super::agent::Agent;
use super::conversation::{Received, hear, say_continue};
use super::hook::{Hooks, Running};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::plan::explain_start;
use crate::plan::protocol::Kind;
use crate::state::GATE;

/// The address of the gate in a state directory. It goes through the descriptor of the directory,
/// because an address has 107 bytes at the most and a state root may be deeper.
fn address(directory: BorrowedFd<'_>) -> Result<UnixAddr> {
    let path = format!("/proc/self/fd/{}/{GATE}", directory.as_raw_fd());
    UnixAddr::new(path.as_str()).map_err(|errno| Error::os(format!("address {path}"), errno as i32))
}

fn seqpacket() -> Result<OwnedFd> {
    socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)
        .map_err(|errno| Error::os("socket(AF_UNIX, SOCK_SEQPACKET)", errno as i32))
}

/// Makes the gate of a container.
pub(crate) fn listen(directory: BorrowedFd<'_>) -> Result<OwnedFd> {
    let failed = |call: &str, errno: Errno| Error::os(format!("{call} of the gate"), errno as i32);
    let socket = seqpacket()?;
    // The mode of the socket becomes the mode of the file, cut by a umask that is not ours to change.
    fchmod(&socket, Mode::from_bits_truncate(0o600)).map_err(|errno| failed("fchmod", errno))?;
    bind(socket.as_raw_fd(), &address(directory)?).map_err(|errno| failed("bind", errno))?;
    let backlog = Backlog::new(8).map_err(|errno| failed("listen", errno))?;
    listen_on(&socket, backlog).map_err(|errno| failed("listen", errno))?;
    Ok(socket)
}

/// Opens the gate: returns when init, whose pid is `pid`, has executed the user's program.
pub(crate) fn open(
    directory: BorrowedFd<'_>,
    hooks: &Hooks<'_>,
    agent: Option<&Agent<'_>>,
    pid: i32,
) -> Result<()> {
    let socket = seqpacket()?;
    connect(socket.as_raw_fd(), &address(directory)?)
        .map_err(|errno| Error::os("connect to the gate", errno as i32))?;
    say_continue(socket.as_fd(), &[])?;
    let mut executing = false;
    let mut running = Running::default();
    loop {
        running.attend(socket.as_fd())?;
        match hear(socket.as_fd()).context(|| "start")? {
            Received::HungUp if executing => return Ok(()),
            Received::HungUp => {
                let message = "the container's init was killed before it executed the process";
                return Err(Error::new(ErrorKind::InvalidState, message));
            }
            Received::Message(message, _) if message.kind == Kind::Executing as u32 => {
                executing = true;
            }
            Received::Message(message, Some(listener)) if message.kind == Kind::Listener as u32 => {
                if let Some(agent) = agent {
                    agent.hand_over(&listener, pid)?;
                }
            }
            Received::Message(message, _) if message.kind == Kind::Hook as u32 => {
                running.begin(socket.as_fd(), hooks, message.a, pid)?;
            }
            Received::Message(message, _) => {
                if let Some(error) = running.explain(hooks, &message) {
                    return Err(error);
                }
                let length = usize::try_from(message.length).unwrap_or(0);
                let detail = message.detail.get(..length).unwrap_or(&[]);
                return Err(explain_start(message.fault, detail));
            }
        }
    }
}
