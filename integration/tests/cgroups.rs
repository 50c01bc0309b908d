//! Control groups: where the container is, what it may open, and that nothing remains.

use std::fs;
use std::path::PathBuf;

use integration::config::{array, drop_namespace, put_capabilities, put_namespace};
use integration::{Bundle, Process, Under, needs_root, peers_differ};
use serde_json::json;

/// A process's directory in each hierarchy of the test's own mount namespace.
fn directories(process: Process) -> Vec<PathBuf> {
    let cgroups = process.cgroups();
    let top = PathBuf::from("/sys/fs/cgroup");
    let place = |(controllers, path): (&String, &String)| {
        let name = match controllers.trim_start_matches("name=") {
            "" if top.join("cgroup.procs").exists() => "",
            "" => "unified",
            name => name,
        };
        top.join(name).join(path.trim_start_matches('/'))
    };
    cgroups.iter().map(place).filter(|path| path.join("cgroup.procs").exists()).collect()
}

/// The container's path in each hierarchy that the runtime under test looks at.
fn paths(process: Process) -> Vec<(String, String)> {
    let unified = Under::test().kind != integration::Kind::Crun;
    process.cgroups().into_iter().filter(|(name, _)| unified || !name.is_empty()).collect()
}

#[test]
fn an_absolute_path_starts_at_the_hierarchy() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let path = format!("/{}-absolute", bundle.id());
    let bundle = bundle.set("/linux/cgroupsPath", json!(path));
    for (controllers, found) in paths(bundle.created()) {
        assert_eq!(found, path, "{controllers}");
    }
}

#[test]
fn relative_and_absent_paths_start_at_the_callers_cgroup() {
    needs_root!();
    peers_differ!("crun", "starts at the root of the hierarchy");
    let own = Process(std::process::id().try_into().unwrap()).cgroups();
    for relative in [true, false] {
        let mut bundle = Bundle::sleeping();
        let mut name = bundle.id().to_string();
        if relative {
            name += "-relative";
            bundle = bundle.set("/linux/cgroupsPath", json!(name));
        }
        for (controllers, found) in paths(bundle.created()) {
            let expected = format!("{}/{name}", own[&controllers].trim_end_matches('/'));
            assert_eq!(found, expected, "{controllers}");
        }
    }
}

#[test]
fn a_deep_path_is_made_and_its_end_removed() {
    needs_root!();
    let holder = Bundle::sleeping();
    let parent = format!("/{}-parent", holder.id());
    let holder = holder.set("/linux/cgroupsPath", json!(parent));
    holder.created();
    let bundle = Bundle::sleeping();
    let path = format!("{parent}/below/{}", bundle.id());
    let bundle = bundle.set("/linux/cgroupsPath", json!(path));
    let process = bundle.created();
    for (controllers, found) in paths(process) {
        assert_eq!(found, path, "{controllers}");
    }
    bundle.delete_force().ok();
}

#[test]
fn every_process_of_the_container_is_inside() {
    needs_root!();
    let bundle = Bundle::sh("sleep 1000 & sleep 1001 & wait");
    let process = bundle.created();
    bundle.start().ok();
    for directory in directories(process) {
        let count = || fs::read_to_string(directory.join("cgroup.procs")).unwrap().lines().count();
        assert!(integration::until(|| count() == 3), "{}: {}", directory.display(), count());
    }
}

#[test]
fn the_caller_is_not_moved() {
    needs_root!();
    let own = Process(std::process::id().try_into().unwrap());
    let before = own.cgroups();
    let bundle = Bundle::sleeping();
    bundle.started();
    assert_eq!(own.cgroups(), before);
}

#[test]
fn an_allowed_device_may_be_opened() {
    needs_root!();
    let script = "cd /dev; mknod k c 10 183 && (exec <k) && echo read; (exec >k) || echo refused";
    let bundle = Bundle::sh(script).edit(|config| {
        put_capabilities(config, &["CAP_MKNOD"]);
        let rule = json!({ "allow": true, "type": "c", "major": 10, "minor": 183, "access": "r" });
        array(config, "/linux/resources/devices").push(rule);
    });
    let outcome = bundle.run();
    assert_eq!(outcome.stdout, "read\nrefused\n", "{outcome:?}");
}

#[test]
fn the_device_rules_are_those_of_the_reference() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let process = bundle.created();
    let Some(list) = directories(process)
        .into_iter()
        .find_map(|directory| fs::read_to_string(directory.join("devices.list")).ok())
    else {
        eprintln!("skipped: no devices controller of cgroup v1");
        return;
    };
    let mut found: Vec<&str> = list.lines().collect();
    found.sort_unstable();
    peers_differ!("crun", "allows the console, too");
    let mut expected = [
        "b *:* m",
        "c *:* m",
        "c 1:3 rwm",
        "c 1:5 rwm",
        "c 1:7 rwm",
        "c 1:8 rwm",
        "c 1:9 rwm",
        "c 10:200 rwm",
        "c 136:* rwm",
        "c 5:0 rwm",
        "c 5:2 rwm",
    ];
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn cgroups_go_when_the_container_is_deleted() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let process = bundle.started();
    let all = directories(process);
    assert!(!all.is_empty());
    bundle.kill("KILL").ok();
    bundle.wait(process);
    bundle.delete().ok();
    for directory in all {
        assert!(!directory.exists(), "{}", directory.display());
    }
}

#[test]
fn cgroups_below_go_with_it() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let process = bundle.started();
    let all = directories(process);
    for directory in &all {
        fs::create_dir_all(directory.join("below/deeper")).unwrap();
        fs::create_dir(directory.join("beside")).unwrap();
    }
    bundle.kill("KILL").ok();
    bundle.wait(process);
    bundle.delete().ok();
    for directory in all {
        assert!(!directory.exists(), "{}", directory.display());
    }
}

#[test]
fn processes_that_outlive_the_first_go_with_delete() {
    needs_root!();
    let bundle =
        Bundle::sh("sleep 1002 & sleep 1003 & exit 0").edit(|config| drop_namespace(config, "pid"));
    let process = bundle.created();
    bundle.start().ok();
    assert_eq!(bundle.wait(process), 0);
    assert!(integration::until(|| bundle.status() == "stopped"));
    bundle.delete().ok();
    assert_eq!(bundle.leftovers(), Vec::<String>::new());
}

#[test]
fn processes_below_go_with_delete() {
    needs_root!();
    let script = "for c in /sys/fs/cgroup/*/; do mkdir $c/below && (echo 0 > $c/below/cgroup.procs; exec sleep 1004) & done; wait";
    let bundle = Bundle::sh(script).edit(|config| {
        put_namespace(config, json!({ "type": "cgroup" }));
        put_capabilities(config, &["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"]);
        let mounts = array(config, "/mounts");
        let options = json!(["nosuid", "noexec", "nodev"]);
        mounts.iter_mut().filter(|mount| mount["type"] == "cgroup").for_each(|mount| {
            mount["options"] = options.clone();
        });
    });
    bundle.created();
    bundle.start().ok();
    std::thread::sleep(std::time::Duration::from_millis(200));
    bundle.delete_force().ok();
    assert_eq!(bundle.leftovers(), Vec::<String>::new());
}

#[test]
fn a_cgroup_that_was_removed_meanwhile_is_no_error() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let process = bundle.started();
    let all = directories(process);
    bundle.kill("KILL").ok();
    bundle.wait(process);
    for directory in all {
        assert!(integration::until(|| fs::remove_dir(&directory).is_ok()));
    }
    bundle.delete().ok();
}
