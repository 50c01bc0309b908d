//! A process as the host's /proc shows it (proc(5)).

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// A process, by its pid on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process(pub i32);

/// A line of mountinfo (proc_pid_mountinfo(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The device number of the filesystem.
    pub device: String,
    /// Which part of the filesystem is mounted.
    pub root: String,
    /// Where.
    pub point: String,
    /// The options of the mount.
    pub options: Vec<String>,
    /// Propagation: `shared:N`, `master:N`, `unbindable`.
    pub tags: Vec<String>,
    /// The type of the filesystem.
    pub kind: String,
    /// Its source.
    pub source: String,
    /// The options of the filesystem.
    pub filesystem: Vec<String>,
}

impl Mount {
    /// Whether the mount has this option.
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().any(|other| other == option)
    }

    /// Whether it propagates in this way: `shared`, `master` or `unbindable`.
    pub fn propagates(&self, how: &str) -> bool {
        self.tags.iter().any(|tag| tag.split(':').next() == Some(how))
    }
}

impl Process {
    /// The text of a file of its directory.
    #[track_caller]
    pub fn file(self, name: &str) -> String {
        let path = format!("/proc/{}/{name}", self.0);
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Where a link of its directory points.
    #[track_caller]
    pub fn link(self, name: &str) -> PathBuf {
        let path = format!("/proc/{}/{name}", self.0);
        fs::read_link(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// A field of `status`.
    #[track_caller]
    pub fn status(self, field: &str) -> String {
        let text = self.file("status");
        let lines: BTreeMap<_, _> = text.lines().filter_map(|line| line.split_once(':')).collect();
        let value = lines.get(field).unwrap_or_else(|| panic!("no {field} in status"));
        value.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// A field of `status` that is a hexadecimal mask.
    #[track_caller]
    pub fn mask(self, field: &str) -> u64 {
        u64::from_str_radix(&self.status(field), 16).expect("a mask")
    }

    /// The identity of a namespace, such as `net:[4026531840]`.
    #[track_caller]
    pub fn namespace(self, name: &str) -> String {
        self.link(&format!("ns/{name}")).display().to_string()
    }

    /// Its mounts.
    #[track_caller]
    pub fn mounts(self) -> Vec<Mount> {
        self.file("mountinfo").lines().map(parse_mount).collect()
    }

    /// The uppermost mount at a path of its root.
    #[track_caller]
    pub fn mount(self, point: &str) -> Mount {
        let found = self.mounts().into_iter().rfind(|mount| mount.point == point);
        found.unwrap_or_else(|| panic!("no mount at {point}: {}", self.file("mountinfo")))
    }

    /// The cgroup in each hierarchy, by the hierarchy's controllers; the empty name is cgroup2.
    #[track_caller]
    pub fn cgroups(self) -> BTreeMap<String, String> {
        let text = self.file("cgroup");
        let entry = |line: &str| {
            let mut fields = line.splitn(3, ':').skip(1).map(String::from);
            (fields.next().expect("controllers"), fields.next().expect("a path"))
        };
        text.lines().map(entry).collect()
    }

    /// Its descriptors, with what they are open on.
    #[track_caller]
    pub fn descriptors(self) -> BTreeMap<i32, String> {
        let directory = format!("/proc/{}/fd", self.0);
        let entries =
            fs::read_dir(&directory).unwrap_or_else(|error| panic!("{directory}: {error}"));
        entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let number = entry.file_name().to_str()?.parse().ok()?;
                Some((number, fs::read_link(entry.path()).ok()?.display().to_string()))
            })
            .collect()
    }

    /// Its environment as execve(2) got it.
    #[track_caller]
    pub fn environment(self) -> Vec<String> {
        self.file("environ").split_terminator('\0').map(String::from).collect()
    }

    /// The soft and the hard limit of a line of `limits`.
    #[track_caller]
    pub fn limit(self, name: &str) -> (String, String) {
        let text = self.file("limits");
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a known limit");
        let mut fields = line.split_whitespace().map(String::from);
        (fields.next().expect("a soft limit"), fields.next().expect("a hard limit"))
    }

    /// A map of ids: `uid_map` or `gid_map`.
    #[track_caller]
    pub fn id_map(self, name: &str) -> Vec<Vec<u64>> {
        let number = |text: &str| text.parse().expect("a number");
        self.file(name).lines().map(|line| line.split_whitespace().map(number).collect()).collect()
    }

    /// Whether there is such a process that has not ended.
    pub fn lives(self) -> bool {
        fs::read_to_string(format!("/proc/{}/stat", self.0)).is_ok_and(|stat| {
            let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
            !matches!(state, None | Some('Z' | 'X'))
        })
    }
}

/// The calling thread's mounts: a thread may have a namespace of its own.
pub fn own_mounts() -> Vec<Mount> {
    let text = fs::read_to_string("/proc/thread-self/mountinfo").expect("/proc is mounted");
    text.lines().map(parse_mount).collect()
}

fn parse_mount(line: &str) -> Mount {
    let (left, right) = line.split_once(" - ").expect("a separator");
    let left: Vec<String> = left.split(' ').map(unescape).collect();
    let right: Vec<String> = right.split(' ').map(unescape).collect();
    let words = |text: &str| text.split(',').map(String::from).collect();
    Mount {
        device: left[2].clone(),
        root: left[3].clone(),
        point: left[4].clone(),
        options: words(&left[5]),
        tags: left[6..].to_vec(),
        kind: right[0].clone(),
        source: right[1].clone(),
        filesystem: right.get(2).map(|text| words(text)).unwrap_or_default(),
    }
}

fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_string(), |text, (from, to)| text.replace(from, to))
}
