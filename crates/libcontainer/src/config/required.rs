//! Which required members of objects are absent in `config.json`: once it is a `Spec`, nobody can tell
//! them from those that are 0.

use std::ops::Range;

use super::MAX_FINDINGS;
use super::property::{Property, Step, matches};

/// Members that objects at a place must have.
struct Required {
    object: &'static [&'static str],
    members: &'static [&'static str],
    /// Unless they have this member, with this text as its value.
    unless: Option<(&'static str, &'static str)>,
}

/// What oci-spec has a default for, though the runtime-spec requires it. (The parser refuses the absence
/// of anything else. Users and groups are 0 for every runtime, and the schema doesn't require them.)
const TABLE: &[Required] = &[
    members(&["process", "consoleSize"], &["height", "width"]),
    members(&["process", "rlimits", "*"], &["soft", "hard"]),
    members(&["process", "ioPriority"], &["class", "priority"]),
    members(&["mounts", "*", "uidMappings", "*"], MAPPING),
    members(&["mounts", "*", "gidMappings", "*"], MAPPING),
    members(&["linux", "uidMappings", "*"], MAPPING),
    members(&["linux", "gidMappings", "*"], MAPPING),
    Required {
        object: &["linux", "devices", "*"],
        members: &["major", "minor"],
        unless: Some(("type", "\"p\"")),
    },
    members(&["linux", "resources", "devices", "*"], &["allow"]),
    members(&["linux", "resources", "blockIO", "weightDevice", "*"], &["major", "minor"]),
    members(&["linux", "resources", "blockIO", "throttleReadBpsDevice", "*"], THROTTLE),
    members(&["linux", "resources", "blockIO", "throttleWriteBpsDevice", "*"], THROTTLE),
    members(&["linux", "resources", "blockIO", "throttleReadIOPSDevice", "*"], THROTTLE),
    members(&["linux", "resources", "blockIO", "throttleWriteIOPSDevice", "*"], THROTTLE),
    members(&["linux", "resources", "hugepageLimits", "*"], &["limit"]),
    members(&["linux", "resources", "network", "priorities", "*"], &["priority"]),
];
const MAPPING: &[&str] = &["containerID", "hostID", "size"];
const THROTTLE: &[&str] = &["major", "minor", "rate"];

const fn members(object: &'static [&'static str], members: &'static [&'static str]) -> Required {
    Required { object, members, unless: None }
}

/// What a walk through the document has seen of the objects it is in.
#[derive(Default)]
pub(super) struct Search {
    /// The members of the innermost object, of those that are to be looked for.
    seen: Vec<&'static str>,
    excepted: bool,
    absent: Vec<Property>,
}

impl Search {
    /// Takes each value of the document, from the inside out.
    pub(super) fn visit(&mut self, path: &[Step<'_>], text: &str, span: Range<usize>) {
        if let [object @ .., Step::Name(name)] = path
            && let Some(required) = TABLE.iter().find(|required| matches(object, required.object))
        {
            self.seen.extend(required.members.iter().find(|member| *member == name));
            let value = text.get(span.clone()).unwrap_or_default();
            self.excepted |= required.unless == Some((name, value));
        }
        let Some(required) = TABLE.iter().find(|required| matches(path, required.object)) else {
            return;
        };
        let (seen, excepted) = (std::mem::take(&mut self.seen), std::mem::take(&mut self.excepted));
        let is_object = text.as_bytes().get(span.start) == Some(&b'{');
        if !is_object || excepted || self.absent.len() >= MAX_FINDINGS {
            return;
        }
        let missing = required.members.iter().filter(|member| !seen.contains(member));
        self.absent.extend(missing.map(|member| Property::of(path).name(member)));
    }

    /// The members that are absent.
    pub(super) fn absent(self) -> Vec<Property> {
        self.absent
    }
}
