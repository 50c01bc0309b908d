//! Starts a program from a descriptor, as posix_spawn(3) does: the child shares the caller's memory until
//! it executes, so that the cost does not grow with the caller. clone3(2), execveat(2).

use std::arch::asm;
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use nix::errno::Errno;

/// What the child needs of its stack: two system calls, unoptimised.
const STACK: usize = 64 << 10;

/// A child, and a descriptor that stays its own whoever reaps it.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
}

/// What to start, and where.
#[derive(Debug)]
pub(crate) struct Spawn<'a> {
    /// The program.
    pub(crate) executable: BorrowedFd<'a>,
    /// Its arguments, the name first.
    pub(crate) arguments: [&'a CStr; 2],
    /// The one descriptor that it inherits beside those that are not close-on-exec.
    pub(crate) inherited: BorrowedFd<'a>,
    /// New namespaces (`CLONE_NEW…`).
    pub(crate) namespaces: u64,
    /// The v2 cgroup that it is born in.
    pub(crate) cgroup: Option<BorrowedFd<'a>>,
}

/// Which call failed, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SpawnError {
    pub(crate) call: &'static str,
    pub(crate) errno: Errno,
}

/// What parent and child share.
struct Shared {
    executable: RawFd,
    inherited: RawFd,
    arguments: [*const libc::c_char; 3],
    environment: [*const libc::c_char; 1],
    /// The child's failure: which of its calls, and the errno.
    failure: Option<(&'static str, i32)>,
}

/// Spawns, and returns when the program is executed.
pub(crate) fn spawn(spawn: &Spawn<'_>) -> Result<Child, SpawnError> {
    let mut shared = Shared {
        executable: spawn.executable.as_raw_fd(),
        inherited: spawn.inherited.as_raw_fd(),
        arguments: [spawn.arguments[0].as_ptr(), spawn.arguments[1].as_ptr(), ptr::null()],
        environment: [ptr::null()],
        failure: None,
    };
    let mut stack: Vec<u8> = Vec::with_capacity(STACK);
    let start = stack.as_mut_ptr().align_offset(16);
    let mut pidfd: RawFd = -1;
    // SAFETY: clone_args is integers, for which zero is a value.
    let mut arguments = unsafe { std::mem::zeroed::<libc::clone_args>() };
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD;
    arguments.flags = u64::from(flags.cast_unsigned()) | spawn.namespaces;
    arguments.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
    arguments.pidfd = (&raw mut pidfd).addr() as u64;
    arguments.stack = stack.as_mut_ptr().wrapping_add(start).addr() as u64;
    arguments.stack_size = (STACK - start) as u64 & !15;
    if let Some(cgroup) = spawn.cgroup {
        const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::from(cgroup.as_raw_fd().cast_unsigned());
    }
    let blocked = block_all_signals();
    let pid = clone3(&arguments, &mut shared);
    restore_signals(blocked);
    drop(stack);
    // As the kernel returns it: what fails is a negative errno.
    let pid = i32::try_from(pid).unwrap_or(-libc::EOVERFLOW);
    if pid < 0 {
        return Err(SpawnError { call: "clone3", errno: Errno::from_raw(-pid) });
    }
    // SAFETY: the kernel has just made this descriptor for us, so that nobody else owns it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let child = Child { pid, pidfd };
    match shared.failure {
        None => Ok(child),
        Some((call, errno)) => {
            // It has exited; its status says nothing more.
            super::pidfd::waitid(std::os::fd::AsFd::as_fd(&child.pidfd)).ok();
            Err(SpawnError { call, errno: Errno::from_raw(errno) })
        }
    }
}

/// The child. It runs on a stack of its own in the memory of the caller, who waits: it must not allocate,
/// lock, or touch anything but `shared`.
extern "C" fn child(shared: &mut Shared) -> ! {
    // SAFETY: fcntl with F_SETFD takes integers. The child's table of descriptors is a copy.
    let cleared = unsafe { libc::syscall(libc::SYS_fcntl, shared.inherited, libc::F_SETFD, 0) };
    if cleared < 0 {
        shared.failure = Some(("fcntl", Errno::last_raw()));
    } else {
        // SAFETY: the strings and the tables of pointers, each ended by a null, are the caller's, who
        // waits until this call has replaced the child's memory.
        unsafe {
            libc::syscall(
                libc::SYS_execveat,
                shared.executable,
                c"".as_ptr(),
                shared.arguments.as_ptr(),
                shared.environment.as_ptr(),
                libc::AT_EMPTY_PATH,
            )
        };
        shared.failure = Some(("execveat", Errno::last_raw()));
    }
    loop {
        // SAFETY: exit_group takes an integer and does not return. It must not be exit(3): the handlers
        // of that are the caller's.
        unsafe { libc::syscall(libc::SYS_exit_group, 127) };
    }
}

/// clone3(2), after which the child calls `child(shared)` on the stack of `arguments`.
#[cfg(target_arch = "x86_64")]
fn clone3(arguments: &libc::clone_args, shared: &mut Shared) -> i64 {
    let result: i64;
    // SAFETY: CLONE_VFORK keeps this function, and thereby `arguments` and `shared`, in place until the
    // child is gone. The child has a stack of its own, aligned as the ABI wants it at a call, and never
    // returns. The kernel clobbers rcx and r11; the registers named are preserved by it.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 => result,
            in("rdi") ptr::from_ref(arguments),
            in("rsi") size_of::<libc::clone_args>(),
            in("r12") ptr::from_mut(shared),
            in("r13") child as extern "C" fn(&mut Shared) -> !,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result
}

/// clone3(2), after which the child calls `child(shared)` on the stack of `arguments`.
#[cfg(target_arch = "aarch64")]
fn clone3(arguments: &libc::clone_args, shared: &mut Shared) -> i64 {
    let result: i64;
    // SAFETY: as on x86_64; the kernel preserves all registers but x0.
    unsafe {
        asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x20",
            "blr x21",
            "brk #1",
            "2:",
            in("x8") libc::SYS_clone3,
            inlateout("x0") ptr::from_ref(arguments) => result,
            in("x1") size_of::<libc::clone_args>(),
            in("x20") ptr::from_mut(shared),
            in("x21") child as extern "C" fn(&mut Shared) -> !,
        );
    }
    result
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("tare spawns with system calls for x86_64 and aarch64 only");

/// Blocks all signals of this thread, also those that the C library keeps for itself: a handler must not
/// run in the child, which shares the caller's memory. Returns what was blocked before.
fn block_all_signals() -> u64 {
    let all = u64::MAX;
    let mut before = 0u64;
    // SAFETY: both are masks of the 8 bytes that the last argument says, and outlive the call.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const all,
            &raw mut before,
            size_of::<u64>(),
        )
    };
    before
}

fn restore_signals(before: u64) {
    // SAFETY: `before` is a mask of the 8 bytes that the last argument says, and no old mask is wanted.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const before,
            ptr::null_mut::<u64>(),
            size_of::<u64>(),
        )
    };
}
