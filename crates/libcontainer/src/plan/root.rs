//! The container's root: attached, restricted, entered.

use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;

use super::compile::Compilation;
use super::devices::open_null;
use super::format::Operation;
use super::image::{TextBuf, TextsBuf};
use super::options::AttributeChange;
use crate::container::Pivot;
use crate::error::Result;

/// The root filesystem on the host.
pub(super) fn path(spec: &Spec, bundle: &Path) -> PathBuf {
    let path = spec.root().as_ref().map_or(Path::new(""), |root| root.path().as_path());
    // Without a trailing slash or `.`, as mountinfo has it.
    bundle.join(path).components().collect()
}

/// The propagation that `linux.rootfsPropagation` asks for.
fn propagation(spec: &Spec) -> Option<u64> {
    let word = spec.linux().as_ref()?.rootfs_propagation().as_deref()?;
    let (recursive, word) = match word.strip_prefix('r') {
        Some(word) => (libc::MS_REC, word),
        None => (0, word),
    };
    let kind = match word {
        "private" => libc::MS_PRIVATE,
        "slave" => libc::MS_SLAVE,
        "shared" => libc::MS_SHARED,
        "unbindable" => libc::MS_UNBINDABLE,
        _ => return None,
    };
    Some(kind | recursive)
}

/// Whether mounts of the container shall reach the host.
pub(super) fn is_shared(spec: &Spec) -> bool {
    propagation(spec).is_some_and(|kind| kind & libc::MS_SHARED != 0)
}

/// Cuts the mount namespace off from the host's, so that nothing that init mounts appears there, and
/// attaches a copy of the root filesystem. Returns its slot.
pub(super) fn attach(plan: &mut Compilation<'_>) -> Result<u32> {
    let slash = TextBuf::new("/")?;
    let kind = match propagation(plan.spec) {
        // Shared means with the container's own children: what the host shall see of its mounts, it
        // sees through the volumes that were opened before.
        Some(kind) if kind & (libc::MS_PRIVATE | libc::MS_SHARED) != 0 => libc::MS_PRIVATE,
        _ => libc::MS_SLAVE,
    };
    let cut = Operation::Propagation { path: slash.text(), flags: kind | libc::MS_REC };
    plan.image.push("linux.rootfsPropagation", &cut)?;
    let slot = plan.image.slot();
    let path = TextBuf::path(&path(plan.spec, plan.request.bundle))?;
    let flags = libc::AT_RECURSIVE.unsigned_abs();
    plan.image.push("root.path", &Operation::OpenTree { slot, path: path.text(), flags })?;
    plan.image.push("root.path", &Operation::AttachRoot { slot, path: path.text() })?;
    Ok(slot)
}

/// Masked and read-only paths. One tmpfs serves all masked directories: a superblock each is what made
/// hosts with many of them fail.
pub(super) fn restrict_paths(plan: &mut Compilation<'_>) -> Result<()> {
    let Some(linux) = plan.spec.linux() else {
        return Ok(());
    };
    for (index, path) in linux.readonly_paths().iter().flatten().enumerate() {
        let path = TextBuf::new(path)?;
        let property = format!("linux.readonlyPaths[{index}]");
        let by_mount = u32::from(!plan.sets_detached());
        plan.image.push(&property, &Operation::MakeReadonly { path: path.text(), by_mount })?;
    }
    let masked = linux.masked_paths().as_deref().unwrap_or(&[]);
    if masked.is_empty() {
        return Ok(());
    }
    let null = open_null(plan, "linux.maskedPaths")?;
    let empty = plan.image.slot();
    let kind = TextBuf::new("tmpfs")?;
    let options = TextsBuf::collect(["nr_inodes", "=1", "mode", "=755"])?;
    let tmpfs = Operation::Filesystem {
        slot: empty,
        kind: kind.text(),
        source: kind.text(),
        options: options.texts(),
        attributes: libc::MOUNT_ATTR_RDONLY,
    };
    plan.image.push("linux.maskedPaths", &tmpfs)?;
    for (index, path) in masked.iter().enumerate() {
        let path = TextBuf::new(path)?;
        let property = format!("linux.maskedPaths[{index}]");
        plan.image.push(&property, &Operation::Mask { path: path.text(), null, empty })?;
    }
    Ok(())
}

/// The root becomes `/`; what the setting up needed is closed.
pub(super) fn enter(plan: &mut Compilation<'_>, slot: u32) -> Result<()> {
    if plan.spec.root().as_ref().and_then(oci_spec::runtime::Root::readonly) == Some(true) {
        plan.change_mount("root.readonly", slot, AttributeChange::READ_ONLY, (0, false))?;
    }
    let change = match plan.request.pivot {
        Pivot::PivotRoot => Operation::PivotRoot {},
        Pivot::MoveMount => Operation::MoveRoot {},
    };
    plan.image.push("root.path", &change)?;
    if let Some(flags) = propagation(plan.spec) {
        let slash = TextBuf::new("/")?;
        let propagation = Operation::Propagation { path: slash.text(), flags };
        plan.image.push("linux.rootfsPropagation", &propagation)?;
    }
    plan.image.push("process", &Operation::CloseSlots {})
}
