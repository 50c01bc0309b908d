//! Root filesystems that try to lead the runtime out of them (SECURITY.md: wrong file, wrong mount). The
//! decoy beside each root filesystem is compared when the bundle is dropped, as are the host's mounts.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use integration::{Bundle, needs_root, peers_differ};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use serde_json::json;

/// Runs; success and failure are both right, as long as nothing outside is touched.
#[track_caller]
fn run(bundle: &Bundle) {
    let outcome = bundle.run();
    assert!(outcome.code == 0 || !outcome.stderr.trim().is_empty(), "{outcome:?}");
}

#[test]
fn a_linked_target_directory_does_not_lead_out() {
    needs_root!();
    for kind in ["absolute", "relative"] {
        let bundle = Bundle::new().writes(&[""]).mount("/var/link/new/dir", "tmpfs", "tmpfs", &[]);
        let target = match kind {
            "absolute" => bundle.decoy(),
            _ => "../../../../../../../.."
                .parse::<std::path::PathBuf>()
                .unwrap()
                .join(bundle.decoy().strip_prefix("/").unwrap()),
        };
        symlink(target, bundle.rootfs("var/link")).unwrap();
        run(&bundle);
    }
}

#[test]
fn a_linked_target_file_does_not_lead_out() {
    needs_root!();
    let bundle =
        Bundle::new().writes(&[""]).mount("/var/link", "bind", "config.json", &["bind", "ro"]);
    symlink(bundle.decoy().join("new"), bundle.rootfs("var/link")).unwrap();
    run(&bundle);
    let bundle =
        Bundle::new().writes(&[""]).mount("/var/link", "bind", "config.json", &["bind", "ro"]);
    symlink("../../decoy/marker", bundle.rootfs("var/link")).unwrap();
    run(&bundle);
}

#[test]
fn dots_in_a_target_do_not_lead_out() {
    needs_root!();
    let bundle = Bundle::sh("cat /decoy/inside/marker").writes(&["decoy"]).mount(
        "/../../decoy/inside",
        "bind",
        "decoy",
        &["bind", "ro"],
    );
    assert_eq!(bundle.run().ok(), "decoy\n");
}

#[test]
fn a_linked_dev_does_not_lead_out() {
    needs_root!();
    peers_differ!("runc", "1.1.5 makes the links of /dev wherever the link leads");
    peers_differ!("crun", "1.8.1 makes devices and links wherever the link leads");
    for relative in [false, true] {
        let bundle = Bundle::new().writes(&[""]).edit(|config| {
            let mounts = integration::config::array(config, "/mounts");
            mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
        });
        fs::remove_dir(bundle.rootfs("dev")).unwrap();
        let decoy = bundle.decoy();
        let target = if relative { "../../decoy".into() } else { decoy };
        symlink(target, bundle.rootfs("dev")).unwrap();
        run(&bundle);
    }
}

