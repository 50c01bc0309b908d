//! Sysctls: those of the container's own namespaces. Any other one is the host's.

use std::collections::BTreeMap;

use oci_spec::runtime::Spec;

use super::{Report, Rule};
use crate::config::{sysctl, view};

pub(super) const RULES: &[Rule] = &[Rule {
    property: "linux.sysctl",
    allowed: "sysctls of the container's own namespaces, each once",
    check,
}];

/// That a joined namespace is not the host's is seen when it is opened.
fn check(spec: &Spec, report: &mut Report<'_>) {
    let mut paths = BTreeMap::new();
    for (name, value) in view::sysctls(spec) {
        let property = report.property().name(name);
        if value.contains('\0') {
            report.wrong_at(property, "contains nul byte (\\x00)");
            continue;
        }
        let Some(path) = sysctl::path(name).filter(|path| !path.contains('\0')) else {
            report.wrong_at(property, format!("{name:?} is no name of a sysctl"));
            continue;
        };
        let kind = sysctl::namespace(&path);
        if kind.and_then(|kind| view::namespace(spec, kind)).is_none() {
            report.wrong_at(property, sysctl::refusal(name, kind));
        } else if path == "kernel/hostname" {
            report.wrong_at(
                property,
                format!(
                    "sysctl {name:?} is not allowed as it conflicts with the OCI \"hostname\" field"
                ),
            );
        } else if let Some(other) = paths.insert(path, name) {
            report.wrong_at(property, format!("the same sysctl as {other:?}"));
        }
    }
}
