//! Hooks (config.md, "POSIX-platform Hooks").

use oci_spec::runtime::{Hook, Spec};

use super::{Report, Rule};
use crate::config::property::Property;
use crate::config::view;

pub(super) const RULES: &[Rule] = &[
    Rule {
        property: "hooks",
        allowed: "an absolute path",
        check: |spec, report| {
            each(spec, report, "path", |hook| {
                let path = hook.path();
                (!path.is_absolute()).then(|| format!("{path:?} is not absolute"))
            });
        },
    },
    Rule {
        property: "hooks",
        allowed: "more than 0 seconds",
        check: |spec, report| {
            each(spec, report, "timeout", |hook| {
                let timeout = hook.timeout().filter(|timeout| *timeout <= 0)?;
                Some(format!("{timeout} is not a time to run"))
            });
        },
    },
    Rule {
        property: "hooks",
        allowed: "NAME=value",
        check: |spec, report| {
            each(spec, report, "env", |hook| {
                let mut entries = view::list(hook.env().as_ref()).iter();
                let wrong = entries.find(|entry| entry.find('=').is_none_or(|at| at == 0))?;
                Some(format!("invalid environment variable: {wrong:?}"))
            });
        },
    },
];

/// Reports what `wrong` finds in a property of each hook.
fn each(
    spec: &Spec,
    report: &mut Report<'_>,
    property: &str,
    wrong: impl Fn(&Hook) -> Option<String>,
) {
    for (kind, index, hook) in view::hooks(spec) {
        if let Some(wrong) = wrong(hook) {
            report.wrong_at(Property::at("hooks").name(kind).index(index).name(property), wrong);
        }
    }
}
