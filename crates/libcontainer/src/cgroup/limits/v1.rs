//! The limits of cgroup v1, controller by controller. The order within a controller is the kernel's.

use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxHugepageLimit, LinuxMemory, LinuxNetwork, LinuxResources,
    LinuxThrottleDevice,
};

use super::{Check, Limit, PAGE, bytes, page_size, refused, set, swappiness};
use crate::error::{ErrorKind, Result};

/// What is written into the v1 files.
pub(super) fn v1_writes(resources: &LinuxResources) -> Result<Vec<Limit>> {
    let mut limits = Vec::new();
    if let Some(memory) = resources.memory() {
        self::memory(memory, &mut limits);
    }
    if let Some(cpu) = resources.cpu() {
        shares(cpu, &mut limits);
        bandwidth(cpu, &mut limits);
        realtime(cpu, &mut limits);
        cpuset(cpu, &mut limits);
    }
    if let Some(pids) = resources.pids() {
        limits.push(super::pids(pids.limit()));
    }
    if let Some(block_io) = resources.block_io() {
        weights(block_io, &mut limits);
        throttles(block_io, &mut limits);
    }
    for (index, limit) in resources.hugepage_limits().iter().flatten().enumerate() {
        limits.extend(hugepages(index, limit));
    }
    if let Some(network) = resources.network() {
        self::network(network, &mut limits);
    }
    limits.extend(super::rdma(resources));
    match resources.unified().as_ref().is_some_and(|unified| !unified.is_empty()) {
        false => Ok(limits),
        true => Err(refused(
            "linux.resources.unified",
            ErrorKind::InvalidConfig,
            "invalid configuration: cannot use unified on cgroup v1",
        )),
    }
}

/// The limit of memory and swap together is never below that of memory alone: the kernel refuses the
/// write (EINVAL) after which it would be. In a new cgroup both are unlimited, and memory comes first.
fn memory(memory: &LinuxMemory, limits: &mut Vec<Limit>) {
    const SWAP: &str = "memory.memsw.limit_in_bytes";
    let limit = |name, file, value: i64| {
        let limit = Limit::new(format_args!("memory.{name}"), "memory", file, value);
        limit.check(bytes(value, PAGE))
    };
    // An unlimited memory means an unlimited swap, unless that is set.
    if set(memory.limit()).is_some() {
        limits.push(Limit::new("memory.limit", "memory", SWAP, -1).reused());
    }
    if let Some(value) = set(memory.limit()) {
        limits.push(limit("limit", "memory.limit_in_bytes", value));
    }
    if let Some(value) = set(memory.swap()) {
        let swap = limit("swap", SWAP, value);
        // Without an account of swap, none of it is limited anyway.
        limits.push(if value < 0 { swap.may_be_absent() } else { swap });
    }
    if let Some(value) = set(memory.reservation()) {
        limits.push(limit("reservation", "memory.soft_limit_in_bytes", value));
    }
    if let Some(value) = set(memory.kernel_tcp()) {
        limits.push(limit("kernelTCP", "memory.kmem.tcp.limit_in_bytes", value));
    }
    if memory.disable_oom_killer() == Some(true) {
        let disabled = Check::Line("oom_kill_disable 1".to_string());
        let limit = Limit::new("memory.disableOOMKiller", "memory", "memory.oom_control", 1);
        limits.push(limit.check(disabled));
    }
    if let Some(value) = swappiness(memory) {
        let limit = Limit::new("memory.swappiness", "memory", "memory.swappiness", value);
        limits.push(limit.check(Check::Same));
    }
}

/// A cgroup that is idle refuses shares (EINVAL).
fn shares(cpu: &LinuxCpu, limits: &mut Vec<Limit>) {
    if let Some(shares) = set(cpu.shares()) {
        limits.push(Limit::new("cpu.shares", "cpu", "cpu.idle", 0).reused());
        let limit = Limit::new("cpu.shares", "cpu", "cpu.shares", shares);
        limits.push(limit.check(Check::Shares(shares)));
    }
    if let Some(idle) = cpu.idle() {
        limits.push(Limit::new("cpu.idle", "cpu", "cpu.idle", idle).check(Check::Same));
    }
}

