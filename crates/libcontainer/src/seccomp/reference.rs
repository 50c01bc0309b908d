//! What a profile says about a call, straight from its text, and what a program says, run as the kernel runs
//! it: two ways to the same, for tests.

use std::collections::HashSet;

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator as Op,
    LinuxSyscall,
};

use super::arch::{Abi, Machine, X32_BIT};
use super::emit::Instruction;

pub(super) const ALLOW: u32 = 0x7fff_0000;
pub(super) const KILL_PROCESS: u32 = 0x8000_0000;
pub(super) const ERRNO: u32 = 0x0005_0000;
pub(super) const ENOSYS: u32 = ERRNO | 38;
pub(super) const EPERM: u32 = ERRNO | 1;

pub(super) const X86_64: u32 = 0xc000_003e;
pub(super) const X86: u32 = 0x4000_0003;
pub(super) const AARCH64: u32 = 0xc000_00b7;
pub(super) const ARM: u32 = 0x4000_0028;

/// The numbers that a call can be one of, by the word that the kernel says with it.
pub(super) const ABIS: [(u32, Abi); 5] = [
    (X86_64, Abi::X86_64),
    (X86_64, Abi::X32),
    (X86, Abi::X86),
    (AARCH64, Abi::Aarch64),
    (ARM, Abi::Arm),
];

/// What the kernel gives to a filter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) audit: u32,
    pub(super) number: u32,
    pub(super) arguments: [u64; 6],
}

impl Call {
    pub(super) fn new(audit: u32, number: u32, arguments: &[u64]) -> Self {
        let mut all = [0; 6];
        all[..arguments.len()].copy_from_slice(arguments);
        Self { audit, number, arguments: all }
    }

    fn word(&self, offset: u32) -> u32 {
        let half =
            |value: u64, upper: u32| u32::try_from(value >> (upper * 32) & 0xffff_ffff).unwrap();
        match (offset, offset % 4) {
            (0, _) => self.number,
            (4, _) => self.audit,
            (16..64, 0) => {
                half(self.arguments[usize::try_from(offset / 8 - 2).unwrap()], offset / 4 % 2)
            }
            _ => panic!("{offset}"),
        }
    }
}

/// Runs a program as the kernel does; panics where the kernel's checker would refuse it.
pub(super) fn interpret(program: &[Instruction], call: &Call) -> u32 {
    let (mut next, mut accumulator) = (0, 0);
    loop {
        let Instruction { code, if_true, if_false, operand } = program[next];
        next += 1;
        let holds = match code {
            0x20 => {
                accumulator = call.word(operand);
                continue;
            }
            0x54 => {
                accumulator &= operand;
                continue;
            }
            0x05 => {
                next += usize::try_from(operand).unwrap();
                continue;
            }
            0x06 => return operand,
            0x15 => accumulator == operand,
            0x25 => accumulator > operand,
            0x35 => accumulator >= operand,
            _ => panic!("{code:#x}"),
        };
        next += usize::from(if holds { if_true } else { if_false });
    }
}

/// What the kernel's checker wants of every instruction, also of those that no call leads to: it is known,
/// what it reads and where it jumps exist, and no path runs over the end.
pub(super) fn check_like_the_kernel(program: &[Instruction]) {
    let length = program.len();
    for (at, instruction) in program.iter().enumerate() {
        let Instruction { code, if_true, if_false, operand } = *instruction;
        let reaches = |distance: usize| at + 1 + distance < length;
        let good = match code {
            0x20 => operand % 4 == 0 && operand < 64 && reaches(0),
            0x54 => reaches(0),
            0x05 => reaches(usize::try_from(operand).unwrap()),
            0x06 => true,
            0x15 | 0x25 | 0x35 => reaches(usize::from(if_true)) && reaches(usize::from(if_false)),
            _ => false,
        };
        assert!(good, "instruction {at} of {length}: {instruction:?}");
    }
}

/// What a profile says about a call, straight from its text. The names are looked up once.
pub(super) struct Reference<'p> {
    profile: &'p LinuxSeccomp,
    machine: Machine,
    numbers: Vec<(Abi, Vec<Vec<Name>>)>,
}

/// The number of a name, and the call that carries it with the first argument it has there.
type Name = (Option<u32>, Option<(u32, u64)>);

