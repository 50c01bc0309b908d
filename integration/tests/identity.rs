//! Who the process is: ids, capabilities, limits, environment, working directory, signals.

use std::os::unix::fs::PermissionsExt;

use integration::config::put_capabilities;
use integration::{Bundle, Process, finish, needs_root, peers_differ};
use serde_json::{Value, json};

/// A bit of capabilities(7).
const CHOWN: u64 = 1;
const KILL: u64 = 1 << 5;
const NET_BIND_SERVICE: u64 = 1 << 10;
const NET_RAW: u64 = 1 << 13;
const AUDIT_WRITE: u64 = 1 << 29;

/// Whether the caller may raise hard limits and lower its OOM score: CAP_SYS_RESOURCE.
fn can_raise() -> bool {
    let raises = own().mask("CapEff") & 1 << 24 != 0;
    if !raises {
        eprintln!("skipped in part: needs CAP_SYS_RESOURCE");
    }
    raises
}

fn own() -> Process {
    Process(std::process::id().try_into().unwrap())
}

/// The caller's hard limit.
fn own_limit(line: &str) -> u64 {
    own().limit(line).1.parse().unwrap_or(u64::MAX)
}

fn user(uid: u32, gid: u32, additional: &[u32]) -> Value {
    json!({ "uid": uid, "gid": gid, "additionalGids": additional })
}

#[test]
fn ids_are_exactly_the_configured() {
    needs_root!();
    for (uid, gid, groups, shown) in
        [(0, 0, &[][..], ""), (1000, 2000, &[7][..], "7"), (5, 6, &[1, 70_000][..], "1 70000")]
    {
        let bundle = Bundle::sleeping().set("/process/user", user(uid, gid, groups));
        let process = bundle.started();
        let four = |id: u32| format!("{id} {id} {id} {id}");
        assert_eq!(process.status("Uid"), four(uid));
        assert_eq!(process.status("Gid"), four(gid));
        assert_eq!(process.status("Groups"), shown);
    }
}

#[test]
fn the_umask_is_022_or_the_configured() {
    needs_root!();
    let script = "umask; touch /dev/shm/x; stat -c %a /dev/shm/x";
    assert_eq!(Bundle::sh(script).run().ok(), "0022\n644\n");
    let bundle = Bundle::sh(script).set("/process/user/umask", json!(0o27));
    assert_eq!(bundle.run().ok(), "0027\n640\n");
}

#[test]
fn the_umask_of_the_caller_has_no_effect() {
    needs_root!();
    peers_differ!("crun", "1.8.1 makes missing targets with the caller's umask");
    let bundle = Bundle::sh("umask; stat -c %a /dev/null /dev/shm /new/dir /new")
        .writes(&["new"])
        .mount("/new/dir", "tmpfs", "tmpfs", &["mode=755"]);
    let inner = bundle.command_for_bundle(&["run"]);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "umask 077; exec \"$@\"", "sh"]).arg(inner.get_program());
    command.args(inner.get_args());
    peers_differ!("runc", "1.1.5 makes missing targets with the caller's umask");
    assert_eq!(finish(&mut command).ok(), "0022\n666\n1777\n755\n755\n");
}

#[test]
fn capabilities_are_exactly_the_configured() {
    needs_root!();
    let template = KILL | NET_BIND_SERVICE | AUDIT_WRITE;
    let bundle = Bundle::sleeping();
    let process = bundle.started();
    for (set, expected) in [
        ("CapBnd", template),
        ("CapEff", template),
        ("CapPrm", template),
        ("CapInh", 0),
        ("CapAmb", 0),
    ] {
        assert_eq!(process.mask(set), expected, "{set}");
    }
}

#[test]
fn the_five_sets_are_set_apart() {
    needs_root!();
    let bundle = Bundle::sleeping()
        .set(
            "/process/capabilities",
            json!({
                "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
                "permitted": ["CAP_CHOWN", "CAP_KILL"],
                "effective": ["CAP_KILL"],
                "inheritable": ["CAP_KILL"],
                "ambient": ["CAP_KILL"],
            }),
        )
        .set("/process/user", user(1000, 1000, &[]));
    let process = bundle.started();
    assert_eq!(process.mask("CapBnd"), CHOWN | KILL | NET_RAW);
    assert_eq!(process.mask("CapInh"), KILL);
    assert_eq!(process.mask("CapAmb"), KILL);
    // What execve(2) leaves to a user who is not root are the ambient ones.
    assert_eq!(process.mask("CapPrm"), KILL);
    assert_eq!(process.mask("CapEff"), KILL);
}

#[test]
fn without_capabilities_there_are_none() {
    needs_root!();
    for capabilities in [None, Some(json!({}))] {
        let bundle = Bundle::sleeping().edit(|config| {
            let process = config["process"].as_object_mut().unwrap();
            process.remove("capabilities");
            process.extend(capabilities.clone().map(|value| ("capabilities".into(), value)));
        });
        let process = bundle.started();
        for set in ["CapBnd", "CapEff", "CapPrm", "CapInh", "CapAmb"] {
            assert_eq!(process.mask(set), 0, "{set} of {capabilities:?}");
        }
    }
}

