//! The cgroup hierarchies that this process sees, and where it is in them (cgroups(7)).

use std::fs;
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

/// The controllers that a v2 cgroup gives to those below it, as they are to be again.
#[derive(Debug)]
pub struct Given {
    file: PathBuf,
    before: String,
}

impl Given {
    /// As it is now. None if this is no v2 cgroup.
    pub fn by(cgroup: &Path) -> Option<Self> {
        let file = cgroup.join("cgroup.subtree_control");
        let before = fs::read_to_string(&file).ok()?;
        Some(Self { file, before })
    }

    /// Takes back what came since. Says what is there if that fails: a cgroup below may give it on.
    pub fn restore(&self) -> Result<(), String> {
        let now = || fs::read_to_string(&self.file).unwrap_or_default();
        let before: Vec<&str> = self.before.split_whitespace().collect();
        let text = now();
        let new = text.split_whitespace().filter(|controller| !before.contains(controller));
        let take: Vec<String> = new.map(|controller| format!("-{controller}")).collect();
        let done = fs::write(&self.file, take.join(" "));
        if done.is_ok() && now() == self.before {
            return Ok(());
        }
        Err(format!("{}: {:?} became {:?}", self.file.display(), self.before, now()))
    }
}
