//! What a container left behind: processes, cgroups, mounts, state, changed files (SECURITY.md).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::bundle::Bundle;
use crate::outcome::until;
use crate::process::own_mounts;
use crate::rootfs::Tree;
use crate::runtime::{Kind, Under};

/// What of the host must be the same again when a test ends.
#[derive(Debug)]
pub struct Baseline {
    mounts: Vec<String>,
    null: (u32, u32, u32, u64),
}

impl Baseline {
    /// As it is now.
    pub fn take() -> Self {
        let data = fs::metadata("/dev/null").expect("/dev/null");
        Self { mounts: mounts(), null: (data.uid(), data.gid(), data.mode(), data.rdev()) }
    }

    /// What has changed since.
    pub fn changes(&self) -> Vec<String> {
        let now = Self::take();
        let mut new = now.mounts;
        let mut changes: Vec<String> = Vec::new();
        for old in &self.mounts {
            match new.iter().position(|mount| mount == old) {
                Some(index) => drop(new.swap_remove(index)),
                None => changes.push(format!("mount gone: {old}")),
            }
        }
        changes.extend(new.into_iter().map(|mount| format!("mount left: {mount}")));
        // crun 1.8.1 gives the file behind a standard stream to the container's root, this one, too.
        if now.null != self.null && Under::test().kind != Kind::Crun {
            changes.push(format!("/dev/null: {:?} became {:?}", self.null, now.null));
        }
        changes
    }
}

fn mounts() -> Vec<String> {
    let line = |mount: crate::process::Mount| {
        let crate::process::Mount { root, point, options, kind, source, .. } = mount;
        let own = options.join(",");
        format!("{point} {kind} {source} {root} {own}")
    };
    own_mounts().into_iter().map(line).collect()
}

/// The processes that belong to a container of this id or a bundle in this directory.
pub fn processes(id: &str, directory: &Path) -> Vec<String> {
    let own = std::process::id().to_string();
    let entries = fs::read_dir("/proc").expect("/proc is mounted");
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()) && *name != own)
        .filter_map(|pid| belongs(&pid, id, directory))
        .collect()
}

fn belongs(pid: &str, id: &str, directory: &Path) -> Option<String> {
    let text = |name: &str| {
        let bytes = fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\0', " ")
    };
    let link = |name: &str| fs::read_link(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let (cgroup, command) = (text("cgroup"), text("cmdline"));
    let stat = text("stat");
    if matches!(stat.rsplit(") ").next()?.chars().next()?, 'Z' | 'X') {
        return None;
    }
    let named = |text: &str| text.contains(id) || text.contains(&*directory.to_string_lossy());
    let inside = ["cwd", "exe", "root"].iter().any(|name| link(name).starts_with(directory));
    (named(&cgroup) || named(&command) || inside).then(|| {
        let state = text("stat").split(' ').nth(2).unwrap_or("?").to_string();
        format!("process left: {pid} ({state}): {command}; {}", cgroup.replace('\n', " "))
    })
}

/// The directories of this name in any cgroup hierarchy.
pub fn cgroups(id: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let top = Path::new("/sys/fs/cgroup");
    for entry in fs::read_dir(top).into_iter().flatten().flatten() {
        if entry.path().join("cgroup.procs").exists() {
            search(&entry.path(), id, &mut found);
        }
    }
    if top.join("cgroup.procs").exists() {
        search(top, id, &mut found);
    }
    found
}

fn search(directory: &Path, id: &str, found: &mut Vec<PathBuf>) {
    // Cgroups of others come and go meanwhile.
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if entry.file_name().to_string_lossy().contains(id) {
            found.push(entry.path());
        }
        search(&entry.path(), id, found);
    }
}

/// The whole of what a command could leave, before it and after.
#[derive(Debug)]
pub struct Snapshot {
    processes: Vec<String>,
    cgroups: Vec<PathBuf>,
    baseline: Baseline,
    files: Tree,
}

impl Snapshot {
    /// As it is now.
    pub fn take(bundle: &Bundle) -> Self {
        Self {
            processes: processes(bundle.id(), bundle.directory()),
            cgroups: cgroups(bundle.id()),
            baseline: Baseline::take(),
            files: Tree::of(bundle.directory()),
        }
    }

    /// What is there that was not there, and what is gone or different. Unlike [`Bundle::leftovers`] this
    /// allows nothing: neither targets of mounts, nor anything in the bundle's directory.
    pub fn changes(&self, bundle: &Bundle) -> Vec<String> {
        let mut changes = Vec::new();
        // A killed process takes a moment to go.
        until(|| {
            bundle.reap();
            changes = processes(bundle.id(), bundle.directory());
            changes.retain(|process| !self.processes.contains(process));
            changes.is_empty()
        });
        let new = cgroups(bundle.id()).into_iter().filter(|path| !self.cgroups.contains(path));
        changes.extend(new.map(|path| format!("cgroup left: {}", path.display())));
        changes.extend(self.baseline.changes());
        let files = self.files.differences(&Tree::of(bundle.directory()));
        changes.extend(files.into_iter().map(|(path, how)| format!("{}: {how}", path.display())));
        changes
    }
}