#[test]
fn a_user_who_is_not_root_has_none_without_ambient() {
    needs_root!();
    let bundle = Bundle::sleeping().set("/process/user", user(1000, 1000, &[]));
    let process = bundle.started();
    for set in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
        assert_eq!(process.mask(set), 0, "{set}");
    }
    assert_eq!(process.mask("CapBnd"), KILL | NET_BIND_SERVICE | AUDIT_WRITE);
}

#[test]
fn an_unknown_capability_is_not_an_error() {
    needs_root!();
    let bundle =
        Bundle::sleeping().edit(|config| put_capabilities(config, &["CAP_KILL", "CAP_NOSUCH"]));
    assert_eq!(bundle.started().mask("CapEff"), KILL);
}

#[test]
fn no_new_privileges_is_as_configured() {
    needs_root!();
    for (value, shown) in [(true, "1"), (false, "0")] {
        let bundle = Bundle::sleeping().set("/process/noNewPrivileges", json!(value));
        assert_eq!(bundle.started().status("NoNewPrivs"), shown);
    }
}

#[test]
fn limits_are_exactly_the_configured() {
    needs_root!();
    let table = [
        ("RLIMIT_NOFILE", "Max open files", 123, 456),
        ("RLIMIT_CORE", "Max core file size", 0, 1000),
        ("RLIMIT_NPROC", "Max processes", 77, 78),
        ("RLIMIT_STACK", "Max stack size", 1 << 20, 1 << 23),
        ("RLIMIT_CPU", "Max cpu time", 50, 60),
        ("RLIMIT_FSIZE", "Max file size", 1 << 30, 1 << 31),
        ("RLIMIT_DATA", "Max data size", 1 << 32, 1 << 33),
        ("RLIMIT_RSS", "Max resident set", 1 << 20, 1 << 21),
        ("RLIMIT_MEMLOCK", "Max locked memory", 4096, 8192),
        ("RLIMIT_AS", "Max address space", 1 << 34, 1 << 35),
        ("RLIMIT_LOCKS", "Max file locks", 5, 6),
        ("RLIMIT_SIGPENDING", "Max pending signals", 11, 12),
        ("RLIMIT_MSGQUEUE", "Max msgqueue size", 13, 14),
        ("RLIMIT_NICE", "Max nice priority", 1, 2),
        ("RLIMIT_RTPRIO", "Max realtime priority", 3, 4),
        ("RLIMIT_RTTIME", "Max realtime timeout", 1000, 2000),
    ];
    // Without CAP_SYS_RESOURCE nobody can raise a hard limit.
    let table: Vec<_> =
        table.into_iter().filter(|row| can_raise() || row.3 <= own_limit(row.1)).collect();
    assert!(table.len() >= 10, "{table:?}");
    let limits: Vec<Value> = table
        .iter()
        .map(|(name, _, soft, hard)| json!({ "type": name, "soft": soft, "hard": hard }))
        .collect();
    let bundle = Bundle::sleeping().set("/process/rlimits", json!(limits));
    let process = bundle.started();
    for (name, line, soft, hard) in table {
        let expected = (u64::to_string(&soft), u64::to_string(&hard));
        assert_eq!(process.limit(line), expected, "{name}");
    }
}

#[test]
fn a_limit_above_the_callers_can_be_set() {
    needs_root!();
    if !can_raise() {
        return;
    }
    let bundle = Bundle::sleeping()
        .set("/process/rlimits", json!([{ "type": "RLIMIT_NOFILE", "soft": 3000, "hard": 4000 }]));
    let inner = bundle.command_for_bundle(&["create"]);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -n 200; exec \"$@\"", "sh"]).arg(inner.get_program());
    bundle.create_by(command.args(inner.get_args())).ok();
    let process = bundle.process();
    bundle.start().ok();
    assert!(integration::until(|| process.file("cmdline").starts_with("sleep")));
    assert_eq!(process.limit("Max open files"), ("3000".into(), "4000".into()));
}

#[test]
fn invalid_limits_are_refused() {
    needs_root!();
    for limit in [
        json!({ "type": "RLIMIT_NOSUCH", "soft": 1, "hard": 1 }),
        json!({ "type": "RLIMIT_NOFILE", "soft": 2, "hard": 1 }),
    ] {
        let bundle = Bundle::new().set("/process/rlimits", json!([limit]));
        bundle.run_fails();
    }
}

#[test]
fn oom_score_adj_is_as_configured_or_the_callers() {
    needs_root!();
    let own = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    assert_eq!(Bundle::sleeping().started().file("oom_score_adj"), own);
    let least = if can_raise() { -1000 } else { own.trim().parse().unwrap() };
    for value in [-500, 0, 321, 1000].into_iter().filter(|value| *value >= least) {
        let bundle = Bundle::sleeping().set("/process/oomScoreAdj", json!(value));
        assert_eq!(bundle.started().file("oom_score_adj").trim(), value.to_string());
    }
}

