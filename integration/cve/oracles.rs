//! The oracles see what they are there for: each is given a bad outcome once.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use integration::leftovers::Snapshot;
use integration::{Bundle, hierarchies, leftovers, until};
use nix::mount::{MsFlags, mount};

use crate::probe::{ends, needs_tare};
use crate::races::is_outside;

/// What is said of a bundle whose container was no trouble, but for this.
#[track_caller]
fn said_of(outcome: impl FnOnce(&Bundle)) -> String {
    let bundle = Bundle::new();
    bundle.run().ok();
    outcome(&bundle);
    ends(bundle, Ok(())).unwrap_err()
}

/// Oracle O1.
#[test]
fn changed_files_are_seen() {
    needs_tare!();
    let made = said_of(|bundle| fs::write(bundle.decoy().join("new"), "").unwrap());
    assert!(made.contains("decoy/new: nothing became"), "{made}");
    let written = said_of(|bundle| fs::write(bundle.decoy().join("marker"), "longer\n").unwrap());
    assert!(written.contains("decoy/marker: "), "{written}");
    let replaced = said_of(|bundle| {
        fs::remove_file(bundle.decoy().join("ptmx")).unwrap();
        symlink("pts/ptmx", bundle.decoy().join("ptmx")).unwrap();
    });
    assert!(replaced.contains("decoy/ptmx: "), "{replaced}");
    let inside = said_of(|bundle| fs::create_dir(bundle.rootfs("var/new")).unwrap());
    assert!(inside.contains("var/new: nothing became"), "{inside}");
}

/// Oracle O2.
#[test]
fn mounts_outside_are_seen() {
    needs_tare!();
    let left = said_of(|bundle| {
        let flags = MsFlags::MS_BIND;
        let (from, to) = (bundle.rootfs("etc"), bundle.decoy());
        mount(Some(&from), &to, None::<&Path>, flags, None::<&Path>).unwrap();
        assert!(is_outside(bundle, to.to_str().unwrap()));
        assert!(!is_outside(bundle, from.to_str().unwrap()));
    });
    assert!(left.contains("mount left: "), "{left}");
}

/// Oracle O6.
#[test]
fn what_is_left_is_seen() {
    needs_tare!();
    let mut process = None;
    let left = said_of(|bundle| {
        let sleep = Command::new("sleep").arg("1000").current_dir(bundle.directory()).spawn();
        process = Some(sleep.unwrap());
    });
    process.unwrap().wait().unwrap();
    assert!(left.contains("process left: "), "{left}");
    let left = said_of(|bundle| fs::create_dir(bundle.state_root().join(bundle.id())).unwrap());
    assert!(left.contains("state left: "), "{left}");
    for hierarchy in hierarchies::all() {
        let left = said_of(|bundle| fs::create_dir(hierarchy.own.join(bundle.id())).unwrap());
        assert!(left.contains("cgroup left: "), "{left}");
    }
}

/// Oracle O6, of what has no name of a test.
#[test]
fn what_is_left_without_a_name_is_seen() {
    needs_tare!();
    let mut init = Command::new("sleep");
    let mut init = init.arg0("tare-init").arg("1000").current_dir("/").spawn().unwrap();
    let is_seen = until(|| leftovers::strays().iter().any(|text| text.contains("tare-init 1000")));
    // At once: the other tests must not find it at their ends.
    init.kill().unwrap();
    init.wait().unwrap();
    assert!(is_seen);
    let bundle = Bundle::new();
    let all = hierarchies::all();
    let Some(hierarchy) = all.first() else {
        return eprintln!("skipped in part: no cgroups");
    };
    let before = Snapshot::take(&bundle);
    let path = hierarchy.own.join(format!("a b {}", std::process::id()));
    fs::create_dir(&path).unwrap();
    let changes = before.changes(&bundle);
    fs::remove_dir(&path).unwrap();
    assert_eq!(changes, [format!("cgroup left: {}", path.display())]);
}
