//! The limits of `linux.resources`, as far as no kernel has to be asked.

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, Spec};

use super::devices::{MAJORS, MINORS};
use super::{Report, Rule};
use crate::config::property::Property;
use crate::config::view;

/// Files of a v2 cgroup that move, stop or end processes, or make it another kind of cgroup: no limits.
/// Through them a configuration could let create hang, or touch processes of the host.
const NO_LIMITS: &[&str] =
    &["cgroup.freeze", "cgroup.kill", "cgroup.procs", "cgroup.threads", "cgroup.type"];

const A_NAME: &str = "a name without blanks";
const DEVICE: &str = "a major of 0 to 4095, a minor of 0 to 1048575";
const WEIGHT: &str = "10 to 1000, or 0 for none";

pub(super) const RULES: &[Rule] = &[
    Rule {
        property: "linux.resources.memory",
        allowed: "a number of bytes, or -1 for no limit",
        check: bytes,
    },
    Rule {
        property: "linux.resources.memory.swap",
        allowed: "a limit of memory and swap together, beside one of memory",
        check: swap,
    },
    Rule {
        property: "linux.resources.memory.swappiness",
        allowed: "0 to 100",
        check: |spec, report| {
            let swappiness = memory(spec).and_then(LinuxMemory::swappiness);
            // The Go runtimes write -1 for none.
            if let Some(value) = swappiness.filter(|value| *value > 100 && *value != u64::MAX) {
                report.wrong(format!(
                    "invalid memory swappiness value: {value} (valid range is 0-100)"
                ));
            }
        },
    },
    Rule {
        property: "linux.resources.cpu.idle",
        allowed: "0 or 1",
        check: |spec, report| {
            let cpu = view::resources(spec).and_then(|resources| resources.cpu().as_ref());
            if let Some(idle) = cpu.and_then(LinuxCpu::idle).filter(|idle| ![0, 1].contains(idle)) {
                report.wrong(format!("{idle} is out of range"));
            }
        },
    },
    Rule {
        property: "linux.resources.cpu.burst",
        allowed: "at most the quota",
        check: |spec, report| {
            let cpu = view::resources(spec).and_then(|resources| resources.cpu().as_ref());
            let quota = cpu.and_then(LinuxCpu::quota).and_then(|quota| u64::try_from(quota).ok());
            let quota = quota.filter(|quota| *quota > 0).unwrap_or(u64::MAX);
            if let Some(burst) = cpu.and_then(LinuxCpu::burst).filter(|burst| *burst > quota) {
                report.wrong(format!("{burst} is above the quota of {quota}"));
            }
        },
    },
    Rule { property: "linux.resources.blockIO", allowed: WEIGHT, check: weights },
    Rule {
        property: "linux.resources.blockIO.weightDevice",
        allowed: "a weight or a leafWeight",
        check: |spec, report| {
            let devices = block_io(spec).and_then(|block_io| block_io.weight_device().as_ref());
            for (index, device) in view::list(devices).iter().enumerate() {
                if device.weight().is_none() && device.leaf_weight().is_none() {
                    report.wrong_at(report.property().index(index), "has no weight");
                }
            }
        },
    },
    Rule { property: "linux.resources.blockIO", allowed: DEVICE, check: numbers },
    Rule {
        property: "linux.resources.hugepageLimits",
        allowed: "a size such as 64KB, 2MB or 1GB",
        check: page_sizes,
    },
    Rule {
        property: "linux.resources.hugepageLimits",
        allowed: "a number of bytes",
        check: |spec, report| {
            let limits = view::resources(spec).and_then(|r| r.hugepage_limits().as_ref());
            for (index, limit) in view::list(limits).iter().enumerate() {
                if limit.limit() < 0 {
                    let property = report.property().index(index).name("limit");
                    report.wrong_at(property, format!("{} is out of range", limit.limit()));
                }
            }
        },
    },
    Rule { property: "linux.resources.network.priorities", allowed: A_NAME, check: interfaces },
    Rule { property: "linux.resources.rdma", allowed: A_NAME, check: rdma },
    Rule {
        property: "linux.resources.rdma",
        allowed: "hcaHandles or hcaObjects",
        check: |spec, report| {
            let devices = view::resources(spec).and_then(|resources| resources.rdma().as_ref());
            for (name, limit) in view::sorted(devices) {
                if limit.hca_handles().is_none() && limit.hca_objects().is_none() {
                    report.wrong_at(report.property().name(name), "has no limit");
                }
            }
        },
    },
    Rule {
        property: "linux.resources.unified",
        allowed: "the name of a file of cgroup v2 that limits something",
        check: unified,
    },
];

fn memory(spec: &Spec) -> Option<&LinuxMemory> {
    view::resources(spec)?.memory().as_ref()
}

fn block_io(spec: &Spec) -> Option<&LinuxBlockIo> {
    view::resources(spec)?.block_io().as_ref()
}

fn bytes(spec: &Spec, report: &mut Report<'_>) {
    let Some(memory) = memory(spec) else {
        return;
    };
    for (name, limit) in [
        ("limit", memory.limit()),
        ("reservation", memory.reservation()),
        ("swap", memory.swap()),
        ("kernel", memory.kernel()),
        ("kernelTCP", memory.kernel_tcp()),
    ] {
        if let Some(limit) = limit.filter(|limit| *limit < -1) {
            let property = report.property().name(name);
            report.wrong_at(property, format!("invalid memory value: {limit}"));
        }
    }
}

