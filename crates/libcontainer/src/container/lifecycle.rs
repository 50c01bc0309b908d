//! A container: start, kill, wait, state.

use std::os::fd::{AsFd, OwnedFd};

use super::{Delete, ExitStatus, State, Status, delete};
use crate::cgroup;
use crate::error::{Error, ErrorKind, Result};
use crate::launch;
use crate::process::{Life, exit_status};
use crate::state::Store;

/// A container. Dropping the value does nothing to the container.
#[derive(Debug)]
pub struct Container {
    store: Store,
    id: String,
    /// The first process, for whoever has created the container: it tells the exit status even after
    /// others have reaped it.
    process: Option<OwnedFd>,
}

impl Container {
    pub(super) fn new(store: Store, id: &str, process: Option<OwnedFd>) -> Self {
        Self { store, id: id.to_string(), process }
    }

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
        self.store.read(&self.id)?.state()
    }

    /// Lets the user's process run. Returns when it was executed.
    ///
    /// # Errors
    ///
    /// If the container isn't in the state `created`, or the program can't be executed.
    pub fn start(&self) -> Result<()> {
        // Locked, so that of two starts one says that the container runs already.
        let entry = self.store.lock(&self.id)?;
        let reason = match entry.read()?.observe()?.status {
            Status::Created => return launch::open(entry.directory()),
            Status::Running => "cannot start an already running container",
            Status::Stopped => "cannot start a container that has stopped",
            Status::Creating => "cannot start a container in the creating state",
        };
        Err(Error::new(ErrorKind::InvalidState, reason))
    }

    /// Sends a signal (signal(7)) to the first process; SIGKILL, in a container that shares its pid
    /// namespace, to all.
    ///
    /// # Errors
    ///
    /// If it isn't running.
    pub fn kill(&self, signal: i32) -> Result<()> {
        let record = self.store.read(&self.id)?;
        let not_running = || Error::new(ErrorKind::InvalidState, "container not running");
        let process = record.observe()?.init.ok_or_else(not_running)?;
        if process.signal(signal)? == Life::Gone {
            return Err(not_running());
        }
        if signal != libc::SIGKILL {
            return Ok(());
        }
        if record.intent.own_pid_namespace {
            cgroup::thaw_v1(&record.intent.cgroup)
        } else {
            cgroup::kill_all(&record.intent.cgroup)
        }
    }

    /// Blocks until the first process has ended, and says how: also when some other thread of the caller
    /// has reaped it, and when the caller isn't its parent (Linux 6.15).
    ///
    /// # Errors
    ///
    /// If the exit status is lost.
    pub fn wait(&self) -> Result<ExitStatus> {
        match &self.process {
            Some(process) => exit_status(process.as_fd()),
            None => exit_status(self.pidfd()?.as_fd()),
        }
    }

    /// A descriptor that polls readable when the first process has ended (pidfd_open(2)).
    ///
    /// # Errors
    ///
    /// If it has ended already and was reaped.
    pub fn pidfd(&self) -> Result<OwnedFd> {
        if let Some(process) = &self.process {
            let copy = process.try_clone();
            return copy.map_err(|e| Error::io("fcntl(pidfd, F_DUPFD_CLOEXEC)", &e));
        }
        let process = self.store.read(&self.id)?.observe()?.init;
        let gone = || Error::new(ErrorKind::InvalidState, "container not running");
        Ok(process.ok_or_else(gone)?.into_pidfd())
    }

    /// See [`crate::Runtime::delete`].
    ///
    /// # Errors
    ///
    /// See [`crate::Runtime::delete`].
    pub fn delete(&self, delete: Delete) -> Result<()> {
        delete::delete(&self.store, &self.id, delete)
    }
}
