//! Memory: the limits, what kills, and how little is enough to start.

use integration::{Bundle, needs_root, peers_differ};
use serde_json::json;

use super::{compare, limited};

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
