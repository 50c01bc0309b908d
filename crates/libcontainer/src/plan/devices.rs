//! Device nodes and the links of `/dev` (runtime-spec, config-linux.md, "Default Devices").

use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};

use super::compile::Compilation;
use super::format::{Operation, attach};
use super::image::TextBuf;
use super::mounts::clean;
use super::options::Options;
use crate::error::{Error, ErrorKind, Result};

/// The devices that every container has: name, major, minor.
const DEFAULT: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// The links that every container has: target and path.
const LINKS: [(&str, &str); 6] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("/proc/kcore", "/dev/core"),
    ("pts/ptmx", "/dev/ptmx"),
];

/// A node that the container gets.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    property: String,
    path: PathBuf,
    kind: u32,
    mode: u32,
    major: u32,
    minor: u32,
    uid: u32,
    gid: u32,
}

/// The host's nodes, opened for binding: in a user namespace mknod(2) is not permitted.
#[derive(Debug, Default)]
pub(super) struct OpenedNodes(Vec<(Node, u32)>);

/// Whether `/dev` is the host's own: nothing is made in it then.
fn dev_is_bound(plan: &Compilation<'_>) -> bool {
    let mounts = plan.spec.mounts().as_deref().unwrap_or(&[]);
    mounts.iter().any(|mount| {
        let options = mount.options().iter().flatten().map(String::as_str);
        clean(mount.destination()) == Path::new("/dev") && Options::parse(options).bind.is_some()
    })
}

/// All nodes: the configured ones override the default ones.
fn nodes(plan: &Compilation<'_>) -> Result<Vec<Node>> {
    let linux = plan.spec.linux().as_ref();
    let configured = linux.and_then(|linux| linux.devices().as_deref()).unwrap_or(&[]);
    let configured: Vec<Node> = configured
        .iter()
        .enumerate()
        .map(|(index, device)| node(index, device))
        .collect::<Result<_>>()?;
    let default = DEFAULT.iter().map(|(name, major, minor)| Node {
        property: "linux.devices".to_string(),
        path: Path::new("/dev").join(name),
        kind: libc::S_IFCHR,
        mode: 0o666,
        major: *major,
        minor: *minor,
        uid: 0,
        gid: 0,
    });
    let mut all: Vec<Node> =
        default.filter(|node| configured.iter().all(|other| other.path != node.path)).collect();
    all.extend(configured);
    Ok(all)
}

fn node(index: usize, device: &LinuxDevice) -> Result<Node> {
    let property = format!("linux.devices[{index}]");
    let kind = match device.typ() {
        LinuxDeviceType::C | LinuxDeviceType::U => libc::S_IFCHR,
        LinuxDeviceType::B => libc::S_IFBLK,
        LinuxDeviceType::P => libc::S_IFIFO,
        LinuxDeviceType::A => {
            let message = format!("{property}.type: a is for rules; allowed are b, c, u, p");
            return Err(Error::new(ErrorKind::InvalidConfig, message).with_property(property));
        }
    };
    let number = |value: i64, name: &str| {
        u32::try_from(value).or_else(|_e| match kind {
            // A FIFO has no numbers, and whatever is given is ignored.
            libc::S_IFIFO => Ok(0),
            _ => Err(Error::new(
                ErrorKind::InvalidConfig,
                format!("{property}.{name}: {value} is not a device number"),
            )),
        })
    };
    let (major, minor) = (number(device.major(), "major")?, number(device.minor(), "minor")?);
    Ok(Node {
        path: clean(device.path()),
        kind,
        mode: device.file_mode().unwrap_or(0o666) & 0o7777,
        major,
        minor,
        uid: device.uid().unwrap_or(0),
        gid: device.gid().unwrap_or(0),
        property,
    })
}

/// Opens the host's null device, which must be it.
pub(super) fn open_null(plan: &mut Compilation<'_>, property: &str) -> Result<u32> {
    let slot = plan.image.slot();
    let path = TextBuf::new("/dev/null")?;
    let open =
        Operation::OpenDevice { slot, path: path.text(), kind: libc::S_IFCHR, major: 1, minor: 3 };
    plan.image.push(property, &open)?;
    Ok(slot)
}

/// In a user namespace: opens the host's nodes while init still has the caller's id.
pub(super) fn open_early(plan: &mut Compilation<'_>) -> Result<OpenedNodes> {
    let mut opened = OpenedNodes::default();
    if !plan.in_user_namespace() || dev_is_bound(plan) {
        return Ok(opened);
    }
    for node in nodes(plan)? {
        let slot = plan.image.slot();
        if node.kind != libc::S_IFIFO {
            let path = TextBuf::path(&node.path)?;
            let (kind, major, minor) = (node.kind, node.major, node.minor);
            let open = Operation::OpenDevice { slot, path: path.text(), kind, major, minor };
            plan.image.push(&node.property, &open)?;
        }
        opened.0.push((node, slot));
    }
    Ok(opened)
}

/// Nodes and links.
pub(super) fn make(plan: &mut Compilation<'_>, opened: OpenedNodes) -> Result<()> {
    if dev_is_bound(plan) {
        if plan
            .spec
            .linux()
            .as_ref()
            .is_some_and(|linux| linux.devices().iter().flatten().count() > 0)
        {
            plan.warn("linux.devices", "not made: /dev is a bind mount");
        }
        return Ok(());
    }
    if plan.in_user_namespace() {
        for (node, slot) in opened.0 {
            if node.kind == libc::S_IFIFO {
                make_node(plan, &node)?;
                continue;
            }
            let target = TextBuf::path(&node.path)?;
            let bind = Operation::Attach { slot, target: target.text(), flags: attach::COPY };
            plan.image.push(&node.property, &bind)?;
        }
    } else {
        for node in nodes(plan)? {
            make_node(plan, &node)?;
        }
    }
    for (target, path) in LINKS {
        let (target, path) = (TextBuf::new(target)?, TextBuf::new(path)?);
        let link = Operation::Symlink { target: target.text(), path: path.text() };
        plan.image.push("linux.devices", &link)?;
    }
    Ok(())
}

fn make_node(plan: &mut Compilation<'_>, node: &Node) -> Result<()> {
    let path = TextBuf::path(&node.path)?;
    let make = Operation::MakeNode {
        path: path.text(),
        mode: node.kind | node.mode,
        major: node.major,
        minor: node.minor,
        uid: node.uid,
        gid: node.gid,
    };
    plan.image.push(&node.property, &make)
}
