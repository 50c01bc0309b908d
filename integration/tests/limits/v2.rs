//! Cgroup v2: alone, and beside v1 on a hybrid host.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::panicking;

use integration::config::{drop_namespace, put_namespace, put_user_namespace};
use integration::hierarchies::Given;
use integration::runtime::enter_private_mounts;
use integration::{Bundle, Process, leftovers, needs_root, peers_differ, until};
use nix::mount::{MsFlags, mount};
use serde_json::json;

use super::{TOP, limited};

/// Gives the test's own mount namespace cgroup v2 alone. The top of the hierarchy is the host's: one value
/// has it at a time, whatever process it is in, and leaves it as it was.
struct V2 {
    top: File,
    /// The controllers that the top gave before.
    given: Given,
}

impl V2 {
    fn new() -> Self {
        enter_private_mounts();
        let none = None::<&str>;
        mount(Some("cgroup2"), TOP, Some("cgroup2"), MsFlags::empty(), none).expect("cgroup2");
        let top = File::open(TOP).expect("the top of cgroup v2");
        top.lock().expect("the lock of the hierarchy");
        Self { top, given: Given::by(Path::new(TOP)).expect("its controllers") }
    }

    /// The container's directory.
    fn directory(process: Process) -> PathBuf {
        Path::new(TOP).join(process.cgroups()[""].trim_start_matches('/'))
    }
}

impl Drop for V2 {
    fn drop(&mut self) {
        // A cgroup below that gives it on, such as one of the unit tests, is gone in a moment.
        let same = until(|| self.given.restore().is_ok());
        self.top.unlock().expect("the lock of the hierarchy");
        assert!(same || panicking(), "{:?}", self.given.restore());
    }
}

/// The v2 hierarchy of a hybrid host has other users, and no limit needs it.
#[test]
fn a_hybrid_host_gives_no_controller() {
    needs_root!();
    let hybrid = Path::new(TOP).join("unified");
    if !hybrid.join("cgroup.subtree_control").exists() {
        eprintln!("skipped: no cgroup v2 beside cgroup v1");
        return;
    }
    let bundle = limited(Bundle::sleeping(), &json!({ "pids": { "limit": 50 } }));
    let path = format!("/{}/x", bundle.id());
    let bundle = bundle.set("/linux/cgroupsPath", json!(path));
    bundle.created();
    // A peer may leave this hierarchy alone altogether.
    let parent = hybrid.join(bundle.id()).join("cgroup.subtree_control");
    assert_eq!(fs::read_to_string(parent).unwrap_or_default().trim(), "");
    // Delete leaves the parents.
    bundle.delete_force().ok();
    for directory in leftovers::cgroups(bundle.id()).iter().rev() {
        fs::remove_dir(directory).unwrap();
    }
}

#[test]
fn v2_limits_huge_pages() {
    needs_root!();
    peers_differ!("runc", "1.1.5 sets no limit of reservations");
    peers_differ!("crun", "1.8.1 loads no program for devices here");
    let _v2 = V2::new();
    let bundle = Bundle::sleeping();
    if !fs::read_to_string(Path::new(TOP).join("cgroup.controllers")).unwrap().contains("hugetlb") {
        eprintln!("skipped: the v2 hierarchy has no hugetlb controller");
        return;
    }
    let path = format!("/{}", bundle.id());
    let bundle = bundle.set("/linux/cgroupsPath", json!(path));
    let bundle = limited(
        bundle,
        &json!({
            "hugepageLimits": [{ "pageSize": "2MB", "limit": 4_194_304 }],
            "unified": { "hugetlb.1GB.max": "1073741824", "cgroup.max.depth": "3" },
        }),
    );
    let directory = V2::directory(bundle.created());
    for (file, expected) in [
        ("hugetlb.2MB.max", "4194304"),
        ("hugetlb.2MB.rsvd.max", "4194304"),
        ("hugetlb.1GB.max", "1073741824"),
        ("cgroup.max.depth", "3"),
    ] {
        let found = fs::read_to_string(directory.join(file)).unwrap();
        assert_eq!(found.trim(), expected, "{file}");
    }
}

#[test]
fn v2_names_the_controller_that_is_missing() {
    needs_root!();
    peers_differ!("crun", "leaves its cgroups when it fails");
    let _v2 = V2::new();
    for (resources, word) in [
        (json!({ "pids": { "limit": 5 } }), "pids"),
        (json!({ "memory": { "limit": 9_000_000 } }), "memory"),
        (json!({ "unified": { "foo.max": "5" } }), "foo"),
    ] {
        let controller = fs::read_to_string(Path::new(TOP).join("cgroup.controllers")).unwrap();
        if controller.split_whitespace().any(|controller| controller == word) {
            continue;
        }
        let bundle = limited(Bundle::new(), &resources);
        let path = format!("/{}", bundle.id());
        let text = bundle.set("/linux/cgroupsPath", json!(path)).run_fails();
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn v2_gives_the_cgroup_to_its_user() {
    needs_root!();
    peers_differ!("runc", "only with systemd");
    peers_differ!("crun", "gives it to root of the user namespace");
    let _v2 = V2::new();
    for (uid, writable, namespace, expected) in [
        (0, true, true, 100_000),
        (7, true, true, 100_007),
        (7, false, true, 0),
        (7, true, false, 0),
    ] {
        let bundle = Bundle::sleeping();
        let path = format!("/{}", bundle.id());
        let bundle = bundle
            .set("/linux/cgroupsPath", json!(path))
            .set("/process/user", json!({ "uid": uid, "gid": 0 }))
            .edit(|config| {
                put_user_namespace(config, 100_000, 65_536);
                match namespace {
                    true => put_namespace(config, json!({ "type": "cgroup" })),
                    false => drop_namespace(config, "cgroup"),
                }
                let mounts = integration::config::array(config, "/mounts");
                let cgroup = mounts.iter_mut().find(|mount| mount["type"] == "cgroup").unwrap();
                let mode = if writable { "rw" } else { "ro" };
                cgroup["options"] = json!(["nosuid", "noexec", "nodev", mode]);
            });
        let directory = V2::directory(bundle.created());
        let owner = |file: &str| fs::metadata(directory.join(file)).unwrap().uid();
        for file in ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
            assert_eq!(owner(file), expected, "{uid} {writable} {namespace}: {file:?}");
        }
        assert_eq!(owner("cgroup.kill"), 0);
    }
}