#[test]
fn the_working_directory_is_made_and_entered() {
    needs_root!();
    let bundle = Bundle::sh("pwd; stat -c '%a %u' . ..")
        .writes(&["new"])
        .set("/process/cwd", json!("/new/place"))
        .set("/process/user", user(1000, 1000, &[]));
    assert_eq!(bundle.run().ok(), "/new/place\n755 0\n755 0\n");
}

#[test]
fn a_working_directory_of_the_user_only_is_entered() {
    needs_root!();
    let bundle = Bundle::sh("pwd")
        .set("/process/cwd", json!("/home/user"))
        .set("/process/user", user(1000, 1000, &[]));
    let home = bundle.rootfs("home/user");
    std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::chown(&home, Some(1000), Some(1000)).unwrap();
    assert_eq!(bundle.run().ok(), "/home/user\n");
}

#[test]
fn a_working_directory_must_be_absolute_and_a_directory() {
    needs_root!();
    let bundle = Bundle::new().set("/process/cwd", json!("/etc/passwd"));
    let text = bundle.run_fails().to_lowercase();
    assert!(text.contains("not a directory"), "{text}");
    peers_differ!("crun", "takes a relative working directory");
    let bundle = Bundle::new().set("/process/cwd", json!("tmp"));
    let text = bundle.run_fails().to_lowercase();
    assert!(text.contains("cwd") && text.contains("absolute"), "{text}");
}

#[test]
fn home_is_the_one_of_the_containers_passwd_file() {
    needs_root!();
    for (uid, home) in [(0, "/root"), (1000, "/home/user"), (4242, "/")] {
        if uid == 4242 {
            peers_differ!("crun", "1.8.1 leaves HOME empty for a user without entry");
        }
        let bundle = Bundle::sh("echo $HOME").set("/process/user", user(uid, uid, &[]));
        assert_eq!(bundle.run().ok(), format!("{home}\n"), "{uid}");
    }
    let bundle =
        Bundle::sh("echo $HOME").set("/process/env", json!(["PATH=/bin", "HOME=/elsewhere"]));
    assert_eq!(bundle.run().ok(), "/elsewhere\n");
}

#[test]
fn home_is_the_root_without_a_passwd_file() {
    needs_root!();
    let bundle = Bundle::sh("echo $HOME").set("/process/user", user(1000, 1000, &[]));
    std::fs::remove_file(bundle.rootfs("etc/passwd")).unwrap();
    assert_eq!(bundle.run().ok(), "/\n");
}

#[test]
fn the_environment_is_exactly_the_configured() {
    needs_root!();
    let bundle =
        Bundle::sleeping().set("/process/env", json!(["PATH=/bin", "HOME=/", "EMPTY=", "A=1=2"]));
    let mut command = bundle.command_for_bundle(&["create"]);
    bundle.create_by(command.env("OF_THE_CALLER", "1").env("HOME", "/caller")).ok();
    let process = bundle.process();
    bundle.start().ok();
    assert!(integration::until(|| process.file("cmdline").starts_with("sleep")));
    assert_eq!(process.environment(), ["PATH=/bin", "HOME=/", "EMPTY=", "A=1=2"]);
}

#[test]
fn the_arguments_are_exactly_the_configured() {
    needs_root!();
    let args = ["sh", "-c", "sleep 1000; true", "", "two words", "ünïcode", "-x"];
    let bundle = Bundle::new().args(&args);
    let process = bundle.created();
    bundle.start().ok();
    let expected = args.map(|arg| format!("{arg}\0")).concat();
    assert!(
        integration::until(|| process.file("cmdline") == expected),
        "{:?}",
        process.file("cmdline")
    );
}

#[test]
fn signals_are_as_after_boot() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let inner = bundle.command_for_bundle(&["create"]);
    let mut command = std::process::Command::new("bash");
    command.args(["-c", "trap '' PIPE HUP USR1; exec \"$@\"", "bash"]).arg(inner.get_program());
    bundle.create_by(command.args(inner.get_args())).ok();
    let process = bundle.process();
    bundle.start().ok();
    assert!(integration::until(|| process.file("cmdline").starts_with("sleep")));
    assert_eq!((process.mask("SigBlk"), process.mask("SigCgt")), (0, 0));
    peers_differ!("runc", "hands on what its caller ignores");
    peers_differ!("crun", "hands on what its caller ignores");
    assert_eq!(process.mask("SigIgn"), 0);
}

#[test]
fn ids_that_are_not_mapped_are_refused() {
    needs_root!();
    for pointer in ["uid", "gid"] {
        let bundle = Bundle::new()
            .edit(|config| integration::config::put_user_namespace(config, 100_000, 1000))
            .set(&format!("/process/user/{pointer}"), json!(5000));
        bundle.run_fails();
    }
}
