//! What a container left behind: processes, cgroups, mounts, state, changed files (SECURITY.md).

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::bundle::Bundle;
use crate::hierarchies;
use crate::outcome::until;
use crate::process::own_mounts;
use crate::rootfs::Tree;
use crate::runtime::{Kind, Under};

/// What the ids and the directories of all tests begin with.
pub(crate) const NAME: &str = "tare-test-";

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
    let belongs = |entry: &Entry| {
        let named = |text: &str| text.contains(id) || text.contains(&*directory.to_string_lossy());
        let inside = ["cwd", "exe", "root"].iter().any(|name| entry.leads(name, directory));
        named(&entry.cgroup) || named(&entry.command) || inside
    };
    living().iter().filter(|entry| belongs(entry)).map(Entry::left).collect()
}

/// The inits below this process that can't be told from one another: nothing of them has the name of a
/// test. One that is about to enter its cgroup is so for a moment.
pub fn strays() -> Vec<String> {
    let living = living();
    let is_ours = |entry: &Entry| {
        let parent = |pid: i32| living.iter().find(|other| other.pid == pid).map(|it| it.parent);
        let own = std::process::id().cast_signed();
        std::iter::successors(Some(entry.parent), |pid| parent(*pid)).any(|pid| pid == own)
    };
    let named = |entry: &Entry| {
        entry.cgroup.contains(NAME) || entry.link("cwd").to_string_lossy().contains(NAME)
    };
    let is_init = |entry: &&Entry| entry.command.split(' ').next() == Some("tare-init");
    let inits = living.iter().filter(is_init);
    inits.filter(|entry| !named(entry) && is_ours(entry)).map(Entry::left).collect()
}

/// A process that has not ended.
struct Entry {
    pid: i32,
    parent: i32,
    state: String,
    cgroup: String,
    command: String,
}

fn living() -> Vec<Entry> {
    let own = std::process::id().cast_signed();
    let entries = fs::read_dir("/proc").expect("/proc is mounted");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != own).filter_map(Entry::of).collect()
}

impl Entry {
    fn of(pid: i32) -> Option<Self> {
        let text = |name: &str| {
            let bytes = fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ")
        };
        let stat = text("stat");
        let mut fields = stat.rsplit(") ").next()?.split(' ');
        let (state, parent) = (fields.next()?.to_string(), fields.next()?.parse().ok()?);
        let (cgroup, command) = (text("cgroup"), text("cmdline"));
        (state != "Z" && state != "X").then_some(Self { pid, parent, state, cgroup, command })
    }

    fn link(&self, name: &str) -> PathBuf {
        fs::read_link(format!("/proc/{}/{name}", self.pid)).unwrap_or_default()
    }

    fn leads(&self, name: &str, directory: &Path) -> bool {
        self.link(name).starts_with(directory)
    }

    fn left(&self) -> String {
        let Self { pid, state, command, cgroup, .. } = self;
        format!("process left: {pid} ({state}): {command}; {}", cgroup.replace('\n', " "))
    }
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

/// The cgroups without the name of a test, at the top of each hierarchy and below the caller's own: where
/// one is that comes from a path or an id which is wrong.
fn strange_cgroups() -> BTreeSet<PathBuf> {
    let places = hierarchies::all().into_iter().flat_map(|one| [one.top, one.own]);
    let entries = places.filter_map(|place| fs::read_dir(place).ok()).flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter(|entry| !entry.file_name().to_string_lossy().contains("tare-"))
        .map(|entry| entry.path())
        .collect()
}

/// The whole of what a command could leave, before it and after.
#[derive(Debug)]
pub struct Snapshot {
    processes: Vec<String>,
    cgroups: Vec<PathBuf>,
    strange_cgroups: BTreeSet<PathBuf>,
    baseline: Baseline,
    files: Tree,
}

impl Snapshot {
    /// As it is now.
    pub fn take(bundle: &Bundle) -> Self {
        Self {
            processes: processes(bundle.id(), bundle.directory()),
            cgroups: cgroups(bundle.id()),
            strange_cgroups: strange_cgroups(),
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
            changes.extend(strays());
            changes.retain(|process| !self.processes.contains(process));
            // Those of others come and go meanwhile.
            let cgroups = strange_cgroups();
            let new = cgroups.difference(&self.strange_cgroups);
            changes.extend(new.map(|path| format!("cgroup left: {}", path.display())));
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
