//! What becomes of each number: the rules, sorted by architecture and number, as intervals.
//!
//! The numbers after the newest system call that the profile names are answered with ENOSYS instead of
//! a default that denies: whoever wrote the profile didn't know them, and a C library tries the older
//! call after ENOSYS only. runc does the same.

use std::collections::BTreeMap;

use oci_spec::runtime::{Arch, LinuxSeccomp, LinuxSeccompArg, LinuxSeccompOperator, LinuxSyscall};

use super::action::{self, Behaviour};
use super::arch::{Abi, Machine, X32_BIT};

/// The number that a tracer leaves to have a system call skipped: none of x32, although it has its bit.
const SKIPPED: u32 = u32::MAX;

/// One audit architecture: from which number on which decision holds, from 0 on, sorted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Space {
    pub(super) audit: u32,
    pub(super) intervals: Vec<(u32, Decision)>,
}

/// What becomes of a system call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// This is returned.
    Return(u32),
    /// The first rule that matches is applied, or else the last value returned.
    Rules(Vec<Rule>, u32),
}

/// An action, and the conditions that must all hold for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) conditions: Vec<Condition>,
    pub(super) action: u32,
}

/// A comparison with an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) argument: u8,
    /// Whether the upper half of the argument counts.
    pub(super) wide: bool,
    pub(super) test: Test,
}

/// What an argument is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Test {
    Ne(u64),
    Lt(u64),
    Le(u64),
    Eq(u64),
    Ge(u64),
    Gt(u64),
    /// The bits of the mask are equal to the value.
    Masked {
        mask: u64,
        value: u64,
    },
}

/// The decisions that a profile means on a machine, one space for each audit architecture.
pub(super) fn spaces(profile: &LinuxSeccomp, machine: Machine) -> Vec<Space> {
    let words: &[Arch] = profile.architectures().as_deref().unwrap_or_default();
    let abis = Abi::listed(machine, words);
    let mut spaces: Vec<Space> = Vec::new();
    for abi in &abis {
        let numbers = Numbers::of(profile, *abi);
        let default = numbers.default;
        match abi {
            Abi::X32 => {
                // x86_64 comes first and left the upper numbers to whoever they belong to.
                if let Some(space) = spaces.last_mut() {
                    space.intervals.retain(|(start, _)| *start < X32_BIT);
                    numbers.intervals(X32_BIT, &mut space.intervals);
                    push(&mut space.intervals, SKIPPED, Decision::Return(default));
                }
            }
            Abi::X86_64 | Abi::X86 | Abi::Aarch64 | Abi::Arm => {
                let mut intervals = Vec::new();
                numbers.intervals(0, &mut intervals);
                if *abi == Abi::X86_64 {
                    push(&mut intervals, X32_BIT, Decision::Return(action::BAD_ARCHITECTURE));
                    push(&mut intervals, SKIPPED, Decision::Return(default));
                }
                spaces.push(Space { audit: abi.audit(), intervals });
            }
        }
    }
    spaces
}

/// Whether a system call of the machine's own ABI is allowed whatever its arguments are.
pub(super) fn permits(spaces: &[Space], name: &str) -> bool {
    let number = Abi::NATIVE.number(name);
    let decision = spaces.first().zip(number).and_then(|(space, number)| {
        space.intervals.iter().rev().find(|(start, _)| *start <= number)
    });
    matches!(decision, Some((_, Decision::Return(value))) if action::lets_pass(*value))
}

/// The rules of one ABI by number.
struct Numbers {
    default: u32,
    /// What numbers have that are newer than the profile.
    newer: u32,
    newest: u32,
    decisions: BTreeMap<u32, Decision>,
}

impl Numbers {
    fn of(profile: &LinuxSeccomp, abi: Abi) -> Self {
        let default = action::value(profile.default_action(), profile.default_errno_ret());
        let denies = action::behaviour(profile.default_action()) == Behaviour::Denies;
        let newer = if denies { action::ENOSYS } else { default };
        let mut numbers = Self { default, newer, newest: 0, decisions: BTreeMap::new() };
        for entry in profile.syscalls().iter().flatten() {
            numbers.add(entry, abi);
        }
        numbers
    }

