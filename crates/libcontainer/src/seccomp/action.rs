//! Actions, as the value that a filter returns: <linux/seccomp.h>.

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction};

const KILL_PROCESS: u32 = 0x8000_0000;
const KILL_THREAD: u32 = 0;
const TRAP: u32 = 0x0003_0000;
const ERRNO: u32 = 0x0005_0000;
const USER_NOTIF: u32 = 0x7fc0_0000;
const TRACE: u32 = 0x7ff0_0000;
const LOG: u32 = 0x7ffc_0000;
const ALLOW: u32 = 0x7fff_0000;
/// `SECCOMP_RET_DATA`.
const DATA: u32 = 0xffff;

/// What becomes of a system call of an architecture that the profile doesn't list. libseccomp kills the
/// thread, which can leave a process that waits for it for ever; this kills the process.
pub(super) const BAD_ARCHITECTURE: u32 = KILL_PROCESS;

/// The system call is said not to exist.
pub(super) const ENOSYS: u32 = ERRNO | libc::ENOSYS.cast_unsigned();

/// What an action is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// The system call happens, or may happen.
    Permits,
    /// It doesn't.
    Denies,
}

/// What the filter returns for an action.
pub(super) fn value(action: LinuxSeccompAction, errno: Option<u32>) -> u32 {
    use LinuxSeccompAction as Action;
    let data = errno.unwrap_or(libc::EPERM.cast_unsigned()) & DATA;
    match action {
        Action::ScmpActKill | Action::ScmpActKillThread => KILL_THREAD,
        Action::ScmpActKillProcess => KILL_PROCESS,
        Action::ScmpActTrap => TRAP,
        Action::ScmpActErrno => ERRNO | data,
        Action::ScmpActNotify => USER_NOTIF,
        Action::ScmpActTrace => TRACE | data,
        Action::ScmpActLog => LOG,
        Action::ScmpActAllow => ALLOW,
    }
}

/// A tracer counts as permitting: it is there to handle system calls, new ones too.
pub(super) fn behaviour(action: LinuxSeccompAction) -> Behaviour {
    use LinuxSeccompAction as Action;
    match action {
        Action::ScmpActAllow | Action::ScmpActLog | Action::ScmpActTrace => Behaviour::Permits,
        Action::ScmpActKill
        | Action::ScmpActKillThread
        | Action::ScmpActKillProcess
        | Action::ScmpActTrap
        | Action::ScmpActErrno
        | Action::ScmpActNotify => Behaviour::Denies,
    }
}

/// Whether the system call happens, of what a filter returns. A tracer is not there.
pub(super) fn lets_pass(value: u32) -> bool {
    value == ALLOW || value == LOG
}

/// The largest `errnoRet` of an action, if it has one: the kernel cuts an errno there, and the data of a
/// tracer.
pub(crate) fn largest_errno(action: LinuxSeccompAction) -> Option<u32> {
    match action {
        LinuxSeccompAction::ScmpActErrno => Some(4095),
        LinuxSeccompAction::ScmpActTrace => Some(DATA),
        _ => None,
    }
}

/// Whether any rule asks an agent.
pub(crate) fn notifies(profile: &LinuxSeccomp) -> bool {
    let mut rules = profile.syscalls().iter().flatten();
    rules.any(|rule| rule.action() == LinuxSeccompAction::ScmpActNotify)
}
