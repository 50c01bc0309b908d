//! The agent that decides about system calls: `linux.seccomp.listenerPath` (runtime-spec,
//! config-linux.md, "The Container Process State"; seccomp_unotify(2)).
//!
//! It is connected to before the gate is opened, so that a container whose agent is missing is not
//! started; it gets the listener with the state when init has loaded the filter.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use serde::Serialize;

use super::hook::State;
use super::stream;
use crate::error::{Error, ErrorKind, Result};
use crate::state::Intent;

/// The name of the listener among the descriptors.
const LISTENER: &str = "seccompFd";

/// A connection to the agent.
#[derive(Debug)]
pub(crate) struct Agent<'a> {
    intent: &'a Intent,
    metadata: Option<&'a str>,
    socket: OwnedFd,
}

/// What the agent is told.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ProcessState<'a> {
    oci_version: &'a str,
    fds: [&'a str; 1],
    pid: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    state: State<'a>,
}

impl<'a> Agent<'a> {
    /// Connects to the agent of a container, if it has one. An agent that accepts nobody is an error:
    /// nobody waits for it.
    pub(crate) fn connect(intent: &'a Intent) -> Result<Option<Self>> {
        let Some(agent) = &intent.agent else { return Ok(None) };
        let failed = |errno: Errno| {
            Error::os(format!("connect {}", agent.path.display()), errno as i32)
                .context("failed to connect with seccomp agent specified in the seccomp profile")
                .with_property("linux.seccomp.listenerPath")
        };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(failed)?;
        let address = UnixAddr::new(&agent.path).map_err(failed)?;
        connect(socket.as_raw_fd(), &address).map_err(failed)?;
        let metadata = agent.metadata.as_deref().filter(|metadata| !metadata.is_empty());
        Ok(Some(Self { intent, metadata, socket }))
    }

    /// Gives the listener of the process to the agent. There must be both: without, what the agent should
    /// decide about would fail in a program that runs.
    pub(super) fn hand_over(
        this: Option<&Self>,
        listener: Option<OwnedFd>,
        pid: i32,
    ) -> Result<()> {
        let unknown = "the filter asks an agent, and none is on record";
        let this = this.ok_or_else(|| Error::new(ErrorKind::InvalidState, unknown))?;
        // The kernel drops a descriptor that it can't install, and does not say why.
        let listener =
            listener.ok_or_else(|| Error::os("recvmsg(seccomp listener)", libc::EMFILE))?;
        this.send(&listener, pid).map_err(|error| error.with_property("linux.seccomp.listenerPath"))
    }

    fn send(&self, listener: &OwnedFd, pid: i32) -> Result<()> {
        let state = ProcessState {
            oci_version: &self.intent.oci_version,
            fds: [LISTENER],
            pid,
            metadata: self.metadata,
            state: State::new(self.intent, "created", Some(pid)),
        };
        let text = serde_json::to_vec(&state)
            .map_err(|e| Error::new(ErrorKind::Internal, format!("state for the agent: {e}")))?;
        let unread = "the seccomp agent doesn't read the state";
        stream::send(self.socket.as_fd(), &text, listener, ("the seccomp agent", unread))
    }
}
