//! A container: start, kill, wait, state.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use super::{Delete, ExitStatus, State, Status, delete};
use crate::cgroup;
use crate::error::{Error, ErrorKind, Result, Warning};
use crate::launch::{self, Agent, Hooks};
use crate::plan::HookKind;
use crate::process::{Life, LiveProcess, exit_status};
use crate::state::{Entry, Identity, Record, Store};

/// A container. Usable from any thread; dropping the value does nothing to the container. When it was
/// deleted, it does not exist for this value, even if there is another one with the same id.
#[derive(Debug)]
pub struct Container {
    store: Store,
    id: String,
    identity: Identity,
    /// The pid of the first process, if there was one when the value was made.
    pid: Option<i32>,
    /// The first process, if it was there when the value was made: it tells the exit status even after
    /// others have reaped it.
    process: Option<OwnedFd>,
    /// How that has ended, once somebody has waited: a second wait finds no child any more.
    ended: Mutex<Option<ExitStatus>>,
}

impl Container {
    pub(super) fn new(store: Store, record: &Record, process: Option<OwnedFd>) -> Self {
        let id = record.intent.id.clone();
        let pid = record.init.as_ref().map(|init| init.process.pid);
        Self { store, id, identity: record.identity(), pid, process, ended: Mutex::new(None) }
    }

    /// The container of a record. That its process can't be opened is told to whoever wants it.
    pub(super) fn recorded(store: Store, record: &Record) -> Self {
        let process = record.process().ok().flatten();
        Self::new(store, record, process)
    }

    /// Its record, or that there is none any more.
    fn read(&self) -> Result<Record> {
        self.store.read(&self.id, Some(&self.identity))
    }

    /// The id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The pid that the first process has got, if there was one when the value was made. What became of
    /// it, [`Container::state`] and [`Container::pidfd`] say.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        self.pid
    }

    /// What the container is now. Takes no lock: it may be another thing when this returns.
    ///
    /// # Kernel
    ///
    /// Reads the record; pidfd_open(2), and stat(2) of `/proc/PID/exe`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if it was deleted, and whatever reading its state can fail with.
    pub fn state(&self) -> Result<State> {
        self.read()?.state()
    }

    /// Lets the user's process run. Returns when it was executed.
    ///
    /// # Kernel
    ///
    /// flock(2) of the container's directory, connect(2) to init's socket in it, and recvmsg(2) until
    /// init's execve(2) has closed the connection.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidState`] if the container isn't in the state `created`; the errno of execve(2)
    /// if the program can't be executed: then the container has stopped.
    pub fn start(&self) -> Result<()> {
        // Locked, so that of two starts one says that the container runs already.
        let entry = self.store.lock(&self.id)?;
        let record = entry.read(Some(&self.identity))?;
        let observed = record.observe()?;
        let reason = match observed.status {
            Status::Created => return self.open_gate(&entry, &record, observed.init),
            Status::Running => "cannot start an already running container",
            Status::Stopped => "cannot start a container that has stopped",
            Status::Creating => "cannot start a container in the creating state",
        };
        Err(Error::new(ErrorKind::InvalidState, reason))
    }

    /// Opens the gate, with the hooks behind it. What fails behind it ends the container.
    fn open_gate(&self, entry: &Entry, record: &Record, init: Option<LiveProcess>) -> Result<()> {
        let gone = || Error::new(ErrorKind::InvalidState, "container not running");
        let init = init.ok_or_else(gone)?;
        let kinds = [HookKind::Poststart];
        let hooks = Hooks::prepare(&record.intent, &kinds, entry.directory())?;
        let agent = Agent::connect(&record.intent)?;
        // What has failed is what the caller is told.
        let kill = || {
            init.signal(libc::SIGKILL).ok();
            if !record.intent.own_pid_namespace {
                cgroup::kill_all(&record.intent.cgroup).ok();
            }
        };
        let gate = launch::open(entry.directory())?;
        gate.execute(&hooks, agent.as_ref(), init.pid())
            .and_then(|()| hooks.run(HookKind::Poststart, Some(init.pid())))
            .inspect_err(|_| kill())
    }

    /// Sends a signal (signal(7)) to the first process; SIGKILL, in a container that shares its pid
    /// namespace, to all.
    ///
    /// # Kernel
    ///
    /// pidfd_open(2), pidfd_send_signal(2).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidState`] if it isn't running; `EINVAL` if there is no such signal.
    pub fn kill(&self, signal: i32) -> Result<()> {
        let record = self.read()?;
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

    /// Blocks until the first process has ended, and says how. Any number of threads may wait, and each
    /// may wait again.
    ///
    /// The caller's own child is reaped. If some other thread of the caller reaps it, or the caller isn't
    /// its parent, the kernel keeps the status for those who have a pidfd (Linux 6.15): this value has one
    /// if the process had not been reaped when the value was made.
    ///
    /// # Kernel
    ///
    /// poll(2), waitid(2) with `P_PIDFD`, and `PIDFD_GET_INFO` where that finds no child.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidState`] if the process had been reaped when the value was made, or if create
    /// was interrupted; [`ErrorKind::Unsupported`] if the kernel has not kept the status.
    pub fn wait(&self) -> Result<ExitStatus> {
        // Whoever comes second waits for the lock instead of the process: for the same event.
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(status) = *ended {
            return Ok(status);
        }
        let status = match &self.process {
            Some(process) => exit_status(process.as_fd())?,
            None => exit_status(self.pidfd()?.as_fd())?,
        };
        *ended = Some(status);
        Ok(status)
    }

    /// A descriptor of the first process (pidfd_open(2)), the caller's to keep. It polls readable when
    /// the process has ended, and hung up when it was reaped; that of a process that has ended already
    /// does so at once.
    ///
    /// # Kernel
    ///
    /// fcntl(2); pidfd_open(2) if the value was made before there was a process.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidState`] if the process had been reaped when the value was made, or if create
    /// was interrupted.
    pub fn pidfd(&self) -> Result<OwnedFd> {
        if let Some(process) = &self.process {
            let copy = process.try_clone();
            return copy.map_err(|e| Error::io("fcntl(pidfd, F_DUPFD_CLOEXEC)", &e));
        }
        let gone = || Error::new(ErrorKind::InvalidState, "container not running");
        self.read()?.process()?.ok_or_else(gone)
    }

    /// Removes the container: [`crate::Runtime::delete`] with its id, but of no other container that has
    /// got the id since.
    ///
    /// # Errors
    ///
    /// Those of [`crate::Runtime::delete`]; and if the record is damaged, so that nobody knows whose it is.
    pub fn delete(&self, delete: Delete) -> Result<Vec<Warning>> {
        delete::delete(&self.store, &self.id, Some(&self.identity), delete)
    }
}
