//! Mounts, and what else changes the mount tree. What the options mean is the plan's business.

use oci_spec::runtime::{LinuxNamespaceType, Root, Spec};

use super::{Report, Rule};
use crate::config::view;

const NEEDS_MOUNT: &str = "only together with a mount namespace";
const PROPAGATIONS: &[&str] =
    &["private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable"];

pub(super) const RULES: &[Rule] = &[
    Rule {
        property: "mounts",
        allowed: "an absolute path inside the container",
        check: destinations,
    },
    Rule {
        property: "mounts",
        allowed: "uidMappings and gidMappings together",
        check: |spec, report| {
            for (index, mount) in view::mounts(spec).iter().enumerate() {
                let has = |list: &Option<Vec<_>>| !view::list(list.as_ref()).is_empty();
                if has(mount.uid_mappings()) != has(mount.gid_mappings()) {
                    let wrong = "id-mapped mounts must have both uid and gid mappings specified";
                    report.wrong_at(report.property().index(index), wrong);
                }
            }
        },
    },
    // The others mount on the host then.
    Rule {
        property: "mounts",
        allowed: NEEDS_MOUNT,
        check: |spec, report| {
            if !view::mounts(spec).is_empty() && !has_mount_namespace(spec) {
                report.wrong("unable to mount without a private MNT namespace");
            }
        },
    },
    Rule {
        property: "root.readonly",
        allowed: NEEDS_MOUNT,
        check: |spec, report| {
            let readonly = spec.root().as_ref().and_then(Root::readonly);
            if readonly == Some(true) && !has_mount_namespace(spec) {
                report.wrong("unable to make the root read-only without a private MNT namespace");
            }
        },
    },
    Rule {
        property: "linux.rootfsPropagation",
        allowed: NEEDS_MOUNT,
        check: |spec, report| {
            if view::rootfs_propagation(spec).is_some() && !has_mount_namespace(spec) {
                report.wrong("unable to set propagation without a private MNT namespace");
            }
        },
    },
    Rule {
        property: "linux.rootfsPropagation",
        allowed: "private, slave, shared, unbindable, or these with an r in front",
        check: |spec, report| {
            let propagation = view::rootfs_propagation(spec);
            if let Some(word) = propagation.filter(|word| !PROPAGATIONS.contains(word)) {
                report.wrong(format!("rootfsPropagation={word:?} is not supported"));
            }
        },
    },
    Rule {
        property: "linux.maskedPaths",
        allowed: NEEDS_MOUNT,
        check: |spec, report| restricted(spec, view::masked_paths(spec), report),
    },
    Rule {
        property: "linux.readonlyPaths",
        allowed: NEEDS_MOUNT,
        check: |spec, report| restricted(spec, view::readonly_paths(spec), report),
    },
    Rule {
        property: "linux.maskedPaths",
        allowed: "absolute paths inside the container",
        check: |spec, report| relative(view::masked_paths(spec), report),
    },
    Rule {
        property: "linux.readonlyPaths",
        allowed: "absolute paths inside the container",
        check: |spec, report| relative(view::readonly_paths(spec), report),
    },
];

/// Relative destinations are an error in the runtime-spec, but older engines write them and every
/// runtime takes them from the container's root.
fn destinations(spec: &Spec, report: &mut Report<'_>) {
    for (index, mount) in view::mounts(spec).iter().enumerate() {
        let property = report.property().index(index).name("destination");
        let destination = mount.destination();
        if destination.as_os_str().is_empty() {
            report.wrong_at(property, "must not be empty");
        } else if !destination.is_absolute() {
            report.warn_at(
                &property,
                format!("mount destination {destination:?} is not absolute: taken from the root"),
            );
        }
    }
}

fn restricted(spec: &Spec, paths: &[String], report: &mut Report<'_>) {
    if !paths.is_empty() && !has_mount_namespace(spec) {
        report.wrong("unable to restrict sys entries without a private MNT namespace");
    }
}

fn relative(paths: &[String], report: &mut Report<'_>) {
    for (index, path) in paths.iter().enumerate() {
        if !path.starts_with('/') {
            let property = report.property().index(index);
            report.wrong_at(property, format!("{path:?} is not an absolute path"));
        }
    }
}

fn has_mount_namespace(spec: &Spec) -> bool {
    view::namespace(spec, LinuxNamespaceType::Mount).is_some()
}
