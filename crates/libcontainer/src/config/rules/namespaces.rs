//! Namespaces, new or joined, and what is set up in new ones.

use oci_spec::runtime::{LinuxNamespaceType, Spec};

use super::{Report, Rule};
use crate::config::view;

pub(super) const RULES: &[Rule] = &[
    Rule { property: "linux.namespaces", allowed: "each type once", check: duplicates },
    Rule {
        property: "linux.namespaces",
        allowed: "an absolute path, or none for a new namespace",
        check: |spec, report| {
            for (index, namespace) in view::namespaces(spec).iter().enumerate() {
                if let Some(path) = view::namespace_path(namespace).filter(|p| !p.is_absolute()) {
                    let property = report.property().index(index).name("path");
                    report.wrong_at(property, format!("{path:?} is not an absolute path"));
                }
            }
        },
    },
    Rule {
        property: "linux.timeOffsets",
        allowed: "offsets together with a new time namespace",
        check: |spec, report| {
            let time = view::namespace(spec, LinuxNamespaceType::Time);
            if view::time_offsets(spec).is_empty() {
            } else if time.is_none() {
                report.wrong(
                    "time namespace offsets specified, but time namespace isn't enabled in the config",
                );
            } else if time.and_then(view::namespace_path).is_some() {
                report.wrong("the time namespace is joined: it has its offsets");
            }
        },
    },
    Rule {
        property: "linux.timeOffsets",
        allowed: "monotonic and boottime, each with nanosecs up to 999999999",
        check: |spec, report| {
            for (clock, offset) in view::time_offsets(spec) {
                let property = report.property().name(clock);
                if !["monotonic", "boottime"].contains(&clock.as_str()) {
                    report.wrong_at(property, format!("{clock:?} is no clock of a time namespace"));
                } else if let Some(nanosecs) = offset.nanosecs().filter(|n| *n > 999_999_999) {
                    let wrong = format!("{nanosecs} is out of range");
                    report.wrong_at(property.name("nanosecs"), wrong);
                }
            }
        },
    },
    Rule {
        property: "linux.netDevices",
        allowed: "devices together with a network namespace",
        check: |spec, report| {
            let network = view::namespace(spec, LinuxNamespaceType::Network);
            if !view::net_devices(spec).is_empty() && network.is_none() {
                report.wrong("unable to move network devices without a NET namespace");
            }
        },
    },
    Rule {
        property: "linux.netDevices",
        allowed: "names of 1 to 15 bytes without blanks, slashes and colons, not . or ..",
        check: |spec, report| {
            for (name, device) in view::net_devices(spec) {
                let property = report.property().name(name);
                if !is_device_name(name) {
                    report.wrong_at(property, format!("invalid network device name {name:?}"));
                } else if let Some(inside) = view::text(device.name().as_ref())
                    && !is_device_name(inside)
                {
                    let wrong = format!("invalid network device name {inside:?}");
                    report.wrong_at(property.name("name"), wrong);
                }
            }
        },
    },
];

/// `dev_valid_name`, net/core/dev.c.
fn is_device_name(name: &str) -> bool {
    let allowed = |c: char| !c.is_whitespace() && !matches!(c, '/' | ':' | '\0');
    (1..16).contains(&name.len()) && !matches!(name, "." | "..") && name.chars().all(allowed)
}

fn duplicates(spec: &Spec, report: &mut Report<'_>) {
    let namespaces = view::namespaces(spec);
    for (index, namespace) in namespaces.iter().enumerate() {
        // There are eight types: nothing after the ninth element needs to be compared with all.
        if namespaces.iter().take(index.min(9)).any(|other| other.typ() == namespace.typ()) {
            let name = spec_name(namespace.typ());
            let path = view::namespace_path(namespace).unwrap_or_else(|| "".as_ref());
            report.wrong_at(
                report.property().index(index),
                format!("malformed spec file: duplicated ns {{\"{name}\" {path:?}}}"),
            );
        }
    }
}

/// The name of a namespace type in the runtime-spec (oci-spec prints the kernel's).
fn spec_name(typ: oci_spec::runtime::LinuxNamespaceType) -> &'static str {
    use oci_spec::runtime::LinuxNamespaceType as Type;
    match typ {
        Type::Mount => "mount",
        Type::Cgroup => "cgroup",
        Type::Uts => "uts",
        Type::Ipc => "ipc",
        Type::User => "user",
        Type::Pid => "pid",
        Type::Network => "network",
        Type::Time => "time",
    }
}
