//! The plan: what a configuration means on this host, as a list of operations for init and a few for the
//! host side. Compiling is pure: no system call, no clock, no environment.

mod capabilities;
mod cgroup_mounts;
mod compile;
mod devices;
mod environment;
#[cfg_attr(not(test), allow(dead_code, reason = "some of it is for init alone"))]
pub(crate) mod format;
mod hooks;
mod image;
mod labels;
mod mounts;
mod namespaces;
#[cfg_attr(not(test), allow(dead_code, reason = "some of it is for init alone"))]
pub(crate) mod operation;
pub(crate) mod options;
mod process;
#[cfg_attr(not(test), allow(dead_code, reason = "some of it is for init alone"))]
pub(crate) mod protocol;
mod root;
#[cfg(any(test, fuzzing))]
#[cfg_attr(fuzzing, allow(dead_code, unused_imports, reason = "most of it is for the unit tests"))]
#[allow(
    clippy::panic,
    clippy::tests_outside_test_module,
    clippy::unwrap_used,
    reason = "tests, and what fails one"
)]
pub(crate) mod tests;
mod text;
mod words;

use std::path::PathBuf;

pub(crate) use compile::{Request, compile};
pub(crate) use hooks::{Hook, HookKind};
pub(crate) use image::Image;
pub(crate) use namespaces::{IdMap, NamespaceKind};
pub(crate) use text::{
    call, explain, explain_execve, explain_hook, explain_killed, explain_start, record,
};

use crate::cgroup::{DeviceRule, Limit, Placement};
use crate::error::Warning;

/// What a configuration means on a host. Its text form lists every step, each with the property of
/// `config.json` that asks for it.
#[derive(Debug)]
pub struct Plan {
    /// What init executes.
    pub(crate) image: Image,
    /// What the host side sends along, in the order of the slots.
    pub(crate) received: Vec<Received>,
    /// The namespaces that the spawn makes (`CLONE_NEW…`).
    pub(crate) spawn_flags: u64,
    /// Whether init clones a second stage, which is the container's first process then.
    pub(crate) two_stages: bool,
    /// Whether its processes end with its first one: they do in a pid namespace of its own.
    pub(crate) own_pid_namespace: bool,
    /// What the host side does to the container's first process.
    pub(crate) host: HostSteps,
    /// The hooks of the configuration, in the order of a container's life.
    pub(crate) hooks: Vec<Hook>,
    /// How many descriptors from 3 on the user's process inherits.
    pub(crate) preserve_fds: u32,
    /// The root filesystem on the host.
    pub(crate) rootfs: PathBuf,
    /// What was left out, as the specification says.
    pub(crate) warnings: Vec<Warning>,
}

impl Plan {
    /// What was left out, as the specification says.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

/// A descriptor that init gets along with the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Received {
    /// The listening socket in the state directory.
    Gate,
    /// A standard stream that the caller gave.
    Stdio(usize),
    /// A namespace to join: its kind, its path, and the property that has it.
    Namespace { kind: NamespaceKind, path: PathBuf, property: String },
    /// The directory of the container's v2 cgroup.
    UnifiedCgroup,
}

/// What the host side does while init runs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct HostSteps {
    /// Ids of a new user namespace: users, then groups.
    pub(crate) id_maps: Option<(Vec<IdMap>, Vec<IdMap>)>,
    /// Whether setgroups(2) is forbidden in it: for callers who may not change groups themselves.
    pub(crate) deny_setgroups: bool,
    /// `/proc/PID/oom_score_adj`.
    pub(crate) oom_score_adj: Option<i32>,
    /// Where the container's cgroups are.
    pub(crate) cgroups: Placement,
    /// Joined namespaces of these kinds must not be the caller's, with what to say if one is.
    pub(crate) foreign: Vec<(NamespaceKind, String)>,
    /// Which devices its processes can use.
    pub(crate) device_rules: Vec<DeviceRule>,
    /// What its control files get, in this order.
    pub(crate) limits: Vec<Limit>,
    /// The host's user to whom the v2 cgroup is given.
    pub(crate) cgroup_owner: Option<u32>,
}
