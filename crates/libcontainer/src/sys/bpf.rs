//! bpf(2), as far as a program of the type `BPF_PROG_TYPE_CGROUP_DEVICE` needs it.
//!
//! Each command takes the part of `union bpf_attr` that belongs to it; the kernel reads exactly the
//! size that is given and takes the rest for zero.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_ATTACH: libc::c_long = 8;
const BPF_PROG_DETACH: libc::c_long = 9;
const BPF_PROG_GET_FD_BY_ID: libc::c_long = 13;
const BPF_PROG_QUERY: libc::c_long = 16;

const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 2;

/// No helper that needs a GPL-compatible licence is called.
const LICENSE: &CStr = c"Apache-2.0";
/// More programs than anybody attaches to one cgroup: the kernel's own limit, `BPF_CGROUP_MAX_PROGS`.
const MAX_PROGRAMS: u32 = 64;

/// `struct bpf_insn`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instruction {
    /// Class, size, source and operation.
    pub(crate) code: u8,
    /// The destination register in the lower four bits, the source in the upper.
    pub(crate) registers: u8,
    /// How many instructions a jump skips, or the offset of a load.
    pub(crate) offset: i16,
    /// The immediate operand.
    pub(crate) immediate: i32,
}

#[repr(C)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
}

#[repr(C)]
struct Attach {
    target_fd: RawFd,
    attach_bpf_fd: RawFd,
    attach_type: u32,
    attach_flags: u32,
}

#[repr(C)]
struct Query {
    target_fd: RawFd,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    padding: u32,
}

#[repr(C)]
struct ById {
    prog_id: u32,
    next_id: u32,
    open_flags: u32,
}

/// `BPF_PROG_LOAD` of a device program. The descriptor is close-on-exec.
pub(crate) fn load_device_program(program: &[Instruction]) -> Result<OwnedFd, Errno> {
    let mut attr = Load {
        prog_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(program.len()).map_err(|_too_large| Errno::E2BIG)?,
        insns: address(program.as_ptr()),
        license: address(LICENSE.as_ptr()),
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
        prog_name: *b"tare_devices\0\0\0\0",
        prog_ifindex: 0,
        expected_attach_type: BPF_CGROUP_DEVICE,
    };
    // SAFETY: `attr` is the part of the union that BPF_PROG_LOAD reads; its two pointers are those of
    // `program`, of `insn_cnt` instructions, and of a constant with a NUL, and both outlive the call.
    let fd = unsafe { bpf(BPF_PROG_LOAD, &raw mut attr) }?;
    Ok(own(fd))
}

/// `BPF_PROG_ATTACH` to a cgroup, beside the programs that are there: all of them have to agree.
pub(crate) fn attach_device_program(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
) -> Result<(), Errno> {
    let mut attr = attachment(cgroup, program, BPF_F_ALLOW_MULTI);
    // SAFETY: `attr` is the part of the union that BPF_PROG_ATTACH reads, and holds no pointer; its
    // descriptors are borrowed for the whole call.
    unsafe { bpf(BPF_PROG_ATTACH, &raw mut attr) }.map(drop)
}

/// `BPF_PROG_DETACH` from a cgroup.
pub(crate) fn detach_device_program(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
) -> Result<(), Errno> {
    let mut attr = attachment(cgroup, program, 0);
    // SAFETY: `attr` is the part of the union that BPF_PROG_DETACH reads, and holds no pointer; its
    // descriptors are borrowed for the whole call.
    unsafe { bpf(BPF_PROG_DETACH, &raw mut attr) }.map(drop)
}

/// `BPF_PROG_QUERY`: the ids of the device programs that are attached to this very cgroup.
pub(crate) fn device_programs(cgroup: BorrowedFd<'_>) -> Result<Vec<u32>, Errno> {
    let mut ids = vec![0_u32; MAX_PROGRAMS as usize];
    let mut attr = Query {
        target_fd: cgroup.as_raw_fd(),
        attach_type: BPF_CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        prog_ids: address(ids.as_mut_ptr()),
        prog_cnt: MAX_PROGRAMS,
        padding: 0,
    };
    // SAFETY: `attr` is the part of the union that BPF_PROG_QUERY reads and writes; `prog_ids` is the
    // address of `ids`, which has `prog_cnt` elements and outlives the call.
    unsafe { bpf(BPF_PROG_QUERY, &raw mut attr) }?;
    ids.truncate(attr.prog_cnt as usize);
    Ok(ids)
}

/// `BPF_PROG_GET_FD_BY_ID`. The descriptor is close-on-exec.
pub(crate) fn program_by_id(id: u32) -> Result<OwnedFd, Errno> {
    let mut attr = ById { prog_id: id, next_id: 0, open_flags: 0 };
    // SAFETY: `attr` is the part of the union that BPF_PROG_GET_FD_BY_ID reads, and holds no pointer.
    let fd = unsafe { bpf(BPF_PROG_GET_FD_BY_ID, &raw mut attr) }?;
    Ok(own(fd))
}

fn attachment(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>, flags: u32) -> Attach {
    Attach {
        target_fd: cgroup.as_raw_fd(),
        attach_bpf_fd: program.as_raw_fd(),
        attach_type: BPF_CGROUP_DEVICE,
        attach_flags: flags,
    }
}

/// A pointer as `union bpf_attr` holds it.
fn address<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

/// Takes the descriptor that bpf(2) has returned.
fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: both callers pass what BPF_PROG_LOAD or BPF_PROG_GET_FD_BY_ID has just returned: a new
    // descriptor, which nobody else knows.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// bpf(2).
///
/// # Safety
///
/// `attr` points to the part of `union bpf_attr` that `command` reads and writes, and the addresses in
/// it are valid for what `command` does with them.
unsafe fn bpf<T>(command: libc::c_long, attr: *mut T) -> Result<RawFd, Errno> {
    // SAFETY: the caller's promise; the size is that of what `attr` points to.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attr, size_of::<T>()) };
    RawFd::try_from(Errno::result(result)?).map_err(|_too_large| Errno::EOVERFLOW)
}
