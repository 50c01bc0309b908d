//! The container's cgroups, through cgroupfs (cgroups(7)).
//!
//! [`Layout`] is what the host has. `place` makes a `Placement` of it without a system call: which
//! directories are the container's. It goes into the state record before anything is made, and what
//! ends a container (`kill_all`, `remove`, `destroy`) needs nothing else, so that it works after a crash
//! at any instruction. `Cgroup` makes the directories and removes them again unless it is told to keep
//! them.
//!
//! Nothing here writes a pid into `cgroup.procs`: that waits for an RCU grace period. The clone puts
//! init into the v2 hierarchy (`CLONE_INTO_CGROUP`), and init writes `0` into the v1 `tasks` itself.

mod create;
mod device_bpf;
mod devices;
mod directory;
mod kill;
mod layout;
mod limits;
mod owner;
mod placement;
mod remove;
#[cfg(test)]
mod scratch;
mod v1;
mod v2;
mod walk;

use std::path::PathBuf;

pub(crate) use create::Cgroup;
pub(crate) use devices::{DeviceRule, rules};
#[cfg(test)]
pub(crate) use kill::pids;
pub(crate) use kill::{kill_all, thaw_v1};
#[cfg(any(test, fuzzing))]
pub(crate) use layout::layout_of;
pub(crate) use limits::{Limit, limits};
#[cfg(any(test, fuzzing))]
pub(crate) use limits::{covers, members};
pub(crate) use placement::{Place, Placement, place};
pub(crate) use remove::{destroy, remove, withdraw};

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
