//! A runtime: containers below one state directory.

use std::path::{Path, PathBuf};

use super::{Container, CreateOptions, Created, Delete, ListEntry, create, delete};
use crate::bundle::Bundle;
use crate::error::{Error, ErrorKind, Result, Warning};
use crate::host::HostFacts;
use crate::plan::Plan;
use crate::state::Store;

/// Containers below one state directory. Usable from any thread, and any number of values, of this
/// process and others, may share a state directory: of two that want the same id, one gets it.
#[derive(Debug, Clone)]
pub struct Runtime {
    root: PathBuf,
    facts: Option<HostFacts>,
}

impl Runtime {
    /// Containers whose state lies below the absolute path `root`, of any length. Nothing is made until
    /// `create`, which asks the kernel each time what it can do.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), facts: None }
    }

    /// The same with facts that the caller gives: once probed, for many containers.
    #[must_use]
    pub fn with_facts(root: impl Into<PathBuf>, facts: HostFacts) -> Self {
        Self { root: root.into(), facts: Some(facts) }
    }

    /// The state directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A relative path would mean another directory as soon as some thread changes the working directory.
    fn store(&self) -> Result<Store> {
        if !self.root.is_absolute() {
            let message = format!("state root {}: the path must be absolute", self.root.display());
            return Err(Error::new(ErrorKind::InvalidConfig, message));
        }
        Ok(Store::new(&self.root))
    }

    fn facts(&self) -> Result<HostFacts> {
        match &self.facts {
            Some(facts) => Ok(facts.clone()),
            None => HostFacts::probe(),
        }
    }

    /// What `create` would do, as text by its `Display`. Makes nothing.
    ///
    /// # Kernel
    ///
    /// None, but for [`HostFacts::probe`] if the runtime has no facts.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] if the configuration asks for something that this host can't do, and
    /// [`ErrorKind::InvalidConfig`] if what it asks for can't be.
    pub fn plan(&self, id: &str, bundle: &Bundle, options: &CreateOptions) -> Result<Plan> {
        create::plan(id, bundle, options, &self.facts()?)
    }

    /// Creates a container and leaves it at the gate before the user's process. Blocks until init has
    /// built the container, and as long as that takes.
    ///
    /// The container's first process is a child of the caller, and so is one that helps to make it and
    /// is gone when this returns. The caller may ignore SIGCHLD, and may have a thread that reaps every
    /// child.
    ///
    /// # Kernel
    ///
    /// clone3(2) with `CLONE_VM | CLONE_VFORK | CLONE_PIDFD`, execveat(2) of a memfd, and a
    /// socketpair(2) to it; mkdirat(2) and openat2(2) for the state and the cgroups; `/proc/PID/uid_map`,
    /// `gid_map`, `setgroups` and `oom_score_adj` of the new process. All signals of the calling thread
    /// are blocked during the clone3(2).
    ///
    /// # Errors
    ///
    /// Those of [`Runtime::plan`], [`ErrorKind::Exists`] if the id is taken, and whatever can fail while
    /// the container is made: [`Error::property`] then names the property of the configuration. Nothing
    /// is left.
    pub fn create(&self, id: &str, bundle: &Bundle, options: &CreateOptions) -> Result<Created> {
        create::create(&self.store()?, id, bundle, options, &self.facts()?)
    }

    /// The container of this id, whoever has created it.
    ///
    /// # Kernel
    ///
    /// Reads the record; pidfd_open(2).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there is none.
    pub fn container(&self, id: &str) -> Result<Container> {
        let store = self.store()?;
        let record = store.read(id, None)?;
        Ok(Container::recorded(store, &record))
    }

    /// All containers, sorted by id. A state root that does not exist holds none.
    ///
    /// # Kernel
    ///
    /// getdents64(2) of the state root; for each container what [`Container::state`] does.
    ///
    /// # Errors
    ///
    /// If the state root can't be read. That a container's state can't is told in its entry.
    pub fn list(&self) -> Result<Vec<ListEntry>> {
        let containers = self.store()?.list()?;
        let entry = |(id, record): (String, Result<crate::state::Record>)| ListEntry {
            id,
            state: record.and_then(|record| record.state()),
        };
        Ok(containers.into_iter().map(entry).collect())
    }

    /// Removes everything that a container of this id has left: also what an interrupted create left.
    /// Its first process is not reaped: that is for [`Container::wait`], or whoever is its parent.
    ///
    /// # Kernel
    ///
    /// flock(2) of the container's directory; pidfd_send_signal(2) and poll(2) for the processes;
    /// rmdir(2) of the cgroups; unlinkat(2) of the state.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there is none and `delete` is [`Delete::Stopped`];
    /// [`ErrorKind::InvalidState`] if it is still running and `delete` is [`Delete::Stopped`]; and if
    /// its record could not be read, other than for damage, or something could not be removed.
    pub fn delete(&self, id: &str, delete: Delete) -> Result<Vec<Warning>> {
        delete::delete(&self.store()?, id, None, delete)
    }
}
