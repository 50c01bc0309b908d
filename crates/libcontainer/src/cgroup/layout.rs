//! Finds the hierarchies: `/proc/self/mountinfo` and `/proc/self/cgroup`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::Mode;
use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, statfs};

use super::directory::{os, read_to_end};
use super::{Hierarchy, Layout, Unified};
use crate::error::{Error, ErrorKind, Result};
use crate::mountinfo::Line;

/// Where every distribution mounts the hierarchies.
const CGROUP_ROOT: &str = "/sys/fs/cgroup";

impl Layout {
    /// Finds the hierarchies.
    ///
    /// # Kernel
    ///
    /// statfs(2) of `/sys/fs/cgroup`, reads of `/proc/self/cgroup` and, unless the host has cgroup v2
    /// alone, of `/proc/self/mountinfo`.
    ///
    /// # Errors
    ///
    /// If `/proc/self/cgroup` or the mount table can't be read.
    pub fn probe() -> Result<Self> {
        let proc_cgroup = read("/proc/self/cgroup")?;
        if mount_is_the_whole_v2_hierarchy()? {
            return Ok(Self::V2(Unified {
                mountpoint: PathBuf::from(CGROUP_ROOT),
                mount_root: PathBuf::from("/"),
                own: own_unified(&proc_cgroup)?,
            }));
        }
        parse(&read("/proc/self/mountinfo")?, &proc_cgroup, is_visible)
    }
}

/// Whether `/sys/fs/cgroup` is the v2 hierarchy from its root on. Then the mount table, which is long
/// on a Kubernetes node, can't tell more. The root has no `cgroup.type`; where it is there, the mount
/// shows some cgroup that only the mount table knows.
fn mount_is_the_whole_v2_hierarchy() -> Result<bool> {
    match statfs(CGROUP_ROOT) {
        Ok(fs) if fs.filesystem_type() == CGROUP2_SUPER_MAGIC => {
            Ok(!Path::new(CGROUP_ROOT).join("cgroup.type").exists())
        }
        Ok(_) | Err(Errno::ENOENT) => Ok(false),
        Err(errno) => Err(Error::os(format_args!("statfs({CGROUP_ROOT:?})"), errno as i32)),
    }
}

fn read(path: &str) -> Result<Vec<u8>> {
    openat(AT_FDCWD, path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
        .and_then(|fd| read_to_end(&fd))
        .map_err(|errno| os("read", Path::new(path), errno))
}

/// Whether its path leads to a hierarchy: the table also has mounts that others cover. A container must not
/// stay out of a hierarchy for another reason than that.
fn is_visible(mount: &Mount) -> Result<bool> {
    let magic = if mount.unified { CGROUP2_SUPER_MAGIC } else { CGROUP_SUPER_MAGIC };
    match statfs(&mount.mountpoint) {
        Ok(fs) => Ok(fs.filesystem_type() == magic),
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::EACCES) => Ok(false),
        Err(errno) => {
            let call = format!("statfs({:?})", mount.mountpoint.display().to_string());
            Err(Error::os(call, errno as i32))
        }
    }
}

/// Makes the layout of the two files' contents, as far as its mounts are visible.
fn parse(
    mountinfo: &[u8],
    proc_cgroup: &[u8],
    is_visible: impl Fn(&Mount) -> Result<bool>,
) -> Result<Layout> {
    let mut mounts = Vec::new();
    for mount in mountinfo.split(|b| *b == b'\n').filter_map(mount) {
        if is_visible(&mount)? {
            mounts.push(mount);
        }
    }
    let memberships: Vec<Membership> = memberships(proc_cgroup)?;

    let mut hierarchies: Vec<Hierarchy> = memberships
        .iter()
        .filter(|m| !m.is_unified())
        .filter_map(|m| hierarchy(m, &mounts))
        .collect();
    hierarchies.reverse();

    let unified = memberships.iter().find(|m| m.is_unified()).and_then(|m| {
        let mount = best(mounts.iter().filter(|mount| mount.unified), &m.own)?;
        Some(Unified {
            mountpoint: mount.mountpoint.clone(),
            mount_root: mount.root.clone(),
            own: m.own.clone(),
        })
    });

    Ok(match (hierarchies.is_empty(), unified) {
        (true, None) => Layout::None,
        (true, Some(unified)) => Layout::V2(unified),
        (false, unified) => Layout::V1 { hierarchies, unified },
    })
}

/// The layout of these contents, with everything in the mount table visible.
#[cfg(any(test, fuzzing))]
pub(crate) fn layout_of(mountinfo: &[u8], proc_cgroup: &[u8]) -> Result<Layout> {
    parse(mountinfo, proc_cgroup, |_| Ok(true))
}

fn own_unified(proc_cgroup: &[u8]) -> Result<PathBuf> {
    memberships(proc_cgroup)?
        .into_iter()
        .find(Membership::is_unified)
        .map(|m| m.own)
        .ok_or_else(|| malformed("no line begins with 0::"))
}