/// The quota must fit the parent's as a share of the period, and the burst must not be above the quota:
/// period, quota, burst, beginning without a quota and without a burst, as new cgroups do.
fn bandwidth(cpu: &LinuxCpu, limits: &mut Vec<Limit>) {
    let cfs = |name, file: &str, value: String| {
        Limit::new(format_args!("cpu.{name}"), "cpu", format!("cpu.cfs_{file}_us"), value)
    };
    let (quota, period, burst) = (set(cpu.quota()), set(cpu.period()), cpu.burst());
    if quota.is_some() || period.is_some() || burst.is_some() {
        limits.push(cfs("quota", "burst", "0".to_string()).reused());
        limits.push(cfs("quota", "quota", "-1".to_string()).reused());
    }
    if let Some(period) = period {
        limits.push(cfs("period", "period", period.to_string()).check(Check::Same));
    }
    if let Some(quota) = quota {
        limits.push(cfs("quota", "quota", quota.max(-1).to_string()).check(Check::Same));
    }
    if let Some(burst) = burst {
        let limit = cfs("burst", "burst", burst.to_string()).check(Check::Same);
        // Before Linux 5.14 nothing bursts.
        limits.push(if burst == 0 { limit.may_be_absent() } else { limit });
    }
}

/// A new cgroup has no real-time runtime at all, and no cgroup has more than its parent: so those that
/// were made for the container get the same first. The runtime must fit the period.
fn realtime(cpu: &LinuxCpu, limits: &mut Vec<Limit>) {
    let (runtime, period) = (set(cpu.realtime_runtime()), set(cpu.realtime_period()));
    if runtime.is_some() || period.is_some() {
        limits.push(Limit::new("cpu.realtimeRuntime", "cpu", "cpu.rt_runtime_us", 0).reused());
    }
    if let Some(period) = period {
        let limit = Limit::new("cpu.realtimePeriod", "cpu", "cpu.rt_period_us", period);
        limits.push(limit.with_parents().check(Check::Same));
    }
    if let Some(runtime) = runtime {
        let limit = Limit::new("cpu.realtimeRuntime", "cpu", "cpu.rt_runtime_us", runtime);
        limits.push(limit.with_parents().check(Check::Same));
    }
}

/// The directory has got its parent's CPUs and nodes when it was made: nothing could join it before.
fn cpuset(cpu: &LinuxCpu, limits: &mut Vec<Limit>) {
    for (name, file, list) in
        [("cpus", "cpuset.cpus", cpu.cpus()), ("mems", "cpuset.mems", cpu.mems())]
    {
        if let Some(list) = list.as_ref().filter(|list| !list.is_empty()) {
            let limit = Limit::new(format_args!("cpu.{name}"), "cpuset", file, list);
            limits.push(limit.check(Check::Within(file)));
        }
    }
}

/// The files are BFQ's where that scheduler is in the kernel; CFQ's are gone since Linux 5.0, and with
/// them the weights of leaves.
fn weights(block_io: &LinuxBlockIo, limits: &mut Vec<Limit>) {
    let limit = |property: &str, file, value: String| {
        Limit::new(format_args!("blockIO.{property}"), "blkio", file, value)
    };
    if let Some(weight) = set(block_io.weight()) {
        let bfq = limit("weight", "blkio.bfq.weight", weight.to_string());
        limits.push(bfq.instead("blkio.weight", weight));
    }
    if let Some(weight) = set(block_io.leaf_weight()) {
        limits.push(limit("leafWeight", "blkio.leaf_weight", weight.to_string()));
    }
    for (index, device) in block_io.weight_device().iter().flatten().enumerate() {
        let (major, minor) = (device.major(), device.minor());
        let property = |name| format!("weightDevice[{index}].{name}");
        if let Some(weight) = set(device.weight()) {
            let value = format!("{major}:{minor} {weight}");
            let bfq = limit(&property("weight"), "blkio.bfq.weight_device", value.clone());
            limits.push(bfq.instead("blkio.weight_device", value));
        }
        if let Some(weight) = set(device.leaf_weight()) {
            let value = format!("{major}:{minor} {weight}");
            limits.push(limit(&property("leafWeight"), "blkio.leaf_weight_device", value));
        }
    }
}

