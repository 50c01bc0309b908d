//! A small root filesystem out of Debian's static busybox, and pictures of directory trees.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::OnceLock;

use crate::runtime::target_directory;

const APPLETS: &[&str] = &[
    "[",
    "cat",
    "chmod",
    "chown",
    "cp",
    "cut",
    "dd",
    "df",
    "echo",
    "env",
    "expr",
    "false",
    "find",
    "grep",
    "head",
    "hostname",
    "id",
    "ifconfig",
    "ip",
    "kill",
    "ln",
    "ls",
    "mkdir",
    "mknod",
    "mount",
    "mountpoint",
    "mv",
    "nslookup",
    "od",
    "ping",
    "printf",
    "ps",
    "pwd",
    "readlink",
    "rm",
    "rmdir",
    "sed",
    "seq",
    "setsid",
    "sh",
    "sleep",
    "sort",
    "stat",
    "tail",
    "test",
    "touch",
    "tr",
    "true",
    "umount",
    "uname",
    "wc",
];

/// The host's static busybox.
pub const BUSYBOX: &str = "/bin/busybox";

/// Makes a root filesystem at a path that does not exist.
pub fn make(at: &Path) {
    for name in
        ["bin", "dev", "etc", "home/user", "opt", "proc", "root", "run", "sys", "tmp", "var"]
    {
        fs::DirBuilder::new().recursive(true).mode(0o755).create(at.join(name)).expect("mkdir");
    }
    let busybox = at.join("bin/busybox");
    if fs::hard_link(copy_of_busybox(), &busybox).is_err() {
        fs::copy(BUSYBOX, &busybox).expect("copy of busybox");
    }
    for applet in APPLETS {
        symlink("busybox", at.join("bin").join(applet)).expect("symlink");
    }
    let files = [
        ("passwd", "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n"),
        ("group", "root:x:0:\nuser:x:1000:\n"),
    ];
    for (name, text) in files {
        fs::write(at.join("etc").join(name), text).expect("write");
    }
    fs::set_permissions(at.join("tmp"), fs::Permissions::from_mode(0o1777)).expect("chmod");
}

/// A copy beside the build, to be linked into root filesystems: the host's own file is never at the
/// mercy of a container.
fn copy_of_busybox() -> &'static Path {
    static COPY: OnceLock<PathBuf> = OnceLock::new();
    COPY.get_or_init(|| {
        let directory = target_directory().join("tmp");
        fs::create_dir_all(&directory).expect("mkdir");
        let (copy, draft) =
            (directory.join("busybox"), directory.join(format!("busybox.{}", process::id())));
        let size = |path: &Path| fs::metadata(path).map(|data| data.len()).ok();
        if size(&copy).is_none() || size(&copy) != size(Path::new(BUSYBOX)) {
            fs::copy(BUSYBOX, &draft).expect("/bin/busybox: install busybox-static");
            fs::rename(&draft, &copy).expect("rename");
        }
        copy
    })
}

/// A picture of a directory tree: for each path relative to it, what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree(BTreeMap<PathBuf, String>);

impl Tree {
    /// Looks at all below a directory without following a link. If there is none, the picture is empty.
    pub fn of(top: &Path) -> Self {
        let mut tree = BTreeMap::new();
        if top.symlink_metadata().is_ok() {
            look(top, Path::new(""), &mut tree);
        }
        Self(tree)
    }

    /// The paths that differ, with what they were and what they are.
    pub fn differences(&self, now: &Self) -> Vec<(PathBuf, String)> {
        let none = String::from("nothing");
        let paths: std::collections::BTreeSet<_> = self.0.keys().chain(now.0.keys()).collect();
        paths
            .into_iter()
            .filter(|path| self.0.get(*path) != now.0.get(*path))
            .map(|path| {
                let [old, new] = [self, now].map(|tree| tree.0.get(path).unwrap_or(&none));
                (path.clone(), format!("{old} became {new}"))
            })
            .collect()
    }
}

fn look(top: &Path, relative: &Path, tree: &mut BTreeMap<PathBuf, String>) {
    let path = top.join(relative);
    let data = fs::symlink_metadata(&path).expect("lstat");
    let size = if data.is_dir() { 0 } else { data.len() };
    let link = fs::read_link(&path).unwrap_or_default();
    let text = format!(
        "{:o} {}:{} rdev {} size {size} {}",
        data.mode(),
        data.uid(),
        data.gid(),
        data.rdev(),
        link.display()
    );
    tree.insert(relative.to_path_buf(), text);
    if data.is_dir() {
        for entry in fs::read_dir(&path).expect("readdir") {
            look(top, &relative.join(entry.expect("readdir").file_name()), tree);
        }
    }
}
