//! Memory, signals, limits, namespaces, names: what is about the process itself.

use super::super::format::{Instructions, Text};
use super::super::numbers as nr;
use super::super::protocol::Fault;
use super::{Result, address, address_mut, call, done, fd, filtered, opened, text, word};

/// How a file is mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mapping {
    /// Read-only.
    PrivateRead,
    /// Read and write, shared with others who map it.
    Shared,
}

/// mmap(2) of a file from its beginning.
pub(crate) fn map_file(file: i32, length: usize, mapping: Mapping) -> Result<*mut u8> {
    const READ: usize = 1;
    const WRITE: usize = 2;
    const SHARED: usize = 1;
    const PRIVATE: usize = 2;
    let (protection, flags) = match mapping {
        Mapping::PrivateRead => (READ, PRIVATE),
        Mapping::Shared => (READ | WRITE, SHARED),
    };
    call(nr::MMAP, [0, length, protection, flags, fd(file), 0]).map(|a| a as *mut u8)
}

/// mmap(2) of zeroed memory.
pub(crate) fn map_anonymous(length: usize) -> Result<*mut u8> {
    const READ_WRITE: usize = 3;
    const PRIVATE_ANONYMOUS: usize = 0x22;
    call(nr::MMAP, [0, length, READ_WRITE, PRIVATE_ANONYMOUS, usize::MAX, 0]).map(|a| a as *mut u8)
}

/// rt_sigaction(2): the default disposition.
pub(crate) fn default_signal(signal: usize) -> Result<()> {
    let default = [0u64; 4];
    done(nr::RT_SIGACTION, [signal, address(&default), 0, 8])
}

/// rt_sigprocmask(2): no signal blocked.
pub(crate) fn unblock_signals() -> Result<()> {
    const SIG_SETMASK: usize = 2;
    done(nr::RT_SIGPROCMASK, [SIG_SETMASK, address(&0u64), 0, 8])
}

/// rt_sigprocmask(2) without a new mask: the signals that are blocked.
pub(crate) fn blocked_signals() -> Result<u64> {
    let mut mask = u64::MAX;
    done(nr::RT_SIGPROCMASK, [0, 0, address_mut(&mut mask), 8])?;
    Ok(mask)
}

/// prctl(2).
pub(crate) fn prctl(option: u32, a: u64, b: u64) -> Result<usize> {
    call(nr::PRCTL, [option as usize, word(a), word(b), 0, 0])
}

/// setsid(2): the session's id, which is never 0.
pub(crate) fn setsid() -> Result<usize> {
    call(nr::SETSID, [])
}

/// prlimit64(2) of this process.
pub(crate) fn setrlimit(resource: u32, soft: u64, hard: u64) -> Result<()> {
    let limit = [soft, hard];
    done(nr::PRLIMIT64, [0, resource as usize, address(&limit), 0])
}

/// prlimit64(2) of this process: the soft and the hard limit.
pub(crate) fn getrlimit(resource: u32) -> Result<[u64; 2]> {
    let mut limit = [0u64; 2];
    done(nr::PRLIMIT64, [0, resource as usize, 0, address_mut(&mut limit)])?;
    Ok(limit)
}

/// setns(2).
pub(crate) fn setns(namespace: i32, kind: u32) -> Result<()> {
    done(nr::SETNS, [fd(namespace), kind as usize])
}

/// setns(2) of the mount namespace that this process is in: root and working directory become its root.
pub(crate) fn join_own_mounts() -> Result<()> {
    const CLONE_NEWNS: u32 = 0x2_0000;
    let own = opened(nr::PIDFD_OPEN, [call(nr::GETPID, [])?, 0])?;
    let done = setns(own, CLONE_NEWNS);
    super::close(own);
    done
}

/// unshare(2).
pub(crate) fn unshare(flags: u64) -> Result<()> {
    done(nr::UNSHARE, [word(flags)])
}

/// What clone3(2) takes (struct clone_args of Linux 5.7).
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct CloneArguments {
    pub(crate) flags: u64,
    pub(crate) pidfd: u64,
    pub(crate) child_tid: u64,
    pub(crate) parent_tid: u64,
    pub(crate) exit_signal: u64,
    pub(crate) stack: u64,
    pub(crate) stack_size: u64,
    pub(crate) tls: u64,
    pub(crate) set_tid: u64,
    pub(crate) set_tid_size: u64,
    pub(crate) cgroup: u64,
}

/// clone3(2) without sharing memory: returns twice, 0 in the child.
pub(crate) fn clone3(arguments: &CloneArguments) -> Result<usize> {
    call(nr::CLONE3, [address(arguments), size_of::<CloneArguments>()])
}

