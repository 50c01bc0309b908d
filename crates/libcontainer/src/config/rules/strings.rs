//! Strings that the kernel gets: a NUL byte would end them early, so that another file, option or
//! argument is used than the one that was checked. (`process.env` has a rule of its own.)

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use oci_spec::runtime::{Process, Spec};

use super::Rule;
use crate::config::property::Property;
use crate::config::view;

const NO_NUL: &str = "a string without NUL bytes";

pub(super) const RULES: &[Rule] = &[Rule {
    property: "",
    allowed: NO_NUL,
    check: |spec, report| {
        let mut found = Vec::new();
        for subject in [top, mounts, hooks, linux, resources] {
            subject(spec, &mut |property, string| {
                if string.as_bytes().contains(&0) {
                    found.push(property());
                }
            });
        }
        for property in found {
            report.wrong_at(property, "contains nul byte (\\x00)");
        }
    },
}];

/// Takes a string and, when it is needed, where it stands.
type Visit<'v> = dyn FnMut(&dyn Fn() -> Property, &OsStr) + 'v;

fn top(spec: &Spec, visit: &mut Visit<'_>) {
    let process = view::process(spec);
    for (index, arg) in view::list(process.and_then(|p| p.args().as_ref())).iter().enumerate() {
        visit(&|| Property::at("process.args").index(index), arg.as_ref());
    }
    if let Some(cwd) = process.map(Process::cwd) {
        visit(&|| Property::at("process.cwd"), cwd.as_ref());
    }
    for (name, label) in [
        ("process.apparmorProfile", process.and_then(|p| p.apparmor_profile().as_ref())),
        ("process.selinuxLabel", process.and_then(|p| p.selinux_label().as_ref())),
        ("linux.mountLabel", view::linux(spec).and_then(|l| l.mount_label().as_ref())),
    ] {
        visit(&|| Property::at(name), view::text(label).unwrap_or_default().as_ref());
    }
    if let Some(root) = spec.root() {
        visit(&|| Property::at("root.path"), root.path().as_ref());
    }
    for (name, string) in
        [("hostname", view::hostname(spec)), ("domainname", view::domainname(spec))]
    {
        visit(&|| Property::at(name), string.unwrap_or_default().as_ref());
    }
}

fn mounts(spec: &Spec, visit: &mut Visit<'_>) {
    for (index, mount) in view::mounts(spec).iter().enumerate() {
        let property = || Property::at("mounts").index(index);
        visit(&|| property().name("destination"), mount.destination().as_ref());
        if let Some(typ) = mount.typ() {
            visit(&|| property().name("type"), typ.as_ref());
        }
        if let Some(source) = mount.source() {
            visit(&|| property().name("source"), source.as_ref());
        }
        for (at, option) in view::list(mount.options().as_ref()).iter().enumerate() {
            visit(&|| property().name("options").index(at), option.as_ref());
        }
    }
}

fn hooks(spec: &Spec, visit: &mut Visit<'_>) {
    for (kind, index, hook) in view::hooks(spec) {
        let property = || Property::at("hooks").name(kind).index(index);
        visit(&|| property().name("path"), hook.path().as_ref());
        for (name, list) in [("args", hook.args()), ("env", hook.env())] {
            for (at, string) in view::list(list.as_ref()).iter().enumerate() {
                visit(&|| property().name(name).index(at), string.as_ref());
            }
        }
    }
}

fn linux(spec: &Spec, visit: &mut Visit<'_>) {
    for (index, namespace) in view::namespaces(spec).iter().enumerate() {
        if let Some(path) = view::namespace_path(namespace) {
            visit(&|| Property::at("linux.namespaces").index(index).name("path"), path.as_ref());
        }
    }
    for (index, device) in view::devices(spec).iter().enumerate() {
        visit(&|| Property::at("linux.devices").index(index).name("path"), device.path().as_ref());
    }
    for (name, paths) in [
        ("linux.maskedPaths", view::masked_paths(spec)),
        ("linux.readonlyPaths", view::readonly_paths(spec)),
    ] {
        for (index, path) in paths.iter().enumerate() {
            visit(&|| Property::at(name).index(index), path.as_ref());
        }
    }
    if let Some(path) = view::seccomp(spec).and_then(|profile| profile.listener_path().as_ref()) {
        visit(&|| Property::at("linux.seccomp.listenerPath"), path.as_ref());
    }
    if let Some(path) = view::linux(spec).and_then(|linux| linux.cgroups_path().as_ref()) {
        visit(&|| Property::at("linux.cgroupsPath"), path.as_ref());
    }
}

fn resources(spec: &Spec, visit: &mut Visit<'_>) {
    let Some(resources) = view::resources(spec) else {
        return;
    };
    let at = |name: &str| Property::at("linux.resources").name(name);
    if let Some(cpu) = resources.cpu() {
        for (name, list) in [("cpus", cpu.cpus()), ("mems", cpu.mems())] {
            visit(&|| at("cpu").name(name), list.as_deref().unwrap_or_default().as_ref());
        }
    }
    let network = resources.network().as_ref();
    let priorities = network.and_then(|network| network.priorities().as_ref());
    for (index, priority) in view::list(priorities).iter().enumerate() {
        let property = || at("network").name("priorities").index(index).name("name");
        visit(&property, priority.name().as_ref());
    }
    for device in view::sorted(resources.rdma().as_ref()) {
        visit(&|| at("rdma").name(device.0), device.0.as_ref());
    }
    for (file, value) in view::sorted(resources.unified().as_ref()) {
        visit(&|| at("unified").name(file), file.as_ref());
        visit(&|| at("unified").name(file), value.as_ref());
    }
}
