//! Where an engine runs: namespaces, a directory and a parent of cgroups of its own, and daemons that end
//! with the test. Nothing of it may be left.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use integration::hierarchies::Given;
use integration::process::{Mount, own_mounts};
use integration::rootfs::BUSYBOX;
use integration::runtime::{enter_private_mounts, propagate};
use integration::{finish, leftovers, until};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// What the v2 hierarchy of a hybrid host gave before the first engine came: they help themselves.
fn given() -> Option<&'static Given> {
    static GIVEN: OnceLock<Option<Given>> = OnceLock::new();
    GIVEN.get_or_init(|| Given::by(Path::new("/sys/fs/cgroup/unified"))).as_ref()
}

/// The place of one engine. When it is dropped, the daemons end, and nothing else may be there.
pub(crate) struct Place {
    directory: tempfile::TempDir,
    cgroups: String,
    daemons: Vec<Child>,
}

impl Place {
    /// Takes the calling thread, and what it starts, there.
    pub(crate) fn enter() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        enter_private_mounts();
        propagate(MsFlags::MS_PRIVATE);
        given();
        unshare(CloneFlags::CLONE_NEWNET).expect("unshare(CLONE_NEWNET)");
        let none = None::<&str>;
        mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), none).expect("tmpfs on /run");
        finish(Command::new(BUSYBOX).args(["ip", "link", "set", "lo", "up"])).ok();
        // The engines' shims become children of this process, and can be waited for.
        set_child_subreaper(true).expect("PR_SET_CHILD_SUBREAPER");
        let directory = tempfile::Builder::new().prefix("tare-managers-").tempdir().expect("mkdir");
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let cgroups = format!("tare-managers-{}-{number}-x", process::id());
        Self { directory, cgroups, daemons: Vec::new() }
    }

    /// A path below the directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The same as text, for arguments and configurations.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("TMPDIR is UTF-8").to_string()
    }

    /// The parent of all cgroups of the engine's containers.
    pub(crate) fn cgroups(&self) -> String {
        format!("/{}", self.cgroups)
    }

    /// A program of the engine that has no configuration but that of the test.
    pub(crate) fn command(&self, program: &str) -> Command {
        let path = crate::installed(program).unwrap_or_else(|| panic!("{program}: not installed"));
        let mut command = Command::new(path);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
        command.env("HOME", self.directory.path()).env("DOCKER_CONFIG", self.path("client"));
        command
    }

    /// Starts a daemon, whose output goes to a file, and waits until it answers.
    #[track_caller]
    pub(crate) fn start(&mut self, name: &str, args: &[&str], answers: impl Fn(&Self) -> bool) {
        let log = self.path(&format!("{name}.log"));
        let file = File::create(&log).expect("create");
        let mut command = self.command(name);
        command.args(args).stdout(file.try_clone().expect("dup")).stderr(file);
        self.daemons.push(command.spawn().unwrap_or_else(|error| panic!("{name}: {error}")));
        // On a busy machine it takes longer than a command may.
        let answered = (0..6).any(|_| until(|| answers(self)));
        assert!(answered, "{name}: {}", fs::read_to_string(log).expect("read"));
    }

    /// Ends the daemons, the last first; false if one had to be killed.
    fn stop(&mut self) -> bool {
        let mut orderly = true;
        while let Some(mut daemon) = self.daemons.pop() {
            let pid = Pid::from_raw(daemon.id().cast_signed());
            kill(pid, Signal::SIGTERM).expect("kill of a child of ours");
            if !until(|| daemon.try_wait().expect("a child of ours").is_some()) {
                orderly = false;
                daemon.kill().expect("kill of a child of ours");
                daemon.wait().expect("a child of ours");
            }
        }
        orderly
    }

    /// The processes of the engine or of its containers.
    fn processes(&self) -> Vec<String> {
        leftovers::processes(&self.cgroups, self.directory.path())
    }

    /// The cgroups below the parent, which the engine or the runtime should have removed.
    fn containers_cgroups(&self) -> Vec<PathBuf> {
        let parents = leftovers::cgroups(&self.cgroups);
        let directories = |parent: &Path| {
            let entries = fs::read_dir(parent).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect::<Vec<_>>()
        };
        parents.iter().flat_map(|parent| directories(parent)).collect()
    }

    /// The mounts that the engine made for its containers.
    fn mounts(&self) -> Vec<Mount> {
        let below = |mount: &Mount| Path::new(&mount.point).starts_with(self.directory.path());
        own_mounts().into_iter().filter(below).collect()
    }

    /// Kills what is left by pid, so that one failure stays one.
    fn sweep(&self) {
        for text in self.processes() {
            if let Some(pid) = text.split(' ').nth(2).and_then(|pid| pid.parse().ok()) {
                let _gone = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        until(|| {
            reap_shims();
            self.processes().is_empty()
        });
        for mount in self.mounts().iter().rev() {
            let _gone = umount2(&*mount.point, MntFlags::MNT_DETACH);
        }
        for path in self.containers_cgroups() {
            let _gone = fs::remove_dir(path);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut left: Vec<String> = Vec::new();
        // A shim ends a moment after its container.
        until(|| {
            reap_shims();
            left = self.processes();
            left.len() <= self.daemons.len()
        });
        let orderly = self.stop();
        until(|| {
            reap_shims();
            left = self.processes();
            left.is_empty()
        });
        let cgroups = self.containers_cgroups();
        left.extend(cgroups.iter().map(|path| format!("cgroup left: {}", path.display())));
        left.extend(self.mounts().iter().map(|mount| format!("mount left: {mount:?}")));
        self.sweep();
        for parent in leftovers::cgroups(&self.cgroups) {
            let _gone = fs::remove_dir(parent);
        }
        let mut kept = Ok(());
        // Another engine may still be at it.
        until(|| {
            kept = given().map_or(Ok(()), Given::restore);
            kept.is_ok()
        });
        left.extend(kept.err());
        if std::thread::panicking() {
            eprintln!("left behind: {left:#?}");
            return;
        }
        assert!(orderly, "a daemon did not end when it was told to");
        assert!(left.is_empty(), "left behind: {left:#?}");
        let parents = leftovers::cgroups(&self.cgroups);
        assert!(parents.is_empty(), "cgroups left: {parents:?}");
    }
}

/// Takes the status of shims, whose own parents end before them. The daemons have somebody who waits.
fn reap_shims() {
    let children = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let children =
        children.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    for pid in children.collect::<String>().split(' ').filter_map(|pid| pid.parse().ok()) {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if name.starts_with("containerd-shim") {
            // It may run still.
            let _ended = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
        }
    }
}
