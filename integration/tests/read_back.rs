//! A control that the kernel accepts and does not apply fails `create`, which says which one it is. System
//! calls of init return success without being made.

use std::fs;
use std::path::Path;

use integration::supervisor::{Action, Call, Role, Supervisor};
use integration::{Bundle, needs_root, peers_differ};
use serde_json::json;

const PR_SET_DUMPABLE: u64 = 4;
const PR_CAPBSET_DROP: u64 = 24;
const PR_SET_NO_NEW_PRIVS: u64 = 38;

/// Leaves the test where other calls are made.
macro_rules! needs_tare {
    () => {
        needs_root!();
        peers_differ!("runc", "makes other calls");
        peers_differ!("crun", "makes other calls");
    };
}

/// A container whose controls all differ from what init has before.
fn controlled() -> Bundle {
    Bundle::new()
        .set(
            "/process/user",
            json!({"uid": 1000, "gid": 1000, "additionalGids": [7, 8], "umask": 0o77}),
        )
        .set("/linux/sysctl", json!({"net.ipv4.ip_unprivileged_port_start": "77"}))
        .set("/process/oomScoreAdj", json!(321))
        .set("/domainname", json!("tare.test"))
}

/// That `create` fails because the kernel does not report what was set. `pretends` says what a call of init
/// returns that is not made.
#[track_caller]
fn fails(bundle: &Bundle, property: &str, mut pretends: impl FnMut(&Call) -> Option<i64> + Send) {
    let seen =
        Supervisor::of(&bundle.command_for_bundle(&["create"])).only(Role::Init).run(|call| {
            match pretends(call) {
                Some(result) => Action::Return(result),
                None => Action::Make,
            }
        });
    assert!(!seen.interfered.is_empty(), "{property}: there was no such call");
    let said = seen.outcome.fails();
    assert!(said.contains(property), "{:?}: {said}", seen.interfered);
    let reason = "the kernel accepted the setting but does not report it";
    assert!(said.contains(reason), "{:?}: {said}", seen.interfered);
    assert_eq!(bundle.leftovers(), Vec::<String>::new());
}

#[test]
fn without_lies_the_container_runs() {
    needs_tare!();
    let bundle = controlled();
    let command = bundle.command_for_bundle(&["run"]);
    Supervisor::of(&command).run(|_| Action::Make).outcome.ok();
}

#[test]
fn calls_that_only_pretend_fail_create() {
    needs_tare!();
    for (name, property) in [
        ("capset", "process.capabilities"),
        ("setresuid", "process.user"),
        ("setresgid", "process.user"),
        ("setgroups", "process.user.additionalGids"),
        ("sethostname", "hostname"),
        ("setdomainname", "domainname"),
    ] {
        fails(&controlled(), property, |call| (call.name == name).then_some(0));
    }
    // All but the first, which joins it: that returns the number of a key.
    let mut count = 0;
    fails(&controlled(), "session keyring", |call| {
        count += usize::from(call.name == "keyctl");
        (call.name == "keyctl" && count > 1).then_some(7)
    });
}

/// prctl(2) is many calls.
#[test]
fn prctls_that_only_pretend_fail_create() {
    needs_tare!();
    for (option, property) in [
        (PR_SET_NO_NEW_PRIVS, "process.noNewPrivileges"),
        (PR_CAPBSET_DROP, "process.capabilities"),
        (PR_SET_DUMPABLE, "process"),
    ] {
        let mut first = true;
        fails(&controlled(), property, |call| {
            // Later ones repeat what the change of the user has done.
            let pretends = first && call.name == "prctl" && call.arguments[0] == option;
            first &= !pretends;
            pretends.then_some(0)
        });
    }
}

#[test]
fn writes_that_only_pretend_fail_create() {
    needs_tare!();
    // A detached procfs has no place: its files have paths that begin with its own root. "77" is written.
    let is_sysctl = |call: &Call| {
        call.name == "write" && call.file() == "/sys/net/ipv4/ip_unprivileged_port_start"
    };
    for written in [2, 1] {
        fails(&controlled(), "linux.sysctl", |call| is_sysctl(call).then_some(written));
    }
    let pids = "/sys/fs/cgroup/pids";
    if !Path::new(pids).join("tasks").exists() {
        eprintln!("skipped in part: no v1 hierarchy");
        return;
    }
    let bundle = controlled();
    let path = format!("/tare-test/{}", bundle.id());
    let bundle = bundle.set("/linux/cgroupsPath", json!(path));
    let tasks = format!("{pids}{path}/tasks");
    fails(&bundle, "linux.cgroupsPath", |call| {
        (call.name == "write" && call.file() == tasks).then_some(1)
    });
    let _may_stay = fs::remove_dir(format!("{pids}/tare-test"));
}

#[test]
fn limits_that_only_pretend_fail_create() {
    needs_tare!();
    let bundle = controlled()
        .set("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 123, "hard": 456}]));
    fails(&bundle, "process.rlimits", |call| {
        // Those without a new limit report.
        (call.name == "prlimit64" && call.arguments[2] != 0).then_some(0)
    });
    fails(&controlled(), "process.user.umask", |call| {
        (call.name == "umask" && call.arguments[0] == 0o77).then_some(0)
    });
}

#[test]
fn mounts_that_only_pretend_fail_create() {
    needs_tare!();
    for (name, property) in [
        ("pivot_root", "root.path"),
        ("umount2", "root.path"),
        ("close_range", "process"),
        ("setsid", "process"),
        ("rt_sigprocmask", "process"),
    ] {
        fails(&Bundle::new(), property, |call| (call.name == name).then_some(0));
    }
    // Below it, everything is to be read-only too.
    let read_only = |call: &Call| {
        call.name == "mount_setattr"
            && call.arguments[2] == 0x9000
            && call.word(call.arguments[3]) == 1
    };
    fails(&Bundle::new(), "linux.readonlyPaths[0]", |call| read_only(call).then_some(0));
}
