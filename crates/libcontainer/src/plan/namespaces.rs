//! Namespaces: which are made, which are joined, and by which stage of init.

use std::fmt;
use std::path::PathBuf;

use oci_spec::runtime::{LinuxIdMapping, LinuxNamespaceType, Spec};

use super::Received;
use super::compile::Compilation;
use super::format::{NO_SLOT, Operation};
use super::image::TextBuf;
use super::process;
use crate::error::Result;
use crate::host::HostFacts;

/// CAP_SYS_ADMIN (linux/capability.h).
const CAP_SYS_ADMIN: u32 = 21;
/// With this and CAP_DAC_OVERRIDE the id maps of any process can be written.
const MAP_WRITER: u64 = 1 << CAP_SYS_ADMIN | 1 << 1;

/// One line of a uid_map or gid_map (user_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdMap {
    pub(crate) container: u32,
    pub(crate) host: u32,
    pub(crate) size: u32,
}

impl From<&LinuxIdMapping> for IdMap {
    fn from(mapping: &LinuxIdMapping) -> Self {
        Self { container: mapping.container_id(), host: mapping.host_id(), size: mapping.size() }
    }
}

/// The kind of a namespace, with the kernel's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NamespaceKind(LinuxNamespaceType);

impl NamespaceKind {
    /// `CLONE_NEW…`; the numbers of the enumeration are the kernel's.
    pub(crate) fn flag(self) -> u32 {
        self.0 as u32
    }

    /// Its file in the directory `ns` of a process.
    pub(crate) fn file(self) -> &'static str {
        match self.0 {
            LinuxNamespaceType::Mount => "mnt",
            LinuxNamespaceType::Cgroup => "cgroup",
            LinuxNamespaceType::Uts => "uts",
            LinuxNamespaceType::Ipc => "ipc",
            LinuxNamespaceType::User => "user",
            LinuxNamespaceType::Pid => "pid",
            LinuxNamespaceType::Network => "net",
            LinuxNamespaceType::Time => "time",
        }
    }
}

impl From<LinuxNamespaceType> for NamespaceKind {
    fn from(kind: LinuxNamespaceType) -> Self {
        Self(kind)
    }
}

impl fmt::Display for NamespaceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            LinuxNamespaceType::Mount => "mount",
            LinuxNamespaceType::Cgroup => "cgroup",
            LinuxNamespaceType::Uts => "uts",
            LinuxNamespaceType::Ipc => "ipc",
            LinuxNamespaceType::User => "user",
            LinuxNamespaceType::Pid => "pid",
            LinuxNamespaceType::Network => "network",
            LinuxNamespaceType::Time => "time",
        })
    }
}

/// The namespaces that the container does not share with the caller.
#[derive(Debug)]
pub(crate) struct Namespaces {
    new: Vec<LinuxNamespaceType>,
    /// The slot of each namespace to join, in the order that works.
    joined: Vec<(LinuxNamespaceType, u32, String)>,
    /// A process can't enter a pid namespace, and one that was executed with unmapped ids has no
    /// capabilities: in these cases a first stage clones the container's first process. In all others
    /// the spawn makes the new namespaces at once, and init joins the rest.
    pub(super) two_stages: bool,
}

impl Namespaces {
    pub(super) fn of(spec: &Spec, facts: &HostFacts, received: &mut Vec<Received>) -> Result<Self> {
        let all = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_deref());
        let mut new = Vec::new();
        let mut joined: Vec<(LinuxNamespaceType, PathBuf, String)> = Vec::new();
        for (index, namespace) in all.unwrap_or(&[]).iter().enumerate() {
            match namespace.path() {
                Some(path) => {
                    let property = format!("linux.namespaces[{index}]");
                    joined.push((namespace.typ(), path.clone(), property));
                }
                None => new.push(namespace.typ()),
            }
        }
        // Joining the user namespace gives up the caller's privileges over the others; without
        // privileges it is the user namespace that grants them.
        let privileged = facts.capabilities.effective & (1 << CAP_SYS_ADMIN) != 0;
        joined.sort_by_key(|(kind, ..)| (*kind == LinuxNamespaceType::User) == privileged);
        let is = |kind: LinuxNamespaceType| joined.iter().any(|(joined, ..)| *joined == kind);
        let two_stages = is(LinuxNamespaceType::Pid)
            || is(LinuxNamespaceType::User)
            || new.contains(&LinuxNamespaceType::User)
            || new.contains(&LinuxNamespaceType::Time) && !facts.kernel.time_namespace_at_exec;
        let joined = joined
            .into_iter()
            .map(|(typ, path, property)| {
                let slot = u32::try_from(received.len()).unwrap_or(NO_SLOT);
                let kind = NamespaceKind(typ);
                received.push(Received::Namespace { kind, path, property: property.clone() });
                (typ, slot, property)
            })
            .collect();
        Ok(Self { new, joined, two_stages })
    }

    /// Whether the container has one of its own, new or joined.
    pub(super) fn has(&self, kind: LinuxNamespaceType) -> bool {
        self.is_new(kind) || self.joined.iter().any(|(joined, ..)| *joined == kind)
    }

    pub(super) fn is_new(&self, kind: LinuxNamespaceType) -> bool {
        self.new.contains(&kind)
    }

    /// What is made by clone3(2). Not the cgroup namespace: it takes the cgroup that its maker is in as
    /// its root, and the container is not in its own yet.
    fn cloned(&self) -> u64 {
        let cloned = self.new.iter().filter(|kind| **kind != LinuxNamespaceType::Cgroup);
        cloned.fold(0, |flags, kind| flags | flag(*kind))
    }

    pub(super) fn spawn_flags(&self) -> u64 {
        if self.two_stages { 0 } else { self.cloned() }
    }

    pub(super) fn id_maps(&self, spec: &Spec) -> Option<(Vec<IdMap>, Vec<IdMap>)> {
        if !self.is_new(LinuxNamespaceType::User) {
            return None;
        }
        let linux = spec.linux().as_ref()?;
        let maps = |mappings: &Option<Vec<LinuxIdMapping>>| {
            mappings.iter().flatten().map(IdMap::from).collect()
        };
        Some((maps(linux.uid_mappings()), maps(linux.gid_mappings())))
    }
}

