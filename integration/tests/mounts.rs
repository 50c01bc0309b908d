//! Mounts of config.json: options, propagation, types, targets, the root (mount(8), the runtime-spec's
//! table of options).

use std::fs;

use integration::config::{array, put_capabilities, put_namespace, put_user_namespace};
use integration::process::Mount;
use integration::{Bundle, needs_root, peers_differ};
use nix::mount::{MsFlags, mount};
use serde_json::json;

/// The mount at a point of a container, seen from the host.
#[track_caller]
fn mounted(bundle: &Bundle, point: &str) -> Mount {
    let found = bundle.created().mount(point);
    bundle.delete_force().ok();
    found
}

fn tmpfs(options: &[&str]) -> Mount {
    mounted(&Bundle::new().mount("/var", "tmpfs", "tmpfs", options), "/var")
}

#[test]
fn each_option_has_its_effect() {
    needs_root!();
    let table: [Row; 10] = [
        (&["ro"], &["ro"], &["rw"]),
        (&["rw"], &["rw"], &["ro", "nosuid", "nodev", "noexec"]),
        (&["nosuid"], &["nosuid"], &[]),
        (&["nodev"], &["nodev"], &[]),
        (&["noexec"], &["noexec"], &[]),
        (&["noatime"], &["noatime"], &["relatime"]),
        (&["nodiratime"], &["nodiratime"], &[]),
        (&["relatime"], &["relatime"], &["noatime"]),
        (&["strictatime"], &[], &["noatime", "relatime"]),
        (&["ro", "nosuid", "nodev", "noexec"], &["ro", "nosuid", "nodev", "noexec"], &[]),
    ];
    check(&table);
}

/// Options, those that show, and those that don't.
type Row = (&'static [&'static str], &'static [&'static str], &'static [&'static str]);

#[track_caller]
fn check(table: &[Row]) {
    for (options, present, absent) in table {
        let found = tmpfs(options);
        assert!(present.iter().all(|word| found.has(word)), "{options:?}: {found:?}");
        assert!(!absent.iter().any(|word| found.has(word)), "{options:?}: {found:?}");
    }
}

#[test]
fn the_last_of_opposite_options_wins() {
    needs_root!();
    peers_differ!("crun", "1.8.1 makes a mount read-only if `ro` is anywhere");
    check(&[
        (&["ro", "rw"], &["rw"], &["ro"]),
        (&["rw", "ro"], &["ro"], &["rw"]),
        (&["nosuid", "suid"], &[], &["nosuid"]),
        (&["suid", "nosuid"], &["nosuid"], &[]),
        (&["nodev", "dev"], &[], &["nodev"]),
        (&["noexec", "exec"], &[], &["noexec"]),
        (&["noatime", "atime"], &["relatime"], &["noatime"]),
    ]);
}

#[test]
fn options_of_the_filesystem_have_their_effect() {
    needs_root!();
    for (option, shown) in [
        ("sync", "sync"),
        ("dirsync", "dirsync"),
        ("size=1024k", "size=1024k"),
        ("mode=700", "mode=700"),
        ("uid=12", "uid=12"),
        ("gid=13", "gid=13"),
        ("nr_inodes=100", "nr_inodes=100"),
    ] {
        let found = tmpfs(&[option]);
        assert!(found.filesystem.iter().any(|word| word == shown), "{option}: {found:?}");
    }
}

#[test]
fn options_that_show_nowhere_are_accepted() {
    needs_root!();
    peers_differ!("crun", "1.8.1 hands silent, loud and symfollow to the filesystem");
    peers_differ!("runc", "1.1.5 hands defaults, silent, loud and symfollow to the filesystem");
    for option in
        ["defaults", "silent", "loud", "symfollow", "async", "nolazytime", "noiversion", "nomand"]
    {
        assert_eq!(tmpfs(&[option]).kind, "tmpfs", "{option}");
    }
}

#[test]
fn newer_options_have_their_effect() {
    needs_root!();
    peers_differ!("crun", "1.8.1 hands nosymfollow and lazytime to the filesystem");
    assert!(tmpfs(&["nosymfollow"]).has("nosymfollow"));
    assert!(!tmpfs(&["nosymfollow", "symfollow"]).has("nosymfollow"));
    let found = tmpfs(&["lazytime"]);
    assert!(found.filesystem.iter().any(|word| word == "lazytime"), "{found:?}");
}

