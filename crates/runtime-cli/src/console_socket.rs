//! The console socket: whoever listens there gets the master end of the container's terminal.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use anyhow::Context;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect as connect_to, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::text;

/// How long the listener may leave others waiting: a full backlog blocks connect(2).
const PATIENCE: i64 = 10;

/// Connects to the socket.
pub(crate) fn connect(path: &Path) -> anyhow::Result<OwnedFd> {
    let connected = || -> Result<OwnedFd, Errno> {
        let (unix, stream) = (AddressFamily::Unix, SockType::Stream);
        let socket = socket(unix, stream, SockFlag::SOCK_CLOEXEC, None)?;
        setsockopt(&socket, sockopt::SendTimeout, &TimeVal::seconds(PATIENCE))?;
        connect_to(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
        Ok(socket)
    };
    connected()
        .map_err(text::errno)
        .with_context(|| format!("connect to console socket {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_socket() {
        let error = connect(Path::new("/nonexistent/s")).unwrap_err();
        let text = "connect to console socket /nonexistent/s: no such file or directory";
        assert_eq!(format!("{error:#}"), text);
    }
}
