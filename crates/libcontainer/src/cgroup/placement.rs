//! Which directories are the container's: a pure function of the layout and `linux.cgroupsPath`.
//!
//! The rules are runc's. An absolute path starts at the root of each hierarchy. A relative one starts at
//! the caller's own cgroup on v1, and at the *parent* of it on v2: the caller's own has processes in it
//! (ours), and a v2 cgroup with processes can't give controllers to its children. Without a path, the id
//! is taken for a relative one. `..` is cleaned lexically and never leaves the start.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Hierarchy, Layout, Unified};
use crate::error::{Error, ErrorKind, Result};

/// `NAME_MAX`: the longest name of a directory.
const NAME_MAX: usize = 255;

/// The container's directory in each hierarchy. None of them need exist.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Placement {
    /// On the v1 hierarchies.
    pub(crate) v1: Vec<Place>,
    /// On the v2 hierarchy.
    pub(crate) unified: Option<Place>,
}

/// The container's directory in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// The hierarchy as `/proc/PID/cgroup` names it: `cpu,cpuacct`, `name=systemd`, nothing for v2.
    pub(crate) label: String,
    /// Where the hierarchy is mounted.
    pub(crate) mountpoint: PathBuf,
    /// The directory below the mount point: relative, at least one name, no `.` and no `..`.
    pub(crate) below: PathBuf,
}

impl Placement {
    /// The places, v2 first.
    pub(crate) fn places(&self) -> impl Iterator<Item = &Place> {
        self.unified.iter().chain(&self.v1)
    }

    /// Whether any of the directories is there.
    pub(crate) fn exists(&self) -> bool {
        self.places().any(|place| place.directory().exists())
    }
}

impl Place {
    /// The absolute path of the directory.
    pub(crate) fn directory(&self) -> PathBuf {
        self.mountpoint.join(&self.below)
    }

    /// Whether the hierarchy is the v2 one.
    pub(crate) fn is_unified(&self) -> bool {
        self.label.is_empty()
    }

    /// Whether a v1 hierarchy has this controller.
    pub(crate) fn has(&self, controller: &str) -> bool {
        self.label.split(',').any(|label| label == controller)
    }

    /// Checks what a state record has brought back, before anything is removed by it.
    pub(crate) fn verify(&self) -> Result<()> {
        let mut names = self.below.components();
        let is_below = names.clone().next().is_some()
            && names.all(|name| matches!(name, Component::Normal(_)));
        if is_below && self.mountpoint.is_absolute() {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::InvalidState,
            format!("cgroup {self}: not a directory below a hierarchy's mount point"),
        ))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.directory().display().fmt(f)
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, place) in self.places().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{place}")?;
        }
        Ok(())
    }
}

/// Where a cgroup that `cgroupsPath` names begins.
enum Start {
    Root,
    Own,
    ParentOfOwn,
}

/// Finds the container's directories. Of a host without cgroups, the result is empty.
pub(crate) fn place(layout: &Layout, cgroups_path: Option<&Path>, id: &str) -> Result<Placement> {
    let path = cgroups_path.filter(|path| !path.as_os_str().is_empty());
    let path = path.unwrap_or(Path::new(id));
    place_path(layout, path).map_err(|error| {
        error
            .context(format_args!("linux.cgroupsPath {}", path.display()))
            .with_property("linux.cgroupsPath")
    })
}

fn place_path(layout: &Layout, path: &Path) -> Result<Placement> {
    let names = clean(path)?;
    let relative = |start| {
        if path.is_absolute() { Start::Root } else { start }
    };
    Ok(match layout {
        Layout::None => Placement { v1: Vec::new(), unified: None },
        // A hybrid host's v2 hierarchy follows the v1 rule: no controllers are given out there.
        Layout::V1 { hierarchies, unified } => Placement {
            v1: hierarchies
                .iter()
                .map(|h| h.place(&relative(Start::Own), &names))
                .collect::<Result<_>>()?,
            unified: unified
                .as_ref()
                .map(|u| u.place(&relative(Start::Own), &names))
                .transpose()?,
        },
        Layout::V2(unified) => Placement {
            v1: Vec::new(),
            unified: Some(unified.place(&relative(Start::ParentOfOwn), &names)?),
        },
    })
}

