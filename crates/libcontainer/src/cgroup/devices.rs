//! The device rules, as data: `linux.resources.devices` and the list that every container gets.
//!
//! One meaning on both versions, "the last match wins", taken for each kind of access by itself: reading
//! and writing is allowed if reading is and writing is. Without a rule everything is denied. v2 has a
//! program for it; v1 has a default and exceptions to it, which the kernel compares literally: it
//! silently ignores a rule that takes a part out of an exception. Such rules are refused here.

use std::fmt;

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

use super::directory::Write;
use crate::error::{Error, ErrorKind, Result};

/// mknod(2), in the bits of `struct bpf_cgroup_dev_ctx`.
pub(super) const MKNOD: u8 = 1;
/// Reading.
pub(super) const READ: u8 = 2;
/// Writing.
pub(super) const WRITE: u8 = 4;
const ALL: u8 = MKNOD | READ | WRITE;

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allow,
    Deny,
}

/// The two types of device nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeviceKind {
    Block,
    Char,
}

/// A rule. What is `None` matches everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeviceRule {
    pub(super) verdict: Verdict,
    pub(super) kind: Option<DeviceKind>,
    pub(super) major: Option<u32>,
    pub(super) minor: Option<u32>,
    /// Bits of [`MKNOD`], [`READ`] and [`WRITE`].
    pub(super) access: u8,
}

/// What runc allows in every container: making any node, using those of a default `/dev`, terminals,
/// and `/dev/net/tun`.
const DEFAULTS: [DeviceRule; 11] = [
    allow(DeviceKind::Char, None, None, MKNOD),
    allow(DeviceKind::Block, None, None, MKNOD),
    allow(DeviceKind::Char, Some(1), Some(3), ALL),
    allow(DeviceKind::Char, Some(1), Some(8), ALL),
    allow(DeviceKind::Char, Some(1), Some(7), ALL),
    allow(DeviceKind::Char, Some(5), Some(0), ALL),
    allow(DeviceKind::Char, Some(1), Some(5), ALL),
    allow(DeviceKind::Char, Some(1), Some(9), ALL),
    allow(DeviceKind::Char, Some(136), None, ALL),
    allow(DeviceKind::Char, Some(5), Some(2), ALL),
    allow(DeviceKind::Char, Some(10), Some(200), ALL),
];

const fn allow(kind: DeviceKind, major: Option<u32>, minor: Option<u32>, access: u8) -> DeviceRule {
    DeviceRule { verdict: Verdict::Allow, kind: Some(kind), major, minor, access }
}

/// The rules of a container: those of the configuration, and then, so that they win, the defaults.
/// Everything is denied to begin with, also without a configuration.
pub(crate) fn rules(devices: Option<&[LinuxDeviceCgroup]>) -> Result<Vec<DeviceRule>> {
    let configured = devices.unwrap_or_default().iter().enumerate();
    let mut rules = configured
        .map(|(index, device)| {
            rule(device, index)
                .map_err(|e| e.with_property(format!("linux.resources.devices[{index}]")))
        })
        .collect::<Result<Vec<_>>>()?;
    rules.extend(DEFAULTS);
    Ok(rules)
}

fn rule(device: &LinuxDeviceCgroup, index: usize) -> Result<DeviceRule> {
    let verdict = if device.allow() { Verdict::Allow } else { Verdict::Deny };
    let kind = match device.typ().unwrap_or_default() {
        LinuxDeviceType::A => None,
        LinuxDeviceType::B => Some(DeviceKind::Block),
        LinuxDeviceType::C => Some(DeviceKind::Char),
        other => {
            return Err(invalid(format!("invalid cgroup device type {:?}", other.as_str())));
        }
    };
    Ok(DeviceRule {
        verdict,
        kind,
        major: number(device.major(), "major", index)?,
        minor: number(device.minor(), "minor", index)?,
        access: access(device.access().as_deref().unwrap_or_default(), index)?,
    })
}

/// A number; container managers write -1 for all.
fn number(number: Option<i64>, name: &str, index: usize) -> Result<Option<u32>> {
    match number {
        None | Some(-1) => Ok(None),
        Some(n) => u32::try_from(n).map(Some).map_err(|_out_of_range| {
            invalid(format!("linux.resources.devices[{index}].{name}: {n} is no device number"))
        }),
    }
}

fn access(text: &str, index: usize) -> Result<u8> {
    if text.is_empty() {
        return Err(invalid(format!("device access at {index} field cannot be empty")));
    }
    text.chars().try_fold(0, |bits, letter| match letter {
        'm' => Ok(bits | MKNOD),
        'r' => Ok(bits | READ),
        'w' => Ok(bits | WRITE),
        _ => Err(invalid(format!(
            "linux.resources.devices[{index}].access: {text:?} is not made of r, w and m"
        ))),
    })
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidConfig, message)
}

impl DeviceRule {
    /// Whether the rule is about every access to every device, so that no rule before it counts.
    fn is_total(&self) -> bool {
        self.access == ALL && self.kind.is_none() && self.major.is_none() && self.minor.is_none()
    }

    /// Whether every device of `other` is one of this rule.
    fn covers(&self, other: &Self) -> bool {
        wider(self.kind, other.kind)
            && wider(self.major, other.major)
            && wider(self.minor, other.minor)
    }

    /// Whether there is a device of both rules.
    fn meets(&self, other: &Self) -> bool {
        fn common<T: PartialEq>(a: Option<T>, b: Option<T>) -> bool {
            a.is_none() || b.is_none() || a == b
        }
        common(self.kind, other.kind)
            && common(self.major, other.major)
            && common(self.minor, other.minor)
    }

    fn is_about_the_devices_of(&self, other: &Self) -> bool {
        self.covers(other) && other.covers(self)
    }
}

