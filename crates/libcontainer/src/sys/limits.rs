//! prlimit(2) of another process.

use std::ptr;

use nix::errno::Errno;

/// Sets a resource limit of a process.
pub(crate) fn prlimit(pid: i32, resource: u32, soft: u64, hard: u64) -> nix::Result<()> {
    let limit = libc::rlimit64 {
        rlim_cur: soft,
        rlim_max: hard,
    };
    // SAFETY: `limit` outlives the call, and no old limit is wanted.
    let result = unsafe { libc::prlimit64(pid, resource, &raw const limit, ptr::null_mut()) };
    Errno::result(result).map(drop)
}
