//! Root filesystems that try to lead the runtime out of them (SECURITY.md: wrong file, wrong mount). The
//! decoy beside each root filesystem is compared when the bundle is dropped, as are the host's mounts.

use std::fs;
use std::os::unix::fs::symlink;

use integration::{Bundle, needs_root};
use serde_json::json;

/// Runs; success and failure are both right, as long as nothing outside is touched.
#[track_caller]
fn run(bundle: &Bundle) {
    let outcome = bundle.run();
    assert!(outcome.code == 0 || !outcome.stderr.trim().is_empty(), "{outcome:?}");
}

#[test]
fn a_linked_cwd_does_not_lead_out() {
    needs_root!();
    let bundle =
        Bundle::sh("cat marker; pwd").writes(&[""]).set("/process/cwd", json!("/var/link/new"));
    symlink(bundle.decoy(), bundle.rootfs("var/link")).unwrap();
    let outcome = bundle.run();
    assert!(!outcome.stdout.contains("decoy\n"), "{outcome:?}");
}

#[test]
fn linked_masks_do_not_lead_out() {
    needs_root!();
    let bundle = Bundle::new()
        .writes(&[""])
        .set("/linux/maskedPaths", json!(["/var/mask", "/var/dir"]))
        .set("/linux/readonlyPaths", json!(["/var/read", "/var/dir"]));
    symlink(bundle.decoy().join("marker"), bundle.rootfs("var/mask")).unwrap();
    symlink(bundle.decoy().join("null"), bundle.rootfs("var/read")).unwrap();
    symlink(bundle.decoy(), bundle.rootfs("var/dir")).unwrap();
    run(&bundle);
}

#[test]
fn a_linked_passwd_is_not_read_on_the_host() {
    needs_root!();
    let bundle = Bundle::sh("echo $HOME").set("/process/user", json!({ "uid": 1000, "gid": 1000 }));
    let outside = bundle.directory().join("passwd");
    fs::write(&outside, "u:x:1000:1000::/from-the-host:/bin/sh\n").unwrap();
    fs::remove_file(bundle.rootfs("etc/passwd")).unwrap();
    symlink(&outside, bundle.rootfs("etc/passwd")).unwrap();
    let outcome = bundle.run();
    assert!(!outcome.stdout.contains("from-the-host"), "{outcome:?}");
}
