//! A `Spec` without its `Option`s: an absent list is an empty one, an empty string is an absent one, as
//! the Go runtimes read both.

use std::collections::HashMap;
use std::path::Path;

use oci_spec::runtime::{
    Hook, Linux, LinuxDevice, LinuxDeviceCgroup, LinuxIdMapping, LinuxNamespace,
    LinuxNamespaceType, LinuxNetDevice, LinuxResources, LinuxSeccomp, LinuxTimeOffset, Mount,
    PosixRlimit, Process, Spec, User,
};

/// The elements of a list that may be absent.
pub(super) fn list<T>(elements: Option<&Vec<T>>) -> &[T] {
    elements.map_or(&[], Vec::as_slice)
}

/// The members of an object that may be absent, by name: the map forgets their order.
pub(super) fn sorted<T>(members: Option<&HashMap<String, T>>) -> Vec<(&String, &T)> {
    let mut members: Vec<_> = members.into_iter().flatten().collect();
    members.sort_by_key(|(name, _)| *name);
    members
}

/// A string that is there and not empty.
pub(super) fn text(string: Option<&String>) -> Option<&str> {
    string.map(String::as_str).filter(|text| !text.is_empty())
}

pub(super) fn process(spec: &Spec) -> Option<&Process> {
    spec.process().as_ref()
}

pub(super) fn user(spec: &Spec) -> Option<&User> {
    process(spec).map(Process::user)
}

pub(super) fn rlimits(spec: &Spec) -> &[PosixRlimit] {
    list(process(spec).and_then(|process| process.rlimits().as_ref()))
}

pub(super) fn linux(spec: &Spec) -> Option<&Linux> {
    spec.linux().as_ref()
}

pub(super) fn resources(spec: &Spec) -> Option<&LinuxResources> {
    linux(spec)?.resources().as_ref()
}

pub(super) fn mounts(spec: &Spec) -> &[Mount] {
    list(spec.mounts().as_ref())
}

pub(super) fn namespaces(spec: &Spec) -> &[LinuxNamespace] {
    list(linux(spec).and_then(|linux| linux.namespaces().as_ref()))
}

pub(super) fn namespace(spec: &Spec, typ: LinuxNamespaceType) -> Option<&LinuxNamespace> {
    namespaces(spec).iter().find(|namespace| namespace.typ() == typ)
}

/// The path of the namespace that is to be joined; none for a new one.
pub(super) fn namespace_path(namespace: &LinuxNamespace) -> Option<&Path> {
    namespace.path().as_deref().filter(|path| !path.as_os_str().is_empty())
}

pub(super) fn uid_mappings(spec: &Spec) -> &[LinuxIdMapping] {
    list(linux(spec).and_then(|linux| linux.uid_mappings().as_ref()))
}

pub(super) fn gid_mappings(spec: &Spec) -> &[LinuxIdMapping] {
    list(linux(spec).and_then(|linux| linux.gid_mappings().as_ref()))
}

/// The offsets of clocks, sorted by name.
pub(super) fn time_offsets(spec: &Spec) -> Vec<(&String, &LinuxTimeOffset)> {
    sorted(linux(spec).and_then(|linux| linux.time_offsets().as_ref()))
}

/// The network devices of the host, sorted by name.
pub(super) fn net_devices(spec: &Spec) -> Vec<(&String, &LinuxNetDevice)> {
    sorted(linux(spec).and_then(|linux| linux.net_devices().as_ref()))
}

pub(super) fn devices(spec: &Spec) -> &[LinuxDevice] {
    list(linux(spec).and_then(|linux| linux.devices().as_ref()))
}

pub(super) fn device_rules(spec: &Spec) -> &[LinuxDeviceCgroup] {
    list(resources(spec).and_then(|resources| resources.devices().as_ref()))
}

/// Names and values of sysctls, sorted.
pub(super) fn sysctls(spec: &Spec) -> Vec<(&str, &str)> {
    let sysctls = linux(spec).and_then(|linux| linux.sysctl().as_ref()).into_iter().flatten();
    let mut sysctls: Vec<_> = sysctls.map(|(name, value)| (&**name, &**value)).collect();
    sysctls.sort_unstable();
    sysctls
}

pub(super) fn masked_paths(spec: &Spec) -> &[String] {
    list(linux(spec).and_then(|linux| linux.masked_paths().as_ref()))
}

pub(super) fn readonly_paths(spec: &Spec) -> &[String] {
    list(linux(spec).and_then(|linux| linux.readonly_paths().as_ref()))
}

pub(super) fn rootfs_propagation(spec: &Spec) -> Option<&str> {
    text(linux(spec)?.rootfs_propagation().as_ref())
}

pub(super) fn seccomp(spec: &Spec) -> Option<&LinuxSeccomp> {
    linux(spec)?.seccomp().as_ref()
}

pub(super) fn hostname(spec: &Spec) -> Option<&str> {
    text(spec.hostname().as_ref())
}

pub(super) fn domainname(spec: &Spec) -> Option<&str> {
    text(spec.domainname().as_ref())
}

/// All hooks, each with the name of its kind and its place there, in the order of a container's life.
pub(crate) fn hooks(spec: &Spec) -> impl Iterator<Item = (&'static str, usize, &Hook)> {
    #[allow(deprecated, reason = "engines still configure prestart hooks")]
    let lists = spec.hooks().as_ref().map(|hooks| {
        [
            ("prestart", hooks.prestart()),
            ("createRuntime", hooks.create_runtime()),
            ("createContainer", hooks.create_container()),
            ("startContainer", hooks.start_container()),
            ("poststart", hooks.poststart()),
            ("poststop", hooks.poststop()),
        ]
    });
    lists.into_iter().flatten().flat_map(|(kind, list)| {
        list.iter().flatten().enumerate().map(move |(index, hook)| (kind, index, hook))
    })
}
