//! The number of processes.

use std::fs;

use integration::config::put_user_namespace;
use integration::{Bundle, needs_root, peers_differ, until};
use serde_json::json;

use super::{compare, directory, limited};

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
