//! The capability sets as masks, cut down to what can be granted (config.md: what can't be granted is a
//! warning, not an error).

use std::collections::HashSet;

use oci_spec::runtime::{Capability, LinuxNamespaceType};

use super::compile::Compilation;

/// The five sets (capabilities(7)), as masks with bit `1 << CAP_X`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sets {
    pub(super) bounding: u64,
    pub(super) effective: u64,
    pub(super) permitted: u64,
    pub(super) inheritable: u64,
    pub(super) ambient: u64,
}

/// The bit of a capability. The crate's names are the kernel's.
fn bit(capability: Capability) -> u64 {
    let name = capability.to_string();
    let name = if name.starts_with("CAP_") { name } else { format!("CAP_{name}") };
    name.parse::<caps::Capability>().map_or(0, |known| 1 << known.index())
}

/// The sets of `process.capabilities`: without it, none.
pub(super) fn sets(plan: &mut Compilation<'_>) -> Sets {
    let process = plan.spec.process().as_ref();
    let Some(all) = process.and_then(|process| process.capabilities().as_ref()) else {
        return Sets::default();
    };
    let grantable = grantable(plan);
    let mut cut = |name: &str, set: &Option<HashSet<Capability>>| {
        let mut names: Vec<_> = set
            .iter()
            .flatten()
            .filter(|c| bit(**c) & grantable == 0)
            .map(ToString::to_string)
            .collect();
        if !names.is_empty() {
            names.sort();
            let message = format!("ignoring unknown or unavailable capabilities: {names:?}");
            plan.warn(format!("process.capabilities.{name}"), message);
        }
        set.iter().flatten().fold(0, |mask, capability| mask | bit(*capability)) & grantable
    };
    let mut sets = Sets {
        bounding: cut("bounding", all.bounding()),
        effective: cut("effective", all.effective()),
        permitted: cut("permitted", all.permitted()),
        inheritable: cut("inheritable", all.inheritable()),
        ambient: cut("ambient", all.ambient()),
    };
    let possible = sets.permitted & sets.inheritable;
    if sets.ambient & !possible != 0 {
        let message = "ignoring capabilities that are not both permitted and inheritable";
        plan.warn("process.capabilities.ambient", message);
        sets.ambient &= possible;
    }
    sets
}

/// What the kernel knows, and the caller has. A new user namespace begins with all of them.
fn grantable(plan: &Compilation<'_>) -> u64 {
    let host = &plan.facts.capabilities;
    let known = u64::MAX >> (63 - host.last.min(63));
    if plan.namespaces.has(LinuxNamespaceType::User) { known } else { known & host.bounding }
}
