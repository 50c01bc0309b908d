//! What a later version brings to life. It is refused until then, never ignored: a container without the
//! limits that its configuration asks for would be a lie.
//!
//! What asks for nothing is accepted: an empty object, list or string. A row leaves this table with the
//! commit that executes it.

use oci_spec::runtime::{Mount, Spec};

use super::MAX_FINDINGS;
use super::property::Property;
use super::view;

/// A property, and whether this configuration asks for it.
struct Later {
    property: &'static str,
    asked: Asked,
}

enum Asked {
    /// Once in the document.
    Once(fn(&Spec) -> bool),
    /// In each mount; the property is relative to the mount.
    InMount(fn(&Mount) -> bool),
    /// As an option of each mount: these words.
    AsOption(&'static [&'static str]),
}

const TABLE: &[Later] = &[
    once("process.scheduler", |spec| {
        view::process(spec).is_some_and(|process| process.scheduler().is_some())
    }),
    once("process.ioPriority", |spec| {
        view::process(spec).is_some_and(|process| process.io_priority().is_some())
    }),
    once("process.execCPUAffinity", |spec| {
        let affinity = view::process(spec).and_then(|p| p.exec_cpu_affinity().as_ref());
        affinity.is_some_and(|a| a.initial().is_some() || a.cpu_affinity_final().is_some())
    }),
    Later {
        property: "uidMappings",
        asked: Asked::InMount(|mount| !view::list(mount.uid_mappings().as_ref()).is_empty()),
    },
    Later {
        property: "gidMappings",
        asked: Asked::InMount(|mount| !view::list(mount.gid_mappings().as_ref()).is_empty()),
    },
    Later { property: "options", asked: Asked::AsOption(&["idmap", "ridmap"]) },
    once("linux.timeOffsets", |spec| !view::time_offsets(spec).is_empty()),
    once("linux.netDevices", |spec| !view::net_devices(spec).is_empty()),
    // Even an empty object asks for a group of its own.
    once("linux.intelRdt", |spec| {
        view::linux(spec).is_some_and(|linux| linux.intel_rdt().is_some())
    }),
    once("linux.memoryPolicy", |spec| {
        view::linux(spec).is_some_and(|linux| linux.memory_policy().is_some())
    }),
    once("linux.personality", |spec| {
        view::linux(spec).is_some_and(|linux| linux.personality().is_some())
    }),
];

const fn once(property: &'static str, asked: fn(&Spec) -> bool) -> Later {
    Later { property, asked: Asked::Once(asked) }
}

/// Everything that the configuration asks for and that this version doesn't do; at most
/// `MAX_FINDINGS`.
pub(super) fn asked(spec: &Spec) -> Vec<Property> {
    let mut found = Vec::new();
    for later in TABLE {
        let room = MAX_FINDINGS.saturating_sub(found.len());
        match later.asked {
            Asked::Once(asked) => {
                if asked(spec) {
                    found.push(Property::at(later.property));
                }
            }
            Asked::InMount(asked) => found.extend(
                mounts(spec)
                    .filter(|(_, mount)| asked(mount))
                    .map(|(property, _)| property.name(later.property))
                    .take(room),
            ),
            Asked::AsOption(words) => found.extend(
                mounts(spec)
                    .flat_map(|(property, mount)| {
                        options(mount, words)
                            .map(move |at| property.clone().name(later.property).index(at))
                    })
                    .take(room),
            ),
        }
    }
    found
}

fn mounts(spec: &Spec) -> impl Iterator<Item = (Property, &Mount)> {
    view::mounts(spec)
        .iter()
        .enumerate()
        .map(|(index, mount)| (Property::at("mounts").index(index), mount))
}

/// Where these words stand among the options; some runtimes take mappings after the word.
fn options(mount: &Mount, words: &'static [&'static str]) -> impl Iterator<Item = usize> {
    view::list(mount.options().as_ref())
        .iter()
        .enumerate()
        .filter(|(_, option)| words.contains(&option.split('=').next().unwrap_or(option)))
        .map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_in(json: &str) -> Vec<String> {
        let loaded = super::super::load::parse(json.as_bytes()).unwrap();
        asked(&loaded.spec.unwrap()).iter().map(ToString::to_string).collect()
    }

    const ROWS: &[(&str, &str)] = &[
        (r#"{"process":{"cwd":"/","scheduler":{"policy":"SCHED_OTHER"}}}"#, "process.scheduler"),
        (
            r#"{"process":{"cwd":"/","ioPriority":{"class":"IOPRIO_CLASS_BE"}}}"#,
            "process.ioPriority",
        ),
        (r#"{"process":{"cwd":"/","execCPUAffinity":{"final":"1"}}}"#, "process.execCPUAffinity"),
        (
            r#"{"mounts":[{"destination":"/"},{"destination":"/","uidMappings":[{"containerID":0,"hostID":0,"size":1}]}]}"#,
            "mounts[1].uidMappings",
        ),
        (
            r#"{"mounts":[{"destination":"/","gidMappings":[{"containerID":0,"hostID":0,"size":1}]}]}"#,
            "mounts[0].gidMappings",
        ),
        (r#"{"mounts":[{"destination":"/","options":["bind","idmap"]}]}"#, "mounts[0].options[1]"),
        (
            r#"{"mounts":[{"destination":"/","options":["ridmap=uids=0-1-2"]}]}"#,
            "mounts[0].options[0]",
        ),
        (r#"{"linux":{"timeOffsets":{"boottime":{"secs":1}}}}"#, "linux.timeOffsets"),
        (r#"{"linux":{"netDevices":{"eth0":{}}}}"#, "linux.netDevices"),
        (r#"{"linux":{"intelRdt":{}}}"#, "linux.intelRdt"),
        (r#"{"linux":{"memoryPolicy":{"mode":"MPOL_DEFAULT"}}}"#, "linux.memoryPolicy"),
        (r#"{"linux":{"personality":{"domain":"LINUX"}}}"#, "linux.personality"),
    ];

    #[test]
    fn each_row_is_found_alone() {
        for (json, expected) in ROWS {
            assert_eq!(asked_in(json), [*expected], "{json}");
        }
    }

    #[test]
    fn what_asks_for_nothing_is_not_found() {
        for json in [
            "{}",
            r#"{"hooks":{},"linux":{"sysctl":{},"timeOffsets":{},"netDevices":{},"seccomp":null,"mountLabel":"","resources":{}}}"#,
            r#"{"hooks":{"prestart":[],"createRuntime":[],"createContainer":[],"startContainer":[],"poststart":[],"poststop":[]}}"#,
            r#"{"process":{"cwd":"/","terminal":true,"apparmorProfile":"","selinuxLabel":"","execCPUAffinity":{"initial":"","final":""}}}"#,
            r#"{"mounts":[{"destination":"/","uidMappings":[],"gidMappings":null,"options":["bind","noidmap"]}]}"#,
            r#"{"linux":{"resources":{"devices":[{"allow":false,"access":"rwm"}]},"devices":[{"path":"/dev/x","type":"c","major":1,"minor":3}]}}"#,
        ] {
            assert_eq!(asked_in(json), Vec::<String>::new(), "{json}");
        }
    }
}