fn throttles(block_io: &LinuxBlockIo, limits: &mut Vec<Limit>) {
    for (name, devices, file) in super::throttles(block_io) {
        let file = format!("blkio.throttle.{file}_device");
        for (index, device) in devices.iter().enumerate() {
            limits.push(throttle(name, index, device, &file));
        }
    }
}

fn throttle(name: &str, index: usize, device: &LinuxThrottleDevice, file: &str) -> Limit {
    let value = format!("{}:{} {}", device.major(), device.minor(), device.rate());
    // A rate of 0 takes the limit away, and the file shows none.
    let check = if device.rate() == 0 { Check::No } else { Check::Line(value.clone()) };
    Limit::new(format_args!("blockIO.{name}[{index}]"), "blkio", file, value).check(check)
}

/// The limit of usage, and that of reservations where the kernel has one (Linux 5.7).
fn hugepages(index: usize, limit: &LinuxHugepageLimit) -> [Limit; 2] {
    let size = limit.page_size();
    ["", "rsvd."].map(|kind| {
        let property = format_args!("hugepageLimits[{index}]");
        let file = format!("hugetlb.{size}.{kind}limit_in_bytes");
        let write = Limit::new(property, "hugetlb", file, limit.limit())
            .check(bytes(limit.limit(), page_size(size).unwrap_or(PAGE)));
        if kind.is_empty() { write } else { write.may_be_absent() }
    })
}

