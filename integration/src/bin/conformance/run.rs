//! Runs a program of the suite, and removes what it leaves.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use integration::outcome::{temporary, text};
use integration::process::own_mounts;
use integration::{Under, leftovers};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::tap::Report;

/// A program that takes longer hangs.
const DEADLINE: Duration = Duration::from_secs(60);

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// By itself.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// Not, until it was killed.
    Hung,
}

/// How a program ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    /// How it ended.
    pub(crate) exit: Exit,
    /// Its report.
    pub(crate) report: Report,
    /// The last line of its standard error, but for a reference to the specification.
    pub(crate) error: Option<String>,
}

/// A tree with built programs, and the directories that they use.
pub(crate) struct Suite {
    directory: PathBuf,
    bundles: tempfile::TempDir,
    exits: Receiver<(Pid, Exit)>,
}

impl Suite {
    /// Makes the calling process the reaper of everything that it starts from now on.
    pub(crate) fn new(directory: PathBuf) -> Result<Self> {
        // The programs use the runtime's default state directory.
        mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), Some("mode=755"))
            .context("mount tmpfs on /run")?;
        set_child_subreaper(true).context("PR_SET_CHILD_SUBREAPER")?;
        let bundles = tempfile::Builder::new().prefix("tare-conformance-").tempdir()?;
        Ok(Self { directory, bundles, exits: reap() })
    }

    /// Runs a program to its end.
    pub(crate) fn run(&self, name: &str) -> Result<Ended> {
        let program = format!("validation/{name}/{name}.t");
        let (out, err) = (temporary(), temporary());
        let child = Command::new(self.directory.join(&program))
            .current_dir(&self.directory)
            .env("RUNTIME", &Under::test().path)
            .env("TMPDIR", self.bundles.path())
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(err.try_clone()?)
            .process_group(0)
            .spawn()
            .with_context(|| program.clone())?;
        let pid = Pid::from_raw(child.id().cast_signed());
        let exit = self.wait(pid)?;
        self.sweep()?;
        let complaint = |line: &&str| !line.starts_with("Refer to:");
        let error = text(&err).lines().rfind(complaint).map(String::from);
        Ok(Ended { exit, report: Report::parse(&text(&out)), error })
    }

    fn wait(&self, pid: Pid) -> Result<Exit> {
        let begin = Instant::now();
        loop {
            match self.exits.recv_timeout(DEADLINE.saturating_sub(begin.elapsed())) {
                Ok((ended, exit)) if ended == pid => return Ok(exit),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => {
                    killpg(pid, Signal::SIGKILL).with_context(|| format!("killpg {pid}"))?;
                    return Ok(Exit::Hung);
                }
                Err(RecvTimeoutError::Disconnected) => bail!("no process can be waited for"),
            }
        }
    }

    /// Removes what a program left: containers that the runtime knows, processes, bundles.
    fn sweep(&self) -> Result<()> {
        let runtime = &Under::test().path;
        let call = |args: &[&str]| -> Result<String> {
            let out = temporary();
            let mut command = Command::new(runtime);
            command.args(args).stdin(Stdio::null()).stdout(out.try_clone()?).stderr(Stdio::null());
            let child = command.spawn().with_context(|| runtime.display().to_string())?;
            self.wait(Pid::from_raw(child.id().cast_signed()))?;
            Ok(text(&out))
        };
        for id in call(&["list", "--quiet"])?.lines() {
            call(&["delete", "--force", id])?;
        }
        for pid in children()? {
            // It may have ended by itself.
            let _gone = kill(pid, Signal::SIGKILL);
        }
        self.unmount();
        for entry in fs::read_dir(self.bundles.path())? {
            let path = entry?.path();
            // Something of it may be in use still; the directory is removed at the end.
            let _removed =
                if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
        remove_cgroups();
        Ok(())
    }

    /// A runtime that mounts without a mount namespace has put parts of the host into a bundle, where they
    /// would be removed with it.
    fn unmount(&self) {
        let mounts = own_mounts();
        let points = mounts.iter().rev().map(|mount| Path::new(&mount.point));
        for point in points.filter(|point| point.starts_with(self.bundles.path())) {
            let _gone = umount2(point, MntFlags::MNT_DETACH);
        }
    }
}

/// Removes the parents of the containers' cgroups, which no runtime does. Their names are the suite's.
fn remove_cgroups() {
    for path in leftovers::cgroups("cgrouptest") {
        // One in use is not empty.
        let _removed = fs::remove_dir(&path);
        if let Some(parent) = path.parent().filter(|parent| parent.ends_with("testdir")) {
            let _removed = fs::remove_dir(parent);
        }
    }
}

/// The processes whose parent is this one.
fn children() -> io::Result<Vec<Pid>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc/self/task")? {
        // A thread may have ended.
        let text = fs::read_to_string(entry?.path().join("children")).unwrap_or_default();
        found.extend(text.split_whitespace().filter_map(|pid| pid.parse().ok().map(Pid::from_raw)));
    }
    Ok(found)
}

/// Takes the status of every child as soon as it ends, in a thread of its own: whoever sees a zombie may
/// take the container for one that exists.
fn reap() -> Receiver<(Pid, Exit)> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        loop {
            let ended = match waitpid(None, None) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, Exit::Code(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Exit::Signal(signal as i32)),
                Ok(_) | Err(Errno::EINTR) => continue,
                // None yet, or none any more.
                Err(_) => {
                    thread::sleep(Duration::from_millis(1));
                    continue;
                }
            };
            if sender.send(ended).is_err() {
                return;
            }
        }
    });
    receiver
}
