//! Filesystems that are mounted new: tmpfs, overlay, cgroups and the others.

use std::fs;

use integration::config::put_namespace;
use integration::{Bundle, needs_root, peers_differ};
use serde_json::json;

#[test]
fn each_type_is_mounted() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let process = bundle.created();
    for (point, kind) in [
        ("/proc", "proc"),
        ("/dev", "tmpfs"),
        ("/dev/pts", "devpts"),
        ("/dev/shm", "tmpfs"),
        ("/dev/mqueue", "mqueue"),
        ("/sys", "sysfs"),
    ] {
        assert_eq!(process.mount(point).kind, kind, "{point}");
    }
    assert_eq!(process.mount("/dev/shm").source, "shm");
    let pts = process.mount("/dev/pts");
    for word in ["gid=5", "mode=620", "ptmxmode=666"] {
        assert!(pts.filesystem.iter().any(|other| other == word), "{pts:?}");
    }
    for word in ["ro", "nosuid", "noexec", "nodev"] {
        assert!(process.mount("/sys").has(word), "{word}");
    }
}

#[test]
fn tmpcopyup_keeps_what_was_there() {
    needs_root!();
    let bundle = Bundle::sh("cat /etc/passwd | head -1; cat /etc/deep/er/file; readlink /etc/link; stat -c %a /etc/deep; touch /etc/new && echo writable")
        .mount("/etc", "tmpfs", "tmpfs", &["tmpcopyup", "mode=755"]);
    fs::create_dir_all(bundle.rootfs("etc/deep/er")).unwrap();
    fs::write(bundle.rootfs("etc/deep/er/file"), "deep\n").unwrap();
    std::os::unix::fs::symlink("deep/er", bundle.rootfs("etc/link")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o710);
    fs::set_permissions(bundle.rootfs("etc/deep"), mode).unwrap();
    let text = bundle.run().ok();
    assert_eq!(text, "root:x:0:0:root:/root:/bin/sh\ndeep\ndeep/er\n710\nwritable\n");
}

#[test]
fn a_tmpfs_takes_the_mode_of_its_directory() {
    needs_root!();
    let bundle = Bundle::sh("stat -c %a /tmp").mount("/tmp", "tmpfs", "tmpfs", &[]);
    assert_eq!(bundle.run().ok(), "1777\n");
}

#[test]
fn a_tmpfs_takes_the_configured_mode() {
    needs_root!();
    peers_differ!("runc", "1.1.5 gives it the mode of its directory all the same");
    let bundle = Bundle::sh("stat -c %a /var").mount("/var", "tmpfs", "tmpfs", &["mode=1750"]);
    assert_eq!(bundle.run().ok(), "1750\n");
}

#[test]
fn an_overlay_is_mounted() {
    needs_root!();
    let bundle = Bundle::sh("cat /var/lower; echo inside > /var/new; rm /var/gone; ls /var");
    let path = |name: &str| bundle.directory().join(name).display().to_string();
    let names = ["lower", "upper", "work"].map(path);
    for name in &names {
        fs::create_dir(name).unwrap();
    }
    fs::write(format!("{}/lower", names[0]), "from below\n").unwrap();
    fs::write(format!("{}/gone", names[0]), "").unwrap();
    let [lower, upper, work] = &names;
    let options =
        [format!("lowerdir={lower}"), format!("upperdir={upper}"), format!("workdir={work}")];
    let upper = bundle.directory().join("upper");
    let bundle =
        bundle.mount("/var", "overlay", "overlay", &options.each_ref().map(String::as_str));
    assert_eq!(bundle.run().ok(), "from below\nlower\nnew\n");
    assert_eq!(fs::read_to_string(upper.join("new")).unwrap(), "inside\n");
}

#[test]
fn a_cgroup_mount_shows_the_containers_own_cgroups() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let process = bundle.created();
    let cgroups = process.cgroups();
    let mut hierarchies = 0;
    for (controllers, path) in cgroups.iter().filter(|(controllers, _)| !controllers.is_empty()) {
        let name = controllers.trim_start_matches("name=");
        let found = process.mount(&format!("/sys/fs/cgroup/{name}"));
        assert_eq!(found.kind, "cgroup");
        assert_eq!(&found.root, path, "{controllers}");
        for word in ["ro", "nosuid", "noexec", "nodev"] {
            assert!(found.has(word), "{found:?}");
        }
        hierarchies += 1;
    }
    if hierarchies > 0 {
        assert_eq!(process.mount("/sys/fs/cgroup").kind, "tmpfs");
    } else {
        assert_eq!(process.mount("/sys/fs/cgroup").kind, "cgroup2");
    }
}

#[test]
fn a_cgroup_mount_in_a_cgroup_namespace_starts_at_its_root() {
    needs_root!();
    let bundle = Bundle::sh("grep -E ' - cgroup2? ' /proc/self/mountinfo | cut -d' ' -f4 | sort -u; cat /sys/fs/cgroup/*/tasks | sort -u | head -1")
        .edit(|config| put_namespace(config, json!({ "type": "cgroup" })));
    assert_eq!(bundle.run().ok(), "/\n1\n");
}
