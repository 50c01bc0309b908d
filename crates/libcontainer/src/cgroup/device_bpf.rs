//! The device rules of v2: a program of the type `BPF_PROG_TYPE_CGROUP_DEVICE`.
//!
//! The kernel runs it at each mknod and open of a device and permits what it returns 1 for. It goes
//! through the rules from the last to the first and keeps the accesses that are still undecided: a rule
//! that denies one of them ends it, one that allows takes its own away, and when none is left all were
//! allowed. Access zero (no reading and no writing) is allowed by any rule that allows something else.
//!
//! Registers: 2 the type, 3 the undecided accesses, 4 major, 5 minor, 0 scratch and result.

use std::os::fd::AsFd;

use nix::errno::Errno;

use super::devices::{DeviceKind, DeviceRule, Verdict, after_default, allow_everything};
use super::directory::Directory;
use crate::error::{Error, Result};
use crate::sys::bpf::{self, Instruction};

// Operations of <linux/bpf_common.h> and <linux/bpf.h>, class and operand source included.
const LOAD_WORD: u8 = 0x61; // BPF_LDX | BPF_MEM | BPF_W
const AND: u8 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const SHIFT_RIGHT: u8 = 0x74; // BPF_ALU | BPF_RSH | BPF_K
const SET: u8 = 0xb4; // BPF_ALU | BPF_MOV | BPF_K
const COPY: u8 = 0xbc; // BPF_ALU | BPF_MOV | BPF_X
const SKIP_IF_EQUAL: u8 = 0x16; // BPF_JMP32 | BPF_JEQ | BPF_K
const SKIP_UNLESS_EQUAL: u8 = 0x56; // BPF_JMP32 | BPF_JNE | BPF_K
const EXIT: u8 = 0x95; // BPF_JMP | BPF_EXIT

const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const UNDECIDED: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// Puts rules in force for a cgroup, and takes off the programs that were attached to it before.
pub(super) fn apply(directory: &Directory, rules: &[DeviceRule]) -> Result<()> {
    let cgroup = directory.as_fd();
    let failed = |command: &str, errno: Errno| {
        Error::os(format_args!("bpf({command}) on {}", directory.path().display()), errno as i32)
    };
    let older = bpf::device_programs(cgroup).map_err(|errno| failed("BPF_PROG_QUERY", errno))?;
    if !allow_everything(rules) {
        let program = bpf::load_device_program(&program(rules))
            .map_err(|errno| failed("BPF_PROG_LOAD", errno))?;
        bpf::attach_device_program(cgroup, program.as_fd())
            .map_err(|errno| failed("BPF_PROG_ATTACH", errno))?;
    }
    // All programs have to agree, so that nothing is ever allowed in between.
    for id in older {
        let program =
            bpf::program_by_id(id).map_err(|errno| failed("BPF_PROG_GET_FD_BY_ID", errno))?;
        bpf::detach_device_program(cgroup, program.as_fd())
            .map_err(|errno| failed("BPF_PROG_DETACH", errno))?;
    }
    Ok(())
}

/// Compiles rules.
fn program(rules: &[DeviceRule]) -> Vec<Instruction> {
    let (default, rules) = after_default(rules);
    // struct bpf_cgroup_dev_ctx { access << 16 | type, major, minor }
    let mut program = vec![
        load(KIND, 0),
        immediate(AND, KIND, 0xffff),
        load(UNDECIDED, 0),
        immediate(SHIFT_RIGHT, UNDECIDED, 16),
        load(MAJOR, 4),
        load(MINOR, 8),
    ];
    for rule in rules.iter().rev() {
        push_rule(&mut program, rule);
    }
    program.extend(end(default));
    program
}

fn push_rule(program: &mut Vec<Instruction>, rule: &DeviceRule) {
    let decision = decision(rule);
    let kind = rule.kind.map(|kind| match kind {
        DeviceKind::Block => 1,
        DeviceKind::Char => 2,
    });
    let conditions = [(KIND, kind), (MAJOR, rule.major), (MINOR, rule.minor)];
    let conditions: Vec<(u8, u32)> =
        conditions.into_iter().filter_map(|(register, wanted)| Some((register, wanted?))).collect();
    for (index, (register, wanted)) in conditions.iter().enumerate() {
        let skip = conditions.len() - index - 1 + decision.len();
        program.push(jump(SKIP_UNLESS_EQUAL, *register, *wanted, skip));
    }
    program.extend(decision);
}

