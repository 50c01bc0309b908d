//! Decisions as instructions of classic BPF: <linux/filter.h>.
//!
//! Jumps lead forwards only, so the program is written from its end: what a jump leads to is there
//! already, and a label is the distance of an instruction from the end. Numbers are looked up in a
//! balanced tree of comparisons; each 64-bit comparison of an argument is one of its halves.

use super::decision::{Condition, Decision, Rule, Space, Test};

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const GREATER: u16 = 0x25; // BPF_JMP | BPF_JGT | BPF_K
const NOT_LESS: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

// Offsets in struct seccomp_data. Both machines are little-endian.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// The farthest that a conditional jump is let go: its offset has eight bits, and one instruction may
/// come in between still.
const FAR: usize = 254;

/// `struct sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instruction {
    pub(super) code: u16,
    pub(super) if_true: u8,
    pub(super) if_false: u8,
    pub(super) operand: u32,
}

impl Instruction {
    /// As it lies in memory.
    pub(super) fn to_bytes(self) -> [u8; 8] {
        let [c0, c1] = self.code.to_ne_bytes();
        let [k0, k1, k2, k3] = self.operand.to_ne_bytes();
        [c0, c1, self.if_true, self.if_false, k0, k1, k2, k3]
    }
}

/// An instruction, counted from the end of the program; the last one is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Label(usize);

/// A program that is being written, from its end to its start.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    backwards: Vec<Instruction>,
    /// Where each value is returned, last written last.
    returns: Vec<(u32, Label)>,
}

impl Assembler {
    /// Writes everything: the choice of the architecture, `bad` for all that have no space, and each
    /// space's tree.
    pub(super) fn program(mut self, spaces: &[Space], bad: u32) -> Vec<Instruction> {
        let mut trees = Vec::with_capacity(spaces.len());
        for space in spaces.iter().rev() {
            if let Some(tree) = self.tree(&space.intervals) {
                trees.push((space.audit, self.load(NUMBER, tree)));
            }
        }
        let mut next = self.value(bad);
        // The native architecture was written last, and is asked for first.
        for (audit, tree) in trees {
            next = self.branch(EQUAL, audit, tree, next);
        }
        self.load(ARCHITECTURE, next);
        self.backwards.reverse();
        self.backwards
    }

    /// A balanced search for the interval of the number in the accumulator.
    fn tree(&mut self, intervals: &[(u32, Decision)]) -> Option<Label> {
        match intervals {
            [] => None,
            [(_, decision)] => Some(self.decision(decision)),
            _ => {
                let (lower, upper) = intervals.split_at(intervals.len() / 2);
                let start = upper.first()?.0;
                let upper = self.tree(upper)?;
                let lower = self.tree(lower)?;
                Some(self.branch(NOT_LESS, start, upper, lower))
            }
        }
    }

    fn decision(&mut self, decision: &Decision) -> Label {
        match decision {
            Decision::Return(value) => self.value(*value),
            Decision::Rules(rules, default) => {
                let default = self.value(*default);
                rules.iter().rev().fold(default, |next, rule| self.rule(rule, next))
            }
        }
    }

    /// All conditions lead on to the action, each that fails to `next`.
    fn rule(&mut self, rule: &Rule, next: Label) -> Label {
        let action = self.value(rule.action);
        rule.conditions
            .iter()
            .rev()
            .fold(action, |matched, condition| self.condition(*condition, matched, next))
    }

    fn condition(&mut self, condition: Condition, yes: Label, no: Label) -> Label {
        match condition.test {
            Test::Eq(value) => self.masked(condition, (u64::MAX, value), yes, no),
            Test::Ne(value) => self.masked(condition, (u64::MAX, value), no, yes),
            Test::Masked { mask, value } => self.masked(condition, (mask, value), yes, no),
            Test::Ge(value) => self.ordered(condition, (NOT_LESS, value), yes, no),
            Test::Gt(value) => self.ordered(condition, (GREATER, value), yes, no),
            Test::Lt(value) => self.ordered(condition, (NOT_LESS, value), no, yes),
            Test::Le(value) => self.ordered(condition, (GREATER, value), no, yes),
        }
    }

