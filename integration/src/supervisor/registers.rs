//! What ptrace(2) reads and writes of a process that is stopped at a system call.

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::unistd::Pid;

/// The number and the arguments of the call that it enters.
pub(super) fn entered(pid: Pid) -> nix::Result<(u64, [u64; 6])> {
    let registers = ptrace::getregs(pid)?;
    let arguments =
        [registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9];
    Ok((registers.orig_rax, arguments))
}

/// The call that it enters is not made: there is none of this number.
pub(super) fn skip(pid: Pid) -> nix::Result<()> {
    let mut registers = ptrace::getregs(pid)?;
    registers.orig_rax = u64::MAX;
    ptrace::setregs(pid, registers)
}

/// The call that it leaves returns this.
pub(super) fn put_result(pid: Pid, result: i64) -> nix::Result<()> {
    let mut registers = ptrace::getregs(pid)?;
    registers.rax = result.cast_unsigned();
    ptrace::setregs(pid, registers)
}

/// A word of its memory.
pub(super) fn word(pid: Pid, address: u64) -> nix::Result<u64> {
    // An address of another process, which this one never follows.
    let address = usize::try_from(address).map_err(|_too_large| Errno::EFAULT)?;
    ptrace::read(pid, std::ptr::without_provenance_mut(address)).map(i64::cast_unsigned)
}