impl Hierarchy {
    fn place(&self, start: &Start, names: &Path) -> Result<Place> {
        let name = self.name.iter().map(|name| format!("name={name}"));
        let labels: Vec<String> = self.controllers.iter().cloned().chain(name).collect();
        Ok(Place {
            label: labels.join(","),
            mountpoint: self.mountpoint.clone(),
            below: start_below(start, &self.mount_root, &self.own)?.join(names),
        })
    }
}

impl Unified {
    fn place(&self, start: &Start, names: &Path) -> Result<Place> {
        Ok(Place {
            label: String::new(),
            mountpoint: self.mountpoint.clone(),
            below: start_below(start, &self.mount_root, &self.own)?.join(names),
        })
    }
}

/// The start, as a path below the mount point. Inside a container `/proc/self/cgroup` may show the
/// host's paths, and the mount only the part below the container's own cgroup.
fn start_below<'a>(start: &Start, mount_root: &Path, own: &'a Path) -> Result<&'a Path> {
    let own_below = || {
        let below = own.strip_prefix(mount_root).ok();
        let below = below.filter(|below| !below.components().any(|c| c == Component::ParentDir));
        below.ok_or_else(|| {
            Error::new(
                ErrorKind::Unsupported,
                format!(
                    "the caller's cgroup {} is not among those that are mounted, {} and below: \
                     only an absolute path can be used",
                    own.display(),
                    mount_root.display()
                ),
            )
        })
    };
    match start {
        Start::Root => Ok(Path::new("")),
        Start::Own => own_below(),
        Start::ParentOfOwn => own_below().map(|own| own.parent().unwrap_or(own)),
    }
}

/// Cleans a path lexically to relative names, as if it began at a root that `..` can't leave.
fn clean(path: &Path) -> Result<PathBuf> {
    let mut names: Vec<&OsStr> = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name),
            Component::ParentDir => drop(names.pop()),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
    if names.is_empty() {
        return Err(invalid("it names the root of the hierarchy"));
    }
    for name in &names {
        if name.len() > NAME_MAX {
            return Err(invalid("a name is longer than 255 bytes"));
        }
        // The kernel refuses newlines in cgroups' names, and no path holds a NUL.
        if name.as_bytes().iter().any(|b| matches!(b, 0 | b'\n')) {
            return Err(invalid("a name holds a NUL or a newline"));
        }
    }
    let cleaned: PathBuf = names.iter().collect();
    // Beyond PATH_MAX; what a mount point and the start add is seen by the kernel.
    if cleaned.as_os_str().len() >= 4096 {
        return Err(invalid("it is longer than 4095 bytes"));
    }
    Ok(cleaned)
}