#[test]
fn a_device_behind_a_link_does_not_lead_out() {
    needs_root!();
    let device =
        json!([{"path": "/var/link/dev0", "type": "c", "major": 1, "minor": 3, "fileMode": 438}]);
    let bundle = Bundle::new().writes(&[""]).set("/linux/devices", device);
    symlink(bundle.decoy(), bundle.rootfs("var/link")).unwrap();
    run(&bundle);
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

#[test]
fn linked_proc_and_sys_are_refused() {
    needs_root!();
    peers_differ!("crun", "1.8.1 mounts where the link leads to inside the root filesystem");
    for name in ["proc", "sys"] {
        let bundle = Bundle::new().writes(&["bad"]);
        fs::remove_dir(bundle.rootfs(name)).unwrap();
        fs::create_dir(bundle.rootfs("bad")).unwrap();
        symlink("/bad", bundle.rootfs(name)).unwrap();
        let text = bundle.run_fails();
        assert!(text.contains("must be mounted on ordinary directory"), "{name}: {text}");
    }
}

#[test]
fn nothing_is_mounted_over_parts_of_proc() {
    needs_root!();
    peers_differ!("crun", "allows any mount inside /proc");
    for target in ["/proc/self/attr", "/proc/sys/kernel", "/proc/../proc/sys", "/proc/1"] {
        let bundle = Bundle::new().mount(target, "bind", "decoy", &["bind"]);
        let text = bundle.run_fails();
        assert!(text.contains("/proc"), "{target}: {text}");
    }
    let bundle = Bundle::sh("cat /proc/uptime").mount(
        "/proc/uptime",
        "bind",
        "decoy/marker",
        &["bind", "ro"],
    );
    assert_eq!(bundle.run().ok(), "decoy\n");
}

#[test]
fn a_false_dev_null_never_unmasks() {
    needs_root!();
    peers_differ!("runc", "1.1.5 binds whatever the container's /dev/null is: CVE-2025-31133");
    for kind in ["link", "file", "missing"] {
        let bundle = Bundle::sh("test -s /etc/secret && cat /etc/secret; true")
            .writes(&["etc/secret"])
            .set("/linux/maskedPaths", json!(["/etc/secret"]));
        let bundle = bundle.edit(|config| {
            let mounts = integration::config::array(config, "/mounts");
            mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
            mounts.push(json!({"destination": "/dev", "type": "bind", "source": "devices", "options": ["rbind"]}));
        });
        let devices = bundle.directory().join("devices");
        fs::create_dir(&devices).unwrap();
        match kind {
            "link" => symlink("/etc/shown", devices.join("null")).unwrap(),
            "file" => fs::write(devices.join("null"), "shown\n").unwrap(),
            _ => {}
        }
        fs::write(bundle.rootfs("etc/shown"), "shown\n").unwrap();
        fs::write(bundle.rootfs("etc/secret"), "secret\n").unwrap();
        let outcome = bundle.run();
        assert!(!outcome.stdout.contains("secret"), "{kind}: {outcome:?}");
        assert!(!outcome.stdout.contains("shown"), "{kind}: {outcome:?}");
    }
}

#[test]
fn chains_of_links_end_like_in_the_kernel() {
    needs_root!();
    // The kernel follows 40, but counts on when it has to begin anew, as it may twice.
    for (length, follows) in [(13, true), (41, false)] {
        let bundle = Bundle::sh("ls /var/l0").writes(&[""]).mount("/var/l0", "tmpfs", "tmpfs", &[]);
        fs::create_dir(bundle.rootfs("var/end")).unwrap();
        for number in 0..length {
            let next = if number + 1 == length { "end".into() } else { format!("l{}", number + 1) };
            symlink(next, bundle.rootfs(&format!("var/l{number}"))).unwrap();
        }
        if follows {
            bundle.run().ok();
        } else {
            bundle.run_fails();
        }
    }
}

/// CVE-2021-30465: what is a directory when it is looked at is a link when it is mounted on. Statistical.
#[test]
fn a_target_that_is_exchanged_meanwhile_does_not_lead_out() {
    needs_root!();
    peers_differ!("runc", "1.1.5 makes missing targets by path: in most runs one lands outside");
    let bundle = Bundle::new().writes(&[""]).mount("/vol/a/sub", "tmpfs", "tmpfs", &[]).mount(
        "/vol/a/new/er",
        "tmpfs",
        "tmpfs",
        &[],
    );
    fs::create_dir_all(bundle.rootfs("vol/a/sub")).unwrap();
    symlink(bundle.decoy(), bundle.rootfs("vol/b")).unwrap();
    bundle.write();
    let (one, other) = (bundle.rootfs("vol/a"), bundle.rootfs("vol/b"));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let flags = RenameFlags::RENAME_EXCHANGE;
                renameat2(AT_FDCWD, &one, AT_FDCWD, &other, flags).unwrap();
            }
        });
        for _ in 0..60 {
            run(&bundle);
        }
        over.store(true, Ordering::Relaxed);
    });
}
