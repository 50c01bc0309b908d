//! Profiles and calls without a pattern, for tests: the program must mean what the profile says.

use arbitrary::{Result, Unstructured};
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompOperator as Op, LinuxSyscall, LinuxSyscallBuilder,
};

use super::arch::{Machine, X32_BIT};
use super::reference::{
    AARCH64, ABIS, ARM, Call, Reference, X86, X86_64, check_like_the_kernel, interpret,
};
use super::{compile, program};

/// Makes a profile and calls of the bytes, and puts both ways to each of them.
pub(crate) fn the_program_means_what_the_profile_says(bytes: &mut Unstructured<'_>) -> Result<()> {
    let profile = profile(bytes)?;
    let calls =
        (0..bytes.int_in_range(1..=100)?).map(|_| call(bytes)).collect::<Result<Vec<_>>>()?;
    for machine in [Machine::X86_64, Machine::Aarch64] {
        let program = program(&profile, machine);
        check_like_the_kernel(&program);
        let reference = Reference::new(&profile, machine);
        for call in &calls {
            let expected = reference.evaluate(call);
            assert_eq!(interpret(&program, call), expected, "{machine:?} {call:x?} {profile:?}");
        }
    }
    match compile(&profile) {
        Ok(filter) => assert_eq!(filter.program.len() % 8, 0),
        Err(error) => assert!(error.to_string().starts_with("linux.seccomp: "), "{error}"),
    }
    Ok(())
}

const NAMES: &[&str] = &[
    "read",
    "write",
    "readv",
    "socket",
    "accept4",
    "recvmmsg",
    "send",
    "socketcall",
    "ipc",
    "semget",
    "shmat",
    "personality",
    "clone",
    "clone3",
    "ioctl",
    "execveat",
    "pwritev2",
    "_llseek",
    "arch_prctl",
    "set_tls",
    "openat2",
    "no_such_call",
    "io_uring_setup",
    "file_setattr",
    "setuid32",
];

const VALUES: &[u64] = &[
    0,
    1,
    2,
    3,
    40,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fffe,
    0xffff_ffff,
    0x1_0000_0000,
    0x1_0000_0028,
    0x7e02_0000,
    0xffff_ffff_0000_0000,
    u64::MAX - 1,
    u64::MAX,
];

const ACTIONS: &[Action] = &[
    Action::ScmpActKill,
    Action::ScmpActKillThread,
    Action::ScmpActKillProcess,
    Action::ScmpActTrap,
    Action::ScmpActErrno,
    Action::ScmpActErrno,
    Action::ScmpActNotify,
    Action::ScmpActTrace,
    Action::ScmpActLog,
    Action::ScmpActAllow,
];

const OPERATORS: &[Op] = &[
    Op::ScmpCmpNe,
    Op::ScmpCmpLt,
    Op::ScmpCmpLe,
    Op::ScmpCmpEq,
    Op::ScmpCmpGe,
    Op::ScmpCmpGt,
    Op::ScmpCmpMaskedEq,
];

/// Numbers at the edges of ranges.
const EDGES: &[u32] =
    &[0, 547, X32_BIT - 1, X32_BIT, X32_BIT | 547, 0x8000_0000, u32::MAX - 1, u32::MAX];

fn value(bytes: &mut Unstructured<'_>) -> Result<u64> {
    match bytes.ratio(4, 5)? {
        true => bytes.choose(VALUES).copied(),
        false => bytes.arbitrary(),
    }
}

fn action(bytes: &mut Unstructured<'_>) -> Result<(Action, Option<u32>)> {
    let errno = [None, None, Some(0), Some(1), Some(5), Some(38), Some(4095)];
    Ok((*bytes.choose(ACTIONS)?, *bytes.choose(&errno)?))
}

/// A few of these; each may come more than once.
fn some<T: Copy>(bytes: &mut Unstructured<'_>, of: &[T], most: usize) -> Result<Vec<T>> {
    (0..bytes.int_in_range(0..=most)?).map(|_| bytes.choose(of).copied()).collect()
}

fn argument(bytes: &mut Unstructured<'_>) -> Result<LinuxSeccompArg> {
    let builder = LinuxSeccompArgBuilder::default()
        .index(bytes.int_in_range(0..=5_usize)?)
        .op(*bytes.choose(OPERATORS)?)
        .value(value(bytes)?);
    let builder = match bytes.arbitrary()? {
        true => builder.value_two(value(bytes)?),
        false => builder,
    };
    Ok(builder.build().unwrap())
}

fn entry(bytes: &mut Unstructured<'_>) -> Result<LinuxSyscall> {
    let mut names: Vec<String> = some(bytes, NAMES, 2)?.into_iter().map(String::from).collect();
    names.push((*bytes.choose(NAMES)?).to_owned());
    let (action, errno) = action(bytes)?;
    let arguments =
        (0..bytes.int_in_range(0..=3)?).map(|_| argument(bytes)).collect::<Result<Vec<_>>>()?;
    let builder = LinuxSyscallBuilder::default().names(names).action(action).args(arguments);
    let mut entry = builder.build().unwrap();
    entry.set_errno_ret(errno);
    Ok(entry)
}

/// Some rules, or so many that jumps become long.
fn profile(bytes: &mut Unstructured<'_>) -> Result<LinuxSeccomp> {
    let known = [
        Arch::ScmpArchX32,
        Arch::ScmpArchX86,
        Arch::ScmpArchX86_64,
        Arch::ScmpArchArm,
        Arch::ScmpArchMips,
    ];
    let count = match bytes.ratio(6, 7)? {
        true => bytes.int_in_range(0..=11)?,
        false => bytes.int_in_range(40..=79)?,
    };
    let (default, errno) = action(bytes)?;
    let mut profile = LinuxSeccomp::default();
    profile.set_default_action(default);
    profile.set_default_errno_ret(errno);
    profile.set_architectures(Some(some(bytes, &known, 5)?));
    profile.set_syscalls(Some((0..count).map(|_| entry(bytes)).collect::<Result<_>>()?));
    Ok(profile)
}

fn call(bytes: &mut Unstructured<'_>) -> Result<Call> {
    let (audit, number) = match bytes.ratio(4, 5)? {
        true => {
            let (audit, abi) = *bytes.choose(&ABIS)?;
            let off = if bytes.ratio(1, 7)? { bytes.int_in_range(-1..=1)? } else { 0 };
            (audit, abi.number(bytes.choose(NAMES)?).unwrap_or(0).wrapping_add_signed(off))
        }
        false => {
            let audit = *bytes.choose(&[X86_64, X86, AARCH64, ARM, 0, 8, u32::MAX])?;
            let number = match bytes.int_in_range(0..=2)? {
                0 => *bytes.choose(EDGES)?,
                1 => bytes.int_in_range(0..=599)?,
                _ => bytes.arbitrary()?,
            };
            (audit, number)
        }
    };
    let mut arguments = [0; 6];
    for argument in &mut arguments {
        *argument = match bytes.int_in_range(0..=5)? {
            0..=2 => *bytes.choose(VALUES)?,
            3 => bytes.choose(VALUES)?.wrapping_add_signed(bytes.int_in_range(-1..=1)?),
            4 => bytes.arbitrary()?,
            _ => bytes.int_in_range(0..=24)?,
        };
    }
    Ok(Call { audit, number, arguments })
}
