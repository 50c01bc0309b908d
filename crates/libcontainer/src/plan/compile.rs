//! From a configuration to a plan: the order of a container's life, one call a line, in the order that the
//! kernel imposes.

use std::path::Path;

use oci_spec::runtime::{LinuxNamespaceType, Spec};

use super::format::Operation;
use super::hooks::Hook;
use super::image::Builder;
use super::namespaces::Namespaces;
use super::options::AttributeChange;
use super::{
    HostSteps, Plan, Received, cgroup_mounts, devices, hooks, labels, mounts, process, root,
};
use crate::cgroup::{self, Placement};
use crate::config::Config;
use crate::container::{Keyring, Pivot};
use crate::error::{Error, ErrorKind, Result, Warning};
use crate::host::HostFacts;

/// What `create` is asked for beside the configuration.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) id: &'a str,
    /// The bundle's directory, absolute.
    pub(crate) bundle: &'a Path,
    /// Whether the caller gave descriptors for the standard streams.
    pub(crate) has_stdio: bool,
    pub(crate) preserve_fds: u32,
    pub(crate) pivot: Pivot,
    pub(crate) keyring: Keyring,
}

/// What the compilation of every part can look at, and what it adds to.
#[derive(Debug)]
pub(crate) struct Compilation<'a> {
    pub(super) spec: &'a Spec,
    pub(super) request: &'a Request<'a>,
    pub(super) facts: &'a HostFacts,
    pub(super) namespaces: Namespaces,
    pub(super) placement: Placement,
    pub(super) image: Builder,
    pub(super) received: Vec<Received>,
    pub(super) hooks: Vec<Hook>,
    pub(super) warnings: Vec<Warning>,
}

/// Compiles a configuration that was validated.
///
/// # Errors
///
/// If it asks for something that this host can't do.
pub(crate) fn compile(config: &Config, request: &Request<'_>, facts: &HostFacts) -> Result<Plan> {
    // Errors quote the configuration.
    Compilation::begin(config, request, facts).and_then(in_order).map_err(Error::on_one_line)
}

fn in_order(mut plan: Compilation<'_>) -> Result<Plan> {
    labels::check(&plan)?;
    plan.enter_namespaces()?;
    let bound = mounts::open_early(&mut plan)?;
    let nodes = devices::open_early(&mut plan)?;
    let root = root::attach(&mut plan)?;
    plan.become_root()?;
    plan.name_host()?;
    labels::begin(&mut plan)?;
    let kept = mounts::attach_all(&mut plan, bound)?;
    devices::make(&mut plan, nodes)?;
    hooks::create(&mut plan)?;
    process::make_terminal(&mut plan)?;
    process::make_working_directory(&mut plan)?;
    process::find_home(&mut plan)?;
    labels::set_sysctls(&mut plan)?;
    root::restrict_paths(&mut plan)?;
    mounts::make_read_only(&mut plan, kept)?;
    root::enter(&mut plan, root)?;
    process::become_user(&mut plan)?;
    labels::apply(&mut plan)?;
    process::execute(&mut plan)?;
    plan.finish()
}

impl<'a> Compilation<'a> {
    fn begin(config: &'a Config, request: &'a Request<'a>, facts: &'a HostFacts) -> Result<Self> {
        let spec = config.spec();
        let linux = spec.linux().as_ref();
        let path = linux.and_then(|linux| linux.cgroups_path().as_deref());
        let mut received = vec![Received::Gate];
        if request.has_stdio {
            received.extend((0..3).map(Received::Stdio));
        }
        let namespaces = Namespaces::of(spec, facts, &mut received)?;
        let placement = cgroup::place(&facts.cgroup, path, request.id)?;
        if namespaces.two_stages && placement.unified.is_some() {
            received.push(Received::UnifiedCgroup);
        }
        let slots = u32::try_from(received.len()).unwrap_or(u32::MAX);
        Ok(Self {
            spec,
            request,
            facts,
            namespaces,
            placement,
            image: Builder::new(slots),
            received,
            hooks: hooks::hooks(spec),
            warnings: config.warnings().to_vec(),
        })
    }

    /// Whether a new or joined user namespace takes the caller's privileges away.
    pub(super) fn in_user_namespace(&self) -> bool {
        self.namespaces.has(LinuxNamespaceType::User)
    }

    pub(super) fn warn(&mut self, property: impl Into<String>, message: impl Into<String>) {
        self.warnings.push(Warning { property: property.into(), message: message.into() });
    }

    /// Whether the caller may change groups in a user namespace that it makes.
    pub(super) fn may_set_groups(&self) -> bool {
        const CAP_SETGID: u32 = 6;
        self.facts.capabilities.effective & (1 << CAP_SETGID) != 0
    }

    /// Whether attributes can be given to a mount before it is attached: by mount_setattr(2), Linux 5.12.
    /// mount(2) knows attached ones only.
    pub(super) fn sets_detached(&self) -> bool {
        self.facts.kernel.mount_setattr
    }

    /// Changes attributes and propagation of the mount in a slot, or of all below it too.
    pub(super) fn change_mount(
        &mut self,
        property: &str,
        slot: u32,
        change: AttributeChange,
        (propagation, all): (u64, bool),
    ) -> Result<()> {
        if self.sets_detached() {
            let (set, clear) = (change.set, change.clear);
            let recursive = if all { libc::AT_RECURSIVE.unsigned_abs() } else { 0 };
            let attributes = Operation::Attributes { slot, set, clear, propagation, recursive };
            return self.image.push(property, &attributes);
        }
        if all && !change.is_none() {
            let message = format!(
                "{property}: attributes for all mounts below one need mount_setattr(2), Linux 5.12"
            );
            let name = property.split(' ').next().unwrap_or(property);
            return Err(Error::new(ErrorKind::Unsupported, message).with_property(name));
        }
        let AttributeChange { set, clear } = change.as_flags();
        let propagation = if all { propagation | libc::MS_REC } else { propagation };
        self.image.push(property, &Operation::Flags { slot, set, clear, propagation })
    }

    fn finish(mut self) -> Result<Plan> {
        let linux = self.spec.linux().as_ref();
        let resources = linux.and_then(|linux| linux.resources().as_ref());
        let (limits, left_out) = cgroup::limits(resources, &self.placement)?;
        self.warnings.extend(left_out);
        let cgroup_owner = cgroup_mounts::owner(&self);
        let devices = resources.and_then(|resources| resources.devices().as_deref());
        let host = HostSteps {
            id_maps: self.namespaces.id_maps(self.spec),
            deny_setgroups: !self.may_set_groups(),
            oom_score_adj: process::oom_score_adj(self.spec),
            foreign: labels::foreign(self.spec),
            cgroups: self.placement,
            device_rules: cgroup::rules(devices)?,
            limits,
            cgroup_owner,
        };
        Ok(Plan {
            image: self.image.finish(self.request.preserve_fds)?,
            received: self.received,
            hooks: self.hooks,
            spawn_flags: self.namespaces.spawn_flags(),
            two_stages: self.namespaces.two_stages,
            own_pid_namespace: self.namespaces.is_new(LinuxNamespaceType::Pid),
            host,
            preserve_fds: self.request.preserve_fds,
            rootfs: root::path(self.spec, self.request.bundle),
            warnings: self.warnings,
        })
    }
}