fn invalid(why: &str) -> Error {
    Error::new(ErrorKind::InvalidConfig, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hybrid(mount_root: &str, own: &str) -> Layout {
        let hierarchy = |controllers: &[&str], name: Option<&str>, mountpoint: &str| Hierarchy {
            controllers: controllers.iter().map(ToString::to_string).collect(),
            name: name.map(ToString::to_string),
            mountpoint: mountpoint.into(),
            mount_root: mount_root.into(),
            own: own.into(),
        };
        Layout::V1 {
            hierarchies: vec![
                hierarchy(&["cpu", "cpuacct"], None, "/cg/cpu"),
                hierarchy(&[], Some("systemd"), "/cg/systemd"),
            ],
            unified: Some(unified("/cg/unified", mount_root, own)),
        }
    }

    fn unified(mountpoint: &str, mount_root: &str, own: &str) -> Unified {
        Unified { mountpoint: mountpoint.into(), mount_root: mount_root.into(), own: own.into() }
    }

    fn directories(layout: &Layout, path: Option<&str>) -> Vec<String> {
        let placement = place(layout, path.map(Path::new), "id").unwrap();
        placement.places().map(ToString::to_string).collect()
    }

    #[test]
    fn paths_on_a_hybrid_host() {
        let host = hybrid("/", "/me");
        for (path, expected) in [
            (Some("/docker/a"), "docker/a"),
            (Some("docker/a"), "me/docker/a"),
            (Some(""), "me/id"),
            (None, "me/id"),
            (Some("../../x"), "me/x"),
            (Some("/../../x"), "x"),
            (Some("/a/../../b//./c/"), "b/c"),
            (Some("system.slice:runc:x"), "me/system.slice:runc:x"),
            (Some("/ü b"), "ü b"),
        ] {
            let all = ["unified", "cpu", "systemd"].map(|h| format!("/cg/{h}/{expected}"));
            assert_eq!(directories(&host, path), all, "{path:?}");
        }
    }

    #[test]
    fn paths_on_a_v2_host() {
        for (own, path, expected) in [
            ("/user/me", Some("/a"), "a"),
            ("/user/me", Some("a"), "user/a"),
            ("/user/me", None, "user/id"),
            ("/user/me", Some("../../../a"), "user/a"),
            ("/me", None, "id"),
            ("/", None, "id"),
        ] {
            let host = Layout::V2(unified("/cg", "/", own));
            assert_eq!(directories(&host, path), [format!("/cg/{expected}")], "{own} {path:?}");
        }
    }

    #[test]
    fn in_a_container_the_mount_is_counted_from_its_root() {
        let inner = hybrid("/docker/ab", "/docker/ab/me");
        assert_eq!(directories(&inner, Some("x"))[1], "/cg/cpu/me/x");
        assert_eq!(directories(&inner, Some("/x"))[1], "/cg/cpu/x");
        // In a cgroup namespace with the host's mounts nobody can say where the caller is.
        let lost = hybrid("/../..", "/");
        assert_eq!(directories(&lost, Some("/x"))[1], "/cg/cpu/x");
        let error = place(&lost, Some(Path::new("x")), "id").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn labels_are_those_of_proc() {
        let placement = place(&hybrid("/", "/"), None, "id").unwrap();
        assert_eq!(placement.v1[0].label, "cpu,cpuacct");
        assert!(placement.v1[0].has("cpu") && placement.v1[0].has("cpuacct"));
        assert!(!placement.v1[0].has("cp"));
        assert_eq!(placement.v1[1].label, "name=systemd");
        assert!(placement.unified.unwrap().is_unified());
    }

    #[test]
    fn what_no_directory_can_be_called_is_refused() {
        let long = "x".repeat(256);
        let deep = "/x".repeat(2100);
        for path in ["/", ".", "..", "/a/..", "a\0b", "a\nb", &long, &deep] {
            let error = place(&hybrid("/", "/"), Some(Path::new(path)), "id").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{path:?}");
            assert_eq!(error.property(), Some("linux.cgroupsPath"));
        }
    }

    #[test]
    fn a_host_without_cgroups_has_no_place() {
        let placement = place(&Layout::None, Some(Path::new("/x")), "id").unwrap();
        assert_eq!(placement.places().count(), 0);
    }

    #[test]
    fn a_placement_survives_the_state_record() {
        let placement = place(&hybrid("/", "/me"), None, "id").unwrap();
        let json = serde_json::to_string(&placement).unwrap();
        assert_eq!(serde_json::from_str::<Placement>(&json).unwrap(), placement);
    }

    #[test]
    fn a_forged_record_is_refused() {
        for (mountpoint, below) in
            [("/cg", ".."), ("/cg", "a/../.."), ("/cg", ""), ("/cg", "/etc"), ("cg", "a")]
        {
            let place =
                Place { label: "cpu".into(), mountpoint: mountpoint.into(), below: below.into() };
            assert!(place.verify().is_err(), "{place:?}");
        }
    }
}
