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
use super::executable::data_flag;
use super::hook::{Hooks, Running};
use super::status::Status;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::plan::protocol::Kind;
use crate::plan::{explain_execve, explain_start};
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

/// A gate that was opened.
#[derive(Debug)]
pub(crate) struct Opened {
    socket: OwnedFd,
    status: Status,
}

/// Opens the gate: from here on, init goes on, whatever becomes of the caller.
pub(crate) fn open(directory: BorrowedFd<'_>) -> Result<Opened> {
    let socket = seqpacket()?;
    connect(socket.as_raw_fd(), &address(directory)?).map_err(|errno| match errno {
        Errno::ECONNREFUSED => killed(),
        errno => Error::os("connect to the gate", errno as i32),
    })?;
    let status = Status::new(data_flag())?;
    match say_continue(socket.as_fd(), &[status.as_raw_fd()])? {
        true => Ok(Opened { socket, status }),
        false => Err(killed()),
    }
}

impl Opened {
    /// Serves init, whose pid is `pid`. Returns when it has executed the user's program.
    pub(crate) fn execute(
        &self,
        hooks: &Hooks<'_>,
        agent: Option<&Agent<'_>>,
        pid: i32,
    ) -> Result<()> {
        let socket = self.socket.as_fd();
        let mut program = None;
        let mut running = Running::default();
        loop {
            running.attend(socket)?;
            let (message, descriptor) = match hear(socket).context(|| "start")? {
                Received::Message(message, descriptor) => (message, descriptor),
                Received::HungUp => return self.end(program.as_deref()),
            };
            match message.kind {
                kind if kind == Kind::Executing as u32 => program = Some(message.text().to_vec()),
                kind if kind == Kind::Listener as u32 => {
                    Agent::hand_over(agent, descriptor, pid)?;
                }
                kind if kind == Kind::Hook as u32 => {
                    let operation = self.status.operation();
                    running.begin(socket, hooks, (message.a, operation), pid)?;
                }
                _ => {
                    let hook = running.explain(hooks, &message);
                    let start = || explain_start(message.fault, program.as_deref());
                    return Err(hook.unwrap_or_else(start));
                }
            }
        }
    }

    /// What it means that the connection is closed: by an execve, or by the end of init. `program` is what
    /// was to be executed, if it had come to that.
    fn end(&self, program: Option<&[u8]>) -> Result<()> {
        let program = program.ok_or_else(killed)?;
        let failed = self.status.execve_failed();
        failed.map_or(Ok(()), |errno| Err(explain_execve(errno, program)))
    }
}

fn killed() -> Error {
    let message = "the container's init was killed before it executed the process";
    Error::new(ErrorKind::InvalidState, message)
}
