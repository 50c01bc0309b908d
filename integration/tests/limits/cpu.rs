//! Processors: shares, quotas, real time, and the cpuset.

use std::path::Path;

use integration::{Bundle, needs_root, peers_differ};
use serde_json::json;

use super::{TOP, compare, limited};

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
fn the_cpuset_is_what_the_process_gets() {
    needs_root!();
    let resources = json!({ "cpu": { "cpus": "0", "mems": "0" } });
    compare(&resources, "cpuset", &[("cpuset.cpus", "0"), ("cpuset.mems", "0")]);
    let script = "grep -E '^(Cpus|Mems)_allowed_list' /proc/self/status; nproc";
    let text = limited(Bundle::sh(script), &resources).run().ok();
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(words, ["Cpus_allowed_list:", "0", "Mems_allowed_list:", "0", "1"]);
}
