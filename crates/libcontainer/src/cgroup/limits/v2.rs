//! The limits of cgroup v2. What has no counterpart there is refused: the specification wants an error
//! for a property that can't be applied.

use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxHugepageLimit, LinuxMemory, LinuxNetwork, LinuxResources,
};

use super::{Check, Limit, PAGE, bytes, not_on_v2, page_size, set, swappiness};
use crate::config::Property;
use crate::error::Result;

/// What is written into the v2 files: `unified` last, so that it wins.
pub(super) fn v2_writes(resources: &LinuxResources) -> Result<Vec<Limit>> {
    let mut limits = Vec::new();
    if let Some(memory) = resources.memory() {
        self::memory(memory, &mut limits)?;
    }
    if let Some(cpu) = resources.cpu() {
        self::cpu(cpu, &mut limits)?;
        cpuset(cpu, &mut limits);
    }
    if let Some(pids) = resources.pids() {
        // The clone puts init into the cgroup, and a limit of 0 forbids that. Either way the first
        // process stays the only one.
        let limit = pids.limit();
        limits.push(super::pids(if limit == 0 { 1 } else { limit }));
    }
    if let Some(block_io) = resources.block_io() {
        weights(block_io, &mut limits)?;
        throttles(block_io, &mut limits);
    }
    for (index, limit) in resources.hugepage_limits().iter().flatten().enumerate() {
        limits.extend(hugepages(index, limit));
    }
    if let Some(network) = resources.network() {
        refuse_network(network)?;
    }
    limits.extend(super::rdma(resources));
    unified(resources, &mut limits);
    Ok(limits)
}

fn memory(memory: &LinuxMemory, limits: &mut Vec<Limit>) -> Result<()> {
    let max = |name, file, value: i64| {
        let limit = |value: &dyn std::fmt::Display| {
            Limit::new(format_args!("memory.{name}"), "memory", file, value)
        };
        match value {
            ..0 => limit(&"max").check(Check::Same),
            _ => limit(&value).check(bytes(value, PAGE)),
        }
    };
    const SWAP: &str = "memory.swap.max";
    match (set(memory.limit()), set(memory.swap())) {
        // On v2 swap has a limit of its own. The rules have seen to it that the sum is no less.
        (Some(limit), Some(swap)) if limit > 0 && swap > 0 => {
            let alone = swap.saturating_sub(limit);
            let limit = max("swap", SWAP, alone);
            // A kernel without swap has no file, and uses none.
            limits.push(if alone == 0 { limit.may_be_absent() } else { limit });
        }
        // An unlimited memory means an unlimited swap, unless that is set.
        (Some(..0), None) => limits.push(max("limit", SWAP, -1).reused()),
        (_, Some(swap)) => limits.push(max("swap", SWAP, swap).may_be_absent()),
        (_, None) => {}
    }
    if let Some(limit) = set(memory.limit()) {
        limits.push(max("limit", "memory.max", limit));
    }
    if let Some(reservation) = set(memory.reservation()) {
        limits.push(max("reservation", "memory.low", reservation));
    }
    if memory.kernel_tcp().is_some_and(|limit| limit > 0) {
        return Err(not_on_v2("memory.kernelTCP", "memory.max counts it along"));
    }
    if swappiness(memory).is_some() {
        return Err(not_on_v2("memory.swappiness", "no file has it"));
    }
    if memory.disable_oom_killer() == Some(true) {
        return Err(not_on_v2("memory.disableOOMKiller", "no file has it"));
    }
    Ok(())
}

/// A cgroup that is idle refuses a weight (EINVAL), and the burst must not be above the quota.
fn cpu(cpu: &LinuxCpu, limits: &mut Vec<Limit>) -> Result<()> {
    for (name, is_set) in [
        ("realtimeRuntime", set(cpu.realtime_runtime()).is_some()),
        ("realtimePeriod", set(cpu.realtime_period()).is_some()),
    ] {
        if is_set {
            return Err(not_on_v2(&format!("cpu.{name}"), "no file has it"));
        }
    }
    if let Some(shares) = set(cpu.shares()) {
        limits.push(Limit::new("cpu.shares", "cpu", "cpu.idle", 0).reused());
        let limit = Limit::new("cpu.shares", "cpu", "cpu.weight", weight_of_shares(shares));
        limits.push(limit.check(Check::Same));
    }
    if let Some(idle) = cpu.idle() {
        limits.push(Limit::new("cpu.idle", "cpu", "cpu.idle", idle).check(Check::Same));
    }
    let (quota, period, burst) = (set(cpu.quota()), set(cpu.period()), cpu.burst());
    if quota.is_some() || period.is_some() {
        let name = if quota.is_some() { "cpu.quota" } else { "cpu.period" };
        let quota = quota.filter(|quota| *quota > 0).map(|quota| quota.to_string());
        let quota = quota.as_deref().unwrap_or("max");
        let period = period.unwrap_or(100_000);
        limits.push(Limit::new(name, "cpu", "cpu.max.burst", 0).reused());
        let limit = Limit::new(name, "cpu", "cpu.max", format_args!("{quota} {period}"));
        limits.push(limit.check(Check::Same));
    }
    if let Some(burst) = burst {
        let limit = Limit::new("cpu.burst", "cpu", "cpu.max.burst", burst).check(Check::Same);
        // Before Linux 5.14 nothing bursts.
        limits.push(if burst == 0 { limit.may_be_absent() } else { limit });
    }
    Ok(())
}

