//! Mounts as descriptors: open, attach, mask, make read-only, and the change of the root.

use super::format::{Text, attach};
use super::protocol::{Cause, Fault};
use super::run::Init;
use super::{flags, identity, numbers as nr, rootfs, sys};

/// A detached copy of the mount at a host path.
pub(crate) fn open(init: &mut Init, slot: u32, path: Text<'_>, flags: u32) -> sys::Result<()> {
    let flags = flags | nr::OPEN_TREE_CLONE | nr::OPEN_TREE_CLOEXEC;
    let mount = sys::open_tree(nr::AT_FDCWD, path, flags)?;
    init.slots.put(slot, mount)
}

/// The host's node of a device, which must be of this type and these numbers: a path in `/dev` proves
/// nothing (CVE-2025-31133).
pub(crate) fn open_device(
    init: &mut Init,
    slot: u32,
    path: Text<'_>,
    (kind, major, minor): (u32, u32, u32),
) -> sys::Result<()> {
    let node = sys::open_tree(nr::AT_FDCWD, path, nr::OPEN_TREE_CLOEXEC)?;
    init.slots.put(slot, node)?;
    let status = sys::status(node)?;
    if status.is(kind) && (status.major, status.minor) == (major, minor) {
        Ok(())
    } else {
        Err(Fault::of(Cause::WrongDevice))
    }
}

/// Attaches the copy of the root over the path that it was copied from, which hooks know.
pub(crate) fn attach_root(init: &mut Init, slot: u32, path: Text<'_>) -> sys::Result<()> {
    let root = init.slots.descriptor(slot)?;
    let target = sys::open_tree(nr::AT_FDCWD, path, nr::OPEN_TREE_CLOEXEC)?;
    let done = sys::move_mount(root, target);
    sys::close(target);
    init.root = root;
    done
}

/// Attaches a detached mount in the container.
pub(crate) fn attach(init: &mut Init, slot: u32, path: Text<'_>, flags: u32) -> sys::Result<()> {
    let mount = init.slots.descriptor(slot)?;
    let mount = if flags & attach::COPY == 0 { mount } else { copy(mount, 0)? };
    let target = target(init.root, mount, path, flags)?;
    let done = attach_over(init.root, mount, target, path);
    sys::close(target);
    done?;
    if flags & attach::COPY != 0 {
        sys::close(mount);
    } else if flags & attach::KEEP == 0 {
        init.slots.close(slot);
    }
    Ok(())
}

/// Opens what `mount` is going to cover. A missing target is made inside the root, with the type of
/// what covers it.
fn target(root: i32, mount: i32, path: Text<'_>, flags: u32) -> sys::Result<i32> {
    if flags & attach::IS_PROC != 0 && sys::filesystem_magic(mount)? != nr::PROC_SUPER_MAGIC {
        return Err(Fault::of(Cause::NotProc));
    }
    let directory = sys::status(mount)?.is(nr::S_IFDIR);
    let target = if flags & attach::NO_SYMLINKS != 0 {
        rootfs::ordinary_directory(root, path)?
    } else if directory {
        rootfs::directory(root, path, rootfs::DIRECTORY_MODE)?
    } else {
        rootfs::file(root, path)?
    };
    let (status, top) = (sys::status(target)?, sys::status(root)?);
    if (status.mount, status.inode) == (top.mount, top.inode) {
        // A link of the image leads there; what is mounted there would be seen by nobody.
        sys::close(target);
        return Err(Fault::of(Cause::TopOfRoot));
    }
    if status.is(nr::S_IFDIR) != directory {
        // The kernel would say EINVAL, which says nothing.
        sys::close(target);
        let errno = if directory { nr::ENOTDIR } else { nr::EISDIR };
        return Err(Fault::call(nr::MOVE_MOUNT, errno));
    }
    let allowed = flags & attach::INSIDE_PROC != 0;
    if !allowed && sys::filesystem_magic(target)? == nr::PROC_SUPER_MAGIC {
        sys::close(target);
        return Err(Fault::of(Cause::InsideProc));
    }
    Ok(target)
}

/// A detached copy of what is open, and with `AT_RECURSIVE` of what is mounted below it.
pub(crate) fn copy(of: i32, flags: u32) -> sys::Result<i32> {
    let here = Text::from_bytes_with_nul(b"\0").ok_or(Fault::of(Cause::BadPlan))?;
    let flags = flags | nr::AT_EMPTY_PATH | nr::OPEN_TREE_CLONE | nr::OPEN_TREE_CLOEXEC;
    sys::open_tree(of, here, flags)
}

