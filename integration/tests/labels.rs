//! Labels of security modules.

use integration::{Bundle, has_apparmor, has_selinux, needs_root, peers_differ};
use serde_json::json;

#[test]
fn a_profile_without_apparmor_is_refused() {
    needs_root!();
    if has_apparmor() {
        eprintln!("skipped: this host has AppArmor");
        return;
    }
    peers_differ!("crun", "runs without the profile");
    let text = Bundle::new().set("/process/apparmorProfile", json!("docker-default")).run_fails();
    assert!(text.contains("unable to apply apparmor profile: "), "{text}");
}

#[test]
fn a_profile_is_in_force_or_create_fails() {
    needs_root!();
    if !has_apparmor() {
        eprintln!("skipped: this host has no AppArmor");
        return;
    }
    let bundle = Bundle::new().set("/process/apparmorProfile", json!("tare-no-such-profile"));
    assert!(bundle.run_fails().contains("unable to apply apparmor profile: "));
    let bundle = Bundle::sh("cat /proc/self/attr/current")
        .set("/process/apparmorProfile", json!("unconfined"));
    assert_eq!(bundle.run().ok(), "unconfined\n");
}

#[test]
fn a_label_without_selinux_is_refused() {
    needs_root!();
    if has_selinux() {
        eprintln!("skipped: this host has SELinux");
        return;
    }
    let label = json!("system_u:system_r:container_t:s0:c1,c2");
    let text = Bundle::new().set("/process/selinuxLabel", label).run_fails();
    peers_differ!("crun", "says that it can't write attr/keycreate");
    let words = "selinux label is specified in config, but selinux is disabled or not supported";
    assert!(text.contains(words), "{text}");
}

#[test]
fn a_mount_label_without_selinux_is_left_out_with_a_warning() {
    needs_root!();
    if has_selinux() {
        eprintln!("skipped: this host has SELinux");
        return;
    }
    peers_differ!("runc", "refuses it");
    peers_differ!("crun", "mounts with a context that nobody knows, and fails");
    let label = json!("system_u:object_r:container_file_t:s0:c1,c2");
    let bundle = Bundle::new().set("/linux/mountLabel", label);
    bundle.run().ok();
    let mut command = bundle.command(&["--debug", "run"]);
    let outcome = bundle.finish(command.arg("--bundle").arg(bundle.directory()).arg(bundle.id()));
    let text = format!("{outcome:?}");
    assert!(text.contains("linux.mountLabel: SELinux is not enabled on this host"), "{text}");
}
