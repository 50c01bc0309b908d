//! `type: cgroup`: what the container sees of its cgroups, on each layout of hierarchies.

use std::path::{Path, PathBuf};

use super::compile::Compilation;
use super::format::{Operation, attach};
use super::image::{TextBuf, TextsBuf};
use super::mounts::{Entry, clean, pairs};
use super::options::{AttributeChange, Options};
use crate::cgroup::{Hierarchy, Layout, Place};
use crate::error::{Error, ErrorKind, Result};
use oci_spec::runtime::{LinuxNamespaceType, Mount};

/// Mounts the hierarchies of this host where the configuration wants them.
pub(super) fn attach(plan: &mut Compilation<'_>, entry: &Entry<'_>) -> Result<()> {
    match plan.facts.cgroup.clone() {
        Layout::None => {
            let message =
                format!("{}: no cgroup hierarchy is mounted on this host", entry.property);
            Err(Error::new(ErrorKind::Unsupported, message).with_property(&entry.name))
        }
        // A user namespace may mount the hierarchy only if it owns a cgroup namespace, too.
        Layout::V2(_)
            if plan.in_user_namespace() && !plan.namespaces.has(LinuxNamespaceType::Cgroup) =>
        {
            let place = plan.placement.unified.clone();
            place.map_or(Ok(()), |place| attach_copy(plan, entry, &place, &entry.destination))
        }
        Layout::V2(_) => {
            attach_new(plan, entry, "cgroup2", &TextsBuf::default(), &entry.destination)
        }
        Layout::V1 { hierarchies, unified } => {
            let directory = attach_directory(plan, entry)?;
            let places = plan.placement.v1.clone();
            for (hierarchy, place) in hierarchies.iter().zip(&places) {
                attach_hierarchy(plan, entry, hierarchy, place)?;
            }
            if let (Some(unified), Some(place)) = (unified, plan.placement.unified.clone()) {
                let target = entry.destination.join(name_of(&unified.mountpoint));
                if plan.namespaces.has(LinuxNamespaceType::Cgroup) {
                    attach_new(plan, entry, "cgroup2", &TextsBuf::default(), &target)?;
                } else {
                    attach_copy(plan, entry, &place, &target)?;
                }
            }
            make_read_only(plan, entry, directory)
        }
    }
}

/// Who is to own the container's cgroup: its user, if it has a cgroup namespace of its own on a v2 host
/// and can write to the hierarchy. So says config-linux.md, "Cgroup ownership". Root of the host does
/// already; of a user namespace that is joined, only its maps would tell.
pub(super) fn owner(plan: &Compilation<'_>) -> Option<u32> {
    if !matches!(plan.facts.cgroup, Layout::V2(_))
        || !plan.namespaces.is_new(LinuxNamespaceType::Cgroup)
        || !is_writable(plan)
    {
        return None;
    }
    let user = plan.spec.process().as_ref()?.user().uid();
    let linux = plan.spec.linux().as_ref()?;
    if !plan.in_user_namespace() {
        return Some(user).filter(|user| *user != 0);
    }
    linux.uid_mappings().iter().flatten().find_map(|map| {
        let within = user.checked_sub(map.container_id()).filter(|within| *within < map.size())?;
        map.host_id().checked_add(within)
    })
}

/// Whether the last mount on `/sys/fs/cgroup` is a hierarchy that the container can write to.
fn is_writable(plan: &Compilation<'_>) -> bool {
    let mounts = plan.spec.mounts().as_deref().unwrap_or(&[]);
    let at = |mount: &&Mount| clean(mount.destination()) == Path::new("/sys/fs/cgroup");
    mounts.iter().rfind(at).is_some_and(|mount| {
        let options = mount.options().iter().flatten().map(String::as_str);
        let kind = mount.typ().as_deref();
        let options = Options::parse(options);
        let all_read_only = options.change_all.set & libc::MOUNT_ATTR_RDONLY != 0;
        matches!(kind, Some("cgroup" | "cgroup2")) && !options.read_only && !all_read_only
    })
}

/// The last component of a hierarchy's mount point: its name inside, too.
fn name_of(mountpoint: &Path) -> &Path {
    mountpoint.file_name().map_or(Path::new("unified"), Path::new)
}

