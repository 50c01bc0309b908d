//! Device nodes and links of /dev.

use integration::config::put_user_namespace;
use integration::{Bundle, needs_root, peers_differ};
use serde_json::json;

const DEFAULTS: &str = "/dev/null 666 1 3\n/dev/zero 666 1 5\n/dev/full 666 1 7\n\
                        /dev/random 666 1 8\n/dev/urandom 666 1 9\n/dev/tty 666 5 0\n";
const LIST: &str =
    "stat -c '%n %a %t %T' /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty";

#[test]
fn the_default_devices_are_there() {
    needs_root!();
    let bundle = Bundle::sh(LIST);
    assert_eq!(bundle.run().ok(), DEFAULTS);
}

#[test]
fn the_default_devices_are_there_in_a_user_namespace() {
    needs_root!();
    let bundle = Bundle::sh("for f in null zero full random urandom tty; do stat -c '%n %t %T' /dev/$f; done; echo x > /dev/null && head -c 2 /dev/zero | wc -c")
        .edit(|config| put_user_namespace(config, 100_000, 65_536));
    let expected = DEFAULTS.replace(" 666", "") + "2\n";
    assert_eq!(bundle.run().ok(), expected);
}

#[test]
fn the_default_links_are_there() {
    needs_root!();
    let bundle = Bundle::sh("for f in fd stdin stdout stderr ptmx; do readlink /dev/$f; done");
    let text = bundle.run().ok();
    assert_eq!(
        text,
        "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\n"
    );
}

#[test]
fn a_pseudoterminal_can_be_opened() {
    needs_root!();
    let bundle = Bundle::sh("exec 3<>/dev/ptmx && ls /dev/pts");
    assert_eq!(bundle.run().ok(), "0\nptmx\n");
}

#[test]
fn configured_devices_are_made() {
    needs_root!();
    let bundle = Bundle::sh("stat -c '%n %F %a %u %g %t %T' /dev/char /dev/deep/er/block /dev/fifo /dev/plain").set(
        "/linux/devices",
        json!([
            {"path": "/dev/char", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 1, "gid": 2},
            {"path": "/dev/deep/er/block", "type": "b", "major": 7, "minor": 300, "fileMode": 0o600},
            {"path": "/dev/fifo", "type": "p", "fileMode": 0o622},
            {"path": "/dev/plain", "type": "u", "major": 1, "minor": 3},
        ]),
    );
    assert_eq!(
        bundle.run().ok(),
        "/dev/char character special file 640 1 2 a e5\n\
         /dev/deep/er/block block special file 600 0 0 7 12c\n\
         /dev/fifo fifo 622 0 0 0 0\n\
         /dev/plain character special file 666 0 0 1 3\n"
    );
}

#[test]
fn a_device_in_a_user_namespace_is_right_or_refused() {
    needs_root!();
    let device =
        json!([{"path": "/dev/zero2", "type": "c", "major": 1, "minor": 5, "fileMode": 0o666}]);
    let bundle = Bundle::sh("stat -c '%F %t %T' /dev/zero2")
        .edit(|config| put_user_namespace(config, 100_000, 65_536))
        .set("/linux/devices", device);
    // The host has no such node to bind, so the choice is to make one from outside or to refuse.
    let outcome = bundle.run();
    if outcome.code == 0 {
        assert_eq!(outcome.stdout, "character special file 1 5\n");
    } else {
        let text = outcome.fails();
        assert!(text.contains("/dev/zero2"), "{text}");
    }
}

#[test]
fn an_invalid_device_is_refused() {
    needs_root!();
    peers_differ!("crun", "takes any type for a character device");
    let bundle = Bundle::new()
        .set("/linux/devices", json!([{"path": "/dev/x", "type": "z", "major": 1, "minor": 1}]));
    bundle.run_fails();
}

#[test]
fn a_bound_dev_is_left_alone() {
    needs_root!();
    let bundle = Bundle::sh("ls /dev").edit(|config| {
        let mounts = integration::config::array(config, "/mounts");
        mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
        mounts.push(
            json!({"destination": "/dev", "type": "bind", "source": "decoy", "options": ["bind"]}),
        );
        config["linux"]["maskedPaths"] = json!([]);
    });
    peers_differ!("crun", "makes the default devices in a bound /dev");
    assert_eq!(bundle.run().ok(), "marker\nnull\nptmx\n");
}
