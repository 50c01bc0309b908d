//! The front door: a runtime with its store, and containers.

mod create;
mod delete;
mod lifecycle;
mod runtime;
mod window;

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

pub use lifecycle::Container;
pub use runtime::Runtime;
pub use window::WindowSize;

use crate::error::{Result, Warning};

/// What `create` is told beside the bundle.
#[non_exhaustive]
#[derive(Debug, Default)]
pub struct CreateOptions {
    /// The standard streams of the container's process.
    pub stdio: Stdio,
    /// How many descriptors from 3 on the container's process inherits from the caller, under the same
    /// numbers. Those that are not open stay holes. This is what programs do that have just been executed
    /// themselves: other threads of a larger process open and close descriptors at any time.
    pub preserve_fds: u32,
    /// How the root filesystem becomes `/`.
    pub pivot: Pivot,
    /// Who gets the master end of the terminal.
    pub console: Console,
    /// Whether the container gets a session keyring of its own.
    pub keyring: Keyring,
}

impl CreateOptions {
    /// The caller's standard streams, no further descriptors, pivot_root(2), no terminal, a new session
    /// keyring.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the standard streams.
    #[must_use]
    pub fn stdio(mut self, stdio: Stdio) -> Self {
        self.stdio = stdio;
        self
    }

    /// Sets how many descriptors from 3 on the container's process inherits.
    #[must_use]
    pub fn preserve_fds(mut self, count: u32) -> Self {
        self.preserve_fds = count;
        self
    }

    /// Sets how the root filesystem becomes `/`.
    #[must_use]
    pub fn pivot(mut self, pivot: Pivot) -> Self {
        self.pivot = pivot;
        self
    }

    /// Sets who gets the master end of the terminal.
    #[must_use]
    pub fn console(mut self, console: Console) -> Self {
        self.console = console;
        self
    }

    /// Sets whether the container gets a session keyring of its own.
    #[must_use]
    pub fn keyring(mut self, keyring: Keyring) -> Self {
        self.keyring = keyring;
        self
    }
}

/// The standard streams of a container's process. If it has a terminal (`process.terminal`), that is what
/// they are, and this is not used.
#[non_exhaustive]
#[derive(Debug, Default)]
pub enum Stdio {
    /// The caller's descriptors 0, 1 and 2. One that is closed is closed in the container too.
    #[default]
    Inherit,
    /// `/dev/null`.
    Null,
    /// These, as standard input, output and error. The container has copies of its own: drop the options
    /// after `create`, or a reader of a pipe never sees its end.
    Fds([OwnedFd; 3]),
}

/// Who gets the master end of the terminal that the configuration asks for (`process.terminal`): what is
/// written to it is typed at the terminal, what the container writes is read from it (pty(7)).
#[non_exhaustive]
#[derive(Debug, Default)]
pub enum Console {
    /// Nobody: a configuration that asks for a terminal is refused.
    #[default]
    None,
    /// Who listens at the other end of this connected Unix socket. One message brings the descriptor
    /// (`SCM_RIGHTS`). A configuration without a terminal is refused.
    Socket(OwnedFd),
    /// The caller, in [`Created::console`].
    Return,
}

/// How the root filesystem becomes `/`.
#[non_exhaustive]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Pivot {
    /// By pivot_root(2).
    #[default]
    PivotRoot,
    /// By moving the mount over `/` and chroot(2), for hosts whose root is a ramfs.
    MoveMount,
}

/// Which session keyring the container's process has (session-keyring(7)).
#[non_exhaustive]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Keyring {
    /// One of its own, called `_ses.ID`.
    #[default]
    New,
    /// The caller's, with every key in it.
    Inherit,
}

/// A created container, and what was left out on the way.
#[non_exhaustive]
#[derive(Debug)]
pub struct Created {
    /// The container, in the state `created`.
    pub container: Container,
    /// The master end of its terminal, if there is one and [`Console::Return`] asked for it. To close it
    /// hangs the terminal up.
    pub console: Option<OwnedFd>,
    /// What was left out, as the specification says.
    pub warnings: Vec<Warning>,
}

/// Which containers a delete may remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delete {
    /// One that has stopped, or was created and never started.
    Stopped,
    /// Any: its processes are killed first. That nothing is left to delete is not an error.
    Force,
}

/// How a container's process ended: one of the two ways that wait(2) knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It exited with this status.
    Exited(i32),
    /// This signal killed it.
    Signaled(i32),
}

impl ExitStatus {
    /// The status that it exited with, unless a signal killed it.
    #[must_use]
    pub fn code(self) -> Option<i32> {
        match self {
            Self::Exited(code) => Some(code),
            Self::Signaled(_) => None,
        }
    }

    /// The signal that killed it, if one did.
    #[must_use]
    pub fn signal(self) -> Option<i32> {
        match self {
            Self::Exited(_) => None,
            Self::Signaled(signal) => Some(signal),
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit status {code}"),
            Self::Signaled(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// What a container is doing.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Create is under way, or it died half-way.
    Creating,
    /// Its environment stands; the user's process was not started.
    Created,
    /// The user's process runs.
    Running,
    /// The user's process has ended.
    Stopped,
}

/// The state of a container, as the runtime-spec has it, with what runc adds.
#[derive(Debug, Clone)]
pub struct State {
    /// The version of the runtime-spec that its configuration complies with.
    pub oci_version: String,
    /// The id.
    pub id: String,
    /// The host's pid of its first process; 0 if there is none any more.
    pub pid: i32,
    /// What it is doing.
    pub status: Status,
    /// The bundle's directory.
    pub bundle: PathBuf,
    /// The root filesystem.
    pub rootfs: PathBuf,
    /// When it was created: RFC 3339, UTC, nanoseconds.
    pub created: String,
    /// The annotations of its configuration.
    pub annotations: BTreeMap<String, String>,
    /// The user who created it.
    pub owner: u32,
}

/// One entry of a list: a container's state, or why it can't be read.
#[non_exhaustive]
#[derive(Debug)]
pub struct ListEntry {
    /// The id.
    pub id: String,
    /// Its state.
    pub state: Result<State>,
}

impl Status {
    /// The word of the runtime-spec.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
