//! What confines a process, as the host sees it: a description in which the container's name, and numbers
//! that the kernel hands out anew each time, are left out. Two starts of one configuration have the same.
//!
//! What the kernel shows nobody from outside isn't in it: the text of a system call filter (only how many
//! there are), the device program of a v2 cgroup, which session keyring is the process's (only that there
//! is one of the container's name).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns};

use crate::bundle::Bundle;
use crate::process::{Mount, Process, own_mounts};

/// The fields of `status` that confine a process.
const STATUS: [&str; 21] = [
    "Umask",
    "TracerPid",
    "Uid",
    "Gid",
    "Groups",
    "Threads",
    "SigPnd",
    "ShdPnd",
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
    "Seccomp_filters",
    "Cpus_allowed",
    "Mems_allowed",
];

/// Further files of the process's directory, each one item.
const FILES: [&str; 12] = [
    "uid_map",
    "gid_map",
    "projid_map",
    "setgroups",
    "limits",
    "oom_score_adj",
    "personality",
    "timens_offsets",
    "coredump_filter",
    "timerslack_ns",
    "cmdline",
    "environ",
];

/// Sysctls of a network, ipc or uts namespace, below `/proc/sys`.
const SYSCTLS: [&str; 15] = [
    "kernel/hostname",
    "kernel/domainname",
    "kernel/shmmax",
    "kernel/shmall",
    "kernel/shmmni",
    "kernel/shm_rmid_forced",
    "kernel/msgmax",
    "kernel/msgmnb",
    "kernel/sem",
    "fs/mqueue/msg_max",
    "fs/mqueue/queues_max",
    "net/ipv4/ip_unprivileged_port_start",
    "net/ipv4/ping_group_range",
    "net/ipv4/ip_forward",
    "net/ipv4/ip_local_port_range",
];

/// The description of one process: what, and how it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint(BTreeMap<String, String>);

impl Fingerprint {
    /// That of a process of this bundle's container.
    #[track_caller]
    pub fn of(process: Process, bundle: &Bundle) -> Self {
        let mut found = Self(BTreeMap::new());
        found.add_process(process);
        found.add_mounts(process);
        found.add_namespaces(process);
        found.add_cgroups(process);
        found.add_descriptors(process);
        found.add_devices(process);
        found.put("keyring", has_keyring(bundle.id()));
        let plain = |text: &String| {
            let directory = bundle.directory().display().to_string();
            text.replace(&directory, "BUNDLE").replace(bundle.id(), "ID")
        };
        Self(found.0.iter().map(|(name, value)| (plain(name), plain(value))).collect())
    }

    fn put(&mut self, name: &str, value: impl ToString) {
        self.0.insert(name.to_string(), value.to_string());
    }

    fn add_process(&mut self, process: Process) {
        for field in STATUS {
            self.put(field, process.status(field));
        }
        for name in FILES {
            self.put(name, process.file(name).replace('\0', " ").trim_end());
        }
        for name in ["cwd", "exe", "root"] {
            self.put(name, process.link(name).display());
        }
        // Without a security module there is none, and reading fails.
        let label = fs::read_to_string(format!("/proc/{}/attr/current", process.0));
        self.put("label", label.unwrap_or_default());
        let levels = process.status("NSpid").split(' ').count();
        self.put("levels of pids", levels);
        // Behind the name, which may have anything in it: proc_pid_stat(5) counts from 1.
        let stat = process.file("stat");
        let fields: Vec<_> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let field = |number: usize| fields[number - 3];
        for (name, number) in [("process group", 5), ("session", 6)] {
            let own = field(number) == process.0.to_string();
            self.put(name, if own { "its own" } else { "of another" });
        }
        self.put("terminal", if field(7) == "0" { "none" } else { "controls it" });
        let schedule =
            [("nice", 19), ("exit signal", 38), ("real-time priority", 40), ("policy", 41)];
        for (name, number) in schedule {
            self.put(name, field(number));
        }
    }

    fn add_mounts(&mut self, process: Process) {
        let hosts: BTreeSet<_> = own_mounts().into_iter().map(|mount| mount.device).collect();
        let mut count = BTreeMap::<String, usize>::new();
        for mount in process.mounts() {
            let number = count.entry(mount.point.clone()).or_default();
            *number += 1;
            let whose = if hosts.contains(&mount.device) { "the host's" } else { "its own" };
            let Mount { root, point, options, tags, kind, source, filesystem, .. } = mount;
            // Only how it propagates: the groups have numbers.
            let tags: Vec<_> = tags.iter().filter_map(|tag| tag.split(':').next()).collect();
            let value = format!(
                "{whose} {kind} {source} {root} {} {tags:?} ({})",
                options.join(","),
                filesystem.join(",")
            );
            let name = format!("mount {point} {number}");
            self.put(&name, value);
        }
    }

    fn add_namespaces(&mut self, process: Process) {
        let directory = PathBuf::from(format!("/proc/{}/ns", process.0));
        for entry in fs::read_dir(directory).expect("a living process").flatten() {
            let name = entry.file_name();
            let own = fs::read_link(Path::new("/proc/thread-self/ns").join(&name)).ok();
            let theirs = fs::read_link(entry.path()).ok();
            let whose = if own == theirs { "the host's" } else { "its own" };
            self.put(&format!("namespace {}", name.display()), whose);
        }
        let devices = process.file("net/dev");
        let names: Vec<_> = devices.lines().filter_map(|line| line.split_once(':')).collect();
        self.put("network devices", format!("{:?}", names.iter().map(|n| n.0).collect::<Vec<_>>()));
        self.put("loopback", process.file("net/fib_trie").contains("127.0.0.1"));
        for (name, value) in sysctls(process) {
            self.put(&format!("sysctl {name}"), value);
        }
    }