/// The tmpfs that holds the mount points of the hierarchies.
fn attach_directory(plan: &mut Compilation<'_>, entry: &Entry<'_>) -> Result<u32> {
    let slot = plan.image.slot();
    let kind = TextBuf::new("tmpfs")?;
    let options = pairs(["mode=755"])?;
    let tmpfs = Operation::Filesystem {
        slot,
        kind: kind.text(),
        source: kind.text(),
        options: options.texts(),
        attributes: entry.options.change.set & !libc::MOUNT_ATTR_RDONLY,
    };
    plan.image.push(&entry.property, &tmpfs)?;
    let target = TextBuf::path(&entry.destination)?;
    let attach = Operation::Attach { slot, target: target.text(), flags: attach::KEEP };
    plan.image.push(&entry.property, &attach)?;
    Ok(slot)
}

fn make_read_only(plan: &mut Compilation<'_>, entry: &Entry<'_>, slot: u32) -> Result<()> {
    if !entry.options.read_only {
        return Ok(());
    }
    plan.change_mount(&entry.property, slot, AttributeChange::READ_ONLY, (0, false))
}

/// A v1 hierarchy, and a link for each of several controllers that share it.
fn attach_hierarchy(
    plan: &mut Compilation<'_>,
    entry: &Entry<'_>,
    hierarchy: &Hierarchy,
    place: &Place,
) -> Result<()> {
    let name = name_of(&hierarchy.mountpoint);
    let target = entry.destination.join(name);
    if plan.namespaces.has(LinuxNamespaceType::Cgroup) {
        let named =
            hierarchy.name.iter().flat_map(|name| ["none".to_string(), format!("name={name}")]);
        let options: Vec<String> = hierarchy.controllers.iter().cloned().chain(named).collect();
        let options = pairs(options.iter().map(String::as_str))?;
        attach_new(plan, entry, "cgroup", &options, &target)?;
    } else {
        attach_copy(plan, entry, place, &target)?;
    }
    for controller in hierarchy.controllers.iter().filter(|c| Path::new(c) != name) {
        let path = TextBuf::path(&entry.destination.join(controller))?;
        let link = TextBuf::path(name)?;
        let link = Operation::Symlink { target: link.text(), path: path.text() };
        plan.image.push(&entry.property, &link)?;
    }
    Ok(())
}

/// In a cgroup namespace a new mount shows the container's own cgroup as the root.
fn attach_new(
    plan: &mut Compilation<'_>,
    entry: &Entry<'_>,
    kind: &str,
    options: &TextsBuf,
    target: &Path,
) -> Result<()> {
    let slot = plan.image.slot();
    let kind = TextBuf::new(kind)?;
    let filesystem = Operation::Filesystem {
        slot,
        kind: kind.text(),
        source: kind.text(),
        options: options.texts(),
        attributes: entry.options.change.set,
    };
    plan.image.push(&entry.property, &filesystem)?;
    let target = TextBuf::path(target)?;
    let attach = Operation::Attach { slot, target: target.text(), flags: 0 };
    plan.image.push(&entry.property, &attach)
}

/// Without one, a copy of the mount with the container's own cgroup as its root.
fn attach_copy(
    plan: &mut Compilation<'_>,
    entry: &Entry<'_>,
    place: &Place,
    target: &Path,
) -> Result<()> {
    let slot = plan.image.slot();
    let directory: PathBuf = place.directory();
    let path = TextBuf::path(&directory)?;
    plan.image.push(&entry.property, &Operation::OpenTree { slot, path: path.text(), flags: 0 })?;
    let change = entry.options.change;
    let detached = plan.sets_detached();
    if !change.is_none() && detached {
        plan.change_mount(&entry.property, slot, change, (0, false))?;
    }
    let target = TextBuf::path(target)?;
    let flags = if detached { 0 } else { attach::KEEP };
    let attach = Operation::Attach { slot, target: target.text(), flags };
    plan.image.push(&entry.property, &attach)?;
    if !change.is_none() && !detached {
        plan.change_mount(&entry.property, slot, change, (0, false))?;
    }
    Ok(())
}
