//! What the runtime-spec demands of a runtime while it runs, as far as no other topic shows it.
//! `docs/spec-coverage.md` names the test of every demand.

use std::os::unix::fs::symlink;

use integration::{Bundle, needs_root, peers_differ, until};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use serde_json::{Value, json};

/// A bundle that asks for a device at a path where the root filesystem has something already.
fn with_device(device: Value) -> Bundle {
    Bundle::sh("stat -c '%F %t %T' /opt/node")
        .writes(&["opt"])
        .set("/linux/devices", json!([device]))
}

fn node(bundle: &Bundle, kind: SFlag, major: u64, minor: u64) {
    let mode = Mode::from_bits_truncate(0o600);
    mknod(&bundle.rootfs("opt/node"), kind, mode, makedev(major, minor)).expect("mknod");
}

#[test]
fn a_device_that_is_something_else_is_an_error() {
    needs_root!();
    peers_differ!("runc", "leaves whatever is there");
    peers_differ!("crun", "leaves whatever is there");
    type Make = fn(&Bundle);
    let make: [(&str, Make); 7] = [
        ("a file", |bundle| std::fs::write(bundle.rootfs("opt/node"), "kept").unwrap()),
        ("a directory", |bundle| std::fs::create_dir(bundle.rootfs("opt/node")).unwrap()),
        ("a link to it", |bundle| symlink("/dev/null", bundle.rootfs("opt/node")).unwrap()),
        ("another number", |bundle| node(bundle, SFlag::S_IFCHR, 1, 5)),
        ("another major", |bundle| node(bundle, SFlag::S_IFCHR, 5, 3)),
        ("a block device", |bundle| node(bundle, SFlag::S_IFBLK, 1, 3)),
        ("a FIFO", |bundle| node(bundle, SFlag::S_IFIFO, 0, 0)),
    ];
    for (what, make) in make {
        let device = json!({"path": "/opt/node", "type": "c", "major": 1, "minor": 3});
        let bundle = with_device(device);
        std::fs::create_dir_all(bundle.rootfs("opt")).unwrap();
        make(&bundle);
        let text = bundle.run_fails();
        assert!(text.contains("linux.devices[0]") && text.contains("/opt/node"), "{what}: {text}");
    }
}

#[test]
fn a_device_that_is_there_already_is_used() {
    needs_root!();
    for (kind, sflag, numbers, said) in [
        ("c", SFlag::S_IFCHR, (1, 3), "character special file 1 3\n"),
        ("b", SFlag::S_IFBLK, (7, 300), "block special file 7 12c\n"),
        ("p", SFlag::S_IFIFO, (0, 0), "fifo 0 0\n"),
    ] {
        let (major, minor) = numbers;
        let bundle =
            with_device(json!({"path": "/opt/node", "type": kind, "major": major, "minor": minor}));
        std::fs::create_dir_all(bundle.rootfs("opt")).unwrap();
        node(&bundle, sflag, major, minor);
        assert_eq!(bundle.run().ok(), said);
    }
}

#[test]
fn a_container_that_has_stopped_has_no_process() {
    needs_root!();
    let bundle = Bundle::new();
    let process = bundle.created();
    assert_eq!(bundle.state()["pid"], json!(process.0));
    bundle.start().ok();
    bundle.wait(process);
    assert!(until(|| bundle.status() == "stopped"));
    assert!(matches!(bundle.state()["pid"].as_i64(), None | Some(0)), "{}", bundle.state());
    // What is refused then changes nothing, either.
    bundle.kill("TERM").fails();
    bundle.start().fails();
    assert_eq!(bundle.status(), "stopped");
}

#[test]
fn a_relative_destination_starts_at_the_root() {
    needs_root!();
    let bundle = Bundle::sh("cd /tmp && stat -f -c %T /opt/relative").mount(
        "opt/relative",
        "tmpfs",
        "tmpfs",
        &[],
    );
    assert_eq!(bundle.writes(&["opt"]).run().ok(), "tmpfs\n");
}

#[test]
fn an_agent_that_is_not_needed_is_not_asked() {
    needs_root!();
    peers_differ!("crun", "connects to the agent whatever the profile asks for");
    let bundle = Bundle::sh("grep ^Seccomp: /proc/self/status").set(
        "/linux/seccomp",
        json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "listenerPath": "/nonexistent/agent",
            "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}],
        }),
    );
    assert_eq!(bundle.run().ok(), "Seccomp:\t2\n");
}

