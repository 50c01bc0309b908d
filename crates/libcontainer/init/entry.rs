//! The first instructions, the panic handler, and the memory functions that the compiler calls.

use core::arch::global_asm;

use super::{protocol, run, sys};

// The kernel jumps here with the argument vector at the stack pointer (the ABI's process start-up).
#[cfg(target_arch = "x86_64")]
global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {main}",
    "ud2",
    main = sym main,
);

#[cfg(target_arch = "aarch64")]
global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, xzr",
    "mov x30, xzr",
    "mov x0, sp",
    "bl {main}",
    "brk #1",
    main = sym main,
);

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("tare's init has system calls for x86_64 and aarch64 only");

extern "C" fn main(stack: *const usize) -> ! {
    // SAFETY: the kernel put argc at the stack pointer and argv behind it.
    let argc = unsafe { stack.read() };
    let argument = stack.wrapping_add(argc.min(2));
    // SAFETY: argv has argc entries; with fewer than two the null pointer that ends it is read.
    let argument = unsafe { argument.read() } as *const u8;
    run::main(argument)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    run::report(protocol::Fault::of(protocol::Cause::Panic));
    sys::exit(run::FAILED)
}

// The compiler emits calls to these four; without a libc they are ours. String instructions and volatile
// accesses, because a plain loop would be recognised and turned into a call to the function itself.

#[cfg(target_arch = "x86_64")]
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: the caller guarantees `count` valid bytes on both sides (the contract of memcpy).
    unsafe {
        core::arch::asm!("rep movsb", inout("rcx") count => _, inout("rdi") to => _,
            inout("rsi") from => _, options(nostack, preserves_flags));
    }
    to
}

#[cfg(not(target_arch = "x86_64"))]
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    for index in 0..count {
        let (from, to) = (from.wrapping_add(index), to.wrapping_add(index));
        // SAFETY: the caller guarantees `count` readable bytes.
        let byte = unsafe { from.read_volatile() };
        // SAFETY: the caller guarantees `count` writable bytes.
        unsafe { to.write_volatile(byte) };
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    if to.addr() <= from.addr() {
        // SAFETY: ascending order is right for an overlap in which `to` lies first; the rest is memcpy's
        // contract, which is the caller's.
        return unsafe { memcpy(to, from, count) };
    }
    for index in (0..count).rev() {
        let (from, to) = (from.wrapping_add(index), to.wrapping_add(index));
        // SAFETY: the caller guarantees `count` readable bytes.
        let byte = unsafe { from.read_volatile() };
        // SAFETY: the caller guarantees `count` writable bytes.
        unsafe { to.write_volatile(byte) };
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, count: usize) -> *mut u8 {
    let [low, ..] = byte.to_le_bytes();
    for index in 0..count {
        let to = to.wrapping_add(index);
        // SAFETY: the caller guarantees `count` writable bytes.
        unsafe { to.write_volatile(low) };
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    for index in 0..count {
        let (left, right) = (left.wrapping_add(index), right.wrapping_add(index));
        // SAFETY: the caller guarantees `count` readable bytes on the left.
        let l = unsafe { left.read_volatile() };
        // SAFETY: and on the right.
        let r = unsafe { right.read_volatile() };
        if l != r {
            return i32::from(l) - i32::from(r);
        }
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    // SAFETY: the same contract.
    unsafe { memcmp(left, right, count) }
}
