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
mod tests {
    use super::super::tests::told;
    use super::*;
    use crate::error::ErrorKind;

    const REUSED: &str = " (if the cgroup was there)";

    fn lines(json: &str) -> Vec<String> {
        let short = |line: String| match line.strip_suffix(REUSED) {
            Some(line) => format!("~{line}"),
            None => line,
        };
        told(v2_writes, json).unwrap().into_iter().map(short).collect()
    }

    const ROWS: &[(&str, &[&str])] = &[
        (
            r#"{"memory":{"limit":200,"swap":300,"reservation":100,"kernel":5,"kernelTCP":-1}}"#,
            &[
                "memory.swap: memory.swap.max 100",
                "memory.limit: memory.max 200",
                "memory.reservation: memory.low 100",
            ],
        ),
        (
            r#"{"memory":{"limit":200,"swap":200}}"#,
            &["memory.swap: memory.swap.max 0", "memory.limit: memory.max 200"],
        ),
        (r#"{"memory":{"limit":200}}"#, &["memory.limit: memory.max 200"]),
        (
            r#"{"memory":{"limit":200,"swap":-1}}"#,
            &["memory.swap: memory.swap.max max", "memory.limit: memory.max 200"],
        ),
        (
            r#"{"memory":{"limit":-1,"reservation":-1}}"#,
            &[
                "~memory.limit: memory.swap.max max",
                "memory.limit: memory.max max",
                "memory.reservation: memory.low max",
            ],
        ),
        (
            r#"{"cpu":{"shares":1024,"idle":1}}"#,
            &["~cpu.shares: cpu.idle 0", "cpu.shares: cpu.weight 100", "cpu.idle: cpu.idle 1"],
        ),
        (
            r#"{"cpu":{"quota":20000,"period":50000,"burst":10000}}"#,
            &[
                "~cpu.quota: cpu.max.burst 0",
                "cpu.quota: cpu.max 20000 50000",
                "cpu.burst: cpu.max.burst 10000",
            ],
        ),
        (
            r#"{"cpu":{"quota":20000}}"#,
            &["~cpu.quota: cpu.max.burst 0", "cpu.quota: cpu.max 20000 100000"],
        ),
        (
            r#"{"cpu":{"quota":-1}}"#,
            &["~cpu.quota: cpu.max.burst 0", "cpu.quota: cpu.max max 100000"],
        ),
        (
            r#"{"cpu":{"period":50000}}"#,
            &["~cpu.period: cpu.max.burst 0", "cpu.period: cpu.max max 50000"],
        ),
        (
            r#"{"cpu":{"cpus":"0,2-3","mems":"0"}}"#,
            &["cpu.cpus: cpuset.cpus 0,2-3", "cpu.mems: cpuset.mems 0"],
        ),
        (r#"{"pids":{"limit":7}}"#, &["pids.limit: pids.max 7"]),
        (r#"{"pids":{"limit":0}}"#, &["pids.limit: pids.max 1"]),
        (r#"{"pids":{"limit":-1}}"#, &["pids.limit: pids.max max"]),
        (
            r#"{"blockIO":{"weight":100,"weightDevice":[{"major":8,"minor":0,"weight":1000},{"major":8,"minor":1}]}}"#,
            &[
                "blockIO.weight: io.bfq.weight 100 or io.weight 910",
                "blockIO.weightDevice[0]: io.bfq.weight 8:0 1000 or io.weight 8:0 10000",
            ],
        ),
        (
            r#"{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1}],
                "throttleWriteBpsDevice":[{"major":8,"minor":1,"rate":2}],
                "throttleReadIOPSDevice":[{"major":8,"minor":3,"rate":3}],
                "throttleWriteIOPSDevice":[{"major":8,"minor":4,"rate":4}]}}"#,
            &[
                "blockIO.throttleReadBpsDevice[0]: io.max 8:0 rbps=1",
                "blockIO.throttleWriteBpsDevice[0]: io.max 8:1 wbps=2",
                "blockIO.throttleReadIOPSDevice[0]: io.max 8:3 riops=3",
                "blockIO.throttleWriteIOPSDevice[0]: io.max 8:4 wiops=4",
            ],
        ),
        (
            r#"{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}"#,
            &[
                "hugepageLimits[0]: hugetlb.2MB.max 4194304",
                "hugepageLimits[0]: hugetlb.2MB.rsvd.max 4194304",
            ],
        ),
        (
            r#"{"rdma":{"mlx5_1":{"hcaHandles":3,"hcaObjects":9}}}"#,
            &["rdma.mlx5_1: rdma.max mlx5_1 hca_handle=3 hca_object=9"],
        ),
        (
            r#"{"pids":{"limit":7},"unified":{"pids.max":"8","io.max":"8:0 rbps=1\n8:16 wbps=max\n","cpu.pressure":""}}"#,
            &[
                "pids.limit: pids.max 7",
                r#"unified["cpu.pressure"]: cpu.pressure "#,
                r#"unified["io.max"]: io.max 8:0 rbps=1"#,
                r#"unified["io.max"]: io.max 8:16 wbps=max"#,
                r#"unified["pids.max"]: pids.max 8"#,
            ],
        ),
    ];

    #[test]
    fn each_property_has_its_file() {
        for (json, expected) in ROWS {
            assert_eq!(lines(json), *expected, "{json}");
        }
    }

    #[test]
    fn what_v2_cannot_do_is_refused_by_name() {
        for (json, property) in [
            (r#"{"memory":{"swappiness":0}}"#, "memory.swappiness"),
            (r#"{"memory":{"disableOOMKiller":true}}"#, "memory.disableOOMKiller"),
            (r#"{"memory":{"kernelTCP":1}}"#, "memory.kernelTCP"),
            (r#"{"cpu":{"realtimeRuntime":1}}"#, "cpu.realtimeRuntime"),
            (r#"{"cpu":{"realtimePeriod":1}}"#, "cpu.realtimePeriod"),
            (r#"{"blockIO":{"leafWeight":10}}"#, "blockIO.leafWeight"),
            (
                r#"{"blockIO":{"weightDevice":[{"major":1,"minor":1,"leafWeight":10}]}}"#,
                "blockIO.leafWeight",
            ),
            (r#"{"network":{"classID":0}}"#, "network.classID"),
            (r#"{"network":{"priorities":[{"name":"lo","priority":1}]}}"#, "network.priorities"),
        ] {
            let error = told(v2_writes, json).unwrap_err();
            let property = format!("linux.resources.{property}");
            assert_eq!(error.property(), Some(property.as_str()));
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().starts_with(&property), "{error}");
        }
    }

    #[test]
    fn shares_and_weights() {
        // runc's own table (libcontainer/cgroups/utils_test.go), and that the order is kept.
        for (shares, weight) in
            [(1, 1), (2, 1), (1024, 100), (262_144, 10_000), (262_145, 10_000), (u64::MAX, 10_000)]
        {
            assert_eq!(weight_of_shares(shares), weight, "{shares}");
        }
        let mut last = 1;
        for shares in 2..=262_144 {
            let weight = weight_of_shares(shares);
            assert!((last..=10_000).contains(&weight), "{shares}: {weight}");
            last = weight;
        }
        for (weight, expected) in [(10, 1), (500, 4950), (1000, 10_000)] {
            assert_eq!(io_weight(weight), expected);
        }
    }
}
