//! Users and groups, and how a user namespace maps them (user_namespaces(7)).

use oci_spec::runtime::{LinuxIdMapping, LinuxNamespaceType, Spec};

use super::{Report, Rule};
use crate::config::property::Property;
use crate::config::view;

/// `(uid_t)-1`: the kernel's "no change" and "no such user". setresuid(2) with it leaves the process
/// what it was: root.
const NO_ID: u32 = u32::MAX;
/// `UID_GID_MAP_MAX_EXTENTS`, include/linux/user_namespace.h.
const MAX_MAPPINGS: usize = 340;
/// `NGROUPS_MAX`, include/uapi/linux/limits.h.
const MAX_GROUPS: usize = 65536;

const AN_ID: &str = "0 to 4294967294";
const MAPPED: &str = "an id that the mappings of the user namespace contain";
const LINES: &str = "at most 340 mappings";
const SIZE: &str = "a size of at least 1, both ranges ending below 4294967295";
const APART: &str = "mappings that don't overlap, in the container nor on the host";
const NEEDS_USER: &str = "mappings together with a user namespace";

pub(super) const RULES: &[Rule] = &[
    Rule {
        property: "process.user",
        allowed: AN_ID,
        check: |spec, report| {
            for (property, id, _) in process_ids(spec) {
                if id == NO_ID {
                    report.wrong_at(property, format!("{id} is no id (it is -1 to the kernel)"));
                }
            }
        },
    },
    Rule { property: "process.user", allowed: MAPPED, check: unmapped },
    Rule {
        property: "process.user.additionalGids",
        allowed: "at most 65536 groups",
        check: |spec, report| {
            let groups = view::user(spec).and_then(|user| user.additional_gids().as_ref());
            let groups = view::list(groups).len();
            if groups > MAX_GROUPS {
                report.wrong(format!("has {groups} groups"));
            }
        },
    },
    Rule {
        property: "linux.uidMappings",
        allowed: "mappings for a new user namespace",
        check: |spec, report| {
            if is_new_user_namespace(spec) && view::uid_mappings(spec).is_empty() {
                report.wrong("user namespaces enabled, but no uid mappings found");
            }
        },
    },
    Rule {
        property: "linux.gidMappings",
        allowed: "mappings for a new user namespace",
        check: |spec, report| {
            if is_new_user_namespace(spec) && view::gid_mappings(spec).is_empty() {
                report.wrong("user namespaces enabled, but no gid mappings found");
            }
        },
    },
    Rule {
        property: "linux.uidMappings",
        allowed: NEEDS_USER,
        check: |spec, report| without_user_namespace(spec, view::uid_mappings(spec), report),
    },
    Rule {
        property: "linux.gidMappings",
        allowed: NEEDS_USER,
        check: |spec, report| without_user_namespace(spec, view::gid_mappings(spec), report),
    },
    Rule {
        property: "linux.uidMappings",
        allowed: LINES,
        check: |spec, report| too_many(view::uid_mappings(spec), report),
    },
    Rule {
        property: "linux.gidMappings",
        allowed: LINES,
        check: |spec, report| too_many(view::gid_mappings(spec), report),
    },
    Rule {
        property: "linux.uidMappings",
        allowed: SIZE,
        check: |spec, report| sizes(view::uid_mappings(spec), report),
    },
    Rule {
        property: "linux.gidMappings",
        allowed: SIZE,
        check: |spec, report| sizes(view::gid_mappings(spec), report),
    },
    Rule {
        property: "linux.uidMappings",
        allowed: APART,
        check: |spec, report| overlaps(view::uid_mappings(spec), report),
    },
    Rule {
        property: "linux.gidMappings",
        allowed: APART,
        check: |spec, report| overlaps(view::gid_mappings(spec), report),
    },
];

enum Kind {
    Uid,
    Gid,
    AdditionalGid,
}

