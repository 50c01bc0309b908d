//! Architectures: what the kernel calls them, and their numbers of system calls.
//!
//! A kernel reports its own architecture and those of the programs that it can run natively, never
//! another one: an x86_64 kernel no MIPS. Of the words of a profile, those for other machines are
//! therefore accepted and ask for nothing.

use oci_spec::runtime::Arch;
use syscalls::{aarch64, arm, x86, x86_64};

/// The bit in the number that makes it a system call of x32, which shares x86_64's audit number.
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// A machine that a filter can be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Machine {
    #[cfg_attr(
        not(any(test, fuzzing, target_arch = "x86_64")),
        expect(dead_code, reason = "no filter for it here")
    )]
    X86_64,
    #[cfg_attr(
        not(any(test, fuzzing, target_arch = "aarch64")),
        expect(dead_code, reason = "no filter for it here")
    )]
    Aarch64,
}

impl Machine {
    #[cfg(target_arch = "x86_64")]
    pub(super) const NATIVE: Self = Self::X86_64;
    #[cfg(target_arch = "aarch64")]
    pub(super) const NATIVE: Self = Self::Aarch64;
}

/// One set of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Abi {
    X86_64,
    X32,
    X86,
    Aarch64,
    Arm,
}

impl Abi {
    /// That of this program.
    #[cfg(target_arch = "x86_64")]
    pub(super) const NATIVE: Self = Self::X86_64;
    #[cfg(target_arch = "aarch64")]
    pub(super) const NATIVE: Self = Self::Aarch64;

    /// What a profile asks for on a machine: its own, always the first, and those that are listed.
    pub(super) fn listed(machine: Machine, words: &[Arch]) -> Vec<Self> {
        let (native, others): (_, &[(Arch, Self)]) = match machine {
            Machine::X86_64 => {
                (Self::X86_64, &[(Arch::ScmpArchX32, Self::X32), (Arch::ScmpArchX86, Self::X86)])
            }
            Machine::Aarch64 => (Self::Aarch64, &[(Arch::ScmpArchArm, Self::Arm)]),
        };
        let others = others.iter().filter(|(word, _)| words.contains(word));
        std::iter::once(native).chain(others.map(|(_, abi)| *abi)).collect()
    }

    /// `AUDIT_ARCH_*`: the ELF machine, and bits for 64-bit and little-endian.
    pub(super) fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// Whether the kernel reads whole 64-bit arguments. The registers of a 32-bit program have no upper
    /// halves; libseccomp counts x32 among these.
    pub(super) fn is_wide(self) -> bool {
        matches!(self, Self::X86_64 | Self::Aarch64)
    }

    /// The number of a system call, if there is one of this name.
    pub(super) fn number(self, name: &str) -> Option<u32> {
        let id = match self {
            Self::X86_64 => name.parse().ok().map(|number: x86_64::Sysno| number.id()),
            Self::X32 => return x32(name),
            Self::X86 => name.parse().ok().map(|number: x86::Sysno| number.id()),
            Self::Aarch64 => name.parse().ok().map(|number: aarch64::Sysno| number.id()),
            Self::Arm => name.parse().ok().map(|number: arm::Sysno| number.id()),
        };
        id.and_then(|id| u32::try_from(id).ok()).or_else(|| self.number_unlisted(name))
    }

    /// What the tables of the crate `syscalls` 0.8 lack: the newest calls, one that they have under
    /// another name, and those of ARM alone, without which no 32-bit program starts.
    fn number_unlisted(self, name: &str) -> Option<u32> {
        let number = match (self, name) {
            (_, "listns") => 470,
            (_, "rseq_slice_yield") => 471,
            (Self::Aarch64, "newfstatat") => 79,
            (Self::Arm, "breakpoint") => ARM_OWN + 1,
            (Self::Arm, "cacheflush") => ARM_OWN + 2,
            (Self::Arm, "usr26") => ARM_OWN + 3,
            (Self::Arm, "usr32") => ARM_OWN + 4,
            (Self::Arm, "set_tls") => ARM_OWN + 5,
            (Self::Arm, "get_tls") => ARM_OWN + 6,
            _ => return None,
        };
        Some(number)
    }

    /// The older way to make a system call on some machines: the number of the call that carries many,
    /// and the value of its first argument that stands for this one.
    pub(super) fn multiplexed(self, name: &str) -> Option<(u32, u64)> {
        if self != Self::X86 {
            return None;
        }
        let in_list =
            |list: &[&str]| list.iter().position(|other| !name.is_empty() && *other == name);
        let (carrier, index) = match (in_list(SOCKETCALL), in_list(IPC)) {
            (Some(index), _) => ("socketcall", index),
            (None, Some(index)) => ("ipc", index),
            (None, None) => return None,
        };
        Some((self.number(carrier)?, u64::try_from(index).ok()?))
    }
}

/// `__ARM_NR_BASE`: the system calls of ARM that no other architecture has.
const ARM_OWN: u32 = 0xf_0000;

/// arch/x86/entry/syscalls/syscall_64.tbl: the x32 entries that are not x86_64's.
const X32_OWN: &[(&str, u32)] = &[
    ("rt_sigaction", 512),
    ("rt_sigreturn", 513),
    ("ioctl", 514),
    ("readv", 515),
    ("writev", 516),
    ("recvfrom", 517),
    ("sendmsg", 518),
    ("recvmsg", 519),
    ("execve", 520),
    ("ptrace", 521),
    ("rt_sigpending", 522),
    ("rt_sigtimedwait", 523),
    ("rt_sigqueueinfo", 524),
    ("sigaltstack", 525),
    ("timer_create", 526),
    ("mq_notify", 527),
    ("kexec_load", 528),
    ("waitid", 529),
    ("set_robust_list", 530),
    ("get_robust_list", 531),
    ("vmsplice", 532),
    ("move_pages", 533),
    ("preadv", 534),
    ("pwritev", 535),
    ("rt_tgsigqueueinfo", 536),
    ("recvmmsg", 537),
    ("sendmmsg", 538),
    ("process_vm_readv", 539),
    ("process_vm_writev", 540),
    ("setsockopt", 541),
    ("getsockopt", 542),
    ("io_setup", 543),
    ("io_submit", 544),
    ("execveat", 545),
    ("preadv2", 546),
    ("pwritev2", 547),
];

fn x32(name: &str) -> Option<u32> {
    let own = X32_OWN.iter().find(|(own, _)| *own == name).map(|(_, number)| *number);
    own.or_else(|| Abi::X86_64.number(name)).map(|number| number | X32_BIT)
}

/// <linux/net.h>: the first argument of socketcall(2).
const SOCKETCALL: &[&str] = &[
    "",
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];

/// <linux/ipc.h>: the first argument of ipc(2).
const IPC: &[&str] = &[
    "",
    "semop",
    "semget",
    "semctl",
    "semtimedop",
    "",
    "",
    "",
    "",
    "",
    "",
    "msgsnd",
    "msgrcv",
    "msgget",
    "msgctl",
    "",
    "",
    "",
    "",
    "",
    "",
    "shmat",
    "shmdt",
    "shmget",
    "shmctl",
];