fn flag(kind: LinuxNamespaceType) -> u64 {
    u64::from(NamespaceKind(kind).flag())
}

impl Compilation<'_> {
    /// Session, dumpable flag and namespaces. Afterwards init is in all namespaces but the cgroup one.
    pub(super) fn enter_namespaces(&mut self) -> Result<()> {
        if self.in_user_namespace() {
            process::raise_limits(self)?;
        }
        // An unprivileged caller can't write the maps of a process that isn't dumpable.
        let needs_maps = self.namespaces.is_new(LinuxNamespaceType::User)
            && self.facts.capabilities.effective & MAP_WRITER != MAP_WRITER;
        if !needs_maps {
            self.image.push("process", &Operation::NotDumpable {})?;
        }
        for (kind, slot, property) in std::mem::take(&mut self.namespaces.joined) {
            let operation = Operation::JoinNamespace { slot, kind: NamespaceKind(kind).flag() };
            self.image.push(&property, &operation)?;
            self.namespaces.joined.push((kind, slot, property));
        }
        if self.namespaces.two_stages {
            let is_cgroup = |received: &Received| *received == Received::UnifiedCgroup;
            let cgroup = self.received.iter().position(is_cgroup);
            let cgroup = cgroup.map_or(Ok(NO_SLOT), u32::try_from).unwrap_or(NO_SLOT);
            let flags = self.namespaces.cloned();
            self.image.push("linux.namespaces", &Operation::Clone { flags, cgroup })?;
        }
        if needs_maps {
            self.image.push("process", &Operation::NotDumpable {})?;
        }
        self.image.push("process", &Operation::Session {})?;
        if self.request.has_stdio {
            self.image.push("process", &Operation::Stdio { first: 1 })?;
        }
        Ok(())
    }

    /// Root of the user namespace, from here on. Whatever needed the caller's own id, such as the way
    /// to the root filesystem, was opened before.
    pub(super) fn become_root(&mut self) -> Result<()> {
        if self.in_user_namespace() {
            self.image.push("linux.namespaces", &Operation::BecomeRoot {})?;
        }
        Ok(())
    }

    /// Host name, domain name, loopback.
    pub(super) fn name_host(&mut self) -> Result<()> {
        if let Some(name) = self.spec.hostname().as_ref().filter(|name| !name.is_empty()) {
            let name = TextBuf::new(name)?;
            self.image.push("hostname", &Operation::SetHostname { name: name.text() })?;
        }
        if let Some(name) = self.spec.domainname().as_ref().filter(|name| !name.is_empty()) {
            let name = TextBuf::new(name)?;
            self.image.push("domainname", &Operation::SetDomainname { name: name.text() })?;
        }
        if self.namespaces.is_new(LinuxNamespaceType::Network) {
            self.image.push("linux.namespaces", &Operation::LoopbackUp {})?;
        }
        Ok(())
    }

    /// The v1 cgroups, then the cgroup namespace, whose root is where init is then.
    pub(super) fn join_cgroups(&mut self) -> Result<()> {
        if !self.placement.v1.is_empty() {
            self.image.push("linux.cgroupsPath", &Operation::JoinCgroups {})?;
        }
        if self.namespaces.is_new(LinuxNamespaceType::Cgroup) {
            let flags = flag(LinuxNamespaceType::Cgroup);
            self.image.push("linux.namespaces", &Operation::Unshare { flags })?;
        }
        Ok(())
    }
}