    fn add(&mut self, entry: &LinuxSyscall, abi: Abi) {
        let action = action::value(entry.action(), entry.errno_ret());
        let rules = rules(entry.args().as_deref().unwrap_or_default(), abi, action);
        for name in entry.names() {
            let (number, carried) = (abi.number(name), abi.multiplexed(name));
            // Who names a call knows the one that carries it.
            let carrier = carried.map_or(0, |(carrier, _)| carrier);
            self.newest = self.newest.max(number.unwrap_or(0)).max(carrier);
            if action == self.default {
                continue;
            }
            if let Some(number) = number {
                self.decide(number, &rules, action);
            }
            if let Some((carrier, index)) = carried {
                let test = Condition { argument: 0, wide: abi.is_wide(), test: Test::Eq(index) };
                let rule = Rule { conditions: vec![test], action };
                // The arguments lie in memory, where no filter sees them: what is permitted for some of
                // them only is not permitted this way, and what is denied for some is denied.
                if rules.is_empty() || action::behaviour(entry.action()) == Behaviour::Denies {
                    self.decide(carrier, &[rule], action);
                }
            }
        }
    }

    /// Adds rules for a number; none means that the action holds without conditions.
    fn decide(&mut self, number: u32, rules: &[Rule], action: u32) {
        let none = || Decision::Rules(Vec::new(), self.default);
        let decision = self.decisions.entry(number).or_insert_with(none);
        match decision {
            // The first without conditions wins.
            Decision::Return(_) => {}
            Decision::Rules(..) if rules.is_empty() => *decision = Decision::Return(action),
            Decision::Rules(all, _) => all.extend_from_slice(rules),
        }
    }

    /// Appends what holds from `base` on.
    fn intervals(self, base: u32, intervals: &mut Vec<(u32, Decision)>) {
        push(intervals, base, Decision::Return(self.default));
        for (number, decision) in self.decisions {
            push(intervals, number, decision);
            push(intervals, number.saturating_add(1), Decision::Return(self.default));
        }
        if self.newest > 0 {
            push(intervals, self.newest.saturating_add(1), Decision::Return(self.newer));
        }
    }
}

/// Appends an interval; one that starts where the last one does takes its place.
fn push(intervals: &mut Vec<(u32, Decision)>, start: u32, decision: Decision) {
    if intervals.last().is_some_and(|(last, _)| *last == start) {
        intervals.pop();
    }
    if intervals.last().is_none_or(|(_, last)| *last != decision) {
        intervals.push((start, decision));
    }
}

/// The rules that one entry of a profile stands for: one for all its conditions, or, if two are about the
/// same argument, one for each: such a list has always been an "or" to runc. None if there is no
/// condition.
fn rules(conditions: &[LinuxSeccompArg], abi: Abi, action: u32) -> Vec<Rule> {
    let twice = conditions.iter().enumerate().any(|(at, condition)| {
        conditions.iter().take(at).any(|other| other.index() == condition.index())
    });
    let conditions: Vec<Condition> =
        conditions.iter().filter_map(|argument| condition(argument, abi)).collect();
    if twice {
        return conditions.into_iter().map(|one| Rule { conditions: vec![one], action }).collect();
    }
    if conditions.is_empty() { Vec::new() } else { vec![Rule { conditions, action }] }
}

fn condition(argument: &LinuxSeccompArg, abi: Abi) -> Option<Condition> {
    use LinuxSeccompOperator as Operator;
    let value = argument.value();
    let test = match argument.op() {
        Operator::ScmpCmpNe => Test::Ne(value),
        Operator::ScmpCmpLt => Test::Lt(value),
        Operator::ScmpCmpLe => Test::Le(value),
        Operator::ScmpCmpEq => Test::Eq(value),
        Operator::ScmpCmpGe => Test::Ge(value),
        Operator::ScmpCmpGt => Test::Gt(value),
        Operator::ScmpCmpMaskedEq => {
            Test::Masked { mask: value, value: argument.value_two().unwrap_or(0) }
        }
    };
    // A configuration with an index over 5 has not come here.
    let index = u8::try_from(argument.index()).ok()?;
    Some(Condition { argument: index, wide: abi.is_wide(), test })
}
