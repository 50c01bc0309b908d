//! Device nodes, and the rules of the device controller.

use std::ops::RangeInclusive;

use oci_spec::runtime::{LinuxDeviceType, Spec};

use super::{Report, Rule};
use crate::config::view;

/// 12 and 20 bits, include/linux/kdev_t.h.
pub(super) const MAJORS: RangeInclusive<i64> = 0..=0xfff;
pub(super) const MINORS: RangeInclusive<i64> = 0..=0xf_ffff;
/// What the controllers compare is 32 bits wide; -1 is what the Go runtimes write for all numbers.
const RULE_NUMBERS: RangeInclusive<i64> = -1..=0xffff_ffff;

pub(super) const RULES: &[Rule] = &[
    Rule {
        property: "linux.devices",
        allowed: "c, u, b or p",
        check: |spec, report| {
            for (index, device) in view::devices(spec).iter().enumerate() {
                if device.typ() == LinuxDeviceType::A {
                    let property = report.property().index(index).name("type");
                    report.wrong_at(property, "invalid device type \"a\"");
                }
            }
        },
    },
    Rule {
        property: "linux.devices",
        allowed: "an absolute path inside the container",
        check: |spec, report| {
            for (index, device) in view::devices(spec).iter().enumerate() {
                let path = device.path();
                if !path.is_absolute() {
                    let property = report.property().index(index).name("path");
                    report.wrong_at(property, format!("{path:?} is not an absolute path"));
                }
            }
        },
    },
    Rule {
        property: "linux.devices",
        allowed: "a major of 0 to 4095, a minor of 0 to 1048575",
        check: numbers,
    },
    Rule { property: "linux.devices", allowed: "0 to 4294967294", check: owners },
    Rule { property: "linux.resources.devices", allowed: "a, c or b", check: rule_types },
    Rule {
        property: "linux.resources.devices",
        allowed: "at least one of r, w and m",
        check: rule_access,
    },
    Rule {
        property: "linux.resources.devices",
        allowed: "0 to 4294967295, or -1 for all",
        check: rule_numbers,
    },
];

fn numbers(spec: &Spec, report: &mut Report<'_>) {
    for (index, device) in view::devices(spec).iter().enumerate() {
        // A FIFO has no numbers: whatever stands there is not used.
        if device.typ() == LinuxDeviceType::P {
            continue;
        }
        for (name, number, range) in
            [("major", device.major(), MAJORS), ("minor", device.minor(), MINORS)]
        {
            if !range.contains(&number) {
                let property = report.property().index(index).name(name);
                report.wrong_at(property, format!("{number} is out of range"));
            }
        }
    }
}

fn owners(spec: &Spec, report: &mut Report<'_>) {
    for (index, device) in view::devices(spec).iter().enumerate() {
        for (name, id) in [("uid", device.uid()), ("gid", device.gid())] {
            if id == Some(u32::MAX) {
                let property = report.property().index(index).name(name);
                report.wrong_at(property, "4294967295 is no id (it is -1 to the kernel)");
            }
        }
    }
}

fn rule_types(spec: &Spec, report: &mut Report<'_>) {
    for (index, rule) in view::device_rules(spec).iter().enumerate() {
        let typ = rule.typ().unwrap_or_default();
        if matches!(typ, LinuxDeviceType::P | LinuxDeviceType::U) {
            let property = report.property().index(index).name("type");
            report.wrong_at(property, format!("invalid cgroup device type {:?}", typ.as_str()));
        }
    }
}

fn rule_access(spec: &Spec, report: &mut Report<'_>) {
    for (index, rule) in view::device_rules(spec).iter().enumerate() {
        let access = view::text(rule.access().as_ref()).unwrap_or_default();
        let property = report.property().index(index).name("access");
        if access.is_empty() {
            let wrong = format!("device access at {index} field cannot be empty");
            report.wrong_at(property, wrong);
        } else if !access.chars().all(|c| matches!(c, 'r' | 'w' | 'm')) {
            report.wrong_at(property, format!("invalid device access {access:?}"));
        }
    }
}

fn rule_numbers(spec: &Spec, report: &mut Report<'_>) {
    for (index, rule) in view::device_rules(spec).iter().enumerate() {
        for (name, number) in [("major", rule.major()), ("minor", rule.minor())] {
            if let Some(number) = number.filter(|number| !RULE_NUMBERS.contains(number)) {
                let property = report.property().index(index).name(name);
                report.wrong_at(property, format!("{number} is out of range"));
            }
        }
    }
}
