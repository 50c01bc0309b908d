//! The runtime under test: `RUNTIME` (a path, or a name to look for in `PATH`), else the `tare` that was
//! built last.

use std::cell::Cell;
use std::env;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

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
#[derive(Debug)]
pub struct Under {
    /// Where its binary is.
    pub path: PathBuf,
    /// Which program it is.
    pub kind: Kind,
}

impl Under {
    /// The one of this process.
    pub fn test() -> &'static Self {
        static UNDER: OnceLock<Under> = OnceLock::new();
        UNDER.get_or_init(|| {
            let path = env::var_os("RUNTIME")
                .filter(|name| !name.is_empty())
                .map_or_else(built, |name| in_path(Path::new(&name)));
            let kind = match path.file_name().and_then(|name| name.to_str()) {
                Some("runc") => Kind::Runc,
                Some("crun") => Kind::Crun,
                _ => Kind::Tare,
            };
            Self { path, kind }
        })
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
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| panic!("RUNTIME={}: not in PATH", name.display()))
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
/// host's (so that a leaked mount becomes visible) but with nobody else. crun refuses hosts that have the
/// cgroup2 hierarchy beside those of version 1, so it gets one without.
pub fn enter_private_mounts() {
    thread_local!(static PRIVATE: Cell<bool> = const { Cell::new(false) });
    if PRIVATE.replace(true) {
        return;
    }
    unshare(CloneFlags::CLONE_NEWNS).expect("unshare(CLONE_NEWNS)");
    propagate(MsFlags::MS_PRIVATE);
    if Under::test().kind == Kind::Crun {
        hide_unified();
    }
    propagate(MsFlags::MS_SHARED);
}

/// Unmounts the cgroup2 hierarchy of a hybrid host from the caller's mount namespace. A tmpfs takes its
/// place: crun makes directories there without looking, which would stay in the host's.
pub fn hide_unified() {
    let unified = "/sys/fs/cgroup/unified";
    if Path::new(unified).join("cgroup.procs").exists() {
        umount2(unified, MntFlags::MNT_DETACH).expect("umount of the unified hierarchy");
        mount(
            Some("tmpfs"),
            unified,
            Some("tmpfs"),
            MsFlags::empty(),
            None::<&str>,
        )
        .expect("tmpfs in place of the unified hierarchy");
    }
}

/// Sets the propagation of every mount.
pub fn propagate(how: MsFlags) {
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | how,
        None::<&str>,
    )
    .expect("mount propagation");
}