/// Gives the root of a detached mount the mode of the directory that it is going to cover.
pub(crate) fn copy_mode(init: &Init, slot: u32, path: Text<'_>) -> sys::Result<()> {
    let mode = match rootfs::open_existing(init.root, path)? {
        Some(covered) => {
            let status = sys::status(covered);
            sys::close(covered);
            status?.mode & !nr::S_IFMT
        }
        None => rootfs::DIRECTORY_MODE,
    };
    let here = Text::from_bytes_with_nul(b".\0").ok_or(Fault::of(Cause::BadPlan))?;
    let flags = nr::O_RDONLY | nr::O_DIRECTORY;
    let directory = sys::openat2(init.slots.descriptor(slot)?, here, flags, 0, 0)?;
    let done = sys::fchmod(directory, mode);
    sys::close(directory);
    done
}

/// Covers a path, if it exists: a directory with the empty tmpfs, anything else with the null device.
pub(crate) fn mask(init: &mut Init, path: Text<'_>, null: u32, empty: u32) -> sys::Result<()> {
    let Some(target) = rootfs::open_existing(init.root, path)? else { return Ok(()) };
    let done = cover(init, target, path, null, empty);
    sys::close(target);
    done
}

fn cover(init: &mut Init, target: i32, path: Text<'_>, null: u32, empty: u32) -> sys::Result<()> {
    let is_directory = sys::status(target)?.is(nr::S_IFDIR);
    let source = init.slots.descriptor(if is_directory { empty } else { null })?;
    if is_directory && !init.empty_attached {
        // Before Linux 6.15 a detached mount can't be copied, so the first one is moved.
        init.empty_attached = true;
        return attach_over(init.root, source, target, path);
    }
    let copy = copy(source, 0)?;
    let done = attach_over(init.root, copy, target, path);
    sys::close(copy);
    done
}

/// Attaches a mount to what was found at a path, where it must be found then.
pub(crate) fn attach_over(root: i32, mount: i32, target: i32, path: Text<'_>) -> sys::Result<()> {
    sys::move_mount(mount, target)?;
    let found = rootfs::open(root, path, 0)?;
    let is_there = is_same_mount(mount, found);
    sys::close(found);
    identity::in_force(is_there?)
}

fn is_same_mount(one: i32, other: i32) -> sys::Result<bool> {
    Ok(sys::status(one)?.mount == sys::status(other)?.mount)
}

/// Covers a path, if it exists, with a read-only copy of itself and of all below it. The copy is made
/// read-only before it is attached, so that there is no moment in which another process of the mount
/// namespace could exchange what is remounted.
/// `by_mount`: only afterwards, and it alone, where the kernel can't do better.
pub(crate) fn make_readonly(init: &Init, path: Text<'_>, by_mount: bool) -> sys::Result<()> {
    let Some(target) = rootfs::open_existing(init.root, path)? else { return Ok(()) };
    let attributes = sys::MountAttributes { set: nr::MOUNT_ATTR_RDONLY, ..Default::default() };
    let done = copy(target, nr::AT_RECURSIVE).and_then(|copy| {
        let done = if by_mount {
            attach_over(init.root, copy, target, path)
                .and_then(|()| flags::change(copy, nr::MS_RDONLY, 0))
        } else {
            sys::mount_setattr(copy, nr::AT_RECURSIVE, &attributes)
                .and_then(|()| attach_over(init.root, copy, target, path))
        };
        // Of what lies below only mountinfo tells.
        let done = done.and_then(|()| sys::flags_of_mount(copy));
        let done = done.and_then(|flags| identity::in_force(flags & nr::MS_RDONLY != 0));
        sys::close(copy);
        done
    });
    sys::close(target);
    done
}

/// pivot_root(2) with the same directory for both, which puts the old root over the new one, where it
/// is detached (pivot_root(2), notes). What it moves is the root of the caller, who may be in a chroot: all
/// that is outside of that would stay, below a root that a process with `CAP_SYS_CHROOT` can leave. So the
/// root becomes that of the namespace first, which is what joining a mount namespace does.
pub(crate) fn pivot_root(init: &mut Init) -> sys::Result<()> {
    init.entered = true;
    sys::join_own_mounts()?;
    sys::fchdir(init.root)?;
    sys::pivot_root_here()?;
    sys::detach_here()?;
    sys::chdir_root()?;
    nothing_over_root(init)
}

/// Whether `/` is the container's root, and nothing lies over that: `..` of the root leads to what does.
fn nothing_over_root(init: &Init) -> sys::Result<()> {
    let uppermost = sys::status_of(Text::from_c_str(c"/.."))?.mount;
    identity::in_force(sys::status(init.root)?.mount == uppermost)
}

/// Where pivot_root(2) can't be had: moves the root over `/`. What was mounted before stays, covered.
pub(crate) fn move_root(init: &mut Init) -> sys::Result<()> {
    init.entered = true;
    let slash = Text::from_bytes_with_nul(b"/\0").ok_or(Fault::of(Cause::BadPlan))?;
    sys::fchdir(init.root)?;
    let target = sys::open_tree(nr::AT_FDCWD, slash, nr::OPEN_TREE_CLOEXEC)?;
    let done = sys::move_mount(init.root, target);
    sys::close(target);
    done?;
    sys::chroot_here()?;
    sys::chdir_root()?;
    nothing_over_root(init)
}