impl<'p> Reference<'p> {
    pub(super) fn new(profile: &'p LinuxSeccomp, machine: Machine) -> Self {
        let look_up = |abi: Abi| {
            let of_entry = |entry: &LinuxSyscall| {
                entry.names().iter().map(|name| (abi.number(name), abi.multiplexed(name))).collect()
            };
            (abi, profile.syscalls().iter().flatten().map(of_entry).collect())
        };
        Self { profile, machine, numbers: ABIS.iter().map(|(_, abi)| look_up(*abi)).collect() }
    }

    pub(super) fn evaluate(&self, call: &Call) -> u32 {
        let profile = self.profile;
        let default = super::action::value(profile.default_action(), profile.default_errno_ret());
        let abi = match self.abi(call) {
            Ok(abi) => abi,
            Err(None) => return KILL_PROCESS,
            Err(Some(())) => return default,
        };
        let names = &self.numbers.iter().find(|(other, _)| *other == abi).unwrap().1;
        let known = |name: &Name| name.0.max(name.1.map(|(carrier, _)| carrier));
        let newest = names.iter().flatten().filter_map(known).max().unwrap_or(0);
        if newest > 0 && call.number > newest {
            return if permits(profile.default_action()) { default } else { ENOSYS };
        }
        let mut conditional = None;
        for (entry, names) in profile.syscalls().iter().flatten().zip(names) {
            let action = super::action::value(entry.action(), entry.errno_ret());
            let arguments = entry.args().as_deref().unwrap_or_default();
            for (number, carried) in names.iter().filter(|_| action != default) {
                let matched = match carried {
                    // What is in memory can't be seen: only what denies holds regardless.
                    Some((carrier, index)) if *carrier == call.number => {
                        let known = arguments.is_empty() || !permits(entry.action());
                        known && call.arguments[0] & 0xffff_ffff == *index
                    }
                    _ if *number != Some(call.number) => false,
                    _ if arguments.is_empty() => return action,
                    _ => all_hold(arguments, abi, call),
                };
                if matched && conditional.is_none() {
                    conditional = Some(action);
                }
            }
        }
        conditional.unwrap_or(default)
    }

    /// The numbers that a call is one of: none if the profile doesn't list them, or if it is none.
    fn abi(&self, call: &Call) -> Result<Abi, Option<()>> {
        let listed = |word| self.profile.architectures().iter().flatten().any(|arch| *arch == word);
        match (self.machine, call.audit, call.number) {
            (Machine::X86_64, X86_64, u32::MAX) => Err(Some(())),
            (Machine::X86_64, X86_64, 0..X32_BIT) => Ok(Abi::X86_64),
            (Machine::X86_64, X86_64, _) if listed(Arch::ScmpArchX32) => Ok(Abi::X32),
            (Machine::X86_64, X86, _) if listed(Arch::ScmpArchX86) => Ok(Abi::X86),
            (Machine::Aarch64, AARCH64, _) => Ok(Abi::Aarch64),
            (Machine::Aarch64, ARM, _) if listed(Arch::ScmpArchArm) => Ok(Abi::Arm),
            _ => Err(None),
        }
    }
}

fn permits(action: LinuxSeccompAction) -> bool {
    use LinuxSeccompAction as Action;
    matches!(action, Action::ScmpActAllow | Action::ScmpActLog | Action::ScmpActTrace)
}

fn all_hold(arguments: &[LinuxSeccompArg], abi: Abi, call: &Call) -> bool {
    let cut = if abi.is_wide() { u64::MAX } else { 0xffff_ffff };
    let holds = |condition: &LinuxSeccompArg| {
        let argument = call.arguments[condition.index()] & cut;
        let value = condition.value() & cut;
        match condition.op() {
            Op::ScmpCmpNe => argument != value,
            Op::ScmpCmpLt => argument < value,
            Op::ScmpCmpLe => argument <= value,
            Op::ScmpCmpEq => argument == value,
            Op::ScmpCmpGe => argument >= value,
            Op::ScmpCmpGt => argument > value,
            Op::ScmpCmpMaskedEq => argument & value == condition.value_two().unwrap_or(0) & value,
        }
    };
    let indexes: HashSet<usize> = arguments.iter().map(LinuxSeccompArg::index).collect();
    if indexes.len() < arguments.len() {
        arguments.iter().any(holds)
    } else {
        arguments.iter().all(holds)
    }
}
