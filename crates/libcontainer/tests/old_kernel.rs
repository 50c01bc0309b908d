//! Linux 5.10 and 5.11 have no mount_setattr(2): a container that is made without it has the same mounts as
//! one that is made with it.

#![allow(
    clippy::tests_outside_test_module,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and all of this file is one"
)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process;

use libcontainer::{Bundle, Config, CreateOptions, Delete, HostFacts, Runtime, Stdio};
use serde_json::{Value, json};

/// A bundle whose mounts have attributes of every kind. Its program is never started.
fn configuration(directory: &Path, new_user_namespace: bool) -> Value {
    let source = |name: &str| directory.join(name).to_str().unwrap().to_string();
    let bind = |destination: &str, from: &str, options: &[&str]| {
        let options: Vec<&str> = ["bind"].iter().chain(options).copied().collect();
        json!({"destination": destination, "type": "bind", "source": source(from), "options": options})
    };
    let mut namespaces = vec![json!({"type": "mount"}), json!({"type": "pid"})];
    let mut linux = json!({
        "readonlyPaths": ["/read-only"],
        "maskedPaths": ["/masked"],
        "cgroupsPath": format!("/tare-old-kernel-{}", process::id()),
    });
    if new_user_namespace {
        namespaces.push(json!({"type": "user"}));
        let map = json!([{"containerID": 0, "hostID": 0, "size": 1000}]);
        linux["uidMappings"] = map.clone();
        linux["gidMappings"] = map;
    }
    linux["namespaces"] = json!(namespaces);
    // There the kernel has locked how access times are updated, for both calls.
    let times: &[&str] = if new_user_namespace { &[] } else { &["noatime", "nodiratime"] };
    json!({
        "ociVersion": "1.3.0",
        "process": {"user": {"uid": 0, "gid": 0}, "args": ["/program"], "cwd": "/"},
        "root": {"path": "rootfs", "readonly": true},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755"]},
            {"destination": "/tmpfs", "type": "tmpfs", "source": "tmpfs",
             "options": ["ro", "noexec", "shared"]},
            bind("/directory", "directory", &["ro", "nosuid", "rslave"]),
            bind("/file", "file", &["ro", "nodev", "noexec"]),
            bind("/times", "directory", times),
            bind("/plain", "directory", &["private"]),
            bind("/later", "directory", &["nosuid"]),
            {"destination": "/later", "type": "none", "source": "none",
             "options": ["remount", "bind", "ro"]},
        ],
        "linux": linux,
    })
}

/// What a container sees at each mount point: the options, and whether it is shared or a slave.
type Mounts = BTreeMap<String, Vec<String>>;

fn mounts(pid: i32) -> Mounts {
    let table = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    table
        .lines()
        .map(|line| {
            let fields: Vec<&str> = line.split(' ').take_while(|field| *field != "-").collect();
            let propagation = fields[6..].iter().map(|field| field.split(':').next().unwrap());
            let options = fields[5].split(',').chain(propagation).map(str::to_string);
            (fields[4].to_string(), options.collect())
        })
        .collect()
}

/// Deletes the container, however the test ends.
struct Created<'a>(&'a Runtime, &'a str);

impl Drop for Created<'_> {
    fn drop(&mut self) {
        self.0.delete(self.1, Delete::Force).unwrap();
    }
}

fn create(directory: &Path, mount_setattr: bool, new_user_namespace: bool) -> Mounts {
    let json = configuration(directory, new_user_namespace);
    let config = Config::from_bytes(&serde_json::to_vec(&json).unwrap()).unwrap();
    let bundle = Bundle::new(directory, config).unwrap();
    let mut facts = HostFacts::probe().unwrap();
    facts.kernel.mount_setattr = mount_setattr;
    let runtime = Runtime::with_facts(directory.join("state"), facts);
    let mut options = CreateOptions::default();
    options.stdio = Stdio::Null;
    let created = runtime.create("old", &bundle, &options).unwrap();
    let _delete = Created(&runtime, "old");
    mounts(created.container.state().unwrap().pid)
}

#[test]
fn mounts_are_the_same_without_mount_setattr() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: to create containers with these mounts needs root");
        return;
    }
    if !HostFacts::probe().unwrap().kernel.mount_setattr {
        println!("skipped: this kernel has nothing to compare with");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["directory", "rootfs/read-only", "rootfs/masked"] {
        fs::create_dir_all(directory.path().join(name)).unwrap();
    }
    for name in ["file", "rootfs/program"] {
        let path = directory.path().join(name);
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    for new_user_namespace in [false, true] {
        let with = create(directory.path(), true, new_user_namespace);
        let without = create(directory.path(), false, new_user_namespace);
        assert_eq!(with, without, "user namespace: {new_user_namespace}");
        for (path, options) in [
            ("/", &["ro"][..]),
            ("/tmpfs", &["ro", "noexec", "shared"]),
            ("/directory", &["ro", "nosuid"]),
            ("/file", &["ro", "nodev", "noexec"]),
            ("/times", if new_user_namespace { &["rw"] } else { &["rw", "noatime", "nodiratime"] }),
            ("/later", &["ro", "nosuid"]),
            ("/read-only", &["ro"]),
            ("/masked", &["ro"]),
        ] {
            let found = &without[path];
            for option in options {
                assert!(found.iter().any(|o| o == option), "{path}: {option} in {found:?}");
            }
        }
    }
}
