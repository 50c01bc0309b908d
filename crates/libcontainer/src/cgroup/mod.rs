//! The container's cgroups, through cgroupfs.

use std::path::PathBuf;

use crate::error::Result;

/// The cgroup hierarchies of this host, and where the caller is in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// No hierarchy is mounted.
    None,
    /// cgroup v1, each hierarchy on its own; with `unified`, a hybrid host: a v2 hierarchy beside them.
    V1 {
        /// The v1 hierarchies, in the order of `/proc/self/cgroup` reversed (as mounted).
        hierarchies: Vec<Hierarchy>,
        /// The v2 hierarchy of a hybrid host.
        unified: Option<Unified>,
    },
    /// cgroup v2 alone.
    V2(Unified),
}

/// A cgroup v1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Its controllers, such as `cpu` and `cpuacct`; empty for a named one.
    pub controllers: Vec<String>,
    /// The name of a named hierarchy, such as `systemd`.
    pub name: Option<String>,
    /// Where it is mounted on the host.
    pub mountpoint: PathBuf,
    /// The cgroup of the mount's root, `/` unless the host itself lives in a container.
    pub mount_root: PathBuf,
    /// The caller's cgroup in it, beginning with `/`.
    pub own: PathBuf,
}

/// The cgroup v2 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unified {
    /// Where it is mounted on the host.
    pub mountpoint: PathBuf,
    /// The cgroup of the mount's root.
    pub mount_root: PathBuf,
    /// The caller's cgroup in it, beginning with `/`.
    pub own: PathBuf,
}

impl Layout {
    /// Finds the hierarchies.
    ///
    /// # Errors
    ///
    /// If `/proc/self/cgroup` or the mount table can't be read.
    pub fn probe() -> Result<Self> {
        Ok(Self::None)
    }
}