/// sethostname(2).
pub(crate) fn sethostname(name: &[u8]) -> Result<()> {
    done(nr::SETHOSTNAME, [address(name), name.len()])
}

/// setdomainname(2).
pub(crate) fn setdomainname(name: &[u8]) -> Result<()> {
    done(nr::SETDOMAINNAME, [address(name), name.len()])
}

/// struct sock_fprog.
#[repr(C)]
struct FilterProgram {
    length: u16,
    instructions: usize,
}

/// seccomp(2): a filter of this process, which answers every call from here on. What is returned is the
/// descriptor of its listener, if the flags ask for one.
pub(crate) fn load_filter(filter: Instructions<'_>, flags: u32) -> Result<i32> {
    const SET_MODE_FILTER: usize = 1;
    // The host side refuses what is longer than 4096 instructions.
    let length = u16::try_from(filter.count()).unwrap_or(u16::MAX);
    let program = FilterProgram { length, instructions: address(filter.bytes()) };
    let listener = opened(nr::SECCOMP, [SET_MODE_FILTER, flags as usize, address(&program)])?;
    filtered();
    Ok(listener)
}

/// A field of `struct utsname`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Name {
    /// The host's name.
    Host = 1,
    /// The NIS domain's.
    Domain = 5,
}

/// `struct utsname`: six strings, NUL-terminated.
pub(crate) struct Names([[u8; 65]; 6]);

impl Names {
    /// A field with what follows its NUL.
    pub(crate) fn field(&self, name: Name) -> &[u8] {
        &self.0[name as usize]
    }
}

/// uname(2).
pub(crate) fn uname() -> Result<Names> {
    let mut names = Names([[0; 65]; 6]);
    done(nr::UNAME, [address_mut(&mut names.0)])?;
    Ok(names)
}

/// execve(2): returns only a failure.
pub(crate) fn execve(path: Text<'_>, arguments: &[*const u8], environment: &[*const u8]) -> Fault {
    match done(nr::EXECVE, [text(path), address(arguments), address(environment)]) {
        Err(fault) => fault,
        Ok(()) => Fault::call(nr::EXECVE, 0),
    }
}

/// clone3(2) as fork(2) does: 0 in the child. The parent gets a pidfd.
pub(crate) fn fork(pidfd: &mut i32) -> Result<usize> {
    const CLONE_PIDFD: u64 = 0x1000;
    const SIGCHLD: u64 = 17;
    let arguments = CloneArguments {
        flags: CLONE_PIDFD,
        pidfd: address_mut(pidfd) as u64,
        exit_signal: SIGCHLD,
        ..Default::default()
    };
    clone3(&arguments)
}

/// ppoll(2): whether a descriptor is readable before so many milliseconds have passed, or ever.
pub(crate) fn wait_readable(this: i32, milliseconds: Option<u64>) -> Result<bool> {
    const POLLIN: u64 = 1;
    let polled = u64::from(this.unsigned_abs()) | POLLIN << 32;
    // The kernel counts it down, so that an interrupted call goes on where it was.
    let mut left = milliseconds.map(|ms| [ms / 1000, ms % 1000 * 1_000_000]);
    let left = left.as_mut().map_or(0, address_mut);
    call(nr::PPOLL, [address(&polled), 1, left, 0, 0]).map(|ready| ready > 0)
}

/// kill(2) of a process group.
pub(crate) fn kill_group(leader: usize) -> Result<()> {
    done(nr::KILL, [leader.wrapping_neg(), nr::SIGKILL as usize])
}

/// waitid(2) of a child: how it ended (`CLD_EXITED` and so on), and its status or signal.
pub(crate) fn wait_child(pidfd: i32) -> Result<(i32, i32)> {
    const P_PIDFD: usize = 3;
    const WEXITED: usize = 4;
    const CODE: usize = 2;
    const STATUS: usize = 6;
    let mut info = [0i32; 32];
    done(nr::WAITID, [P_PIDFD, fd(pidfd), address_mut(&mut info), WEXITED, 0])?;
    Ok((info[CODE], info[STATUS]))
}

/// close_range(2) `CLOSE_RANGE_CLOEXEC` of all but the standard streams.
pub(crate) fn close_on_exec() -> Result<()> {
    const CLOSE_RANGE_CLOEXEC: usize = 4;
    done(nr::CLOSE_RANGE, [3, u32::MAX as usize, CLOSE_RANGE_CLOEXEC])
}
