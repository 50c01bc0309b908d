//! Questions to the kernel about itself. Each call is made so that it fails without an effect, and the
//! errno tells whether the kernel knows it.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ptr;

use nix::errno::Errno;

use crate::seccomp::{NEW_LISTENER, WAIT_KILLABLE_RECV as WAIT_KILLABLE};

/// A system call, and the answer of a kernel that has it to arguments that are never right.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Probe {
    /// Its name.
    pub(crate) name: &'static str,
    number: libc::c_long,
    arguments: [libc::c_long; 5],
    /// Whether the kernel asks for `CAP_SYS_ADMIN` before it looks at the arguments.
    pub(crate) privilege_first: bool,
}

/// What Linux 5.10 has and we can't do without. The arguments are, in this order: a path with a
/// `struct open_how` of no size, a `struct clone_args` of no size, a pid below zero, a range that ends
/// before it begins, and three times flags that don't exist.
pub(crate) const FLOOR: [Probe; 7] = [
    probe("openat2", libc::SYS_openat2, [-1, 0, 0, 0, 0]),
    probe("clone3", libc::SYS_clone3, [0, 0, 0, 0, 0]),
    probe("pidfd_open", libc::SYS_pidfd_open, [-1, 0, 0, 0, 0]),
    probe("close_range", libc::SYS_close_range, [1, 0, 0, 0, 0]),
    probe("open_tree", libc::SYS_open_tree, [-1, 0, NO_FLAGS, 0, 0]),
    privileged("fsopen", libc::SYS_fsopen, [0, NO_FLAGS, 0, 0, 0]),
    privileged("move_mount", libc::SYS_move_mount, [-1, 0, -1, 0, NO_FLAGS]),
];

/// Linux 5.12.
pub(crate) const MOUNT_SETATTR: Probe =
    probe("mount_setattr", libc::SYS_mount_setattr, [-1, 0, NO_FLAGS, 0, 0]);

/// keyctl(2) with an operation that doesn't exist.
pub(crate) const KEYCTL: Probe = probe("keyctl", libc::SYS_keyctl, [-1, 0, 0, 0, 0]);

/// seccomp(2) with `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`, which the kernel takes only of who wants a
/// listener, and with no program: flags are looked at first (`EINVAL`), the program then (`EFAULT`).
pub(crate) const WAIT_KILLABLE_RECV: Probe = filter(NEW_LISTENER | WAIT_KILLABLE);

/// Flags that no call has: all bits of an `unsigned int`.
const NO_FLAGS: libc::c_long = 0xffff_ffff;

const fn probe(name: &'static str, number: libc::c_long, arguments: [libc::c_long; 5]) -> Probe {
    Probe { name, number, arguments, privilege_first: false }
}

const fn privileged(
    name: &'static str,
    number: libc::c_long,
    arguments: [libc::c_long; 5],
) -> Probe {
    let mut probe = probe(name, number, arguments);
    probe.privilege_first = true;
    probe
}

const fn filter(flags: u32) -> Probe {
    let mode = libc::SECCOMP_SET_MODE_FILTER as libc::c_long;
    probe("seccomp", libc::SYS_seccomp, [mode, flags as libc::c_long, 0, 0, 0])
}

impl Probe {
    /// Makes the call. It fails; the errno is the answer.
    pub(crate) fn errno(&self) -> Errno {
        let [a, b, c, d, e] = self.arguments;
        // SAFETY: the constants above are refused for their sizes, numbers or flags before the kernel
        // uses a pointer, and all pointers are null.
        let result = unsafe { libc::syscall(self.number, a, b, c, d, e) };
        match Errno::result(result) {
            Ok(_) => Errno::from_raw(0),
            Err(errno) => errno,
        }
    }
}

/// Whether memfd_create(2) knows `MFD_EXEC`: flags are looked at before the name, which is null. Also
/// true where the sysctl `vm.memfd_noexec` forbids executable memfds (`EACCES`).
pub(crate) fn memfd_exec() -> bool {
    let flags = libc::MFD_CLOEXEC | libc::MFD_EXEC;
    // SAFETY: a null name makes the call fail with EFAULT; the kernel never follows it.
    let result = unsafe { libc::memfd_create(ptr::null(), flags) };
    Errno::result(result) != Err(Errno::EINVAL)
}

