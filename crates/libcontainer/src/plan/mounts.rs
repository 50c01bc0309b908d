//! The mounts of the configuration, in its order.

use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::Mount;

use super::cgroup_mounts;
use super::compile::Compilation;
use super::format::{Operation, attach};
use super::image::{TextBuf, TextsBuf};
use super::options::{AttributeChange, Options};
use super::{labels, root};
use crate::error::{Error, ErrorKind, Result};

/// Files of a procfs that may be covered: what LXCFS and others provide views of. Anything else below
/// `/proc` would let an image fool who reads it (CVE-2019-16884).
const COVERABLE_IN_PROC: [&str; 10] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];

/// File systems whose `ro` is the mount's alone: a tmpfs must be filled first, and the cgroup
/// hierarchies are the host's.
const READ_ONLY_BY_MOUNT: [&str; 3] = ["tmpfs", "cgroup", "cgroup2"];

/// A mount of the configuration, sorted out.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    /// `mounts[3]`.
    pub(super) name: String,
    /// The same with the destination, for whoever reads it in an error.
    pub(super) property: String,
    pub(super) mount: &'a Mount,
    pub(super) destination: PathBuf,
    pub(super) options: Options,
}

/// Slots of bind sources that were opened early, by the index of the mount.
pub(super) type Bound = Vec<Option<u32>>;

/// Mounts that become read-only once everything in them is made: property and slot.
pub(super) type Kept = Vec<(String, u32)>;

/// A path of the container, absolute, without `.` and with `..` resolved by name as far as the kernel
/// would at the root.
pub(super) fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            _ => {}
        }
    }
    clean
}

fn entries<'a>(plan: &Compilation<'a>) -> Vec<Entry<'a>> {
    let mounts = plan.spec.mounts().as_deref().unwrap_or(&[]).iter().enumerate();
    mounts
        .map(|(index, mount)| Entry {
            name: format!("mounts[{index}]"),
            property: format!("mounts[{index}] {}", mount.destination().display()),
            mount,
            destination: clean(mount.destination()),
            options: Options::parse(mount.options().iter().flatten().map(String::as_str)),
        })
        .collect()
}

impl Entry<'_> {
    fn kind(&self) -> &str {
        self.mount.typ().as_deref().unwrap_or("")
    }

    /// Where a bind mount comes from.
    fn source(&self, bundle: &Path) -> Result<PathBuf> {
        match self.mount.source() {
            Some(source) if !source.as_os_str().is_empty() => Ok(bundle.join(source)),
            _ => {
                let message = format!("{}.source: a bind mount needs one", self.name);
                Err(Error::new(ErrorKind::InvalidConfig, message).with_property(&self.name))
            }
        }
    }

    /// What the target may be.
    fn attach_flags(&self) -> u32 {
        let proc = Path::new("/proc");
        if self.options.bind.is_none() && matches!(self.kind(), "proc" | "sysfs") {
            let inside = if self.destination == proc { attach::INSIDE_PROC } else { 0 };
            attach::NO_SYMLINKS | inside
        } else if self.destination == proc {
            attach::INSIDE_PROC | attach::IS_PROC
        } else if COVERABLE_IN_PROC.iter().any(|file| self.destination == Path::new(file)) {
            attach::INSIDE_PROC
        } else {
            0
        }
    }
}

/// Opens the sources of bind mounts before anything changes, where that makes a difference: in a user
/// namespace, while init still has the caller's id, and for a shared root, while the mounts still are
/// the host's peers.
pub(super) fn open_early(plan: &mut Compilation<'_>) -> Result<Bound> {
    let early = plan.in_user_namespace() || root::is_shared(plan.spec);
    entries(plan)
        .iter()
        .map(|entry| match entry.options.bind {
            Some(recursive) if early && !entry.options.remount => {
                open(plan, entry, recursive).map(Some)
            }
            _ => Ok(None),
        })
        .collect()
}

fn open(plan: &mut Compilation<'_>, entry: &Entry<'_>, recursive: bool) -> Result<u32> {
    let slot = plan.image.slot();
    let path = TextBuf::path(&entry.source(plan.request.bundle)?)?;
    let flags = if recursive { libc::AT_RECURSIVE.unsigned_abs() } else { 0 };
    let open = Operation::OpenTree { slot, path: path.text(), flags };
    plan.image.push(&entry.property, &open)?;
    Ok(slot)
}