#[test]
fn an_unknown_option_is_refused_by_the_filesystem() {
    needs_root!();
    let bundle = Bundle::new().mount("/var", "tmpfs", "tmpfs", &["nosuch=1"]);
    let text = bundle.run_fails().to_lowercase();
    assert!(text.contains("invalid argument") && text.contains("var"), "{text}");
}

/// A bundle with a tree of two mounts, `source` and `source/below`, made in the host's namespace.
fn with_source_tree(flags: MsFlags) -> Bundle {
    let bundle = Bundle::sleeping();
    let source = bundle.directory().join("source");
    fs::create_dir(&source).unwrap();
    attach(&source, "tmpfs", MsFlags::empty());
    fs::create_dir(source.join("below")).unwrap();
    attach(&source.join("below"), "tmpfs", flags);
    fs::write(source.join("file"), "of the source\n").unwrap();
    bundle
}

fn attach(point: &std::path::Path, kind: &str, flags: MsFlags) {
    mount(Some(kind), point, Some(kind), flags, None::<&str>).unwrap();
}

/// Unmounts the tree before the bundle looks for leaked mounts.
fn detach_source_tree(bundle: &Bundle) {
    let source = bundle.directory().join("source");
    nix::mount::umount2(&source, nix::mount::MntFlags::MNT_DETACH).unwrap();
}

#[track_caller]
fn bound(options: &[&str]) -> (Mount, Option<Mount>) {
    bound_from(MsFlags::empty(), options)
}

/// Binds a tree whose lower mount has these flags.
#[track_caller]
fn bound_from(flags: MsFlags, options: &[&str]) -> (Mount, Option<Mount>) {
    let bundle = with_source_tree(flags);
    let source = bundle.directory().join("source").display().to_string();
    let bundle = bundle.mount("/var", "bind", &source, options);
    let process = bundle.created();
    let below = process.mounts().into_iter().find(|mount| mount.point == "/var/below");
    let top = process.mount("/var");
    bundle.delete_force().ok();
    detach_source_tree(&bundle);
    (top, below)
}

#[test]
fn bind_takes_one_mount_and_rbind_the_tree() {
    needs_root!();
    assert!(bound(&["bind"]).1.is_none());
    let (top, below) = bound(&["rbind"]);
    assert_eq!(top.kind, "tmpfs");
    assert_eq!(below.unwrap().kind, "tmpfs");
}

#[test]
fn flags_of_a_bind_mount_are_its_own() {
    needs_root!();
    for flag in ["ro", "nosuid", "nodev", "noexec", "noatime"] {
        let (top, below) = bound(&["rbind", flag]);
        assert!(top.has(flag), "{flag}: {top:?}");
        assert!(!below.as_ref().unwrap().has(flag), "{flag}: {below:?}");
    }
}

#[test]
fn recursive_attributes_reach_every_mount() {
    needs_root!();
    for (option, shown) in [
        ("rro", "ro"),
        ("rnosuid", "nosuid"),
        ("rnodev", "nodev"),
        ("rnoexec", "noexec"),
        ("rnodiratime", "nodiratime"),
        ("rnosymfollow", "nosymfollow"),
    ] {
        if option == "rnodiratime" {
            peers_differ!(
                "crun",
                "1.8.1 gets an error for rnodiratime, and does not know rnosymfollow"
            );
        }
        let (top, below) = bound(&["rbind", option]);
        let below = below.unwrap();
        assert!(top.has(shown) && below.has(shown), "{option}: {top:?} {below:?}");
    }
}

#[test]
fn recursive_access_times_replace_each_other() {
    needs_root!();
    peers_differ!("crun", "1.8.1 does not clear the other access time flags, which is an error");
    for (option, present, absent) in [
        ("rnoatime", Some("noatime"), "relatime"),
        ("rstrictatime", None, "relatime"),
        ("rrelatime", Some("relatime"), "noatime"),
    ] {
        let (_, below) = bound(&["rbind", option]);
        let below = below.unwrap();
        assert!(present.is_none_or(|word| below.has(word)), "{option}: {below:?}");
        assert!(!below.has(absent), "{option}: {below:?}");
    }
}

#[test]
fn recursive_attributes_can_be_cleared() {
    needs_root!();
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let below = bound_from(flags, &["rbind"]).1.unwrap();
    assert!(["ro", "nosuid", "nodev", "noexec"].iter().all(|word| below.has(word)), "{below:?}");
    let below = bound_from(flags, &["rbind", "rrw", "rsuid", "rdev", "rexec"]).1.unwrap();
    assert!(!["ro", "nosuid", "nodev", "noexec"].iter().any(|word| below.has(word)), "{below:?}");
}