/// The kernel's version: `6.18` of `6.18.44-fc`. (0, 0) if it has another form.
pub(crate) fn kernel_version() -> (u32, u32) {
    let mut name = MaybeUninit::<libc::utsname>::zeroed();
    // SAFETY: `name` is ours and has the size that uname writes.
    unsafe { libc::uname(name.as_mut_ptr()) };
    // SAFETY: all bytes are initialised, by `zeroed` or by the kernel, and utsname is plain bytes.
    let name = unsafe { name.assume_init() };
    let release = name.release.map(libc::c_char::cast_unsigned);
    CStr::from_bytes_until_nul(&release)
        .ok()
        .and_then(|release| version_of(release.to_str().ok()?))
        .unwrap_or((0, 0))
}

fn version_of(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The caller's effective capabilities: capget(2).
pub(crate) fn effective_capabilities() -> nix::Result<u64> {
    const VERSION_3: u32 = 0x2008_0522;
    // struct __user_cap_header_struct {version, pid}; pid 0 is the calling thread.
    let mut header: [u32; 2] = [VERSION_3, 0];
    // struct __user_cap_data_struct {effective, permitted, inheritable}, low words and then high ones.
    let mut data = [[0_u32; 3]; 2];
    // SAFETY: version 3 reads a header of two words and writes two data structs of three words each,
    // which both are ours.
    let result = unsafe { libc::syscall(libc::SYS_capget, header.as_mut_ptr(), data.as_mut_ptr()) };
    Errno::result(result)?;
    Ok(u64::from(data[0][0]) | u64::from(data[1][0]) << 32)
}

/// Whether a capability is in the bounding set: `prctl(PR_CAPBSET_READ)`. `EINVAL` if the kernel has no
/// capability of this number.
pub(crate) fn bounding_capability(number: u32) -> nix::Result<bool> {
    // SAFETY: the call takes integers and touches no memory of ours.
    let result =
        unsafe { libc::prctl(libc::PR_CAPBSET_READ, libc::c_ulong::from(number), 0, 0, 0) };
    Errno::result(result).map(|is_in| is_in == 1)
}

/// Makes a system call fail with `errno` for the calling thread, for good, as a seccomp filter of the
/// caller's surroundings would.
#[cfg(test)]
pub(crate) fn forbid(number: libc::c_long, errno: Errno) {
    let statement = |code: u32, jf: u8, k: u32| libc::sock_filter {
        code: u16::try_from(code).unwrap(),
        jt: 0,
        jf,
        k,
    };
    let number = u32::try_from(number).unwrap();
    let refusal = libc::SECCOMP_RET_ERRNO | (errno as i32).cast_unsigned();
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, number),
        statement(libc::BPF_RET | libc::BPF_K, 0, refusal),
        statement(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: 4, filter: filter.as_mut_ptr() };
    // SAFETY: the call takes integers and touches no memory of ours.
    let result = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(result, 0);
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: `program` and the four statements that it points to outlive the call.
    let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) };
    assert_eq!(Errno::result(result), Ok(0));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_releases() {
        for (release, version) in [
            ("6.18.44-fc-v595", Some((6, 18))),
            ("5.10.0-28-amd64", Some((5, 10))),
            ("6.2-rc1", Some((6, 2))),
            ("7.0", Some((7, 0))),
            ("6", None),
            ("linux", None),
            ("", None),
        ] {
            assert_eq!(version_of(release), version, "{release}");
        }
        assert!(kernel_version() >= (5, 10));
    }

    #[test]
    fn probes_fail_for_their_arguments_alone() {
        for probe in FLOOR.iter().chain([&MOUNT_SETATTR]) {
            let expected = if probe.privilege_first {
                vec![Errno::EINVAL, Errno::EPERM]
            } else {
                vec![Errno::EINVAL]
            };
            let errno = probe.errno();
            assert!(expected.contains(&errno), "{}: {errno}", probe.name);
        }
    }

    #[test]
    fn flags_of_filters_are_looked_at_before_the_program() {
        assert_eq!(filter(0).errno(), Errno::EFAULT);
        assert_eq!(filter(1 << 31).errno(), Errno::EINVAL);
        let known = if kernel_version() >= (5, 19) { Errno::EFAULT } else { Errno::EINVAL };
        assert_eq!(WAIT_KILLABLE_RECV.errno(), known);
    }
}