    /// Both halves, as far as the mask has bits there, are equal.
    fn masked(
        &mut self,
        condition: Condition,
        (mask, value): (u64, u64),
        yes: Label,
        no: Label,
    ) -> Label {
        let value = halves(value & mask);
        let mask = halves(mask);
        let mut next = yes;
        for half in if condition.wide { 0..2 } else { 0..1 } {
            if mask[half] != 0 {
                next = self.branch(EQUAL, value[half], next, no);
                if mask[half] != u32::MAX {
                    next = self.statement(AND, mask[half]);
                }
                next = self.load(offset(condition.argument, half), next);
            }
        }
        next
    }

    /// The upper half decides, and the lower one if the upper ones are equal.
    fn ordered(
        &mut self,
        condition: Condition,
        (comparison, value): (u16, u64),
        yes: Label,
        no: Label,
    ) -> Label {
        let [lower, upper] = halves(value);
        let next = self.branch(comparison, lower, yes, no);
        let next = self.load(offset(condition.argument, 0), next);
        if !condition.wide {
            return next;
        }
        let equal = self.branch(EQUAL, upper, next, no);
        let next = self.branch(GREATER, upper, yes, equal);
        self.load(offset(condition.argument, 1), next)
    }

    /// Where a value is returned: a place that is near enough, or a new one.
    fn value(&mut self, value: u32) -> Label {
        let known = self.returns.iter().rev().find(|(other, _)| *other == value);
        match known {
            Some((_, label)) if self.skip(*label) < FAR / 2 => *label,
            _ => {
                let label = self.statement(RETURN, value);
                self.returns.push((value, label));
                label
            }
        }
    }

    /// A comparison of the accumulator.
    fn branch(&mut self, code: u16, operand: u32, yes: Label, no: Label) -> Label {
        let yes = self.near(yes);
        let no = self.near(no);
        let (if_true, if_false) = (self.skip(yes), self.skip(no));
        // `near` has seen to that.
        let narrow = |skip: usize| u8::try_from(skip).unwrap_or(u8::MAX);
        self.push(Instruction {
            code,
            if_true: narrow(if_true),
            if_false: narrow(if_false),
            operand,
        })
    }

    /// A label that a conditional jump reaches: the same, or a jump to it.
    fn near(&mut self, label: Label) -> Label {
        let skip = self.skip(label);
        if skip <= FAR {
            return label;
        }
        self.statement(JUMP, u32::try_from(skip).unwrap_or(u32::MAX))
    }

    /// Loads a word of `struct seccomp_data` and goes on at `next`.
    fn load(&mut self, offset: u32, next: Label) -> Label {
        let skip = self.skip(next);
        if skip > 0 {
            self.statement(JUMP, u32::try_from(skip).unwrap_or(u32::MAX));
        }
        self.statement(LOAD, offset)
    }

    fn statement(&mut self, code: u16, operand: u32) -> Label {
        self.push(Instruction { code, if_true: 0, if_false: 0, operand })
    }

    fn push(&mut self, instruction: Instruction) -> Label {
        self.backwards.push(instruction);
        Label(self.backwards.len())
    }

    /// How many instructions lie between the one that is going to be pushed and a label.
    fn skip(&self, label: Label) -> usize {
        self.backwards.len() - label.0
    }
}

/// The lower and the upper half.
#[allow(clippy::cast_possible_truncation, reason = "that is what halves are")]
fn halves(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

/// Where a half of an argument is.
fn offset(argument: u8, half: usize) -> u32 {
    ARGUMENTS + u32::from(argument) * 8 + if half == 0 { 0 } else { 4 }
}