#[test]
fn arguments_that_execve_never_takes_are_refused() {
    needs_root!();
    let with = |arguments: Vec<String>| {
        let mut args =
            vec!["sh".to_owned(), "-c".to_owned(), "echo $#".to_owned(), "sh".to_owned()];
        args.extend(arguments);
        Bundle::new().set("/process/args", json!(args)).edit(|config| {
            let stack = json!({"type": "RLIMIT_STACK", "soft": 4 << 20, "hard": 4 << 20});
            integration::config::array(config, "/process/rlimits").push(stack);
        })
    };
    // 32 pages for one, with its NUL.
    let longest = "x".repeat((128 << 10) - 1);
    assert_eq!(with(vec![longest.clone()]).run().ok(), "1\n");
    let refused = |arguments: Vec<String>| {
        let text = with(arguments).run_fails();
        assert!(text.to_lowercase().contains("argument list too long"), "{text}");
    };
    peers_differ!("crun", "loses the reason");
    refused(vec!["x".repeat(32 * (64 << 10))]);
    if cfg!(target_arch = "x86_64") {
        refused(vec![longest + "x"]);
    }
    // A quarter of the stack for all.
    assert_eq!(with(vec!["x".repeat(100_000); 10]).run().ok(), "10\n");
    refused(vec!["x".repeat(100_000); 11]);
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    needs_root!();
    peers_differ!("runc", "tells the first error, and knows few of them");
    peers_differ!("crun", "tells the first error, and knows few of them");
    let bundle = Bundle::new()
        .set("/ociVersion", json!("one"))
        .set("/process/cwd", json!(5))
        .set("/linux/devices", json!([{"path": "dev/x", "type": "c", "major": 1}]))
        .set("/linux/uidMappings", json!([{"containerID": 0, "size": 1}]))
        .set("/annotations", json!({"": "x"}))
        .edit(|config| {
            let limit = json!({"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1});
            let rlimits = integration::config::array(config, "/process/rlimits");
            rlimits.insert(0, json!({"type": "RLIMIT_FOO", "soft": 1, "hard": 1}));
            rlimits.push(limit);
            config["hooks"] = json!({"poststop": [{"path": "hook", "timeout": 0}]});
            config["linux"]["seccomp"] = json!({
                "defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x",
                "syscalls": [{"names": [], "action": "SCMP_ACT_KILL", "errnoRet": 1}],
            });
        });
    let text = bundle.run_fails();
    for place in [
        "ociVersion",
        "process.cwd",
        "process.rlimits[0].type",
        "process.rlimits[2].type",
        "annotations[\\\"\\\"]",
        "linux.devices[0].path",
        "linux.devices[0].minor",
        "linux.uidMappings",
        "linux.uidMappings[0].hostID",
        "hooks.poststop[0].path",
        "hooks.poststop[0].timeout",
        "linux.seccomp.syscalls[0].names",
        "linux.seccomp.syscalls[0].errnoRet",
        "linux.seccomp.listenerMetadata",
    ] {
        assert!(text.contains(&format!("{place}: ")), "{place} is not in {text}");
    }
}

#[test]
fn operations_without_an_id_are_refused() {
    let bundle = Bundle::unprepared();
    for operation in ["create", "state", "start", "kill", "delete"] {
        bundle.call(&[operation]).fails();
        assert_eq!(std::fs::read_dir(bundle.state_root()).unwrap().count(), 0, "{operation}");
    }
}

#[test]
fn operations_on_what_does_not_exist_are_refused() {
    needs_root!();
    let bundle = Bundle::new();
    bundle.write();
    for operation in [&["state", bundle.id()] as &[&str], &["start", bundle.id()]] {
        bundle.call(operation).fails();
    }
    bundle.kill("TERM").fails();
    bundle.delete().fails();
    // Without its configuration, a directory is no bundle.
    let empty = bundle.decoy().display().to_string();
    bundle.call(&["create", "--bundle", &empty, bundle.id()]).fails();
    assert_eq!(bundle.leftovers(), Vec::<String>::new());
}

#[test]
fn what_the_container_did_not_make_stays() {
    needs_root!();
    let bundle = Bundle::sleeping().edit(|config| {
        let path = format!("/proc/{}/ns/net", std::process::id());
        let namespace = json!({"type": "network", "path": path});
        integration::config::put_namespace(config, namespace);
    });
    bundle.started();
    bundle.delete_force().ok();
    assert!(std::fs::metadata("/proc/self/ns/net").is_ok());
    // The bundle is the caller's.
    assert!(bundle.rootfs("").is_dir() && bundle.directory().join("config.json").is_file());
    assert_eq!(bundle.leftovers(), Vec::<String>::new());
}
