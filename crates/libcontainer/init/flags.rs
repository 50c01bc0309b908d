//! Attributes of mounts on kernels without mount_setattr(2), before Linux 5.12: mount(2), which knows
//! attached mounts only, takes paths, and wants all flags that shall stay.

use super::format::Text;
use super::protocol::{Cause, Fault};
use super::{numbers as nr, sys};

/// Changes flags; all others stay as they are, also because a user namespace may have locked them.
pub(crate) fn change(mount: i32, set: u64, clear: u64) -> sys::Result<()> {
    let flags = all(sys::flags_of_mount(mount)?, set, clear);
    apply(mount, nr::MS_REMOUNT | nr::MS_BIND | flags)
}

/// All flags: those that `mount` has (`ST_`), changed. Without a word about access times the kernel keeps
/// how they are updated; with one it wants all of them.
fn all(has: u64, set: u64, clear: u64) -> u64 {
    const SAME: u64 = 0xf;
    const TIMES: u64 = nr::MS_NOATIME | nr::MS_NODIRATIME | nr::MS_RELATIME | nr::MS_STRICTATIME;
    let mut flags = has & SAME;
    if has & nr::ST_NOSYMFOLLOW != 0 {
        flags |= nr::MS_NOSYMFOLLOW;
    }
    if (set | clear) & TIMES != 0 {
        flags |= has & (nr::MS_NOATIME | nr::MS_NODIRATIME);
        if has & (nr::MS_NOATIME | nr::ST_RELATIME) == 0 {
            flags |= nr::MS_STRICTATIME;
        }
    }
    flags & !clear | set
}

/// mount(2) of what a descriptor is open on, by its link in the host's procfs, which is looked at first.
pub(crate) fn apply(mount: i32, flags: u64) -> sys::Result<()> {
    let proc = Text::from_c_str(c"/proc");
    let proc = sys::openat2(nr::AT_FDCWD, proc, nr::O_PATH | nr::O_DIRECTORY, 0, 0)?;
    let done = match sys::filesystem_magic(proc) {
        Ok(nr::PROC_SUPER_MAGIC) => sys::fchdir(proc),
        Ok(_) => Err(Fault::of(Cause::NoProcfs)),
        Err(fault) => Err(fault),
    };
    sys::close(proc);
    done?;
    let mut buffer = [0; 20];
    sys::mount_flags(link(mount, &mut buffer)?, flags)
}

/// `self/fd/N`, without zeros before the number: procfs knows no such name.
fn link(descriptor: i32, buffer: &mut [u8; 20]) -> sys::Result<Text<'_>> {
    const DIRECTORY: &[u8] = b"self/fd/";
    // The last byte stays NUL.
    let mut start = buffer.len() - 1;
    let mut rest = descriptor.unsigned_abs();
    let mut digits = false;
    while rest > 0 || !digits {
        start -= 1;
        buffer[start] = b"0123456789"[(rest % 10) as usize];
        rest /= 10;
        digits = true;
    }
    start -= DIRECTORY.len();
    buffer[start..start + DIRECTORY.len()].copy_from_slice(DIRECTORY);
    Text::from_bytes_with_nul(&buffer[start..]).ok_or(Fault::of(Cause::BadPlan))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_have_no_zeros_before_the_number() {
        for fd in [0, 7, 10, 1_048_576, i32::MAX] {
            let mut buffer = [0; 20];
            let text = link(fd, &mut buffer).unwrap();
            assert_eq!(text.bytes(), format!("self/fd/{fd}").as_bytes());
        }
    }

    #[test]
    fn flags_stay_unless_they_are_changed() {
        let relatime = nr::ST_RELATIME;
        for (has, set, clear, all_flags) in [
            (relatime | 0b1110, nr::MS_RDONLY, 0, 0b1111),
            (relatime | 0b1111, 0, nr::MS_RDONLY, 0b1110),
            (nr::ST_NOSYMFOLLOW | nr::MS_NOATIME, nr::MS_RDONLY, 0, 1 | nr::MS_NOSYMFOLLOW),
            // Something about access times: then all about them.
            (nr::MS_NOATIME, nr::MS_NODIRATIME, 0, nr::MS_NOATIME | nr::MS_NODIRATIME),
            (0, nr::MS_NODIRATIME, 0, nr::MS_STRICTATIME | nr::MS_NODIRATIME),
            (relatime, nr::MS_NODIRATIME, 0, nr::MS_NODIRATIME),
            (
                nr::MS_NOATIME | nr::MS_NODIRATIME,
                nr::MS_STRICTATIME,
                nr::MS_NOATIME | nr::MS_STRICTATIME,
                nr::MS_STRICTATIME | nr::MS_NODIRATIME,
            ),
        ] {
            assert_eq!(all(has, set, clear), all_flags, "{has:#x} +{set:#x} -{clear:#x}");
        }
    }
}