/// A line of the mount table whose type is cgroup or cgroup2.
#[derive(Debug)]
struct Mount {
    unified: bool,
    root: PathBuf,
    mountpoint: PathBuf,
    /// The options of the superblock: the controllers are among them.
    options: Vec<u8>,
}

/// Everything but the cgroup mounts, and a line that is cut off, is none.
fn mount(line: &[u8]) -> Option<Mount> {
    let line = Line::parse(line)?;
    let unified = match line.kind {
        b"cgroup" => false,
        b"cgroup2" => true,
        _ => return None,
    };
    Some(Mount {
        unified,
        root: line.root(),
        mountpoint: line.mountpoint(),
        options: line.options.to_vec(),
    })
}

/// A line of `/proc/self/cgroup`: `4:cpu,cpuacct:/user`, `1:name=systemd:/`, `0::/init`.
#[derive(Debug)]
struct Membership {
    controllers: Vec<String>,
    name: Option<String>,
    own: PathBuf,
}

impl Membership {
    fn is_unified(&self) -> bool {
        self.controllers.is_empty() && self.name.is_none()
    }

    fn is_of(&self, mount: &Mount) -> bool {
        let name = self.name.as_ref().map(|name| format!("name={name}"));
        // A controller is in one hierarchy only, and so is a name.
        let Some(wanted) = name.as_ref().or(self.controllers.first()) else {
            return mount.unified;
        };
        let mut options = mount.options.split(|b| *b == b',');
        !mount.unified && options.any(|option| option == wanted.as_bytes())
    }
}

fn memberships(proc_cgroup: &[u8]) -> Result<Vec<Membership>> {
    proc_cgroup
        .split(|b| *b == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            // The path may hold colons.
            let mut fields = line.splitn(3, |b| *b == b':').skip(1);
            match (fields.next(), fields.next()) {
                (Some(labels), Some(own @ [b'/', ..])) => Ok(membership(labels, own)),
                _ => Err(malformed(&String::from_utf8_lossy(line))),
            }
        })
        .collect()
}

fn membership(labels: &[u8], own: &[u8]) -> Membership {
    let labels = String::from_utf8_lossy(labels);
    let mut controllers = Vec::new();
    let mut name = None;
    for label in labels.split(',').filter(|label| !label.is_empty()) {
        match label.strip_prefix("name=") {
            Some(value) => name = Some(value.to_string()),
            None => controllers.push(label.to_string()),
        }
    }
    Membership { controllers, name, own: PathBuf::from(OsStr::from_bytes(own)) }
}

fn malformed(what: &str) -> Error {
    Error::new(ErrorKind::Os, format!("read /proc/self/cgroup: unexpected content: {what}"))
}

fn hierarchy(membership: &Membership, mounts: &[Mount]) -> Option<Hierarchy> {
    let mount = best(mounts.iter().filter(|m| membership.is_of(m)), &membership.own)?;
    Some(Hierarchy {
        controllers: membership.controllers.clone(),
        name: membership.name.clone(),
        mountpoint: mount.mountpoint.clone(),
        mount_root: mount.root.clone(),
        own: membership.own.clone(),
    })
}

