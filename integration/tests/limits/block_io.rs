//! Block devices: throttles and weights.

use std::fs;

use integration::{Bundle, needs_root, peers_differ};
use serde_json::json;

use super::{compare, directory, limited};

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
