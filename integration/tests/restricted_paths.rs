//! Masked and read-only paths.

use std::fs;
use std::os::unix::fs::MetadataExt;

use integration::{Bundle, needs_root};
use serde_json::json;

#[test]
fn masked_paths_are_empty() {
    needs_root!();
    let script =
        "cat /etc/secret; ls -A /var/secrets; touch /var/secrets/x 2>/dev/null || echo refused";
    let bundle = Bundle::sh(script)
        .writes(&[])
        .set("/linux/maskedPaths", json!(["/etc/secret", "/var/secrets", "/var/missing"]));
    fs::write(bundle.rootfs("etc/secret"), "secret\n").unwrap();
    fs::create_dir(bundle.rootfs("var/secrets")).unwrap();
    fs::write(bundle.rootfs("var/secrets/secret"), "secret\n").unwrap();
    assert_eq!(bundle.run().ok(), "refused\n");
}

#[test]
fn masks_of_the_template_are_there() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let process = bundle.created();
    // Those of the template that this kernel has.
    for path in
        ["/proc/keys", "/proc/timer_list"].into_iter().filter(|path| fs::metadata(path).is_ok())
    {
        process.mount(path);
        let shown = fs::metadata(format!("/proc/{}/root{path}", process.0)).unwrap();
        assert_eq!(shown.rdev(), fs::metadata("/dev/null").unwrap().rdev(), "{path}");
    }
    for path in
        ["/proc/acpi", "/sys/firmware"].into_iter().filter(|path| fs::metadata(path).is_ok())
    {
        assert!(process.mount(path).has("ro"), "{path}");
    }
}

#[test]
fn readonly_paths_cannot_be_written() {
    needs_root!();
    let script = "echo x > /var/here/file || echo file; echo x > /etc/one || echo one; echo x > /var/other && echo other; cat /etc/one";
    let bundle = Bundle::sh(script)
        .writes(&["var/other"])
        .set("/linux/readonlyPaths", json!(["/var/here", "/etc/one", "/var/missing"]));
    fs::create_dir(bundle.rootfs("var/here")).unwrap();
    fs::write(bundle.rootfs("etc/one"), "one line\n").unwrap();
    assert_eq!(bundle.run().ok(), "file\none\nother\none line\n");
}

#[test]
fn readonly_paths_of_the_template_are_there() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let process = bundle.created();
    for path in ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"] {
        if fs::metadata(path).is_ok() {
            let mount = process.mount(path);
            assert!(mount.has("ro"), "{path}: {mount:?}");
            assert_eq!(mount.kind, "proc", "{path}");
        }
    }
}

#[test]
fn a_readonly_path_keeps_the_flags_of_its_mount() {
    needs_root!();
    integration::peers_differ!("crun", "1.8.1 loses them by its remount");
    let bundle = Bundle::sleeping()
        .mount("/opt", "tmpfs", "tmpfs", &["nosuid", "nodev", "noexec"])
        .set("/linux/readonlyPaths", json!(["/opt"]));
    let mount = bundle.created().mount("/opt");
    for flag in ["ro", "nosuid", "nodev", "noexec"] {
        assert!(mount.has(flag), "{flag}: {mount:?}");
    }
}

#[test]
fn restrictions_need_a_mount_namespace() {
    needs_root!();
    integration::peers_differ!("crun", "mounts on the host instead");
    let bundle = Bundle::new().edit(|config| integration::config::drop_namespace(config, "mount"));
    let text = bundle.run_fails().to_lowercase();
    assert!(text.contains("namespace"), "{text}");
}
