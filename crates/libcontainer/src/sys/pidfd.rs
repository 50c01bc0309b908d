//! Process file descriptors (pidfd_open(2)) and what they tell about an exit.

use std::mem::{self, MaybeUninit};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

/// How a child ended, as waitid(2) says it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waited {
    /// `si_code`: `CLD_EXITED`, `CLD_KILLED` or `CLD_DUMPED`.
    pub(crate) code: i32,
    /// `si_status`: the exit status, or the signal.
    pub(crate) status: i32,
}

/// What `PIDFD_GET_INFO` says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PidfdInfo {
    /// The pid in the caller's pid namespace; 0 once the process was reaped.
    pub(crate) pid: i32,
    /// The status word of wait(2). Known only once the process was reaped.
    pub(crate) wait_status: Option<i32>,
}

/// `pidfd_open(pid, 0)`: close-on-exec.
pub(crate) fn pidfd_open(pid: i32) -> nix::Result<OwnedFd> {
    // SAFETY: the call takes two integers and touches no memory of ours.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let Ok(fd) = RawFd::try_from(Errno::result(result)?) else {
        return Err(Errno::EBADF);
    };
    // SAFETY: the kernel has just made this descriptor for us, so that nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `pidfd_send_signal(pidfd, signal, NULL, 0)`.
pub(crate) fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> nix::Result<()> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the descriptor is borrowed for the call; a null `info` is allowed and is not read.
    let result = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, no_info, 0)
    };
    Errno::result(result).map(drop)
}

/// `waitid(P_PIDFD, pidfd, WEXITED | __WALL)`: blocks, and reaps. `__WALL` because a child of clone(2)
/// with another exit signal than SIGCHLD is not found without it. A signal handler of the caller's does
/// not end it.
///
/// nix has a waitid too; it fails, after it has reaped, for a child that a real-time signal killed.
pub(crate) fn waitid(pidfd: BorrowedFd<'_>) -> nix::Result<Waited> {
    wait_for(libc::P_PIDFD, pidfd.as_raw_fd().cast_unsigned())
}

/// The same for a child whose pidfd there was no descriptor for.
pub(crate) fn waitid_by_pid(pid: i32) -> nix::Result<Waited> {
    wait_for(libc::P_PID, pid.cast_unsigned())
}

fn wait_for(kind: libc::idtype_t, id: u32) -> nix::Result<Waited> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let options = libc::WEXITED | libc::__WALL;
    loop {
        // SAFETY: `info` is ours, and large enough for the one siginfo_t that the kernel writes.
        let result = unsafe { libc::waitid(kind, id, info.as_mut_ptr(), options) };
        match Errno::result(result) {
            Err(Errno::EINTR) => {}
            waited => break waited.map(drop)?,
        }
    }
    // SAFETY: all bytes are initialised, by `zeroed` or by the kernel, and siginfo_t is plain integers.
    let info = unsafe { info.assume_init() };
    Ok(Waited {
        code: info.si_code,
        // SAFETY: waitid has filled the SIGCHLD part of the union, and its bytes are initialised anyway.
        status: unsafe { info.si_status() },
    })
}

/// `ioctl(pidfd, PIDFD_GET_INFO)`: Linux 6.13, and with the exit status 6.15. `ESRCH` if the process
/// was reaped and the kernel has kept nothing.
pub(crate) fn pidfd_info(pidfd: BorrowedFd<'_>) -> nix::Result<PidfdInfo> {
    // SAFETY: pidfd_info is plain integers, for which zero is a value.
    let mut info = unsafe { mem::zeroed::<libc::pidfd_info>() };
    info.mask = u64::from(libc::PIDFD_INFO_PID | libc::PIDFD_INFO_EXIT);
    // SAFETY: the request's number holds the size of pidfd_info, and the kernel writes at most that.
    let result = unsafe { libc::ioctl(pidfd.as_raw_fd(), libc::PIDFD_GET_INFO, &raw mut info) };
    Errno::result(result)?;
    let exited = info.mask & u64::from(libc::PIDFD_INFO_EXIT) != 0;
    Ok(PidfdInfo { pid: info.pid.cast_signed(), wait_status: exited.then_some(info.exit_code) })
}

/// A child with a pid that we choose, which sleeps until it is killed: `clone3(set_tid)`.
#[cfg(test)]
pub(crate) fn sleeping_child_with_pid(pid: i32) -> nix::Result<()> {
    let tid = [pid];
    // SAFETY: clone_args is plain integers, for which zero is a value.
    let mut args = unsafe { mem::zeroed::<libc::clone_args>() };
    args.exit_signal = libc::SIGCHLD.cast_unsigned().into();
    args.set_tid = tid.as_ptr().addr() as u64;
    args.set_tid_size = 1;
    let size = size_of::<libc::clone_args>();
    // SAFETY: without CLONE_VM the child has a copy of our memory and a stack like ours, and makes
    // nothing but the two system calls below.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size) };
    if result == 0 {
        let for_ever = libc::timespec { tv_sec: 60, tv_nsec: 0 };
        // SAFETY: `for_ever` outlives the call, and a null remainder is allowed.
        unsafe { libc::syscall(libc::SYS_nanosleep, &raw const for_ever, 0) };
        // SAFETY: exit_group takes an integer and does not return.
        unsafe { libc::syscall(libc::SYS_exit_group, 0) };
    }
    Errno::result(result).map(drop)
}
