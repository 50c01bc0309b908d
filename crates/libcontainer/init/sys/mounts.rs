//! The mount API, and the change of the root.

use super::super::format::Text;
use super::super::numbers as nr;
use super::{Result, address, done, fd, opened, text, word};

/// mount(2) that changes the propagation or, with `MS_REMOUNT` and `MS_BIND`, the flags of a mount.
pub(crate) fn mount_flags(target: Text<'_>, flags: u64) -> Result<()> {
    done(nr::MOUNT, [0, text(target), 0, word(flags), 0])
}

/// umount2(2) of the working directory's mount, detached.
pub(crate) fn detach_here() -> Result<()> {
    done(nr::UMOUNT2, [address(c"."), nr::MNT_DETACH as usize])
}

/// pivot_root(2): the working directory becomes the root, and covers the old one.
pub(crate) fn pivot_root_here() -> Result<()> {
    done(nr::PIVOT_ROOT, [address(c"."), address(c".")])
}

/// chroot(2) to the working directory.
pub(crate) fn chroot_here() -> Result<()> {
    done(nr::CHROOT, [address(c".")])
}

/// open_tree(2).
pub(crate) fn open_tree(directory: i32, path: Text<'_>, flags: u32) -> Result<i32> {
    opened(nr::OPEN_TREE, [fd(directory), text(path), flags as usize])
}

/// move_mount(2) of the mount `from` onto what `to` is open on.
pub(crate) fn move_mount(from: i32, to: i32) -> Result<()> {
    let flags = nr::MOVE_MOUNT_F_EMPTY_PATH | nr::MOVE_MOUNT_T_EMPTY_PATH;
    done(nr::MOVE_MOUNT, [fd(from), address(c""), fd(to), address(c""), flags as usize])
}

/// fsopen(2).
pub(crate) fn fsopen(kind: Text<'_>) -> Result<i32> {
    const FSOPEN_CLOEXEC: usize = 1;
    opened(nr::FSOPEN, [text(kind), FSOPEN_CLOEXEC])
}

/// fsconfig(2) `FSCONFIG_SET_FLAG`.
pub(crate) fn fsconfig_flag(context: i32, key: Text<'_>) -> Result<()> {
    done(nr::FSCONFIG, [fd(context), 0, text(key), 0, 0])
}

/// fsconfig(2) `FSCONFIG_SET_STRING`.
pub(crate) fn fsconfig_string(context: i32, key: Text<'_>, value: Text<'_>) -> Result<()> {
    done(nr::FSCONFIG, [fd(context), 1, text(key), text(value), 0])
}

/// fsconfig(2) `FSCONFIG_CMD_CREATE`.
pub(crate) fn fsconfig_create(context: i32) -> Result<()> {
    done(nr::FSCONFIG, [fd(context), 6, 0, 0, 0])
}

/// fsconfig(2) `FSCONFIG_CMD_RECONFIGURE`.
pub(crate) fn fsconfig_reconfigure(context: i32) -> Result<()> {
    done(nr::FSCONFIG, [fd(context), 7, 0, 0, 0])
}

/// fspick(2) of the mount that `mount` is open on.
pub(crate) fn fspick(mount: i32) -> Result<i32> {
    const FSPICK_CLOEXEC: usize = 1;
    const FSPICK_EMPTY_PATH: usize = 8;
    opened(nr::FSPICK, [fd(mount), address(c""), FSPICK_CLOEXEC | FSPICK_EMPTY_PATH])
}

/// fsmount(2).
pub(crate) fn fsmount(context: i32, attributes: u64) -> Result<i32> {
    const FSMOUNT_CLOEXEC: usize = 1;
    opened(nr::FSMOUNT, [fd(context), FSMOUNT_CLOEXEC, word(attributes)])
}

/// What mount_setattr(2) takes.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct MountAttributes {
    pub(crate) set: u64,
    pub(crate) clear: u64,
    pub(crate) propagation: u64,
    pub(crate) userns: u64,
}

/// mount_setattr(2) of the mount that `mount` is open on.
pub(crate) fn mount_setattr(mount: i32, flags: u32, attributes: &MountAttributes) -> Result<()> {
    let flags = flags | nr::AT_EMPTY_PATH;
    let size = size_of::<MountAttributes>();
    done(nr::MOUNT_SETATTR, [fd(mount), address(c""), flags as usize, address(attributes), size])
}