/// Attaches every mount, in the order of the configuration. The cgroups are joined on the way: before the
/// first mount that shows them, or that fills memory.
pub(super) fn attach_all(plan: &mut Compilation<'_>, bound: Bound) -> Result<Kept> {
    let mut kept = Kept::new();
    let mut joined = false;
    for (entry, bound) in entries(plan).iter().zip(bound) {
        if entry.destination == Path::new("/") && !entry.options.remount {
            let message = format!(
                "{}: mountpoint \"{}\" is on the top of rootfs",
                entry.property,
                entry.mount.destination().display()
            );
            return Err(Error::new(ErrorKind::InvalidConfig, message).with_property(&entry.name));
        }
        if !joined && (entry.options.copy_up || entry.kind().starts_with("cgroup")) {
            plan.join_cgroups()?;
            joined = true;
        }
        if entry.options.remount {
            remount(plan, entry)?;
        } else if let Some(recursive) = entry.options.bind {
            bind(plan, entry, bound, recursive)?;
        } else if entry.kind() == "cgroup" {
            cgroup_mounts::attach(plan, entry)?;
        } else {
            mount(plan, entry, &mut kept)?;
        }
    }
    if !joined {
        plan.join_cgroups()?;
    }
    Ok(kept)
}

fn bind(
    plan: &mut Compilation<'_>,
    entry: &Entry<'_>,
    bound: Option<u32>,
    recursive: bool,
) -> Result<()> {
    if !entry.options.data.is_empty() {
        let message = format!(
            "a bind mount has no file system of its own: ignoring {:?}",
            entry.options.data
        );
        plan.warn(format!("{}.options", entry.name), message);
    }
    let slot = match bound {
        Some(slot) => slot,
        None => open(plan, entry, recursive)?,
    };
    let target = TextBuf::path(&entry.destination)?;
    let flags = entry.attach_flags();
    if plan.sets_detached() {
        change_attributes(plan, entry, slot)?;
        let attach = Operation::Attach { slot, target: target.text(), flags };
        return plan.image.push(&entry.property, &attach);
    }
    let attach = Operation::Attach { slot, target: target.text(), flags: flags | attach::KEEP };
    plan.image.push(&entry.property, &attach)?;
    change_attributes(plan, entry, slot)
}

/// Attributes and propagation, on the detached mount where the kernel can do that: there is no moment in
/// which it is attached without them.
fn change_attributes(plan: &mut Compilation<'_>, entry: &Entry<'_>, slot: u32) -> Result<()> {
    let options = &entry.options;
    for (change, all) in [(options.change, false), (options.change_all, true)] {
        if !change.is_none() {
            plan.change_mount(&entry.property, slot, change, (0, all))?;
        }
    }
    propagate(plan, entry, slot)
}

fn propagate(plan: &mut Compilation<'_>, entry: &Entry<'_>, slot: u32) -> Result<()> {
    for &propagation in &entry.options.propagation {
        plan.change_mount(&entry.property, slot, AttributeChange::default(), propagation)?;
    }
    Ok(())
}

/// Keys and values as the operation has them: a key, then `=value` or nothing.
pub(super) fn pairs<'o>(options: impl IntoIterator<Item = &'o str>) -> Result<TextsBuf> {
    let mut pairs = TextsBuf::default();
    for option in options {
        let (key, value) = option.find('=').map_or((option, ""), |at| option.split_at(at));
        pairs.push(key)?;
        pairs.push(value)?;
    }
    Ok(pairs)
}

/// The options for the file system, the generic ones first.
fn data(plan: &Compilation<'_>, entry: &Entry<'_>) -> Result<TextsBuf> {
    let options = &entry.options;
    let by_mount = READ_ONLY_BY_MOUNT.contains(&entry.kind());
    let read_only = (options.read_only && !by_mount).then_some("ro");
    let generic = options.generic.iter().map(String::as_str);
    let data = options.data.iter().map(String::as_str);
    let label = label(plan, entry);
    pairs(read_only.into_iter().chain(generic).chain(data).chain(label.as_deref()))
}

