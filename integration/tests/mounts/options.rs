//! Options: flags, what goes to the filesystem, and what reaches the mounts below.

use integration::process::Mount;
use integration::{Bundle, needs_root, peers_differ};
use nix::mount::MsFlags;

use super::{bound, bound_from, mounted};

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
