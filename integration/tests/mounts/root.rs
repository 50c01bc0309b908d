//! The root of the container: where it is, how it becomes the root, and whether it can be written.

use integration::{Bundle, needs_root};
use serde_json::json;

#[test]
fn the_root_may_be_given_by_any_path() {
    needs_root!();
    let absolute = Bundle::sh("echo here");
    let path = absolute.rootfs("").display().to_string();
    assert_eq!(absolute.set("/root/path", json!(path)).run().ok(), "here\n");
    let bundle = Bundle::new().set("/root/path", json!("missing"));
    let text = bundle.run_fails();
    assert!(text.contains("missing"), "{text}");
}

#[test]
fn the_root_is_read_only_if_it_should_be() {
    needs_root!();
    let bundle = Bundle::sh("touch /tmp/x 2>&1; touch /dev/shm/y && echo devices");
    let text = bundle.run().ok();
    assert!(text.contains("Read-only file system") && text.contains("devices"), "{text}");
    let bundle = Bundle::sh("touch /tmp/x && ls /tmp").writes(&["/tmp/x"]);
    assert_eq!(bundle.run().ok(), "x\n");
}

#[test]
fn no_pivot_moves_the_root() {
    needs_root!();
    let bundle = Bundle::sh("ls / | head -3; ls -d /proc/1 /sys/class; echo $$");
    let outcome = integration::finish(&mut bundle.command_for_bundle(&["run", "--no-pivot"]));
    assert_eq!(outcome.ok(), "bin\ndev\netc\n/proc/1\n/sys/class\n1\n");
}
