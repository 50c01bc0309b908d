//! The process: what it executes, with which environment and limits.

use std::collections::HashSet;

use oci_spec::runtime::{Process, Spec, User};

use super::{Report, Rule};
use crate::config::view;

pub(super) const RULES: &[Rule] = &[
    Rule {
        property: "process",
        allowed: "an object with args and cwd",
        check: |spec, report| {
            if spec.process().is_none() {
                report.wrong("process property must not be empty");
            }
        },
    },
    Rule {
        property: "process.args",
        allowed: "the program and its arguments",
        check: |spec, report| {
            if view::process(spec).is_some_and(|p| view::list(p.args().as_ref()).is_empty()) {
                report.wrong("args must not be empty");
            }
        },
    },
    Rule { property: "process.cwd", allowed: "an absolute path", check: cwd },
    Rule { property: "process.env", allowed: "NAME=value without NUL bytes", check: env },
    Rule { property: "process.rlimits", allowed: "each type once", check: duplicate_rlimits },
    Rule {
        property: "process.rlimits",
        allowed: "a soft limit up to the hard limit",
        check: soft_above_hard,
    },
    Rule {
        property: "process.oomScoreAdj",
        allowed: "-1000 to 1000",
        check: |spec, report| {
            let adjustment = view::process(spec).and_then(Process::oom_score_adj);
            if let Some(adjustment) = adjustment.filter(|adj| !(-1000..=1000).contains(adj)) {
                report.wrong(format!("{adjustment} is out of range"));
            }
        },
    },
    Rule {
        property: "process.consoleSize",
        allowed: "a height and a width of 0 to 65535",
        check: console_size,
    },
    Rule {
        property: "process.user.umask",
        allowed: "0 to 511 (octal 0777)",
        check: |spec, report| {
            let umask = view::user(spec).and_then(User::umask);
            if let Some(umask) = umask.filter(|umask| *umask > 0o777) {
                report.wrong(format!("{umask} is out of range"));
            }
        },
    },
];

fn cwd(spec: &Spec, report: &mut Report<'_>) {
    match view::process(spec).map(Process::cwd) {
        Some(cwd) if cwd.as_os_str().is_empty() => {
            report.wrong("Cwd property must not be empty");
        }
        Some(cwd) if !cwd.is_absolute() => {
            report.wrong(format!("Cwd must be an absolute path: {cwd:?}"));
        }
        _ => {}
    }
}

/// Without a terminal the size means nothing.
fn console_size(spec: &Spec, report: &mut Report<'_>) {
    let process = view::process(spec).filter(|process| process.terminal() == Some(true));
    let Some(size) = process.and_then(Process::console_size) else { return };
    for (name, value) in [("height", size.height()), ("width", size.width())] {
        if u16::try_from(value).is_err() {
            report.wrong_at(report.property().name(name), format!("{value} is out of range"));
        }
    }
}

fn env(spec: &Spec, report: &mut Report<'_>) {
    let env = view::list(view::process(spec).and_then(|process| process.env().as_ref()));
    for (index, variable) in env.iter().enumerate() {
        // A value may be a secret: only what has none is repeated.
        let wrong = match variable.split_once('=') {
            _ if variable.contains('\0') => "contains nul byte (\\x00)".to_owned(),
            None => format!("missing '=': {variable:?}"),
            Some(("", _)) => "name cannot be empty".to_owned(),
            Some(_) => continue,
        };
        report.wrong_at(
            report.property().index(index),
            format!("invalid environment variable: {wrong}"),
        );
    }
}

fn duplicate_rlimits(spec: &Spec, report: &mut Report<'_>) {
    let mut seen = HashSet::new();
    for (index, rlimit) in view::rlimits(spec).iter().enumerate() {
        if !seen.insert(rlimit.typ().to_string()) {
            report.wrong_at(
                report.property().index(index).name("type"),
                format!("duplicated rlimit {}", rlimit.typ()),
            );
        }
    }
}

fn soft_above_hard(spec: &Spec, report: &mut Report<'_>) {
    for (index, rlimit) in view::rlimits(spec).iter().enumerate() {
        let (soft, hard) = (rlimit.soft(), rlimit.hard());
        if soft > hard {
            report.wrong_at(
                report.property().index(index).name("soft"),
                format!("{}: soft limit {soft} exceeds hard limit {hard}", rlimit.typ()),
            );
        }
    }
}
