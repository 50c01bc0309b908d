//! The cgroup hierarchies that this process sees, and where it is in them (cgroups(7)).

use std::path::{Path, PathBuf};

use crate::process::{Mount, Process, own_mounts};

/// A hierarchy that is mounted.
#[derive(Debug, Clone)]
pub struct Hierarchy {
    /// Where it is mounted.
    pub top: PathBuf,
    /// The directory of this process's own cgroup.
    pub own: PathBuf,
    /// Its controllers, or `name=` and a name; nothing for cgroup v2.
    names: Vec<String>,
}

impl Hierarchy {
    /// Whether it is the one of cgroup v1 with this controller.
    pub fn has(&self, controller: &str) -> bool {
        self.names.iter().any(|name| name == controller)
    }

    /// Whether it is that of cgroup v2.
    pub fn is_v2(&self) -> bool {
        self.names.is_empty()
    }
}

/// All of them.
#[track_caller]
pub fn all() -> Vec<Hierarchy> {
    let own = Process(std::process::id().cast_signed()).cgroups();
    let mounts = own_mounts();
    let below = |mount: &&Mount| Path::new(&mount.point).starts_with("/sys/fs/cgroup");
    let mounts: Vec<_> = mounts.iter().filter(below).collect();
    own.iter()
        .filter_map(|(names, path)| mounts.iter().find_map(|mount| mounted(mount, names, path)))
        .collect()
}

/// The hierarchy of these controllers, if this is its mount, and nothing is over it.
fn mounted(mount: &Mount, names: &str, path: &str) -> Option<Hierarchy> {
    let names: Vec<String> = names.split_terminator(',').map(String::from).collect();
    let kind = if names.is_empty() { "cgroup2" } else { "cgroup" };
    if mount.kind != kind || !names.iter().all(|name| mount.filesystem.contains(name)) {
        return None;
    }
    let top = PathBuf::from(&mount.point);
    // Without a slash at its end.
    let own: PathBuf =
        top.join(Path::new(path).strip_prefix(&mount.root).ok()?).components().collect();
    own.join("cgroup.procs").exists().then_some(Hierarchy { top, own, names })
}

/// The one of cgroup v1 with this controller.
#[track_caller]
pub fn v1(controller: &str) -> Option<Hierarchy> {
    all().into_iter().find(|hierarchy| hierarchy.has(controller))
}

/// Whether there are controllers of cgroup v1: then a runtime sets no limit by cgroup v2.
#[track_caller]
pub fn has_v1() -> bool {
    all().iter().any(|hierarchy| hierarchy.names.iter().any(|name| !name.starts_with("name=")))
}
