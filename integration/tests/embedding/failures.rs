//! What fails, how it is told, and that nothing is left of it.

use std::fs;

use integration::config::{array, put_namespace, put_user_namespace};
use integration::{Bundle, hierarchies, leftovers, needs_root};
use libcontainer::{Config, CreateOptions, Delete, Error, ErrorKind, Runtime, Stdio};
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::own_process::{self, Given};

/// Edits a valid configuration into one that fails.
type Edit = fn(&mut Value);

/// A failure: what is done to the configuration, and the error's kind, property, errno and text.
type Case = (Edit, ErrorKind, Option<&'static str>, Option<i32>, &'static str);

fn mount(config: &mut Value, destination: &str, kind: &str, source: &str, options: &[&str]) {
    let mount =
        json!({"destination": destination, "type": kind, "source": source, "options": options});
    array(config, "/mounts").push(mount);
}

fn bad_mount(config: &mut Value) {
    mount(config, "/mnt", "nosuchfs", "none", &[]);
}

fn missing_source(config: &mut Value) {
    mount(config, "/mnt", "bind", "/nonexistent", &["bind"]);
}

fn missing_program(config: &mut Value) {
    config["process"]["args"] = json!(["/bin/nonexistent"]);
}

const CASES: &[Case] = &[
    (
        missing_program,
        ErrorKind::NotFound,
        Some("process.args"),
        Some(libc::ENOENT),
        "unable to start container process: exec: \"/bin/nonexistent\": stat /bin/nonexistent: no such file or directory",
    ),
    (
        |c| c["process"]["args"] = json!(["nonexistent"]),
        ErrorKind::NotFound,
        Some("process.args"),
        None,
        "unable to start container process: exec: \"nonexistent\": executable file not found in $PATH",
    ),
    (
        |c| c["process"]["args"] = json!(["/etc"]),
        ErrorKind::InvalidConfig,
        Some("process.args"),
        None,
        "unable to start container process: exec: \"/etc\": is a directory",
    ),
    (
        |c| c["process"]["args"] = json!(["/etc/passwd"]),
        ErrorKind::Permission,
        Some("process.args"),
        Some(libc::EACCES),
        "unable to start container process: exec: \"/etc/passwd\": permission denied",
    ),
    (
        bad_mount,
        ErrorKind::Os,
        Some("mounts[7]"),
        Some(libc::ENODEV),
        "unable to start container process: mounts[7] /mnt: mount nosuchfs: fsopen: no such device",
    ),
    (
        missing_source,
        ErrorKind::NotFound,
        Some("mounts[7]"),
        Some(libc::ENOENT),
        "unable to start container process: mounts[7] /mnt: open /nonexistent: open_tree: no such file or directory",
    ),
    (
        |c| mount(c, "/mnt", "tmpfs", "none", &["size=abc"]),
        ErrorKind::Os,
        Some("mounts[7]"),
        Some(libc::EINVAL),
        "unable to start container process: mounts[7] /mnt: mount tmpfs: fsconfig (tmpfs: Bad value for 'size'): invalid argument",
    ),
    (
        |c| mount(c, "/etc/passwd", "tmpfs", "none", &[]),
        ErrorKind::Os,
        Some("mounts[7]"),
        Some(libc::ENOTDIR),
        "unable to start container process: mounts[7] /etc/passwd: mount on /etc/passwd: move_mount: not a directory",
    ),
    (
        |c| c["root"]["path"] = json!("nonexistent"),
        ErrorKind::NotFound,
        Some("root.path"),
        Some(libc::ENOENT),
        "invalid rootfs: stat BUNDLE/nonexistent: no such file or directory",
    ),
    (
        |c| c["root"]["path"] = json!("config.json"),
        ErrorKind::InvalidConfig,
        Some("root.path"),
        None,
        "invalid rootfs: BUNDLE/config.json: not a directory",
    ),
    (
        |c| put_namespace(c, json!({"type": "network", "path": "/proc/self/ns/uts"})),
        ErrorKind::InvalidConfig,
        Some("linux.namespaces[4]"),
        None,
        "unable to start container process: linux.namespaces[4].path: /proc/self/ns/uts is not a network namespace",
    ),
    (
        |c| put_namespace(c, json!({"type": "network", "path": "/nonexistent"})),
        ErrorKind::NotFound,
        Some("linux.namespaces[4]"),
        Some(libc::ENOENT),
        "unable to start container process: linux.namespaces[4].path: open(/nonexistent): no such file or directory",
    ),
    (
        |c| c["process"]["cwd"] = json!("/etc/passwd"),
        ErrorKind::Os,
        Some("process.cwd"),
        Some(libc::ENOTDIR),
        "unable to start container process: process.cwd: chdir to cwd (\"/etc/passwd\"): chdir: not a directory",
    ),
    (
        |c| c["process"]["cwd"] = json!("relative"),
        ErrorKind::InvalidConfig,
        Some("process.cwd"),
        None,
        "process.cwd: Cwd must be an absolute path: \"relative\" (allowed: an absolute path)",
    ),
    (
        |c| c["process"]["oomScoreAdj"] = json!(2000),
        ErrorKind::InvalidConfig,
        Some("process.oomScoreAdj"),
        None,
        "process.oomScoreAdj: 2000 is out of range (allowed: -1000 to 1000)",
    ),
    (
        |c| {
            c["process"]["rlimits"] =
                json!([{"type": "RLIMIT_NOFILE", "soft": 1u64, "hard": 1u64 << 40}]);
        },
        ErrorKind::Permission,
        Some("process.rlimits[0]"),
        Some(libc::EPERM),
        "unable to start container process: process.rlimits[0]: set the limits 1 and 1099511627776: prlimit64: operation not permitted",
    ),
    (
        |c| c["process"]["user"] = json!({"uid": "root", "gid": 0}),
        ErrorKind::InvalidConfig,
        Some("process.user.uid"),
        None,
        "process.user.uid: invalid type: string \"root\", expected u32 at line 1 column 65",
    ),
    (
        |c| c["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 1, "size": 1}]),
        ErrorKind::InvalidConfig,
        Some("linux.uidMappings"),
        None,
        "linux.uidMappings: user namespace mappings specified, but user namespace isn't enabled in the config (allowed: mappings together with a user namespace)",
    ),
    (
        |c| {
            put_user_namespace(c, 100_000, 65536);
            c["process"]["user"] = json!({"uid": 70_000, "gid": 0});
        },
        ErrorKind::InvalidConfig,
        Some("process.user.uid"),
        None,
        "process.user.uid: cannot setuid to unmapped uid 70000 in user namespace (allowed: an id that the mappings of the user namespace contain)",
    ),
    (
        |c| c["linux"]["cgroupsPath"] = json!("x".repeat(300)),
        ErrorKind::InvalidConfig,
        Some("linux.cgroupsPath"),
        None,
        "linux.cgroupsPath LONG: a name is longer than 255 bytes",
    ),
    (
        |c| c["process"]["terminal"] = json!(true),
        ErrorKind::InvalidConfig,
        Some("process.terminal"),
        None,
        "process.terminal: nobody is there to get the master end of the terminal",
    ),
    (
        |c| c["linux"]["intelRdt"] = json!({}),
        ErrorKind::Unsupported,
        Some("linux.intelRdt"),
        None,
        "linux.intelRdt: not supported by this version",
    ),
];

/// Loads and creates.
pub(crate) fn attempt(given: &Given, suffix: &str) -> Result<libcontainer::Container, Error> {
    let text = serde_json::to_vec(&given.config).expect("JSON");
    let bundle = libcontainer::Bundle::new(&given.directory, Config::from_bytes(&text)?)?;
    let options = CreateOptions::new().stdio(Stdio::Null);
    let id = format!("{}-{suffix}", given.id);
    Ok(given.runtime().create(&id, &bundle, &options)?.container)
}

#[test]
fn each_failure_says_what_where_and_why() {
    fn shared<T: Send + Sync + 'static>(_: &T) {}
    needs_root!();
    let bundle = Bundle::sleeping();
    let given = Given::from_bundle(&bundle);
    for (edit, kind, property, errno, text) in CASES {
        let mut given = given.clone();
        edit(&mut given.config);
        let error = attempt(&given, "failure").expect_err(text);
        shared(&error);
        let directory = given.directory.display().to_string();
        let told =
            error.to_string().replace(&directory, "BUNDLE").replace(&"x".repeat(300), "LONG");
        let found = (error.kind(), error.property(), error.errno(), &*told);
        assert_eq!(found, (*kind, *property, *errno, *text));
        assert!(!told.contains('\n'), "{told}");
    }
}

#[test]
fn failing_creates_leave_nothing() {
    needs_root!();
    own_process::run(&Bundle::sleeping(), "failures::in_a_loop");
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn in_a_loop() {
    let Some(given) = own_process::given() else { return };
    let rootless = |config: &mut Value| config["root"]["path"] = json!("nonexistent");
    let both = |config: &mut Value| {
        put_user_namespace(config, 100_000, 65536);
        bad_mount(config);
    };
    let edits: [(&str, Edit); 5] = [
        ("program", missing_program),
        ("mount", bad_mount),
        ("source", missing_source),
        ("rootfs", rootless),
        ("second stage", both),
    ];
    let caller = Caller::now();
    for (name, edit) in edits {
        let mut given = given.clone();
        edit(&mut given.config);
        for _ in 0..20 {
            attempt(&given, "failure").expect_err(name);
        }
        let left = leftovers::cgroups(&given.id);
        assert!(left.is_empty(), "{name}: {left:?}");
        let state = fs::read_dir(given.state_root()).expect("readdir").count();
        assert_eq!(state, 0, "{name}: state is left");
        caller.is_unchanged();
    }
}

/// The cgroup allows less than the container is to get: that fails while the first stage clones the second.
#[test]
fn a_host_side_that_fails_leaves_no_second_stage() {
    needs_root!();
    if hierarchies::v1("devices").is_none() {
        return eprintln!("skipped: needs the cgroup v1 controller of devices");
    }
    own_process::run(&Bundle::sleeping(), "failures::host_side");
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn host_side() {
    let Some(mut given) = own_process::given() else { return };
    let parent = format!("{}-parent", given.id);
    let directory = hierarchies::v1("devices").expect("devices").own.join(&parent);
    fs::create_dir(&directory).expect("mkdir");
    fs::write(directory.join("devices.deny"), "a").expect("write");
    put_user_namespace(&mut given.config, 100_000, 65536);
    given.config["linux"]["cgroupsPath"] = json!(format!("{parent}/child"));
    let caller = Caller::now();
    let errors: Vec<_> =
        (0..50).map(|_| attempt(&given, "failure").expect_err("devices")).collect();
    caller.is_unchanged();
    for error in errors {
        assert_eq!(
            (error.kind(), error.errno()),
            (ErrorKind::Permission, Some(libc::EPERM)),
            "{error}"
        );
        assert_eq!(error.property(), Some("linux.resources.devices"), "{error}");
    }
    fs::remove_dir(&directory).expect("rmdir: the create has removed what was below");
}

#[test]
fn a_relative_bundle_is_refused_before_anything_is_read() {
    let error = libcontainer::Bundle::load("relative").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert_eq!(error.to_string(), "bundle relative: the path must be absolute");
}

#[test]
fn a_relative_state_root_is_refused() {
    let runtime = Runtime::new("relative");
    let told = [
        runtime.list().unwrap_err(),
        runtime.container("a").unwrap_err(),
        runtime.delete("a", Delete::Force).unwrap_err(),
    ];
    for error in told {
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert_eq!(error.to_string(), "state root relative: the path must be absolute");
    }
}
