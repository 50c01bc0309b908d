//! Cgroups of this host for tests, removed at the end and asserted to be.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::{Hierarchy, Layout, Placement, Unified, kill_all, pids, place};

/// A cgroup of our own in each hierarchy, which the tests take for the hierarchy's root; so nothing of
/// the host's is touched, whatever the code does above the container's cgroup.
pub(super) struct Scratch {
    pub(super) layout: Layout,
    roots: Vec<PathBuf>,
}

impl Scratch {
    /// All hierarchies of the host; none, with the reason printed, where we can't make cgroups.
    pub(super) fn host(name: &str) -> Option<Self> {
        Self::new(name, |layout| layout)
    }

    /// The v2 hierarchy alone, as on a host that has no other.
    pub(super) fn v2(name: &str) -> Option<Self> {
        Self::new(name, |layout| match layout {
            Layout::V1 { unified: Some(unified), .. } => Layout::V2(unified),
            Layout::V1 { unified: None, .. } => Layout::None,
            other => other,
        })
    }

    /// The v1 hierarchies alone.
    pub(super) fn v1(name: &str) -> Option<Self> {
        Self::new(name, |layout| match layout {
            Layout::V1 { hierarchies, .. } => Layout::V1 { hierarchies, unified: None },
            _ => Layout::None,
        })
    }

    fn new(name: &str, part: impl FnOnce(Layout) -> Layout) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("tare-test-{}-{number}-{name}", std::process::id());
        let mut scratch = Self { layout: part(Layout::probe().unwrap()), roots: Vec::new() };
        let mountpoints: Vec<(&mut PathBuf, &mut PathBuf, &mut PathBuf)> = match &mut scratch.layout
        {
            Layout::None => Vec::new(),
            Layout::V2(u) => vec![fields(u)],
            Layout::V1 { hierarchies, unified } => {
                let v1 = hierarchies
                    .iter_mut()
                    .map(|h: &mut Hierarchy| (&mut h.mountpoint, &mut h.mount_root, &mut h.own));
                v1.chain(unified.as_mut().map(fields)).collect()
            }
        };
        if mountpoints.is_empty() {
            println!("skipped: this host does not have the hierarchies that the test needs");
            return None;
        }
        for (mountpoint, mount_root, own) in mountpoints {
            mountpoint.push(&name);
            if let Err(e) = std::fs::create_dir(&mountpoint) {
                println!("skipped: mkdir {}: {e}", mountpoint.display());
                return None;
            }
            scratch.roots.push(mountpoint.clone());
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let parent = mountpoint.parent().unwrap().join(file);
                if let Ok(value) = std::fs::read(parent) {
                    std::fs::write(mountpoint.join(file), value).unwrap();
                }
            }
            *mount_root = PathBuf::from("/");
            *own = PathBuf::from("/");
        }
        Some(scratch)
    }

    pub(super) fn place(&self, path: &str) -> Placement {
        place(&self.layout, Some(Path::new(path)), "id").unwrap()
    }
}

fn fields(unified: &mut Unified) -> (&mut PathBuf, &mut PathBuf, &mut PathBuf) {
    (&mut unified.mountpoint, &mut unified.mount_root, &mut unified.own)
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for root in &self.roots {
            if std::thread::panicking() {
                sweep(root);
                continue;
            }
            std::fs::remove_dir(root).unwrap_or_else(|e| panic!("rmdir {}: {e}", root.display()));
        }
    }
}

/// Empties and removes a directory after a test that failed, by a way that the tests don't test.
fn sweep(directory: &Path) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            sweep(&entry.path());
        }
    }
    if let Err(e) = std::fs::remove_dir(directory) {
        println!("left behind: {}: {e}", directory.display());
    }
}

/// A shell in the container's cgroups; killed with all others there when it is dropped.
pub(super) struct Inhabitant {
    pub(super) child: Child,
    placement: Placement,
}

impl Inhabitant {
    /// Runs a script in the placement's cgroups.
    pub(super) fn run(placement: &Placement, script: &str) -> Self {
        let joins = placement.places().map(|place| {
            let file = if place.is_unified() { "cgroup.procs" } else { "tasks" };
            place.directory().join(file)
        });
        let child = Command::new("sh")
            .args(["-ec", r#"for f; do echo 0 > "$f"; done; eval "$SCRIPT""#, "sh"])
            .args(joins)
            .env("SCRIPT", script)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, placement: placement.clone() }
    }

    /// Runs `sleep` and waits until it is in the cgroups.
    pub(super) fn sleep(placement: &Placement) -> Self {
        let this = Self::run(placement, "exec sleep 1000");
        let pid = i32::try_from(this.child.id()).unwrap();
        wait_for(|| {
            placement.places().all(|place| {
                let procs = std::fs::read_to_string(place.directory().join("cgroup.procs"));
                procs.unwrap().lines().any(|line| line == pid.to_string())
            })
        });
        this
    }
}

impl Drop for Inhabitant {
    fn drop(&mut self) {
        let killed = kill_all(&self.placement);
        let reaped = self.child.wait();
        if !std::thread::panicking() {
            killed.unwrap();
            reaped.unwrap();
            assert!(pids(&self.placement).unwrap().is_empty());
        }
    }
}

pub(super) fn wait_for(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "waited for ten seconds");
        std::thread::sleep(Duration::from_millis(2));
    }
}