fn wider<T: PartialEq>(a: Option<T>, b: Option<T>) -> bool {
    a.is_none() || a == b
}

/// As the v1 files have it: `c 1:3 rwm`.
impl fmt::Display for DeviceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            None => "a",
            Some(DeviceKind::Block) => "b",
            Some(DeviceKind::Char) => "c",
        })?;
        for (separator, number) in [(' ', self.major), (':', self.minor)] {
            match number {
                Some(number) => write!(f, "{separator}{number}")?,
                None => write!(f, "{separator}*")?,
            }
        }
        f.write_str(" ")?;
        for (bit, letter) in [(READ, "r"), (WRITE, "w"), (MKNOD, "m")] {
            if self.access & bit != 0 {
                f.write_str(letter)?;
            }
        }
        Ok(())
    }
}

/// The rules that count: those after the last total one, which is the default.
pub(super) fn after_default(rules: &[DeviceRule]) -> (Verdict, &[DeviceRule]) {
    match rules.iter().rposition(DeviceRule::is_total) {
        Some(last) => (rules[last].verdict, &rules[last + 1..]),
        None => (Verdict::Deny, rules),
    }
}

/// Whether the rules deny nothing at all.
pub(super) fn allow_everything(rules: &[DeviceRule]) -> bool {
    let (default, rules) = after_default(rules);
    default == Verdict::Allow && rules.iter().all(|rule| rule.verdict == Verdict::Allow)
}

/// Whether a device is allowed that no rule is about.
pub(super) fn allowed_by_default(rules: &[DeviceRule]) -> bool {
    after_default(rules).0 == Verdict::Allow
}

/// What is written into the v1 files: the default, which also forgets what the parent or an earlier
/// container left, and then the exceptions to it.
pub(super) fn v1_writes(rules: &[DeviceRule]) -> Result<Vec<Write>> {
    let (default, rules) = after_default(rules);
    let mut exceptions: Vec<DeviceRule> = Vec::new();
    for rule in rules {
        if rule.kind.is_none() {
            // The kernel takes "a" for everything, whatever comes after it.
            for kind in [DeviceKind::Block, DeviceKind::Char] {
                let kind = Some(kind);
                except(default, &mut exceptions, DeviceRule { kind, ..*rule })?;
            }
        } else {
            except(default, &mut exceptions, *rule)?;
        }
    }
    let (set, file) = match default {
        Verdict::Deny => ("devices.deny", "devices.allow"),
        Verdict::Allow => ("devices.allow", "devices.deny"),
    };
    let mut writes = vec![Write { file: set, value: "a".to_string() }];
    writes.extend(exceptions.iter().map(|exception| Write { file, value: exception.to_string() }));
    Ok(writes)
}

/// Adds a rule to the exceptions, or takes it out of them if it says what the default says.
fn except(default: Verdict, exceptions: &mut Vec<DeviceRule>, rule: DeviceRule) -> Result<()> {
    if rule.verdict != default {
        match exceptions.iter_mut().find(|e| e.is_about_the_devices_of(&rule)) {
            Some(same) => same.access |= rule.access,
            None => exceptions.push(rule),
        }
        return Ok(());
    }
    for exception in exceptions.iter_mut() {
        if exception.access & rule.access == 0 || !exception.meets(&rule) {
            continue;
        }
        if !rule.covers(exception) {
            let message = format!(
                "the rule \"{rule}\" takes a part out of \"{exception}\", which cgroup v1 can't do"
            );
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        exception.access &= !rule.access;
    }
    exceptions.retain(|exception| exception.access != 0);
    Ok(())
}

/// Whether the rules permit an access: their meaning, said once more in the plainest words.
#[cfg(test)]
pub(super) fn permits(
    rules: &[DeviceRule],
    kind: DeviceKind,
    numbers: (u32, u32),
    access: u8,
) -> bool {
    let matches = |rule: &&DeviceRule| {
        wider(rule.kind, Some(kind))
            && wider(rule.major, Some(numbers.0))
            && wider(rule.minor, Some(numbers.1))
    };
    [MKNOD, READ, WRITE].into_iter().filter(|bit| access & bit != 0).all(|bit| {
        let last = rules.iter().filter(matches).rfind(|rule| rule.access & bit != 0);
        last.is_some_and(|rule| rule.verdict == Verdict::Allow)
    })
}

/// Lists of rules that overlap in every way, always the same ones.
#[cfg(test)]
pub(super) fn samples() -> impl Iterator<Item = Vec<DeviceRule>> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % n
    };
    (0..2000).map(move |_| {
        let length = random(8);
        let one = |_| DeviceRule {
            verdict: [Verdict::Allow, Verdict::Deny][random(2)],
            kind: [None, Some(DeviceKind::Block), Some(DeviceKind::Char)][random(3)],
            major: [None, Some(1), Some(5), Some(u32::MAX)][random(4)],
            minor: [None, Some(3), Some(4)][random(3)],
            access: [1, 2, 3, 4, 5, 6, 7, 7, 7][random(9)],
        };
        (0..length).map(one).collect()
    })
}

/// Accesses that tell the samples apart.
#[cfg(test)]
pub(super) fn requests() -> impl Iterator<Item = (DeviceKind, (u32, u32), u8)> {
    let kinds = [DeviceKind::Block, DeviceKind::Char].into_iter();
    kinds.flat_map(|kind| {
        [1, 5, 6, u32::MAX].into_iter().flat_map(move |major| {
            let minors = [3, 4, 9].into_iter();
            minors
                .flat_map(move |minor| (1..=ALL).map(move |access| (kind, (major, minor), access)))
        })
    })
}

#[cfg(test)]
mod tests;