/// The label of the whole file system. It is given when the file system is made, and only to those that
/// have no labels of their own from the policy.
fn label(plan: &Compilation<'_>, entry: &Entry<'_>) -> Option<String> {
    const BY_POLICY: [&str; 5] = ["proc", "sysfs", "mqueue", "cgroup", "cgroup2"];
    let label = labels::mount_label(plan)?;
    let given = entry.options.data.iter().any(|option| option.starts_with("context="));
    let fixed = given || entry.options.remount || BY_POLICY.contains(&entry.kind());
    (!fixed).then(|| format!("context={label}"))
}

fn mount(plan: &mut Compilation<'_>, entry: &Entry<'_>, kept: &mut Kept) -> Result<()> {
    let slot = plan.image.slot();
    let kind = TextBuf::new(entry.kind())?;
    let source = entry.mount.source().as_deref().unwrap_or(Path::new(""));
    let source = TextBuf::path(source)?;
    let target = TextBuf::path(&entry.destination)?;
    let options = data(plan, entry)?;
    let is_tmpfs = entry.kind() == "tmpfs";
    let all_read_only = entry.options.change_all.set & libc::MOUNT_ATTR_RDONLY != 0;
    let late = is_tmpfs && (entry.options.read_only || all_read_only);
    let read_only = if late { libc::MOUNT_ATTR_RDONLY } else { 0 };
    let filesystem = Operation::Filesystem {
        slot,
        kind: kind.text(),
        source: source.text(),
        options: options.texts(),
        attributes: (entry.options.change.set | entry.options.change_all.set) & !read_only,
    };
    plan.image.push(&entry.property, &filesystem)?;
    if is_tmpfs && !entry.options.data.iter().any(|option| option.starts_with("mode=")) {
        let target = target.text();
        plan.image.push(&entry.property, &Operation::CopyMode { slot, target })?;
    }
    if entry.options.copy_up {
        if is_tmpfs {
            let target = target.text();
            plan.image.push(&entry.property, &Operation::CopyUp { slot, target })?;
        } else {
            let property = format!("{}.options", entry.name);
            plan.warn(property, "tmpcopyup can be used only with tmpfs: ignored");
        }
    }
    let detached = plan.sets_detached();
    if detached {
        propagate(plan, entry, slot)?;
    }
    let keep = if late || !detached { attach::KEEP } else { 0 };
    let flags = entry.attach_flags() | keep;
    let attach = Operation::Attach { slot, target: target.text(), flags };
    plan.image.push(&entry.property, &attach)?;
    if !detached {
        propagate(plan, entry, slot)?;
    }
    if late {
        kept.push((entry.property.clone(), slot));
    }
    Ok(())
}

/// Changes a mount that is there: with `bind` its attributes alone, otherwise the file system too.
fn remount(plan: &mut Compilation<'_>, entry: &Entry<'_>) -> Result<()> {
    let target = TextBuf::path(&entry.destination)?;
    let options = data(plan, entry)?;
    let by_mount = !plan.sets_detached();
    let change = entry.options.change;
    let AttributeChange { set, clear } = if by_mount { change.as_flags() } else { change };
    let remount = Operation::Remount {
        target: target.text(),
        options: options.texts(),
        filesystem: u32::from(entry.options.bind.is_none()),
        set,
        clear,
        by_mount: u32::from(by_mount),
    };
    plan.image.push(&entry.property, &remount)
}

/// The last step of read-only tmpfs mounts.
pub(super) fn make_read_only(plan: &mut Compilation<'_>, kept: Kept) -> Result<()> {
    for (property, slot) in kept {
        plan.change_mount(&property, slot, AttributeChange::READ_ONLY, (0, false))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_cleaned() {
        for (path, expected) in [
            ("/proc", "/proc"),
            ("proc", "/proc"),
            ("/a//b/./c/", "/a/b/c"),
            ("/../../x", "/x"),
            ("/a/../proc/../proc/sys", "/proc/sys"),
            ("", "/"),
            ("/a/..", "/"),
        ] {
            assert_eq!(clean(Path::new(path)), Path::new(expected), "{path}");
        }
    }
}