/// Swap alone can't be limited on v1, and what is left for it on v2 would be negative.
fn swap(spec: &Spec, report: &mut Report<'_>) {
    let limits = memory(spec).map(|memory| (memory.limit(), memory.swap()));
    match limits {
        Some((None | Some(-1 | 0), Some(1..))) => {
            report.wrong("unable to set swap limit without memory limit");
        }
        Some((Some(limit), Some(swap @ 1..))) if swap < limit => {
            report.wrong("memory+swap limit should be >= memory limit");
        }
        _ => {}
    }
}

fn weights(spec: &Spec, report: &mut Report<'_>) {
    let Some(block_io) = block_io(spec) else {
        return;
    };
    let at = report.property();
    let mut weights = vec![
        (at.clone().name("weight"), block_io.weight()),
        (at.clone().name("leafWeight"), block_io.leaf_weight()),
    ];
    for (index, device) in view::list(block_io.weight_device().as_ref()).iter().enumerate() {
        let at = at.clone().name("weightDevice").index(index);
        weights.push((at.clone().name("weight"), device.weight()));
        weights.push((at.name("leafWeight"), device.leaf_weight()));
    }
    for (property, weight) in weights {
        if let Some(weight) = weight.filter(|weight| !matches!(weight, 0 | 10..=1000)) {
            report.wrong_at(property, format!("{weight} is out of range"));
        }
    }
}

fn numbers(spec: &Spec, report: &mut Report<'_>) {
    let Some(block_io) = block_io(spec) else {
        return;
    };
    let at =
        |name: &str, index: usize| Property::at("linux.resources.blockIO").name(name).index(index);
    let mut devices = Vec::new();
    for (index, device) in view::list(block_io.weight_device().as_ref()).iter().enumerate() {
        devices.push((at("weightDevice", index), device.major(), device.minor()));
    }
    for (name, list) in [
        ("throttleReadBpsDevice", block_io.throttle_read_bps_device()),
        ("throttleWriteBpsDevice", block_io.throttle_write_bps_device()),
        ("throttleReadIOPSDevice", block_io.throttle_read_iops_device()),
        ("throttleWriteIOPSDevice", block_io.throttle_write_iops_device()),
    ] {
        for (index, device) in view::list(list.as_ref()).iter().enumerate() {
            devices.push((at(name, index), device.major(), device.minor()));
        }
    }
    for (property, major, minor) in devices {
        for (name, number, range) in [("major", major, MAJORS), ("minor", minor, MINORS)] {
            if !range.contains(&number) {
                let property = property.clone().name(name);
                report.wrong_at(property, format!("{number} is out of range"));
            }
        }
    }
}

/// `^[1-9][0-9]*[KMG]B$`: it becomes a part of the name of a file.
fn page_sizes(spec: &Spec, report: &mut Report<'_>) {
    let limits = view::resources(spec).and_then(|resources| resources.hugepage_limits().as_ref());
    for (index, limit) in view::list(limits).iter().enumerate() {
        let size = limit.page_size();
        let number = ["KB", "MB", "GB"].iter().find_map(|unit| size.strip_suffix(unit));
        let is_size = number.is_some_and(|number| {
            !number.is_empty()
                && !number.starts_with('0')
                && number.bytes().all(|digit| digit.is_ascii_digit())
        });
        if !is_size {
            let property = report.property().index(index).name("pageSize");
            report.wrong_at(property, format!("{size:?} is no size of a page"));
        }
    }
}

/// Names become words of a line; a blank in one would make it another line.
fn is_word(name: &str) -> bool {
    !name.is_empty() && !name.contains(char::is_whitespace)
}

fn interfaces(spec: &Spec, report: &mut Report<'_>) {
    let network = view::resources(spec).and_then(|resources| resources.network().as_ref());
    let priorities = network.and_then(|network| network.priorities().as_ref());
    for (index, priority) in view::list(priorities).iter().enumerate() {
        if !is_word(priority.name()) {
            let property = report.property().index(index).name("name");
            report.wrong_at(property, format!("{:?} is no interface", priority.name()));
        }
    }
}

fn rdma(spec: &Spec, report: &mut Report<'_>) {
    let devices = view::resources(spec).and_then(|resources| resources.rdma().as_ref());
    for (name, _) in view::sorted(devices) {
        if !is_word(name) {
            let property = report.property().name(name);
            report.wrong_at(property, format!("{name:?} is no device"));
        }
    }
}

fn unified(spec: &Spec, report: &mut Report<'_>) {
    let files = view::resources(spec).and_then(|resources| resources.unified().as_ref());
    for (file, _) in view::sorted(files) {
        let controller = file.split_once('.').filter(|(controller, _)| !controller.is_empty());
        let wrong = if file.contains('/') {
            format!("unified resource {file:?} must be a file name (no slashes)")
        } else if controller.is_none() {
            format!("unified resource {file:?} must be in the form CONTROLLER.PARAMETER")
        } else if NO_LIMITS.contains(&file.as_str()) {
            format!("unified resource {file:?} is not a limit")
        } else {
            continue;
        };
        let property = report.property().name(file);
        report.wrong_at(property, wrong);
    }
}
