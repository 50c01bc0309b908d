//! What of a process its library must not change.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use integration::Process;
use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, waitpid};

/// The calling process as `/proc` shows it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    cwd: PathBuf,
    root: PathBuf,
    environment: BTreeMap<OsString, OsString>,
    /// Of each thread: signal mask and dispositions, umask, capabilities and the like.
    threads: BTreeMap<String, Vec<String>>,
    limits: String,
    cgroups: String,
    mounts: String,
    oom_score: String,
    descriptors: BTreeMap<i32, String>,
    children: Vec<String>,
}

/// Lines of `status` that nothing but a call of the process itself changes.
const STEADY: &[&str] = &[
    "Umask",
    "Uid",
    "Gid",
    "Groups",
    "SigBlk",
    "SigIgn",
    "SigCgt",
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
];

impl Caller {
    /// As it is now. Twice the same, for the C library blocks the signals of a thread that starts another.
    pub(crate) fn now() -> Self {
        loop {
            let once = Self::look();
            thread::sleep(Duration::from_millis(20));
            let again = Self::look();
            if once == again {
                return again;
            }
        }
    }

    fn look() -> Self {
        let own = Process(std::process::id().cast_signed());
        let pid = own.0;
        let mut descriptors = own.descriptors();
        // The one that they were read through.
        descriptors.retain(|_, target| *target != format!("/proc/{pid}/fd"));
        Self {
            cwd: own.link("cwd"),
            root: own.link("root"),
            environment: env::vars_os().collect(),
            threads: threads(),
            limits: own.file("limits"),
            cgroups: own.file("cgroup"),
            mounts: own.file("mountinfo"),
            oom_score: own.file("oom_score_adj"),
            descriptors,
            children: children(),
        }
    }

    /// Asserts that it is the same again, and that there is nobody to wait for.
    #[track_caller]
    pub(crate) fn is_unchanged(&self) {
        let now = Self::now();
        assert_eq!(self.descriptors, now.descriptors, "descriptors");
        assert_eq!(self.children, now.children, "children");
        assert_eq!(self.threads, now.threads, "threads");
        assert_eq!(*self, now);
        if self.children.is_empty() {
            let waited = waitpid(None, Some(WaitPidFlag::WNOHANG));
            assert_eq!(waited, Err(Errno::ECHILD), "a child that nobody knows");
        }
    }
}

fn threads() -> BTreeMap<String, Vec<String>> {
    let tasks = fs::read_dir("/proc/self/task").expect("/proc is mounted");
    let status = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("status")).ok()?;
        let lines = text
            .lines()
            .filter(|line| line.split_once(':').is_some_and(|(name, _)| STEADY.contains(&name)));
        let lines: Vec<String> = lines.map(String::from).collect();
        assert_eq!(lines.len(), STEADY.len(), "{text}");
        Some((task.file_name().to_string_lossy().into_owned(), lines))
    };
    tasks.filter_map(|task| status(task.ok()?)).collect()
}

/// The processes whose parent is this one, zombies among them: pid, name and state.
fn children() -> Vec<String> {
    let own = std::process::id().to_string();
    let entries = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let stats = entries.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    let mut children: Vec<String> = stats
        .filter(|stat| {
            let rest = stat.rsplit(") ").next().unwrap_or_default();
            rest.split(' ').nth(1) == Some(&own)
        })
        .map(|stat| stat.split(' ').take(3).collect::<Vec<_>>().join(" "))
        .collect();
    children.sort();
    children
}
