//! Limits: in force before anything of the user's runs, seen from the host and felt inside.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::panicking;

use integration::config::{drop_namespace, put_namespace, put_user_namespace};
use integration::hierarchies::Given;
use integration::runtime::enter_private_mounts;
use integration::{Bundle, Process, leftovers, needs_root, peers_differ, until};
use nix::mount::{MsFlags, mount};
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
fn memory_is_limited_before_the_start() {
    needs_root!();
    let resources = json!({ "memory": {
        "limit": 67_108_864, "swap": 134_217_728, "reservation": 33_554_432, "swappiness": 7,
        "disableOOMKiller": true,
    }});
    let files = [
        ("memory.limit_in_bytes", "67108864"),
        ("memory.memsw.limit_in_bytes", "134217728"),
        ("memory.soft_limit_in_bytes", "33554432"),
        ("memory.swappiness", "7"),
        ("memory.oom_control", "oom_kill_disable 1"),
    ];
    compare(&resources, "memory", &files);
}

#[test]
fn memory_of_sockets_is_limited() {
    needs_root!();
    peers_differ!("runc", "ignores kernelTCP");
    let resources = json!({ "memory": { "kernelTCP": 1_048_576 } });
    compare(&resources, "memory", &[("memory.kmem.tcp.limit_in_bytes", "1048576")]);
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
fn cpu_time_is_limited_before_the_start() {
    needs_root!();
    let resources = json!({ "cpu": { "shares": 512, "quota": 20_000, "period": 50_000 } });
    let files =
        [("cpu.shares", "512"), ("cpu.cfs_quota_us", "20000"), ("cpu.cfs_period_us", "50000")];
    compare(&resources, "cpu", &files);
}

#[test]
fn bursts_and_idle_groups_are_set() {
    needs_root!();
    peers_differ!("crun", "1.8.1 sets no burst");
    peers_differ!("runc", "1.1.5 knows neither");
    let resources =
        json!({ "cpu": { "quota": 20_000, "burst": 10_000, "idle": 1, "shares": 100 } });
    let files = [("cpu.cfs_burst_us", "10000"), ("cpu.idle", "1"), ("cpu.cfs_quota_us", "20000")];
    compare(&resources, "cpu", &files);
}

#[test]
fn real_time_is_limited_before_the_start() {
    needs_root!();
    let resources = json!({ "cpu": { "realtimeRuntime": 2000, "realtimePeriod": 500_000 } });
    if !Path::new(TOP).join("cpu/cpu.rt_runtime_us").exists() {
        eprintln!("skipped: no real-time groups");
        return;
    }
    let files = [("cpu.rt_runtime_us", "2000"), ("cpu.rt_period_us", "500000")];
    compare(&resources, "cpu", &files);
}

#[test]
fn processes_are_limited_before_the_start() {
    needs_root!();
    compare(&json!({ "pids": { "limit": 42 } }), "pids", &[("pids.max", "42")]);
}

#[test]
fn no_process_beside_the_first() {
    needs_root!();
    peers_differ!("runc", "writes 1 for 0");
    peers_differ!("crun", "takes 0 for no limit");
    compare(&json!({ "pids": { "limit": 0 } }), "pids", &[("pids.max", "0")]);
    let bundle = limited(Bundle::sh("true & echo forked"), &json!({ "pids": { "limit": 0 } }));
    let outcome = bundle.run();
    assert!(outcome.code != 0 && outcome.stdout.is_empty(), "{outcome:?}");
}

#[test]
fn block_devices_are_throttled_before_the_start() {
    needs_root!();
    let Ok(device) = fs::read_to_string("/sys/block/loop0/dev") else {
        eprintln!("skipped: no loop device");
        return;
    };
    let (major, minor) = device.trim().split_once(':').unwrap();
    let rate = |rate: u64| {
        let number = |text: &str| text.parse::<u64>().unwrap();
        json!([{ "major": number(major), "minor": number(minor), "rate": rate }])
    };
    let resources = json!({ "blockIO": {
        "throttleReadBpsDevice": rate(1_048_576), "throttleWriteBpsDevice": rate(2_097_152),
        "throttleReadIOPSDevice": rate(100), "throttleWriteIOPSDevice": rate(200),
    }});
    let line = |rate: u64| format!("{major}:{minor} {rate}");
    let lines = [line(1_048_576), line(2_097_152), line(100), line(200)];
    let files = [
        ("blkio.throttle.read_bps_device", lines[0].as_str()),
        ("blkio.throttle.write_bps_device", lines[1].as_str()),
        ("blkio.throttle.read_iops_device", lines[2].as_str()),
        ("blkio.throttle.write_iops_device", lines[3].as_str()),
    ];
    compare(&resources, "blkio", &files);
}

#[test]
fn block_weights_are_those_of_the_scheduler() {
    needs_root!();
    peers_differ!("crun", "leaves its cgroups when it fails");
    let bundle = limited(Bundle::sleeping(), &json!({ "blockIO": { "weight": 300 } }));
    let outcome = bundle.create();
    if outcome.code != 0 {
        let text = outcome.fails();
        assert!(text.contains("blkio") && text.contains("weight"), "{text}");
        return;
    }
    let directory = directory(bundle.process(), "blkio").expect("a cgroup");
    let weight = ["blkio.bfq.weight", "blkio.weight"]
        .iter()
        .find_map(|file| fs::read_to_string(directory.join(file)).ok());
    assert!(weight.expect("a weight").contains("300"));
}

#[test]
fn the_cpuset_is_what_the_process_gets() {
    needs_root!();
    let resources = json!({ "cpu": { "cpus": "0", "mems": "0" } });
    compare(&resources, "cpuset", &[("cpuset.cpus", "0"), ("cpuset.mems", "0")]);
    let script = "grep -E '^(Cpus|Mems)_allowed_list' /proc/self/status; nproc";
    let text = limited(Bundle::sh(script), &resources).run().ok();
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(words, ["Cpus_allowed_list:", "0", "Mems_allowed_list:", "0", "1"]);
}

#[test]
fn a_fork_bomb_ends_at_the_limit() {
    needs_root!();
    const LIMIT: u32 = 24;
    let script = "bomb() { bomb & bomb & wait; }; sleep 0.2; bomb; sleep 1000";
    let bundle = limited(Bundle::sh(script), &json!({ "pids": { "limit": LIMIT } }));
    let process = bundle.created();
    let Some(directory) = directory(process, "pids") else {
        eprintln!("skipped: no pids controller of cgroup v1");
        return;
    };
    bundle.start().ok();
    let number = |file: &str, key: &str| {
        let text = fs::read_to_string(directory.join(file)).unwrap_or_default();
        text.trim().trim_start_matches(key).trim().parse::<u32>().unwrap_or(0)
    };
    let mut most = 0;
    let refused = until(|| {
        most = most.max(number("pids.current", ""));
        number("pids.events", "max") > 0
    });
    assert!(refused, "no fork was refused; {most} processes");
    assert!((2..=LIMIT).contains(&most), "{most}");
    bundle.delete_force().ok();
    assert_eq!(bundle.leftovers(), Vec::<String>::new());
}

#[test]
fn one_process_is_enough_to_start() {
    needs_root!();
    peers_differ!("runc", "its init has threads");
    for user_namespace in [false, true] {
        let bundle = limited(Bundle::new(), &json!({ "pids": { "limit": 1 } }));
        let bundle = bundle.edit(|config| {
            if user_namespace {
                put_user_namespace(config, 100_000, 65_536);
            }
        });
        bundle.run().ok();
    }
}

#[test]
fn memory_that_is_not_there_kills() {
    needs_root!();
    let bundle = Bundle::new().args(&["dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"]);
    let limit = 16 << 20;
    let bundle = limited(bundle, &json!({ "memory": { "limit": limit, "swap": limit } }));
    let outcome = bundle.run();
    assert_eq!(outcome.code, 137, "{outcome:?}");
    assert_eq!(bundle.leftovers(), Vec::<String>::new());
}

/// Whether `true` runs with this limit of memory. Whether it does or not, nothing may be left.
fn runs_with(limit: u64) -> Result<(), String> {
    let bundle = limited(Bundle::new(), &json!({ "memory": { "limit": limit, "swap": limit } }));
    let outcome = bundle.run();
    if outcome.code != 0 {
        bundle.call(&["delete", "--force", bundle.id()]);
    }
    assert_eq!(bundle.leftovers(), Vec::<String>::new());
    if outcome.code == 0 { Ok(()) } else { Err(outcome.stderr) }
}

#[test]
fn little_memory_is_enough_to_start() {
    needs_root!();
    let (mut too_low, mut enough) = (0, 16 << 20);
    while enough - too_low > 16 << 10 {
        let middle = u64::midpoint(too_low, enough);
        match runs_with(middle) {
            Ok(()) => enough = middle,
            Err(_) => too_low = middle,
        }
    }
    println!(
        "{}: the lowest limit of memory is {} KiB",
        integration::Under::test().name(),
        enough >> 10
    );
    // What Docker allows at the least.
    assert!(enough <= 6 << 20, "{enough}");
    peers_differ!("runc", "its init is itself");
    assert!(enough <= 1 << 20, "{enough}");
}

#[test]
fn too_little_memory_is_told() {
    needs_root!();
    let text = runs_with(4096).unwrap_err();
    peers_differ!("crun", "hears nothing of its child");
    assert!(text.contains("memory"), "{text}");
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
fn shares_out_of_bounds_are_told() {
    needs_root!();
    peers_differ!("crun", "does not look");
    for (shares, words) in [
        (1, "the minimum allowed cpu-shares is 2"),
        (262_145, "the maximum allowed cpu-shares is 262144"),
    ] {
        let bundle = limited(Bundle::new(), &json!({ "cpu": { "shares": shares } }));
        let text = bundle.run_fails();
        assert!(text.contains(words), "{text}");
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

/// Gives the test's own mount namespace cgroup v2 alone. The top of the hierarchy is the host's: one value
/// has it at a time, whatever process it is in, and leaves it as it was.
struct V2 {
    top: File,
    /// The controllers that the top gave before.
    given: Given,
}

impl V2 {
    fn new() -> Self {
        enter_private_mounts();
        let none = None::<&str>;
        mount(Some("cgroup2"), TOP, Some("cgroup2"), MsFlags::empty(), none).expect("cgroup2");
        let top = File::open(TOP).expect("the top of cgroup v2");
        top.lock().expect("the lock of the hierarchy");
        Self { top, given: Given::by(Path::new(TOP)).expect("its controllers") }
    }

    /// The container's directory.
    fn directory(process: Process) -> PathBuf {
        Path::new(TOP).join(process.cgroups()[""].trim_start_matches('/'))
    }
}

impl Drop for V2 {
    fn drop(&mut self) {
        // A cgroup below that gives it on, such as one of the unit tests, is gone in a moment.
        let same = until(|| self.given.restore().is_ok());
        self.top.unlock().expect("the lock of the hierarchy");
        assert!(same || panicking(), "{:?}", self.given.restore());
    }
}

/// The v2 hierarchy of a hybrid host has other users, and no limit needs it.
#[test]
fn a_hybrid_host_gives_no_controller() {
    needs_root!();
    let hybrid = Path::new(TOP).join("unified");
    if !hybrid.join("cgroup.subtree_control").exists() {
        eprintln!("skipped: no cgroup v2 beside cgroup v1");
        return;
    }
    let bundle = limited(Bundle::sleeping(), &json!({ "pids": { "limit": 50 } }));
    let path = format!("/{}/x", bundle.id());
    let bundle = bundle.set("/linux/cgroupsPath", json!(path));
    bundle.created();
    // A peer may leave this hierarchy alone altogether.
    let parent = hybrid.join(bundle.id()).join("cgroup.subtree_control");
    assert_eq!(fs::read_to_string(parent).unwrap_or_default().trim(), "");
    // Delete leaves the parents.
    bundle.delete_force().ok();
    for directory in leftovers::cgroups(bundle.id()).iter().rev() {
        fs::remove_dir(directory).unwrap();
    }
}

#[test]
fn v2_limits_huge_pages() {
    needs_root!();
    peers_differ!("runc", "1.1.5 sets no limit of reservations");
    peers_differ!("crun", "1.8.1 loads no program for devices here");
    let _v2 = V2::new();
    let bundle = Bundle::sleeping();
    if !fs::read_to_string(Path::new(TOP).join("cgroup.controllers")).unwrap().contains("hugetlb") {
        eprintln!("skipped: the v2 hierarchy has no hugetlb controller");
        return;
    }
    let path = format!("/{}", bundle.id());
    let bundle = bundle.set("/linux/cgroupsPath", json!(path));
    let bundle = limited(
        bundle,
        &json!({
            "hugepageLimits": [{ "pageSize": "2MB", "limit": 4_194_304 }],
            "unified": { "hugetlb.1GB.max": "1073741824", "cgroup.max.depth": "3" },
        }),
    );
    let directory = V2::directory(bundle.created());
    for (file, expected) in [
        ("hugetlb.2MB.max", "4194304"),
        ("hugetlb.2MB.rsvd.max", "4194304"),
        ("hugetlb.1GB.max", "1073741824"),
        ("cgroup.max.depth", "3"),
    ] {
        let found = fs::read_to_string(directory.join(file)).unwrap();
        assert_eq!(found.trim(), expected, "{file}");
    }
}

#[test]
fn v2_names_the_controller_that_is_missing() {
    needs_root!();
    peers_differ!("crun", "leaves its cgroups when it fails");
    let _v2 = V2::new();
    for (resources, word) in [
        (json!({ "pids": { "limit": 5 } }), "pids"),
        (json!({ "memory": { "limit": 9_000_000 } }), "memory"),
        (json!({ "unified": { "foo.max": "5" } }), "foo"),
    ] {
        let controller = fs::read_to_string(Path::new(TOP).join("cgroup.controllers")).unwrap();
        if controller.split_whitespace().any(|controller| controller == word) {
            continue;
        }
        let bundle = limited(Bundle::new(), &resources);
        let path = format!("/{}", bundle.id());
        let text = bundle.set("/linux/cgroupsPath", json!(path)).run_fails();
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn v2_gives_the_cgroup_to_its_user() {
    needs_root!();
    peers_differ!("runc", "only with systemd");
    peers_differ!("crun", "gives it to root of the user namespace");
    let _v2 = V2::new();
    for (uid, writable, namespace, expected) in [
        (0, true, true, 100_000),
        (7, true, true, 100_007),
        (7, false, true, 0),
        (7, true, false, 0),
    ] {
        let bundle = Bundle::sleeping();
        let path = format!("/{}", bundle.id());
        let bundle = bundle
            .set("/linux/cgroupsPath", json!(path))
            .set("/process/user", json!({ "uid": uid, "gid": 0 }))
            .edit(|config| {
                put_user_namespace(config, 100_000, 65_536);
                match namespace {
                    true => put_namespace(config, json!({ "type": "cgroup" })),
                    false => drop_namespace(config, "cgroup"),
                }
                let mounts = integration::config::array(config, "/mounts");
                let cgroup = mounts.iter_mut().find(|mount| mount["type"] == "cgroup").unwrap();
                let mode = if writable { "rw" } else { "ro" };
                cgroup["options"] = json!(["nosuid", "noexec", "nodev", mode]);
            });
        let directory = V2::directory(bundle.created());
        let owner = |file: &str| fs::metadata(directory.join(file)).unwrap().uid();
        for file in ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
            assert_eq!(owner(file), expected, "{uid} {writable} {namespace}: {file:?}");
        }
        assert_eq!(owner("cgroup.kill"), 0);
    }
}