/// What happens if the device is the rule's.
fn decision(rule: &DeviceRule) -> Vec<Instruction> {
    let access = u32::from(rule.access);
    let mut decision = match rule.verdict {
        Verdict::Deny => vec![
            Instruction { code: COPY, registers: RESULT | UNDECIDED << 4, offset: 0, immediate: 0 },
            immediate(AND, RESULT, access),
            jump(SKIP_IF_EQUAL, RESULT, 0, 2),
        ],
        Verdict::Allow => {
            vec![immediate(AND, UNDECIDED, !access), jump(SKIP_UNLESS_EQUAL, UNDECIDED, 0, 2)]
        }
    };
    decision.extend(end(rule.verdict));
    decision
}

fn end(verdict: Verdict) -> [Instruction; 2] {
    let result = match verdict {
        Verdict::Allow => 1,
        Verdict::Deny => 0,
    };
    [immediate(SET, RESULT, result), immediate(EXIT, 0, 0)]
}

fn load(register: u8, offset: i16) -> Instruction {
    Instruction { code: LOAD_WORD, registers: register | CONTEXT << 4, offset, immediate: 0 }
}

fn immediate(code: u8, register: u8, value: u32) -> Instruction {
    Instruction { code, registers: register, offset: 0, immediate: value.cast_signed() }
}

fn jump(code: u8, register: u8, value: u32, skip: usize) -> Instruction {
    Instruction {
        // A rule is at most eight instructions long.
        offset: i16::try_from(skip).unwrap_or(i16::MAX),
        ..immediate(code, register, value)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Cgroup;
    use super::super::devices::{permits, requests, rules, samples};
    use super::super::scratch::Scratch;
    use super::*;

    /// Runs a program as the kernel would.
    fn interpret(program: &[Instruction], context: [u32; 3]) -> u32 {
        let mut registers = [0_u32; 16];
        let mut next = 0;
        loop {
            let instruction = program[next];
            let target = usize::from(instruction.registers & 15);
            let source = usize::from(instruction.registers >> 4);
            let value = instruction.immediate.cast_unsigned();
            let skip = usize::try_from(instruction.offset).unwrap();
            next += 1;
            match instruction.code {
                LOAD_WORD => registers[target] = context[skip / 4],
                AND => registers[target] &= value,
                SHIFT_RIGHT => registers[target] >>= value,
                SET => registers[target] = value,
                COPY => registers[target] = registers[source],
                SKIP_IF_EQUAL if registers[target] == value => next += skip,
                SKIP_UNLESS_EQUAL if registers[target] != value => next += skip,
                SKIP_IF_EQUAL | SKIP_UNLESS_EQUAL => {}
                EXIT => return registers[0],
                code => panic!("{code:#x}"),
            }
        }
    }

    #[test]
    fn the_program_means_what_the_rules_mean() {
        for rules in samples().chain([rules(None).unwrap()]) {
            let program = program(&rules);
            for (kind, numbers, access) in requests() {
                let bits = match kind {
                    DeviceKind::Block => 1,
                    DeviceKind::Char => 2,
                };
                let context = [u32::from(access) << 16 | bits, numbers.0, numbers.1];
                let expected = u32::from(permits(&rules, kind, numbers, access));
                assert_eq!(interpret(&program, context), expected, "{rules:?}\n{context:x?}");
            }
        }
    }

    #[test]
    fn the_verifier_takes_every_program() {
        let long: Vec<DeviceRule> =
            samples().flatten().filter(|r| r.major.is_some()).take(1000).collect();
        for rules in samples().step_by(20).chain([long, Vec::new()]) {
            match bpf::load_device_program(&program(&rules)) {
                Ok(_) => {}
                Err(Errno::EPERM) => return println!("skipped: bpf(2) is not permitted here"),
                Err(errno) => panic!("{errno}: {rules:?}"),
            }
        }
    }

    #[test]
    fn one_program_is_left_of_several_containers() {
        let Some(scratch) = Scratch::v2("programs") else {
            return;
        };
        let placement = scratch.place("/x");
        let make = || {
            let mut cgroup = Cgroup::new(placement.clone());
            cgroup.make_unified().unwrap();
            cgroup
        };
        let attached =
            |cgroup: &Cgroup| bpf::device_programs(cgroup.unified_fd().unwrap()).unwrap();
        let first = make();
        first.apply_devices(&rules(None).unwrap()).unwrap();
        let before = attached(&first);
        first.keep();
        let second = make();
        second.apply_devices(&rules(None).unwrap()).unwrap();
        let after = attached(&second);
        assert_eq!((before.len(), after.len()), (1, 1));
        assert_ne!(before, after);
        let all =
            DeviceRule { verdict: Verdict::Allow, kind: None, major: None, minor: None, access: 7 };
        second.apply_devices(&[all]).unwrap();
        assert!(attached(&second).is_empty());
        drop(second);
        super::super::remove(&placement).unwrap();
    }
}
