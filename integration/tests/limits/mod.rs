//! Limits: in force before anything of the user's runs, seen from the host and felt inside. Here what is so
//! whatever the controller: no limit, and limits that cannot be.

mod block_io;
mod cpu;
mod memory;
mod pids;
mod v2;

use std::fs;
use std::path::{Path, PathBuf};

use integration::{Bundle, Process, needs_root, peers_differ};
use serde_json::{Value, json};

const TOP: &str = "/sys/fs/cgroup";

/// A bundle with these members in `linux.resources`.
fn limited(bundle: Bundle, resources: &Value) -> Bundle {
    bundle.edit(|config| {
        for (name, value) in resources.as_object().expect("an object") {
            config["linux"]["resources"][name] = value.clone();
        }
    })
}

/// The v1 directory of a process, of a controller that this host has.
fn directory(process: Process, controller: &str) -> Option<PathBuf> {
    let cgroups = process.cgroups();
    let (_, path) =
        cgroups.iter().find(|(names, _)| names.split(',').any(|name| name == controller))?;
    let directory = Path::new(TOP).join(controller).join(path.trim_start_matches('/'));
    directory.is_dir().then_some(directory)
}

/// Creates a container with the resources, and compares files of the controller, before the start.
#[track_caller]
fn compare(resources: &Value, controller: &str, files: &[(&str, &str)]) {
    let bundle = limited(Bundle::sleeping(), resources);
    if !Path::new(TOP).join(controller).join("tasks").exists() {
        eprintln!("skipped: no {controller} controller of cgroup v1");
        return;
    }
    let process = bundle.created();
    let directory = directory(process, controller).expect("a cgroup");
    for (file, expected) in files {
        let found = fs::read_to_string(directory.join(file));
        let found = found.unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(found.contains(&format!("{expected}\n")), "{file}: {found}");
        assert_eq!(found.lines().next(), expected.lines().next(), "{file}");
    }
}

#[test]
fn minus_one_is_no_limit() {
    needs_root!();
    peers_differ!("crun", "writes -1 where the kernel wants another word");
    let none = "9223372036854771712";
    let resources = json!({
        "memory": { "limit": -1, "swap": -1, "reservation": -1 },
        "cpu": { "quota": -1 },
    });
    let files = [
        ("memory.limit_in_bytes", none),
        ("memory.memsw.limit_in_bytes", none),
        ("memory.soft_limit_in_bytes", none),
    ];
    compare(&resources, "memory", &files);
    compare(&resources, "cpu", &[("cpu.cfs_quota_us", "-1")]);
    compare(&json!({ "pids": { "limit": -1 } }), "pids", &[("pids.max", "max")]);
}

#[test]
fn what_docker_writes_for_nothing_is_nothing() {
    needs_root!();
    peers_differ!("crun", "writes -1 where the kernel wants another word");
    let resources = json!({
        "memory": { "disableOOMKiller": false }, "cpu": { "shares": 0 },
        "blockIO": { "weight": 0 }, "pids": { "limit": -1 },
    });
    limited(Bundle::new(), &resources).run().ok();
}

#[test]
fn a_limit_that_cannot_be_is_told_with_its_property() {
    needs_root!();
    peers_differ!("crun", "leaves its cgroups when it fails");
    for (resources, words) in [
        (json!({ "cpu": { "period": 10 } }), ["cpu.cfs_period_us", "nvalid argument"]),
        (json!({ "cpu": { "cpus": "4095" } }), ["cpuset.cpus", ""]),
        (
            json!({ "blockIO": { "throttleReadBpsDevice": [{ "major": 4095, "minor": 1, "rate": 9 }] } }),
            ["blkio.throttle.read_bps_device", "o such device"],
        ),
        (json!({ "memory": { "swappiness": 101 } }), ["swappiness", ""]),
        (json!({ "memory": { "limit": 9_000_000, "swap": 8_000_000 } }), ["mem", ""]),
    ] {
        let bundle = limited(Bundle::new(), &resources);
        let text = bundle.run_fails();
        for word in words {
            assert!(text.contains(word), "{resources}: {text}");
        }
    }
}

#[test]
fn a_limit_without_its_controller_is_refused() {
    needs_root!();
    peers_differ!("crun", "leaves its cgroups when it fails");
    for (controller, resources) in [
        ("hugetlb", json!({ "hugepageLimits": [{ "pageSize": "2MB", "limit": 4_194_304 }] })),
        ("net_cls", json!({ "network": { "classID": 1 } })),
        ("net_prio", json!({ "network": { "priorities": [{ "name": "lo", "priority": 1 }] } })),
    ] {
        if Path::new(TOP).join(controller).exists() {
            continue;
        }
        let bundle = limited(Bundle::new(), &resources);
        let text = bundle.run_fails();
        assert!(text.contains(controller), "{text}");
    }
}

#[test]
fn rdma_without_its_controller_is_refused() {
    needs_root!();
    peers_differ!("crun", "ignores rdma");
    peers_differ!("runc", "1.1.5 ignores rdma without devices");
    let bundle = limited(Bundle::new(), &json!({ "rdma": { "mlx5_1": { "hcaHandles": 3 } } }));
    let text = bundle.run_fails();
    assert!(text.contains("rdma"), "{text}");
}

#[test]
fn unified_on_v1_is_refused() {
    needs_root!();
    peers_differ!("crun", "leaves its cgroups when it fails");
    let bundle = limited(Bundle::new(), &json!({ "unified": { "pids.max": "9" } }));
    let text = bundle.run_fails();
    assert!(text.contains("invalid configuration"), "{text}");
}