#[test]
fn propagation_words_have_their_effect() {
    needs_root!();
    peers_differ!("crun", "makes the whole tree private before it sets what is configured");
    // (word, tags of the mount, tags of the one below it)
    let table: [(&str, &[&str], &[&str]); 8] = [
        ("private", &[], &["master"]),
        ("rprivate", &[], &[]),
        ("slave", &["master"], &["master"]),
        ("rslave", &["master"], &["master"]),
        ("shared", &["shared", "master"], &["master"]),
        ("rshared", &["shared", "master"], &["shared", "master"]),
        ("unbindable", &["unbindable"], &["master"]),
        ("runbindable", &["unbindable"], &["unbindable"]),
    ];
    for (word, expected_top, expected_below) in table {
        let (top, below) = bound(&["rbind", word]);
        let below = below.unwrap();
        for (mount, expected) in [(&top, expected_top), (&below, expected_below)] {
            for tag in ["shared", "master", "unbindable"] {
                let expected = expected.contains(&tag);
                assert_eq!(mount.propagates(tag), expected, "{word}: {tag}: {mount:?}");
            }
        }
    }
}

#[test]
fn what_a_container_mounts_stays_inside() {
    needs_root!();
    let script = "mount -t tmpfs inner /tmp && mount -t tmpfs inner /var && grep -c ' inner ' /proc/self/mountinfo";
    let bundle = Bundle::sh(script).edit(|config| put_capabilities(config, &["CAP_SYS_ADMIN"]));
    assert_eq!(bundle.run().ok(), "2\n");
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
fn directories_and_files_are_bound() {
    needs_root!();
    let bundle = Bundle::sh("cat /opt/marker /etc/passwd; echo more >> /tmp/target")
        .writes(&["/tmp/target"]);
    let decoy = bundle.decoy().join("marker").display().to_string();
    let written = bundle.directory().join("written");
    fs::write(&written, "").unwrap();
    let directory = bundle.decoy().display().to_string();
    let bundle = bundle
        .mount("/opt", "bind", &directory, &["bind", "ro"])
        .mount("/etc/passwd", "none", &decoy, &["bind", "ro"])
        .mount("/tmp/target", "", &written.display().to_string(), &["rbind"]);
    assert_eq!(bundle.run().ok(), "decoy\ndecoy\n");
    assert_eq!(fs::read_to_string(&written).unwrap(), "more\n");
}

#[test]
fn a_relative_bind_source_starts_at_the_bundle() {
    needs_root!();
    let bundle = Bundle::sh("cat /opt/marker").mount("/opt", "bind", "decoy", &["bind", "ro"]);
    assert_eq!(bundle.run().ok(), "decoy\n");
}

#[test]
fn a_missing_target_is_made() {
    needs_root!();
    peers_differ!("crun", "1.8.1 makes directories with the sticky bit");
    let script =
        "stat -c '%F %a %u' /new /new/directory; stat -c '%F' /other/file; cat /other/file";
    let bundle = Bundle::sh(script);
    let file = bundle.decoy().join("marker").display().to_string();
    let bundle = bundle.mount("/new/directory", "tmpfs", "tmpfs", &["mode=711"]).mount(
        "/other/file",
        "bind",
        &file,
        &["bind"],
    );
    let text = bundle.run().ok();
    assert_eq!(text, "directory 755 0\ndirectory 711 0\nregular file\ndecoy\n");
    assert!(bundle.rootfs("new/directory").is_dir());
    assert_eq!(fs::metadata(bundle.rootfs("other/file")).unwrap().len(), 0);
}

#[test]
fn a_target_of_the_wrong_kind_is_refused() {
    needs_root!();
    let bundle = Bundle::new().mount("/etc/passwd", "tmpfs", "tmpfs", &[]);
    let text = bundle.run_fails().to_lowercase();
    assert!(text.contains("not a directory"), "{text}");
}

#[test]
fn a_missing_source_is_refused() {
    needs_root!();
    let bundle = Bundle::new().mount("/opt", "bind", "/nonexistent", &["bind"]);
    let text = bundle.run_fails().to_lowercase();
    assert!(text.contains("/nonexistent") && text.contains("no such file or directory"), "{text}");
}

#[test]
fn mounts_of_one_target_stack_in_order() {
    needs_root!();
    let bundle = Bundle::sh("ls /opt; cat /opt/marker").mount("/opt", "tmpfs", "tmpfs", &[]).mount(
        "/opt",
        "bind",
        "decoy",
        &["bind"],
    );
    assert_eq!(bundle.run().ok(), "marker\nnull\nptmx\ndecoy\n");
}

#[test]
fn a_remount_changes_the_mount_that_is_there() {
    needs_root!();
    let bundle = Bundle::sleeping().mount("/opt", "tmpfs", "tmpfs", &["nosuid"]).mount(
        "/opt",
        "tmpfs",
        "tmpfs",
        &["remount", "ro", "nosuid"],
    );
    let process = bundle.created();
    let found =
        process.mounts().into_iter().filter(|mount| mount.point == "/opt").collect::<Vec<_>>();
    assert_eq!(found.len(), 1);
    assert!(found[0].has("ro"), "{found:?}");
}

#[test]
fn a_target_may_go_through_links_of_the_root_filesystem() {
    needs_root!();
    let bundle = Bundle::sh("ls /var/real; ls /link").mount("/link", "bind", "decoy", &["bind"]);
    fs::create_dir(bundle.rootfs("var/real")).unwrap();
    std::os::unix::fs::symlink("/var/real", bundle.rootfs("link")).unwrap();
    assert_eq!(bundle.run().ok(), "marker\nnull\nptmx\nmarker\nnull\nptmx\n");
}

#[test]
fn locked_flags_of_the_source_are_kept_in_a_user_namespace() {
    needs_root!();
    peers_differ!("runc", "1.1.5 does not repeat the locked flags, which is an error");
    peers_differ!("crun", "1.8.1 remounts outside of the user namespace, where nothing is locked");
    let bundle = Bundle::sleeping();
    let source = bundle.directory().join("source");
    fs::create_dir(&source).unwrap();
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_NOATIME;
    attach(&source, "tmpfs", flags);
    let bundle = bundle.edit(|config| put_user_namespace(config, 100_000, 65_536)).mount(
        "/opt",
        "bind",
        &source.display().to_string(),
        &["bind", "ro"],
    );
    let found = mounted(&bundle, "/opt");
    for flag in ["ro", "nosuid", "nodev", "noexec", "noatime"] {
        assert!(found.has(flag), "{flag}: {found:?}");
    }
    detach_source_tree(&bundle);
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
fn nothing_of_the_host_is_mounted_inside() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let process = bundle.started();
    let root = process.mount("/");
    assert_eq!(std::path::Path::new(&root.root), bundle.rootfs("").components().as_path());
    for mount in process.mounts() {
        let below = |top: &str| {
            let rest = mount.point.strip_prefix(top);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        assert!(
            mount.point == "/" || ["/proc", "/dev", "/sys"].into_iter().any(below),
            "{mount:?}"
        );
    }
}

#[test]
fn the_root_propagates_as_configured() {
    needs_root!();
    for (word, shared, master, unbindable) in [
        ("private", false, false, false),
        ("rprivate", false, false, false),
        ("slave", false, true, false),
        ("rslave", false, true, false),
        ("shared", true, false, false),
        ("rshared", true, false, false),
        ("unbindable", false, false, true),
    ] {
        if shared {
            peers_differ!("runc", "1.1.5 makes the root private by the read-only remount");
        }
        let bundle = Bundle::sleeping().set("/linux/rootfsPropagation", json!(word));
        let root = mounted(&bundle, "/");
        assert_eq!(root.propagates("shared"), shared, "{word}: {root:?}");
        assert_eq!(root.propagates("unbindable"), unbindable, "{word}: {root:?}");
        assert!(master || !root.propagates("master"), "{word}: {root:?}");
    }
}

#[test]
fn no_pivot_moves_the_root() {
    needs_root!();
    let bundle = Bundle::sh("ls / | head -3; ls -d /proc/1 /sys/class; echo $$");
    let outcome = integration::finish(&mut bundle.command_for_bundle(&["run", "--no-pivot"]));
    assert_eq!(outcome.ok(), "bin\ndev\netc\n/proc/1\n/sys/class\n1\n");
}

#[test]
fn a_hundred_mounts_are_made() {
    needs_root!();
    let bundle = Bundle::sh("grep -c ' /many/' /proc/self/mountinfo").edit(|config| {
        let mounts = array(config, "/mounts");
        for number in 0..100 {
            mounts.push(json!({"destination": format!("/many/{number}"), "type": "bind",
                               "source": "decoy", "options": ["bind", "ro"]}));
        }
    });
    assert_eq!(bundle.run().ok(), "100\n");
}

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
