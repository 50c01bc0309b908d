//! The runtime under test: `RUNTIME` (a path, or a name to look for in `PATH`), else the `tare` that was
//! built last.

use std::cell::Cell;
use std::env;
use std::os::unix::fs::PermissionsExt;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

/// Which program it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// This project's.
    Tare,
    /// The reference.
    Runc,
    /// The fastest peer.
    Crun,
}

/// The runtime under test.
#[derive(Debug, Clone)]
pub struct Under {
    /// Where its binary is.
    pub path: PathBuf,
    /// Which program it is.
    pub kind: Kind,
    /// What runs it, with its arguments: nothing, or a launcher.
    below: Vec<String>,
}

thread_local! {
    static HERE: Cell<Option<&'static Under>> = const { Cell::new(None) };
}

impl Under {
    /// The one of this thread, else of this process.
    pub fn test() -> &'static Self {
        static UNDER: OnceLock<Under> = OnceLock::new();
        HERE.get().unwrap_or_else(|| {
            UNDER.get_or_init(|| {
                let name = env::var_os("RUNTIME").filter(|name| !name.is_empty());
                Self::at(name.map_or_else(built, |name| in_path(Path::new(&name))))
            })
        })
    }

    /// The program at this path, known by its name.
    pub fn at(path: PathBuf) -> Self {
        let kind = match path.file_name().and_then(|name| name.to_str()) {
            Some("runc") => Kind::Runc,
            Some("crun") => Kind::Crun,
            _ => Kind::Tare,
        };
        Self { path, kind, below: Vec::new() }
    }

    /// The peer of this name and version, such as `runc 1.1.5`, if that is the one that is installed.
    pub fn installed(release: &str) -> Option<Self> {
        let (name, version) = release.split_once(' ').expect("a name and a version");
        let path = find_in_path(Path::new(name))?;
        let said = Command::new(&path).arg("--version").output().ok()?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let known = format!("{name} version {version}");
        said.lines().next()?.starts_with(&known).then(|| Self::at(path))
    }

    /// The same, run by a launcher.
    #[must_use]
    pub fn below(&self, launcher: &[&str]) -> Self {
        let below = launcher.iter().map(ToString::to_string).collect();
        Self { below, ..self.clone() }
    }

    /// A command that runs it, without arguments.
    pub fn command(&self) -> Command {
        let mut words = self.below.iter().map(Path::new).chain([&*self.path]);
        let mut command = Command::new(words.next().expect("a path"));
        command.args(words);
        command
    }

    /// Does something on a thread of its own, for which this is the runtime under test: what
    /// [`enter_private_mounts`] gives a thread depends on it.
    #[track_caller]
    pub fn run<T: Send>(&self, test: impl FnOnce() -> T + Send) -> T {
        let under: &'static Self = Box::leak(Box::new(self.clone()));
        let done = thread::scope(|scope| {
            let thread = scope.spawn(|| {
                HERE.set(Some(under));
                test()
            });
            thread.join()
        });
        done.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Whether it is this peer, whose differences are to be skipped.
    pub fn differs(&self, peer: &str) -> bool {
        self.name() == peer && env::var_os("PEERS_DIFFER").is_none_or(|how| how != "fail")
    }

    /// Its name, as messages have it.
    pub fn name(&self) -> &'static str {
        match self.kind {
            Kind::Tare => "tare",
            Kind::Runc => "runc",
            Kind::Crun => "crun",
        }
    }
}

fn in_path(name: &Path) -> PathBuf {
    if name.components().count() > 1 {
        return std::path::absolute(name).expect("the working directory is readable");
    }
    find_in_path(name).unwrap_or_else(|| panic!("RUNTIME={}: not in PATH", name.display()))
}

fn find_in_path(name: &Path) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}

/// The directory that cargo builds into, for the triple of this program: the parent of `debug` and
/// `release`.
pub fn target_directory() -> PathBuf {
    let own = env::current_exe().expect("/proc is mounted");
    let profile = own
        .ancestors()
        .find(|path| path.ends_with("debug") || path.ends_with("release"))
        .expect("cargo puts programs below debug or release");
    profile.parent().expect("not the root").to_path_buf()
}

fn built() -> PathBuf {
    let target = target_directory();
    ["release", "debug"]
        .map(|profile| target.join(profile).join("tare"))
        .into_iter()
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .max()
        .map_or_else(
            || panic!("no tare in {}: run `just build`", target.display()),
            |(_, path)| path,
        )
}

/// Gives the calling thread, and what it spawns, a mount namespace of its own that is shared like a
/// host's (so that a leaked mount becomes visible) but with nobody else, and a `/dev/null` of its own: a
/// runtime that changes its owner (crun 1.8.1 does) shall not do so to the host's.
pub fn enter_private_mounts() {
    thread_local!(static PRIVATE: Cell<bool> = const { Cell::new(false) });
    if PRIVATE.replace(true) {
        return;
    }
    unshare(CloneFlags::CLONE_NEWNS).expect("unshare(CLONE_NEWNS)");
    propagate(MsFlags::MS_PRIVATE);
    replace_null();
    if Under::test().kind == Kind::Crun {
        hide_unified();
    }
    propagate(MsFlags::MS_SHARED);
}

/// Runs something with a new tmpfs mounted, which is gone from there at the end.
fn with_tmpfs(fill: impl FnOnce(&Path)) {
    let directory = tempfile::tempdir().expect("mkdir");
    let path = directory.path();
    mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), Some("mode=755")).expect("tmpfs");
    fill(path);
    // An error says that it was moved away.
    let _moved = umount2(path, MntFlags::MNT_DETACH);
}

fn replace_null() {
    with_tmpfs(|path| {
        let node = path.join("null");
        let mode = Mode::from_bits_truncate(0o666);
        mknod(&node, SFlag::S_IFCHR, mode, makedev(1, 3)).expect("mknod");
        let open = std::fs::Permissions::from_mode(0o666);
        std::fs::set_permissions(&node, open).expect("chmod");
        bind(&node, Path::new("/dev/null"));
    });
}

/// Takes the cgroup2 hierarchy of a hybrid host out of the caller's mount namespace, for crun refuses
/// to run beside it. What is left is below a tmpfs of its own: crun makes directories outside of the
/// hierarchies without looking, which would stay in the host's.
pub fn hide_unified() {
    let top = Path::new("/sys/fs/cgroup");
    if !top.join("unified/cgroup.procs").exists() {
        return;
    }
    with_tmpfs(|path| {
        for entry in std::fs::read_dir(top).expect("readdir").flatten() {
            if entry.file_name() != "unified" && entry.path().is_dir() {
                std::fs::create_dir(path.join(entry.file_name())).expect("mkdir");
                bind(&entry.path(), &path.join(entry.file_name()));
            }
        }
        mount(Some(path), top, None::<&str>, MsFlags::MS_MOVE, None::<&str>).expect("move");
    });
}

fn bind(from: &Path, to: &Path) {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>).expect("bind");
}

/// Sets the propagation of every mount.
pub fn propagate(how: MsFlags) {
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | how, None::<&str>)
        .expect("mount propagation");
}
