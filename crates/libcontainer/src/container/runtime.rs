//! A runtime: containers below one state directory.

use std::path::{Path, PathBuf};

use super::{Container, CreateOptions, Created, Delete, ListEntry, create, delete};
use crate::bundle::Bundle;
use crate::error::Result;
use crate::host::HostFacts;
use crate::plan::Plan;
use crate::state::Store;

/// Containers below one state directory. Usable from any thread.
#[derive(Debug, Clone)]
pub struct Runtime {
    root: PathBuf,
    facts: Option<HostFacts>,
}

impl Runtime {
    /// Containers whose state lies below the absolute path `root`. Nothing is made until `create`, which
    /// asks the kernel each time what it can do.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), facts: None }
    }

    /// The same with facts that the caller gives.
    #[must_use]
    pub fn with_facts(root: impl Into<PathBuf>, facts: HostFacts) -> Self {
        Self { root: root.into(), facts: Some(facts) }
    }

    /// The state directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn store(&self) -> Store {
        Store::new(&self.root)
    }

    fn facts(&self) -> Result<HostFacts> {
        match &self.facts {
            Some(facts) => Ok(facts.clone()),
            None => HostFacts::probe(),
        }
    }

    /// What `create` would do, as text by its `Display`. Makes nothing.
    ///
    /// # Errors
    ///
    /// If the configuration asks for something that this host can't do.
    pub fn plan(&self, id: &str, bundle: &Bundle, options: &CreateOptions) -> Result<Plan> {
        create::plan(id, bundle, options, &self.facts()?)
    }

    /// Creates a container and leaves it at the gate before the user's process.
    ///
    /// # Errors
    ///
    /// If anything fails; then nothing is left.
    pub fn create(&self, id: &str, bundle: &Bundle, options: &CreateOptions) -> Result<Created> {
        create::create(&self.store(), id, bundle, options, &self.facts()?)
    }

    /// The container of this id.
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::NotFound`] if there is none.
    pub fn container(&self, id: &str) -> Result<Container> {
        let store = self.store();
        store.read(id)?;
        Ok(Container::new(store, id, None))
    }

    /// All containers, sorted by id. A state root that does not exist holds none.
    ///
    /// # Errors
    ///
    /// If the state root can't be read.
    pub fn list(&self) -> Result<Vec<ListEntry>> {
        let containers = self.store().list()?;
        let entry = |(id, record): (String, Result<crate::state::Record>)| ListEntry {
            id,
            state: record.and_then(|record| record.state()),
        };
        Ok(containers.into_iter().map(entry).collect())
    }

    /// Removes everything that a container of this id has left: also what an interrupted create left.
    ///
    /// # Errors
    ///
    /// If it is still running and `delete` is [`Delete::Stopped`], or something could not be removed.
    pub fn delete(&self, id: &str, delete: Delete) -> Result<()> {
        delete::delete(&self.store(), id, delete)
    }
}