/// The kernel takes any list, and gives what the parent has if that has nothing of it.
fn cpuset(cpu: &LinuxCpu, limits: &mut Vec<Limit>) {
    for (name, file, effective, list) in [
        ("cpus", "cpuset.cpus", "cpuset.cpus.effective", cpu.cpus()),
        ("mems", "cpuset.mems", "cpuset.mems.effective", cpu.mems()),
    ] {
        if let Some(list) = list.as_ref().filter(|list| !list.is_empty()) {
            let limit = Limit::new(format_args!("cpu.{name}"), "cpuset", file, list);
            limits.push(limit.check(Check::Within(effective)));
        }
    }
}

/// BFQ's weights are those of v1; io.weight has a range of its own.
fn weights(block_io: &LinuxBlockIo, limits: &mut Vec<Limit>) -> Result<()> {
    let leaf = || not_on_v2("blockIO.leafWeight", "no file has it");
    if set(block_io.leaf_weight()).is_some() {
        return Err(leaf());
    }
    if let Some(weight) = set(block_io.weight()) {
        let bfq = Limit::new("blockIO.weight", "io", "io.bfq.weight", weight);
        limits.push(bfq.instead("io.weight", io_weight(weight)));
    }
    for (index, device) in block_io.weight_device().iter().flatten().enumerate() {
        if set(device.leaf_weight()).is_some() {
            return Err(leaf());
        }
        let Some(weight) = set(device.weight()) else { continue };
        let (major, minor) = (device.major(), device.minor());
        let property = format_args!("blockIO.weightDevice[{index}]");
        let value = format_args!("{major}:{minor} {weight}");
        let bfq = Limit::new(property, "io", "io.bfq.weight", value);
        let value = format_args!("{major}:{minor} {}", io_weight(weight));
        limits.push(bfq.instead("io.weight", value));
    }
    Ok(())
}

fn throttles(block_io: &LinuxBlockIo, limits: &mut Vec<Limit>) {
    for (name, devices, file) in super::throttles(block_io) {
        let key = match file {
            "read_bps" => "rbps",
            "write_bps" => "wbps",
            "read_iops" => "riops",
            _ => "wiops",
        };
        for (index, device) in devices.iter().enumerate() {
            let value =
                format_args!("{}:{} {key}={}", device.major(), device.minor(), device.rate());
            let property = format_args!("blockIO.{name}[{index}]");
            limits.push(Limit::new(property, "io", "io.max", value));
        }
    }
}

/// The limit of usage, and that of reservations where the kernel has one (Linux 5.7).
fn hugepages(index: usize, limit: &LinuxHugepageLimit) -> [Limit; 2] {
    let size = limit.page_size();
    ["", "rsvd."].map(|kind| {
        let property = format_args!("hugepageLimits[{index}]");
        let file = format!("hugetlb.{size}.{kind}max");
        let write = Limit::new(property, "hugetlb", file, limit.limit())
            .check(bytes(limit.limit(), page_size(size).unwrap_or(PAGE)));
        if kind.is_empty() { write } else { write.may_be_absent() }
    })
}

fn refuse_network(network: &LinuxNetwork) -> Result<()> {
    let instead = "a BPF program has to do that";
    if network.class_id().is_some() {
        return Err(not_on_v2("network.classID", instead));
    }
    match network.priorities().as_ref().is_some_and(|priorities| !priorities.is_empty()) {
        true => Err(not_on_v2("network.priorities", instead)),
        false => Ok(()),
    }
}

/// As they stand there, line by line: the kernel takes one device in a write.
fn unified(resources: &LinuxResources, limits: &mut Vec<Limit>) {
    let mut all: Vec<_> = resources.unified().iter().flatten().collect();
    all.sort();
    for (file, value) in all {
        let property = Property::at("unified").name(file);
        let controller = file.split('.').next().unwrap_or_default();
        let lines: Vec<&str> = match value.contains('\n') {
            true => value.lines().filter(|line| !line.is_empty()).collect(),
            false => vec![value],
        };
        for line in lines {
            limits.push(Limit::new(&property, controller, file, line));
        }
    }
}

/// CPU shares of v1 (2 to 262144, 1024 by default) as a weight of v2 (1 to 10000, 100 by default): the
/// quadratic function that meets minimum, default and maximum, as runc has it since 1.3.2.
fn weight_of_shares(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        _ => {
            #[expect(clippy::cast_precision_loss, reason = "it is below 2^18")]
            let l = (shares as f64).log2();
            let weight = 10_f64.powf((l * l + 125.0 * l) / 612.0 - 7.0 / 34.0).ceil();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is a whole number from 1 to 10000"
            )]
            let weight = weight as u64;
            weight
        }
    }
}

/// A weight of v1 (10 to 1000) as one of v2 (1 to 10000).
fn io_weight(weight: u16) -> u64 {
    1 + u64::from(weight).saturating_sub(10) * 9999 / 990
}

#[cfg(test)]
mod tests;
