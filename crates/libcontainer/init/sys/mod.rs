//! System calls, raw: the only way in which init touches the world. Each failure carries the number of
//! the call and the errno. The numbers are in `numbers`.

mod files;
mod identity;
mod messages;
mod mounts;
mod process;

use core::arch::asm;
use core::sync::atomic::{AtomicBool, Ordering};

pub(crate) use files::*;
pub(crate) use identity::*;
pub(crate) use messages::*;
pub(crate) use mounts::*;
pub(crate) use process::*;

use super::format::Text;
use super::numbers as nr;
use super::protocol::Fault;

/// The result of a system call.
pub(crate) type Result<T> = core::result::Result<T, Fault>;

#[cfg(target_arch = "x86_64")]
fn raw(number: u32, a: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: every pointer among the arguments comes from the typed functions below, which take
    // references that outlive the call.
    unsafe {
        asm!("syscall", inlateout("rax") number as usize => result,
            in("rdi") a[0], in("rsi") a[1], in("rdx") a[2], in("r10") a[3], in("r8") a[4],
            in("r9") a[5], lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

#[cfg(target_arch = "aarch64")]
fn raw(number: u32, a: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: every pointer among the arguments comes from the typed functions below, which take
    // references that outlive the call.
    unsafe {
        asm!("svc 0", in("x8") number as usize, inlateout("x0") a[0] => result,
            in("x1") a[1], in("x2") a[2], in("x3") a[3], in("x4") a[4], in("x5") a[5],
            options(nostack));
    }
    result
}

/// Whether a filter answers the calls. It may say that each was interrupted, again and again.
static FILTERED: AtomicBool = AtomicBool::new(false);

/// From here on, a filter answers the calls.
fn filtered() {
    FILTERED.store(true, Ordering::Relaxed);
}

/// Makes a system call; an interrupted one is made again, which no call of init minds.
fn call<const N: usize>(number: u32, arguments: [usize; N]) -> Result<usize> {
    let mut registers = [0; 6];
    for (register, argument) in registers.iter_mut().zip(arguments) {
        *register = argument;
    }
    loop {
        let result = raw(number, registers);
        match u32::try_from(result.unsigned_abs()) {
            Ok(nr::EINTR) if result < 0 && !FILTERED.load(Ordering::Relaxed) => {}
            Ok(errno @ 1..4096) if result < 0 => return Err(Fault::call(number, errno)),
            _ => return Ok(result.unsigned_abs()),
        }
    }
}

/// The same for calls that return nothing of interest.
fn done<const N: usize>(number: u32, arguments: [usize; N]) -> Result<()> {
    call(number, arguments).map(|_| ())
}

/// The same for calls that return a descriptor.
#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "small numbers")]
fn opened<const N: usize>(number: u32, arguments: [usize; N]) -> Result<i32> {
    call(number, arguments).map(|fd| fd as i32)
}

/// A descriptor as a register.
#[allow(clippy::cast_sign_loss, reason = "the kernel takes the sign-extended register")]
const fn fd(fd: i32) -> usize {
    fd as isize as usize
}

#[allow(clippy::cast_possible_truncation, reason = "both architectures have 64 bits")]
const fn word(value: u64) -> usize {
    value as usize
}

fn address<T: ?Sized>(of: &T) -> usize {
    core::ptr::from_ref(of).cast::<u8>() as usize
}

fn address_mut<T: ?Sized>(of: &mut T) -> usize {
    core::ptr::from_mut(of).cast::<u8>() as usize
}

fn text(of: Text<'_>) -> usize {
    of.pointer() as usize
}

/// exit_group(2).
pub(crate) fn exit(status: i32) -> ! {
    raw(nr::EXIT_GROUP, [fd(status), 0, 0, 0, 0, 0]);
    // Only a filter can have denied that: the processor ends the process then.
    #[cfg(target_arch = "x86_64")]
    // SAFETY: an undefined instruction touches nothing, and what it raises kills the process, whose
    // dispositions are the defaults.
    unsafe {
        asm!("ud2", options(noreturn, nomem, nostack))
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        asm!("udf #0", options(noreturn, nomem, nostack))
    }
}