/// Every id that the process takes, and where it stands.
fn process_ids(spec: &Spec) -> Vec<(Property, u32, Kind)> {
    let Some(user) = view::user(spec) else {
        return Vec::new();
    };
    let mut ids = vec![
        (Property::at("process.user.uid"), user.uid(), Kind::Uid),
        (Property::at("process.user.gid"), user.gid(), Kind::Gid),
    ];
    let groups = view::list(user.additional_gids().as_ref());
    // Beyond the limit of groups another rule has spoken.
    ids.extend(groups.iter().take(MAX_GROUPS).enumerate().map(|(index, gid)| {
        let property = Property::at("process.user.additionalGids").index(index);
        (property, *gid, Kind::AdditionalGid)
    }));
    ids
}

/// An id that isn't mapped can't be taken. Of a namespace that is joined without mappings, only the
/// kernel knows what is mapped.
fn unmapped(spec: &Spec, report: &mut Report<'_>) {
    if view::namespace(spec, LinuxNamespaceType::User).is_none() {
        return;
    }
    for (property, id, kind) in process_ids(spec) {
        let mappings = match kind {
            Kind::Uid => view::uid_mappings(spec),
            Kind::Gid | Kind::AdditionalGid => view::gid_mappings(spec),
        };
        let is_mapped = |map: &LinuxIdMapping| {
            id.checked_sub(map.container_id()).is_some_and(|within| within < map.size())
        };
        if id == NO_ID || mappings.is_empty() || mappings.iter().any(is_mapped) {
            continue;
        }
        let call = match kind {
            Kind::Uid => "setuid to unmapped uid",
            Kind::Gid => "setgid to unmapped gid",
            Kind::AdditionalGid => "setgroups to unmapped gid",
        };
        report.wrong_at(property, format!("cannot {call} {id} in user namespace"));
    }
}

fn is_new_user_namespace(spec: &Spec) -> bool {
    view::namespace(spec, LinuxNamespaceType::User)
        .is_some_and(|namespace| view::namespace_path(namespace).is_none())
}

fn without_user_namespace(spec: &Spec, mappings: &[LinuxIdMapping], report: &mut Report<'_>) {
    if !mappings.is_empty() && view::namespace(spec, LinuxNamespaceType::User).is_none() {
        report.wrong(
            "user namespace mappings specified, but user namespace isn't enabled in the config",
        );
    }
}

fn too_many(mappings: &[LinuxIdMapping], report: &mut Report<'_>) {
    if mappings.len() > MAX_MAPPINGS {
        report.wrong(format!("has {} mappings", mappings.len()));
    }
}

fn sizes(mappings: &[LinuxIdMapping], report: &mut Report<'_>) {
    for (index, map) in mappings.iter().enumerate() {
        let property = report.property().index(index);
        if map.size() == 0 {
            report.wrong_at(property.name("size"), "must not be 0");
            continue;
        }
        for (name, first) in [("containerID", map.container_id()), ("hostID", map.host_id())] {
            // The kernel wants the id after the last one to be representable.
            if first.checked_add(map.size()).is_none() {
                report.wrong_at(
                    property.clone().name(name),
                    format!("{first} with size {} is out of range", map.size()),
                );
            }
        }
    }
}

fn overlaps(mappings: &[LinuxIdMapping], report: &mut Report<'_>) {
    // Beyond the limit of lines another rule has spoken, and pairs would be too many.
    for (index, map) in mappings.iter().take(MAX_MAPPINGS).enumerate() {
        for (name, first) in [
            ("containerID", LinuxIdMapping::container_id as fn(&LinuxIdMapping) -> u32),
            ("hostID", LinuxIdMapping::host_id),
        ] {
            let (start, size) = (u64::from(first(map)), u64::from(map.size()));
            let other = mappings.iter().take(index).position(|other| {
                let (other_start, other_size) = (u64::from(first(other)), u64::from(other.size()));
                start < other_start + other_size && other_start < start + size
            });
            if let Some(other) = other {
                let property = report.property().index(index).name(name);
                report.wrong_at(property, format!("overlaps with mapping {other}"));
            }
        }
    }
}
