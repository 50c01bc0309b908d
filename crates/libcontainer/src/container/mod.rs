//! The front door: a runtime with its store, and containers.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::bundle::Bundle;
use crate::error::{Error, ErrorKind, Result, Warning};
use crate::host::HostFacts;

/// Containers below one state directory. Cheap to clone, and usable from any thread.
#[derive(Debug, Clone)]
pub struct Runtime {
    root: PathBuf,
}

/// What `create` is told beside the bundle.
#[derive(Debug, Default)]
pub struct CreateOptions {
    /// The standard streams of the container's process.
    pub stdio: Stdio,
    /// How many descriptors from 3 on the container's process inherits from the caller. Numbers that
    /// are not open stay holes.
    pub preserve_fds: u32,
    /// How the root filesystem becomes `/`.
    pub pivot: Pivot,
}

/// The standard streams of a container's process.
#[derive(Debug, Default)]
pub enum Stdio {
    /// The caller's descriptors 0, 1 and 2.
    #[default]
    Inherit,
    /// `/dev/null`.
    Null,
    /// These, as standard input, output and error.
    Fds([OwnedFd; 3]),
}

/// How the root filesystem becomes `/`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Pivot {
    /// By pivot_root(2).
    #[default]
    PivotRoot,
    /// By moving the mount over `/` and chroot(2), for hosts whose root is a ramfs.
    MoveMount,
}

/// A created container, and what was left out on the way.
#[derive(Debug)]
pub struct Created {
    /// The container, in the state `created`.
    pub container: Container,
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

/// How a container's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It exited with this status.
    Exited(i32),
    /// This signal killed it.
    Signaled(i32),
}

/// What a container is doing.
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
#[derive(Debug)]
pub struct ListEntry {
    /// The id.
    pub id: String,
    /// Its state.
    pub state: Result<State>,
}

/// A container. Dropping the value does nothing to the container.
#[derive(Debug)]
pub struct Container {
    id: String,
}

impl Runtime {
    /// Containers whose state lies below the absolute path `root`. Nothing is made until `create`.
    ///
    /// # Errors
    ///
    /// If the host lacks what tare needs.
    pub fn new(root: impl Into<PathBuf>) -> Result<Self> {
        Ok(Self { root: root.into() })
    }

    /// The same with facts that the caller gives.
    #[must_use]
    pub fn with_facts(root: impl Into<PathBuf>, _facts: HostFacts) -> Self {
        Self { root: root.into() }
    }

    /// The state directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Creates a container and leaves it at the gate before the user's process.
    ///
    /// # Errors
    ///
    /// If anything fails; then nothing is left.
    pub fn create(&self, _id: &str, _bundle: &Bundle, _options: CreateOptions) -> Result<Created> {
        Err(Error::new(ErrorKind::Internal, "not there yet"))
    }

    /// The container of this id.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there is none.
    pub fn container(&self, id: &str) -> Result<Container> {
        Ok(Container { id: id.to_string() })
    }

    /// All containers, sorted by id. A state root that does not exist holds none.
    ///
    /// # Errors
    ///
    /// If the state root can't be read.
    pub fn list(&self) -> Result<Vec<ListEntry>> {
        Ok(Vec::new())
    }

    /// Removes everything that a container of this id has left: also what an interrupted create left.
    ///
    /// # Errors
    ///
    /// If it is still running and `delete` is [`Delete::Stopped`], or something could not be removed.
    pub fn delete(&self, _id: &str, _delete: Delete) -> Result<()> {
        Ok(())
    }
}

impl Container {
    /// The id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What the container is now.
    ///
    /// # Errors
    ///
    /// If its state can't be read.
    pub fn state(&self) -> Result<State> {
        Err(Error::new(ErrorKind::Internal, "not there yet"))
    }

    /// Lets the user's process run. Returns when it was executed.
    ///
    /// # Errors
    ///
    /// If the container isn't in the state `created`, or the program can't be executed.
    pub fn start(&self) -> Result<()> {
        Ok(())
    }

    /// Sends a signal (signal(7)) to the first process; SIGKILL, in a container that shares its pid
    /// namespace, to all.
    ///
    /// # Errors
    ///
    /// If it isn't running.
    pub fn kill(&self, _signal: i32) -> Result<()> {
        Ok(())
    }

    /// Blocks until the first process has ended, and says how: also when some other thread of the caller
    /// has reaped it, and when the caller isn't its parent (Linux 6.15).
    ///
    /// # Errors
    ///
    /// If the exit status is lost.
    pub fn wait(&self) -> Result<ExitStatus> {
        Err(Error::new(ErrorKind::Internal, "not there yet"))
    }

    /// A descriptor that polls readable when the first process has ended (pidfd_open(2)).
    ///
    /// # Errors
    ///
    /// If it has ended already and was reaped.
    pub fn pidfd(&self) -> Result<OwnedFd> {
        Err(Error::new(ErrorKind::Internal, "not there yet"))
    }

    /// See [`Runtime::delete`].
    ///
    /// # Errors
    ///
    /// See [`Runtime::delete`].
    pub fn delete(&self, _delete: Delete) -> Result<()> {
        Ok(())
    }
}