fn network(network: &LinuxNetwork, limits: &mut Vec<Limit>) {
    if let Some(id) = network.class_id() {
        let limit = Limit::new("network.classID", "net_cls", "net_cls.classid", id);
        limits.push(limit.check(Check::Same));
    }
    for (index, priority) in network.priorities().iter().flatten().enumerate() {
        let value = format!("{} {}", priority.name(), priority.priority());
        let property = format_args!("network.priorities[{index}]");
        let limit = Limit::new(property, "net_prio", "net_prio.ifpriomap", &value);
        limits.push(limit.check(Check::Line(value)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::told;
    use super::*;

    const REUSED: &str = " (if the cgroup was there)";
    const PARENTS: &str = " (and in the parents made for it)";

    /// The limits of a configuration; those of reused cgroups begin with a tilde.
    fn lines(json: &str) -> Vec<String> {
        let short = |line: String| match line.strip_suffix(REUSED) {
            Some(line) => format!("~{line}"),
            None => line.replace(PARENTS, " ^"),
        };
        told(v1_writes, json).unwrap().into_iter().map(short).collect()
    }

    const ROWS: &[(&str, &[&str])] = &[
        (
            r#"{"memory":{"limit":200,"swap":300,"reservation":100}}"#,
            &[
                "~memory.limit: memory.memsw.limit_in_bytes -1",
                "memory.limit: memory.limit_in_bytes 200",
                "memory.swap: memory.memsw.limit_in_bytes 300",
                "memory.reservation: memory.soft_limit_in_bytes 100",
            ],
        ),
        (
            r#"{"memory":{"limit":-1}}"#,
            &[
                "~memory.limit: memory.memsw.limit_in_bytes -1",
                "memory.limit: memory.limit_in_bytes -1",
            ],
        ),
        (r#"{"memory":{"swap":-1}}"#, &["memory.swap: memory.memsw.limit_in_bytes -1"]),
        (
            r#"{"memory":{"kernelTCP":-1,"kernel":9,"disableOOMKiller":true,"swappiness":0}}"#,
            &[
                "memory.kernelTCP: memory.kmem.tcp.limit_in_bytes -1",
                "memory.disableOOMKiller: memory.oom_control 1",
                "memory.swappiness: memory.swappiness 0",
            ],
        ),
        (
            r#"{"cpu":{"shares":512,"idle":1}}"#,
            &["~cpu.shares: cpu.idle 0", "cpu.shares: cpu.shares 512", "cpu.idle: cpu.idle 1"],
        ),
        (
            r#"{"cpu":{"quota":20000,"period":50000,"burst":10000}}"#,
            &[
                "~cpu.quota: cpu.cfs_burst_us 0",
                "~cpu.quota: cpu.cfs_quota_us -1",
                "cpu.period: cpu.cfs_period_us 50000",
                "cpu.quota: cpu.cfs_quota_us 20000",
                "cpu.burst: cpu.cfs_burst_us 10000",
            ],
        ),
        (
            r#"{"cpu":{"quota":-5}}"#,
            &[
                "~cpu.quota: cpu.cfs_burst_us 0",
                "~cpu.quota: cpu.cfs_quota_us -1",
                "cpu.quota: cpu.cfs_quota_us -1",
            ],
        ),
        (
            r#"{"cpu":{"realtimeRuntime":9,"realtimePeriod":99}}"#,
            &[
                "~cpu.realtimeRuntime: cpu.rt_runtime_us 0",
                "cpu.realtimePeriod: cpu.rt_period_us 99 ^",
                "cpu.realtimeRuntime: cpu.rt_runtime_us 9 ^",
            ],
        ),
        (
            r#"{"cpu":{"cpus":"0,2-3","mems":"0"}}"#,
            &["cpu.cpus: cpuset.cpus 0,2-3", "cpu.mems: cpuset.mems 0"],
        ),
        (r#"{"pids":{"limit":7}}"#, &["pids.limit: pids.max 7"]),
        (r#"{"pids":{"limit":0}}"#, &["pids.limit: pids.max 0"]),
        (r#"{"pids":{"limit":-1}}"#, &["pids.limit: pids.max max"]),
        (
            r#"{"blockIO":{"weight":100,"leafWeight":200}}"#,
            &[
                "blockIO.weight: blkio.bfq.weight 100 or blkio.weight 100",
                "blockIO.leafWeight: blkio.leaf_weight 200",
            ],
        ),
        (
            r#"{"blockIO":{"weightDevice":[{"major":8,"minor":0,"weight":10,"leafWeight":20}]}}"#,
            &[
                "blockIO.weightDevice[0].weight: blkio.bfq.weight_device 8:0 10 or blkio.weight_device 8:0 10",
                "blockIO.weightDevice[0].leafWeight: blkio.leaf_weight_device 8:0 20",
            ],
        ),
        (
            r#"{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1}],
                "throttleWriteBpsDevice":[{"major":8,"minor":1,"rate":2},{"major":8,"minor":2,"rate":0}],
                "throttleReadIOPSDevice":[{"major":8,"minor":3,"rate":3}],
                "throttleWriteIOPSDevice":[{"major":8,"minor":4,"rate":4}]}}"#,
            &[
                "blockIO.throttleReadBpsDevice[0]: blkio.throttle.read_bps_device 8:0 1",
                "blockIO.throttleWriteBpsDevice[0]: blkio.throttle.write_bps_device 8:1 2",
                "blockIO.throttleWriteBpsDevice[1]: blkio.throttle.write_bps_device 8:2 0",
                "blockIO.throttleReadIOPSDevice[0]: blkio.throttle.read_iops_device 8:3 3",
                "blockIO.throttleWriteIOPSDevice[0]: blkio.throttle.write_iops_device 8:4 4",
            ],
        ),
        (
            r#"{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}"#,
            &[
                "hugepageLimits[0]: hugetlb.2MB.limit_in_bytes 4194304",
                "hugepageLimits[0]: hugetlb.2MB.rsvd.limit_in_bytes 4194304",
            ],
        ),
        (
            r#"{"network":{"classID":0,"priorities":[{"name":"lo","priority":5}]}}"#,
            &[
                "network.classID: net_cls.classid 0",
                "network.priorities[0]: net_prio.ifpriomap lo 5",
            ],
        ),
        (
            r#"{"rdma":{"mlx5_1":{"hcaHandles":3,"hcaObjects":9},"a0":{"hcaObjects":1},"b0":{}}}"#,
            &[
                "rdma.a0: rdma.max a0 hca_object=1",
                "rdma.mlx5_1: rdma.max mlx5_1 hca_handle=3 hca_object=9",
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
    fn unified_is_for_v2() {
        let error = told(v1_writes, r#"{"unified":{"pids.max":"1"}}"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            "linux.resources.unified: invalid configuration: cannot use unified on cgroup v1"
        );
    }
}
