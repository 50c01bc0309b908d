//! Namespaces, new or joined.

use oci_spec::runtime::Spec;

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
];

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
