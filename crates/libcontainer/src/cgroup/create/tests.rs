use std::collections::HashSet;
use std::fs::{create_dir, read_to_string, write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Barrier;
use std::thread;

use super::super::scratch::{Inhabitant, Scratch};
use super::super::{kill_all, pids};
use super::*;

fn create(placement: &Placement) -> Result<Cgroup> {
    let mut cgroup = Cgroup::new(placement.clone());
    cgroup.make_unified()?;
    cgroup.make_v1()?;
    Ok(cgroup)
}

fn directories(placement: &Placement) -> Vec<PathBuf> {
    placement.places().map(Place::directory).collect()
}

#[test]
fn a_cgroup_that_is_not_kept_goes_with_the_parents_made_for_it() {
    let Some(scratch) = Scratch::host("undo") else {
        return;
    };
    let placement = scratch.place("/a/b/c");
    let cgroup = create(&placement).unwrap();
    assert!(directories(&placement).iter().all(|d| d.is_dir()));
    drop(cgroup);
    // That the scratch directories can be removed is the test for the parents.
    assert!(directories(&placement).iter().all(|d| !d.exists()));
}

#[test]
fn a_create_that_fails_half_way_leaves_what_was_there() {
    let Some(scratch) = Scratch::host("half") else {
        return;
    };
    let placement = scratch.place("/a/b");
    for directory in directories(&placement) {
        create_dir(directory.parent().unwrap()).unwrap();
    }
    drop(create(&placement).unwrap());
    for directory in directories(&placement) {
        assert!(!directory.exists());
        std::fs::remove_dir(directory.parent().unwrap()).unwrap();
    }
}

#[test]
fn a_kept_cgroup_can_be_joined_and_removed_by_its_placement() {
    let Some(scratch) = Scratch::host("kept") else {
        return;
    };
    let placement = scratch.place("/kept");
    let cgroup = create(&placement).unwrap();
    let files = cgroup.join_files().unwrap();
    assert_eq!(files.len(), placement.v1.len());
    for (file, place) in files.iter().zip(&placement.v1) {
        let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
        assert_eq!(path, place.directory().join("tasks"));
    }
    assert_eq!(cgroup.unified_fd().is_some(), placement.unified.is_some());
    cgroup.keep();

    let inhabitant = Inhabitant::sleep(&placement);
    let pid = i32::try_from(inhabitant.child.id()).unwrap();
    assert_eq!(pids(&placement).unwrap(), [pid]);
    drop(inhabitant);
    remove(&placement).unwrap();
    assert!(directories(&placement).iter().all(|d| !d.exists()));
    // Nothing is there any more, and that is fine.
    kill_all(&placement).unwrap();
    remove(&placement).unwrap();
}

#[test]
fn an_empty_cgroup_that_was_there_is_used_and_left() {
    let Some(scratch) = Scratch::host("there") else {
        return;
    };
    let placement = scratch.place("/there");
    for directory in directories(&placement) {
        create_dir(directory).unwrap();
    }
    let cgroup = create(&placement).unwrap();
    // On v1 its cpuset was empty, and nothing could have joined it.
    drop(Inhabitant::sleep(&placement));
    drop(cgroup);
    assert!(directories(&placement).iter().all(|d| d.is_dir()));
    remove(&placement).unwrap();
}

#[test]
fn a_used_cgroup_is_refused() {
    let Some(scratch) = Scratch::host("used") else {
        return;
    };
    let placement = scratch.place("/used");
    create(&placement).unwrap().keep();
    for only in placement.places() {
        // The processes may be in one hierarchy only, and in a cgroup below.
        let sub = Place { below: only.below.join("sub"), ..only.clone() };
        create_dir(sub.directory()).unwrap();
        for file in ["cpuset.cpus", "cpuset.mems"].iter().filter(|_| only.has("cpuset")) {
            let value = read_to_string(only.directory().join(file)).unwrap();
            write(sub.directory().join(file), value).unwrap();
        }
        let (v1, v2): (Vec<_>, Vec<_>) = [sub].into_iter().partition(|s| !s.is_unified());
        let inside = Placement { v1, unified: v2.into_iter().next() };
        let inhabitant = Inhabitant::sleep(&inside);
        let error = create(&placement).unwrap_err();
        let text = "container's cgroup is not empty: 1 process(es) found";
        assert!(error.to_string().contains(text), "{error}");
        assert!(only.directory().exists());
        drop(inhabitant);
    }
    remove(&placement).unwrap();
}

#[test]
fn a_frozen_cgroup_is_refused() {
    for (scratch, file, frozen, thawed) in [
        (Scratch::v1("frozen"), "freezer.state", "FROZEN", "THAWED"),
        (Scratch::v2("frozen"), "cgroup.freeze", "1", "0"),
    ] {
        let Some(scratch) = scratch else { continue };
        let parent = scratch.place("/p");
        create(&parent).unwrap().keep();
        let mut freezers = parent.places().filter(|p| p.has("freezer") || p.is_unified());
        let freezer = freezers.next().unwrap().directory().join(file);
        write(&freezer, frozen).unwrap();
        // Itself, and a new one below it.
        for path in ["/p", "/p/new"] {
            let error = create(&scratch.place(path)).unwrap_err().to_string();
            assert!(error.contains("container's cgroup unexpectedly frozen"), "{error}");
        }
        write(&freezer, thawed).unwrap();
        drop(create(&scratch.place("/p/new")).unwrap());
        remove(&parent).unwrap();
    }
}

#[test]
fn a_threaded_parent_is_refused_in_words() {
    let Some(scratch) = Scratch::v2("threaded") else {
        return;
    };
    let parent = scratch.place("/p");
    create(&parent).unwrap().keep();
    // Whoever gives a controller can't have threaded children.
    let directory = &directories(&parent)[0];
    let given = read_to_string(directory.join("cgroup.controllers")).unwrap();
    for controller in given.split_whitespace() {
        let file = directory.with_file_name("cgroup.subtree_control");
        write(file, format!("-{controller}")).unwrap();
    }
    write(directory.join("cgroup.type"), "threaded").unwrap();
    let error = create(&scratch.place("/p/c")).unwrap_err();
    assert!(error.to_string().contains("domain invalid"), "{error}");
    remove(&parent).unwrap();
}

#[test]
fn of_many_creators_of_one_cgroup_one_wins() {
    for scratch in [Scratch::host("race"), Scratch::v1("race")] {
        let Some(scratch) = scratch else { continue };
        let placement = scratch.place("/race");
        for _ in 0..20 {
            let barrier = Barrier::new(8);
            let winners: Vec<Cgroup> = thread::scope(|scope| {
                let one = || {
                    barrier.wait();
                    let created = create(&placement);
                    // Nobody gives up before all have tried.
                    barrier.wait();
                    created.ok()
                };
                let all: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
                all.into_iter().filter_map(|t| t.join().unwrap()).collect()
            });
            assert_eq!(winners.len(), 1);
            drop(winners);
            remove(&placement).unwrap();
        }
    }
}

#[test]
fn parents_that_come_and_go_do_not_disturb_their_neighbours() {
    let Some(scratch) = Scratch::host("parents") else {
        return;
    };
    let failures: HashSet<String> = thread::scope(|scope| {
        let one = |n: usize| {
            let placement = scratch.place(&format!("/p/q/{n}"));
            let rounds = 0..25;
            rounds.filter_map(|_| create(&placement).err()).map(|e| e.to_string()).collect()
        };
        let all: Vec<_> = (0..4).map(|n| scope.spawn(move || -> Vec<String> { one(n) })).collect();
        all.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(failures, HashSet::new());
    // A parent stays if a neighbour came into it at the wrong moment; it is empty then.
    for path in ["/p/q", "/p"] {
        remove(&scratch.place(path)).unwrap();
    }
}

#[test]
fn a_directory_that_is_no_cgroup_is_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    for label in ["cpu", ""] {
        let place =
            Place { label: label.into(), mountpoint: directory.path().into(), below: "a".into() };
        create_dir(place.directory()).unwrap();
        assert!(Directory::hierarchy(&place).is_err());
        let (v1, v2): (Vec<_>, Vec<_>) = [place].into_iter().partition(|p| !p.is_unified());
        let placement = Placement { v1, unified: v2.into_iter().next() };
        assert!(create(&placement).is_err());
        assert!(remove(&placement).is_err());
        std::fs::remove_dir(directory.path().join("a")).unwrap();
    }
}

#[test]
fn without_device_control_only_everything_is_allowed() {
    let cgroup = Cgroup::new(Placement { v1: Vec::new(), unified: None });
    let denied = devices::rules(None).unwrap();
    let error = cgroup.apply_devices(&denied).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(error.property(), Some("linux.resources.devices"));
    let mut all = oci_spec::runtime::LinuxDeviceCgroup::default();
    all.set_allow(true).set_access(Some("rwm".into()));
    cgroup.apply_devices(&devices::rules(Some(&[all])).unwrap()).unwrap();
}
