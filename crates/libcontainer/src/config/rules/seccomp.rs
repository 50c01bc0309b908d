//! System call filters.

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSyscall, Spec};

use super::{Report, Rule};
use crate::config::property::Property;
use crate::config::view;
use crate::seccomp::{largest_errno, notifies};

/// A system call has six arguments.
const LAST_ARGUMENT: usize = 5;

pub(super) const RULES: &[Rule] = &[
    Rule {
        property: "linux.seccomp.defaultAction",
        allowed: "an action that needs no agent",
        check: |spec, report| {
            if profile(spec)
                .is_some_and(|p| p.default_action() == LinuxSeccompAction::ScmpActNotify)
            {
                report.wrong("SCMP_ACT_NOTIFY cannot be used as default action");
            }
        },
    },
    Rule {
        property: "linux.seccomp",
        allowed: "0 to 4095 for SCMP_ACT_ERRNO, 0 to 65535 for SCMP_ACT_TRACE, none for others",
        check: errnos,
    },
    Rule {
        property: "linux.seccomp.syscalls",
        allowed: "one name or more, none empty",
        check: |spec, report| {
            for (index, entry) in entries(spec) {
                let property = report.property().index(index).name("names");
                if entry.names().is_empty() {
                    report.wrong_at(property, "no name");
                } else if let Some(at) = entry.names().iter().position(String::is_empty) {
                    report.wrong_at(property.index(at), "empty string is not a valid syscall");
                }
            }
        },
    },
    Rule {
        property: "linux.seccomp.syscalls",
        allowed: "an action other than SCMP_ACT_NOTIFY for write",
        check: |spec, report| {
            let mut entries = entries(spec).filter(|(_, entry)| {
                entry.action() == LinuxSeccompAction::ScmpActNotify
                    && entry.names().iter().any(|name| name == "write")
            });
            if let Some((index, _)) = entries.next() {
                let property = report.property().index(index).name("action");
                report.wrong_at(property, "SCMP_ACT_NOTIFY cannot be used for the write syscall");
            }
        },
    },
    Rule { property: "linux.seccomp.syscalls", allowed: "an index of 0 to 5", check: arguments },
    Rule {
        property: "linux.seccomp.listenerPath",
        allowed: "the path of the agent's socket, wherever SCMP_ACT_NOTIFY is used",
        check: |spec, report| {
            if profile(spec).is_some_and(|profile| notifies(profile) && !has_listener(profile)) {
                report.wrong("seccomp listenerPath is not set");
            }
        },
    },
    Rule {
        property: "linux.seccomp.listenerMetadata",
        allowed: "only together with linux.seccomp.listenerPath",
        check: |spec, report| {
            let told = |p: &&LinuxSeccomp| view::text(p.listener_metadata().as_ref()).is_some();
            if profile(spec).filter(told).is_some_and(|profile| !has_listener(profile)) {
                report.wrong("there is no listenerPath");
            }
        },
    },
];

fn profile(spec: &Spec) -> Option<&LinuxSeccomp> {
    view::seccomp(spec)
}

fn entries(spec: &Spec) -> impl Iterator<Item = (usize, &LinuxSyscall)> {
    view::list(profile(spec).and_then(|profile| profile.syscalls().as_ref())).iter().enumerate()
}

fn has_listener(profile: &LinuxSeccomp) -> bool {
    profile.listener_path().as_ref().is_some_and(|path| !path.as_os_str().is_empty())
}

/// The runtime-spec wants an error for an errno that the action has no use for.
fn errnos(spec: &Spec, report: &mut Report<'_>) {
    let mut check = |property: Property, action: LinuxSeccompAction, errno: Option<u32>| {
        let Some(errno) = errno else { return };
        match largest_errno(action) {
            None => report.wrong_at(property, format!("{action} has no errno")),
            Some(largest) if errno > largest => {
                report.wrong_at(property, format!("{errno} is out of range"));
            }
            Some(_) => {}
        }
    };
    if let Some(profile) = profile(spec) {
        let property = Property::at("linux.seccomp.defaultErrnoRet");
        check(property, profile.default_action(), profile.default_errno_ret());
    }
    for (index, entry) in entries(spec) {
        let property = Property::at("linux.seccomp.syscalls").index(index).name("errnoRet");
        check(property, entry.action(), entry.errno_ret());
    }
}

fn arguments(spec: &Spec, report: &mut Report<'_>) {
    for (index, entry) in entries(spec) {
        for (at, argument) in view::list(entry.args().as_ref()).iter().enumerate() {
            if argument.index() > LAST_ARGUMENT {
                let property = report.property().index(index).name("args").index(at).name("index");
                report.wrong_at(property, format!("{} is no argument", argument.index()));
            }
        }
    }
}
