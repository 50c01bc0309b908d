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
    (r#"{"cpu":{"quota":-1}}"#, &["~cpu.quota: cpu.max.burst 0", "cpu.quota: cpu.max max 100000"]),
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
