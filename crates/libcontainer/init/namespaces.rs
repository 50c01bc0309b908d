//! Namespaces and cgroups: join, clone, loopback.

use super::format::NO_SLOT;
use super::protocol::{Cause, Fault, Kind};
use super::run::Init;
use super::{control, numbers as nr, sys};

/// setns(2). The kind is checked by the kernel.
pub(crate) fn join(init: &mut Init, slot: u32, kind: u32) -> sys::Result<()> {
    sys::setns(init.slots.descriptor(slot)?, kind)?;
    init.slots.close(slot);
    Ok(())
}

/// Clones the second stage, which goes on behind this function once the host side has prepared it (its
/// id maps, for one). The first stage tells the host side and is done.
pub(crate) fn clone(init: &mut Init, flags: u64, cgroup: u32) -> sys::Result<()> {
    const CLONE_PIDFD: u64 = 0x1000;
    const CLONE_PARENT: u64 = 0x8000;
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let mut pidfd = -1i32;
    let mut arguments = sys::CloneArguments {
        flags: flags | CLONE_PIDFD | CLONE_PARENT,
        pidfd: core::ptr::from_mut(&mut pidfd) as u64,
        ..Default::default()
    };
    if cgroup != NO_SLOT {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::from(init.slots.descriptor(cgroup)?.unsigned_abs());
    }
    let pid = sys::clone3(&arguments)?;
    if pid > 0 {
        control::announce_child(pid, pidfd)?;
        sys::exit(0);
    }
    // The parent-death signal is not inherited.
    sys::prctl(nr::PR_SET_PDEATHSIG, u64::from(nr::SIGKILL), 0)?;
    control::wait_for_continue(&mut [-1; sys::MOST_DESCRIPTORS]).map(drop)
}

/// Joins the v1 cgroups. A write of `0` into `tasks` moves the writing thread: unlike a write into
/// `cgroup.procs` it takes no system-wide lock and waits for no grace period.
pub(crate) fn join_cgroups() -> sys::Result<()> {
    let mut tasks = [-1; sys::MOST_DESCRIPTORS];
    control::announce(Kind::Cgroups)?;
    let count = control::wait_for_continue(&mut tasks)?;
    for &file in tasks.iter().take(count) {
        if sys::write(file, b"0")? != 1 {
            return Err(Fault::of(Cause::NotInForce));
        }
        sys::close(file);
    }
    Ok(())
}

/// Sets `IFF_UP` on `lo` (netdevice(7)).
pub(crate) fn loopback_up() -> sys::Result<()> {
    const SIOCSIFFLAGS: u32 = 0x8914;
    const IFF_UP: u16 = 1;
    let mut request = [0u8; 40];
    request[..2].copy_from_slice(b"lo");
    request[16..18].copy_from_slice(&IFF_UP.to_ne_bytes());
    let socket = sys::inet_socket()?;
    let done = sys::ioctl(socket, SIOCSIFFLAGS, &mut request);
    sys::close(socket);
    done
}