/// A hierarchy may be mounted more than once: containers' binds are in the table as well. The one that
/// shows our own cgroup and most of the rest is the host's; among equals, the one in the usual place.
fn best<'a>(mounts: impl Iterator<Item = &'a Mount>, own: &Path) -> Option<&'a Mount> {
    mounts.min_by_key(|mount| {
        (
            !own.starts_with(&mount.root),
            mount.root.components().count(),
            !mount.mountpoint.starts_with(CGROUP_ROOT),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID_MOUNTS: &[u8] = b"\
22 1 8:1 / / rw,relatime - ext4 /dev/root rw
23 22 8:2 / /media/\xff\\040stick rw - vfat /dev/sdb1 rw,cpu
31 22 0:28 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755
32 31 0:29 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw,nsdelegate
33 31 0:30 / /sys/fs/cgroup/systemd rw shared:11 - cgroup cgroup rw,xattr,name=systemd
34 31 0:31 / /sys/fs/cgroup/cpu,cpuacct rw shared:12 master:3 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices
";
    const HYBRID_SELF: &[u8] =
        b"12:pids:/\n3:devices:/user.slice\n2:cpu,cpuacct:/a:b\n1:name=systemd:/user.slice/x.scope\n0::/user.slice\n";

    fn unified(mountpoint: &str, mount_root: &str, own: &str) -> Unified {
        Unified { mountpoint: mountpoint.into(), mount_root: mount_root.into(), own: own.into() }
    }

    fn v1(controllers: &[&str], name: Option<&str>, paths: [&str; 3]) -> Hierarchy {
        Hierarchy {
            controllers: controllers.iter().map(ToString::to_string).collect(),
            name: name.map(ToString::to_string),
            mountpoint: paths[0].into(),
            mount_root: paths[1].into(),
            own: paths[2].into(),
        }
    }

    #[test]
    fn covered_mounts_are_left_out() {
        let visible = |mount: &Mount| Ok(!mount.unified && !mount.mountpoint.ends_with("memory"));
        let layout = parse(HYBRID_MOUNTS, HYBRID_SELF, visible).unwrap();
        let Layout::V1 { hierarchies, unified } = layout else { panic!("{layout:?}") };
        assert_eq!(unified, None);
        assert!(!hierarchies.is_empty());
        assert!(hierarchies.iter().all(|h| !h.controllers.contains(&"memory".to_string())));
    }

    #[test]
    fn a_hybrid_host_has_both_and_leaves_out_what_is_not_mounted() {
        let layout = parse(HYBRID_MOUNTS, HYBRID_SELF, |_| Ok(true)).unwrap();
        let expected = Layout::V1 {
            hierarchies: vec![
                v1(&[], Some("systemd"), ["/sys/fs/cgroup/systemd", "/", "/user.slice/x.scope"]),
                v1(&["cpu", "cpuacct"], None, ["/sys/fs/cgroup/cpu,cpuacct", "/", "/a:b"]),
                v1(&["devices"], None, ["/sys/fs/cgroup/devices", "/", "/user.slice"]),
            ],
            unified: Some(unified("/sys/fs/cgroup/unified", "/", "/user.slice")),
        };
        assert_eq!(layout, expected);
    }

    #[test]
    fn layouts() {
        let v1_mount = "35 31 0:32 / /cg\\040a\\134b rw - cgroup cgroup rw,devices\n";
        let v2_mount = "35 31 0:32 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let devices = v1(&["devices"], None, ["/cg a\\b", "/", "/"]);
        let alone = || Layout::V1 { hierarchies: vec![devices.clone()], unified: None };
        let v2 = |own| Layout::V2(unified("/sys/fs/cgroup", "/", own));
        for (mounts, own, expected) in [
            ("", "", Layout::None),
            ("", "1:devices:/\n0::/\n", Layout::None),
            (v1_mount, "1:devices:/\n", alone()),
            // The unified hierarchy exists but was unmounted in this mount namespace.
            (v1_mount, "1:devices:/\n0::/x\n", alone()),
            (v2_mount, "0::/a b\n", v2("/a b")),
            // The v1 hierarchies exist but only v2 is mounted here.
            (v2_mount, "1:devices:/\n0::/\n", v2("/")),
            // The line is cut off.
            ("35 31 0:32 / /cg rw - cgroup", "1:devices:/\n", Layout::None),
        ] {
            assert_eq!(
                parse(mounts.as_bytes(), own.as_bytes(), |_| Ok(true)).unwrap(),
                expected,
                "{mounts}{own}"
            );
        }
    }

    #[test]
    fn among_several_mounts_the_one_that_shows_most_is_taken() {
        let mounts = b"\
40 31 0:32 /docker/ab /var/lib/c/ab/cg rw - cgroup cgroup rw,devices
41 31 0:32 / /mnt/elsewhere rw - cgroup cgroup rw,devices
42 31 0:32 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices
";
        let layout = parse(mounts, b"1:devices:/docker/ab/x\n", |_| Ok(true)).unwrap();
        let Layout::V1 { hierarchies, .. } = layout else {
            panic!("{layout:?}");
        };
        assert_eq!(hierarchies[0].mountpoint, Path::new("/sys/fs/cgroup/devices"));
    }

    #[test]
    fn in_a_container_the_root_of_the_mount_is_its_cgroup() {
        let mounts =
            b"42 31 0:32 /docker/ab /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices\n";
        let layout = parse(mounts, b"1:devices:/docker/ab/x\n", |_| Ok(true)).unwrap();
        let paths = ["/sys/fs/cgroup/devices", "/docker/ab", "/docker/ab/x"];
        let expected =
            Layout::V1 { hierarchies: vec![v1(&["devices"], None, paths)], unified: None };
        assert_eq!(layout, expected);
    }

    #[test]
    fn nonsense_in_proc_cgroup_is_an_error() {
        for text in ["1:devices", "x", "1:devices:relative"] {
            let error = parse(b"", text.as_bytes(), |_| Ok(true)).unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
    }

    #[test]
    fn this_host_is_found_where_the_kernel_says() {
        let layout = Layout::probe().unwrap();
        let mountpoints: Vec<PathBuf> = match layout {
            Layout::None => Vec::new(),
            Layout::V2(unified) => vec![unified.mountpoint],
            Layout::V1 { hierarchies, unified } => {
                let v1 = hierarchies.into_iter().map(|h| h.mountpoint);
                v1.chain(unified.map(|u| u.mountpoint)).collect()
            }
        };
        for mountpoint in mountpoints {
            assert!(mountpoint.join("cgroup.procs").exists(), "{}", mountpoint.display());
        }
    }
}