    fn add_cgroups(&mut self, process: Process) {
        for (controllers, path) in process.cgroups() {
            self.put(&format!("cgroup {controllers}"), &path);
            // A hierarchy may be mounted nowhere, or be covered by another mount.
            let directory = cgroup_directory(&controllers, &path);
            let found = directory.and_then(|path| Some((path.metadata().ok()?, path)));
            let Some((data, directory)) = found else {
                continue;
            };
            let owner = format!("{:o} {}:{}", data.mode(), data.uid(), data.gid());
            self.put(&format!("cgroup {controllers} owner"), owner);
            for entry in fs::read_dir(&directory).expect("a cgroup").flatten() {
                let name = entry.file_name().display().to_string();
                if let (true, Ok(text)) = (is_setting(&name, &entry), limit_text(&entry.path())) {
                    self.put(&format!("cgroup {controllers} {name}"), text);
                }
            }
        }
    }

    fn add_descriptors(&mut self, process: Process) {
        for (number, target) in process.descriptors() {
            let info = process.file(&format!("fdinfo/{number}"));
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap_or("?");
            let name = format!("descriptor {number}");
            self.put(&name, format!("{} {}", without_numbers(&target), flags.trim()));
        }
    }

    fn add_devices(&mut self, process: Process) {
        let top = PathBuf::from(format!("/proc/{}/root/dev", process.0));
        for entry in fs::read_dir(&top).into_iter().flatten().flatten() {
            let data = entry.metadata().expect("lstat");
            let link = fs::read_link(entry.path()).unwrap_or_default();
            let (mode, device) = (data.mode(), data.rdev());
            let value =
                format!("{mode:o} {}:{} {device} {}", data.uid(), data.gid(), link.display());
            self.put(&format!("device {}", entry.file_name().display()), value);
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, value)| writeln!(formatter, "{name}: {value}"))
    }
}

/// What the second has otherwise than the first.
pub fn diff(first: &Fingerprint, second: &Fingerprint) -> Vec<String> {
    let names: BTreeSet<_> = first.0.keys().chain(second.0.keys()).collect();
    let value = |print: &Fingerprint, name: &String| print.0.get(name).cloned();
    names
        .into_iter()
        .map(|name| (name, value(first, name), value(second, name)))
        .filter(|(_, old, new)| old != new)
        .map(|(name, old, new)| {
            let [old, new] = [old, new].map(|text| text.unwrap_or_else(|| "nothing".to_string()));
            format!("{name}: {old} became {new}")
        })
        .collect()
}

/// Whether there is a session keyring that a container of this id has got. The kernel shows those that
/// the reader may see, and removes those of ended processes after a while.
fn has_keyring(id: &str) -> bool {
    // `_ses.ID`, or the id alone as crun has it.
    let name = format!("{id}:");
    fs::read_to_string("/proc/keys").is_ok_and(|keys| keys.contains(&name))
}

/// What the files say to a thread that has entered the namespaces.
fn sysctls(process: Process) -> Vec<(&'static str, String)> {
    let open = |name: &str| File::open(format!("/proc/{}/ns/{name}", process.0)).expect("open");
    let namespaces = [
        (open("uts"), CloneFlags::CLONE_NEWUTS),
        (open("ipc"), CloneFlags::CLONE_NEWIPC),
        (open("net"), CloneFlags::CLONE_NEWNET),
    ];
    let read = move || {
        for (namespace, kind) in namespaces {
            setns(namespace, kind).expect("setns");
        }
        let text = |name| fs::read_to_string(Path::new("/proc/sys").join(name)).unwrap_or_default();
        SYSCTLS.map(|name| (name, text(name).trim().to_string())).to_vec()
    };
    std::thread::spawn(read).join().expect("a thread that reads")
}

/// Where the cgroup of a process is mounted, from the controllers and the path of a line of its `cgroup`.
fn cgroup_directory(controllers: &str, path: &str) -> Option<PathBuf> {
    let is_of = |mount: &Mount| match controllers.strip_prefix("name=") {
        None if controllers.is_empty() => mount.kind == "cgroup2",
        _ => {
            mount.kind == "cgroup"
                && controllers
                    .split(',')
                    .all(|name| mount.filesystem.iter().any(|option| option == name))
        }
    };
    let mount = own_mounts().into_iter().rfind(|mount| mount.root == "/" && is_of(mount))?;
    Some(Path::new(&mount.point).join(path.trim_start_matches('/')))
}

/// Whether a file of a cgroup says what was set, rather than what happens in it.
fn is_setting(name: &str, entry: &fs::DirEntry) -> bool {
    const EVENTS: [&str; 11] = [
        "procs", "tasks", "threads", "usage", "failcnt", "event", "reset", "peak", "pressure",
        "reclaim", "stat",
    ];
    let writable = entry.metadata().is_ok_and(|data| data.is_file() && data.mode() & 0o200 != 0);
    let listed = name == "devices.list";
    (writable || listed) && !EVENTS.iter().any(|event| name.contains(event))
}

fn limit_text(path: &Path) -> std::io::Result<String> {
    fs::read_to_string(path).map(|text| text.trim().to_string())
}

/// `pipe:[12]`, `/tmp/#34 (deleted)`: without the numbers of inodes.
fn without_numbers(target: &str) -> String {
    let mut plain = String::new();
    let mut skip = false;
    for letter in target.chars() {
        skip = matches!(letter, '[' | '#') || (skip && letter.is_ascii_digit());
        if !skip || !letter.is_ascii_digit() {
            plain.push(letter);
        }
    }
    plain
}
