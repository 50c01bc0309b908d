//! A bundle in a directory of its own, and the container that comes from it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::mount::{MntFlags, umount2};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::config::base_config;
use crate::leftovers::{self, Baseline};
use crate::outcome::{attempt, temporary, until};
use crate::process::own_mounts;
use crate::rootfs::{self, Tree};
use crate::runtime::enter_private_mounts;

/// A bundle, and the container of one id that is made from it. When the value is dropped, the container
/// is deleted by force if it was ever created, and then nothing of it may be left.
#[derive(Debug)]
pub struct Bundle {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) id: String,
    config: Value,
    written: Vec<PathBuf>,
    pub(crate) created: Cell<bool>,
    pub(crate) streams: RefCell<(File, File)>,
    // The first processes of its containers, with their statuses in the way of a shell.
    pub(crate) processes: RefCell<BTreeMap<i32, Option<i32>>>,
    baseline: Baseline,
    before: RefCell<Option<(Tree, Tree)>>,
    ended: bool,
}

impl Bundle {
    /// A bundle of the base configuration, whose process is `true`.
    #[expect(clippy::new_without_default, reason = "it makes a directory")]
    pub fn new() -> Self {
        enter_private_mounts();
        Self::in_namespace()
    }

    fn in_namespace() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // Containers whose creator is gone become children of this process, which knows how they end.
        nix::sys::prctl::set_child_subreaper(true).expect("PR_SET_CHILD_SUBREAPER");
        let directory = tempfile::Builder::new().prefix(leftovers::NAME).tempdir().expect("mkdir");
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(directory.path(), open).expect("chmod");
        rootfs::make(&directory.path().join("rootfs"));
        for name in ["state", "decoy"] {
            fs::create_dir(directory.path().join(name)).expect("mkdir");
        }
        for name in ["ptmx", "null", "marker"] {
            fs::write(directory.path().join("decoy").join(name), "decoy\n").expect("write");
        }
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Self {
            id: format!("{}{}-{number}-x", leftovers::NAME, process::id()),
            directory,
            config: base_config(),
            written: Vec::new(),
            created: Cell::new(false),
            streams: RefCell::new((temporary(), temporary())),
            processes: RefCell::new(BTreeMap::new()),
            baseline: Baseline::take(),
            before: RefCell::new(None),
            ended: false,
        }
    }

    /// The same for commands that touch no container, which need not be root.
    pub fn unprepared() -> Self {
        Self::in_namespace()
    }

    /// A bundle whose process is a shell that runs this script.
    pub fn sh(script: &str) -> Self {
        Self::new().args(&["sh", "-c", script])
    }

    /// A bundle whose process sleeps.
    pub fn sleeping() -> Self {
        Self::new().args(&["sleep", "1000"])
    }

    /// Replaces the arguments of the process.
    #[must_use]
    pub fn args(self, args: &[&str]) -> Self {
        self.set("/process/args", json!(args))
    }

    /// Edits the configuration.
    #[must_use]
    pub fn edit(mut self, edit: impl FnOnce(&mut Value)) -> Self {
        edit(&mut self.config);
        self
    }

    /// Sets a property that the base configuration or an object of it has, by JSON pointer.
    #[must_use]
    pub fn set(mut self, pointer: &str, value: Value) -> Self {
        let (parent, name) = pointer.rsplit_once('/').expect("a JSON pointer");
        self.config.pointer_mut(parent).expect("an object of the config")[name] = value;
        self
    }

    /// Adds a mount.
    #[must_use]
    pub fn mount(self, destination: &str, kind: &str, source: &str, options: &[&str]) -> Self {
        let mount =
            json!({"destination": destination, "type": kind, "source": source, "options": options});
        self.edit(|config| crate::config::array(config, "/mounts").push(mount))
    }

    /// Makes the root filesystem writable and says what below it may change.
    #[must_use]
    pub fn writes(mut self, paths: &[&str]) -> Self {
        self.written.extend(paths.iter().map(|path| PathBuf::from(path.trim_start_matches('/'))));
        self.set("/root/readonly", json!(false))
    }

    /// The bundle's directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A path below the root filesystem, as the host sees it.
    pub fn rootfs(&self, path: &str) -> PathBuf {
        self.directory().join("rootfs").join(path.trim_start_matches('/'))
    }

    /// A directory beside the root filesystem that no container may touch.
    pub fn decoy(&self) -> PathBuf {
        self.directory().join("decoy")
    }

    /// The container's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Writes the configuration, and remembers what the root filesystem is like.
    pub fn write(&self) {
        let text = serde_json::to_vec_pretty(&self.config).expect("JSON");
        fs::write(self.directory().join("config.json"), text).expect("write");
        self.before.borrow_mut().get_or_insert_with(|| self.trees());
    }

    /// Remembers anew what the root filesystem is like, which the test has changed by itself.
    pub fn remember(&self) {
        *self.before.borrow_mut() = Some(self.trees());
    }

    fn trees(&self) -> (Tree, Tree) {
        (Tree::of(&self.rootfs("")), Tree::of(&self.decoy()))
    }

    /// What of the container is there still.
    pub fn leftovers(&self) -> Vec<String> {
        let mut left = Vec::new();
        // A killed process takes a moment to go.
        until(|| {
            self.reap();
            left = leftovers::processes(&self.id, self.directory());
            left.extend(leftovers::strays());
            left.is_empty()
        });
        let cgroups = leftovers::cgroups(&self.id);
        left.extend(cgroups.iter().map(|path| format!("cgroup left: {}", path.display())));
        left.extend(self.baseline.changes());
        for entry in fs::read_dir(self.state_root()).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().contains(&self.id) {
                left.push(format!("state left: {}", entry.path().display()));
            }
        }
        left.extend(self.changed_files());
        left
    }

    fn changed_files(&self) -> Vec<String> {
        let before = self.before.borrow();
        let Some((rootfs, decoy)) = before.as_ref() else {
            return Vec::new();
        };
        let now = self.trees();
        let outside = decoy
            .differences(&now.1)
            .into_iter()
            .map(|(path, how)| (Path::new("decoy").join(path), how));
        let inside =
            rootfs.differences(&now.0).into_iter().filter(|(path, _)| !self.may_change(path));
        outside.chain(inside).map(|(path, how)| format!("{}: {how}", path.display())).collect()
    }

    /// Targets of mounts are made on the way, and what the test says.
    fn may_change(&self, path: &Path) -> bool {
        let mounts = self.config["mounts"].as_array().into_iter().flatten();
        let mut targets = mounts.filter_map(|mount| mount["destination"].as_str());
        targets.any(|target| Path::new(target.trim_start_matches('/')).starts_with(path))
            || self.written.iter().any(|written| path.starts_with(written))
    }

    /// Deletes the container by force if it was ever created, and says what is left of it or changed by
    /// it. Without this, anything left fails the test when the bundle is dropped.
    pub fn end(mut self) -> Vec<String> {
        self.ended = true;
        self.remove()
    }

    fn remove(&self) -> Vec<String> {
        let deleted = self.created.get().then(|| self.delete_force());
        let mut left = self.leftovers();
        if !left.is_empty() {
            self.sweep(&left);
        }
        let failed = deleted.filter(|outcome| outcome.code != 0);
        left.extend(failed.map(|outcome| format!("delete --force fails: {outcome:?}")));
        left
    }

    /// Undoes by hand what a broken runtime left, so that one failure stays one.
    fn sweep(&self, left: &[String]) {
        let processes = leftovers::processes(&self.id, self.directory());
        let left = left.iter().filter(|text| text.starts_with("process left: "));
        for text in left.chain(&processes) {
            let pid = text.split(' ').nth(2).and_then(|pid| pid.parse().ok());
            if let Some(pid) = pid {
                let _gone = nix::sys::signal::kill(Pid::from_raw(pid), nix::sys::signal::SIGKILL);
            }
        }
        until(|| {
            self.reap();
            leftovers::processes(&self.id, self.directory()).is_empty()
        });
        for mount in own_mounts()
            .iter()
            .rev()
            .filter(|mount| Path::new(&mount.point).starts_with(self.directory()))
        {
            let _gone = umount2(&*mount.point, MntFlags::MNT_DETACH);
        }
        for path in leftovers::cgroups(&self.id).iter().rev() {
            let _gone = fs::remove_dir(path);
        }
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        if std::thread::panicking() {
            attempt(&mut self.command(&["delete", "--force", &self.id]));
            self.sweep(&[]);
            return;
        }
        let left = self.remove();
        assert!(left.is_empty(), "left behind: {left:#?}");
    }
}
