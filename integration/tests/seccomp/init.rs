//! Profiles that deny what init itself calls: it ends or goes on, and `start` tells what failed.

use integration::{Bundle, needs_root, peers_differ};
use serde_json::{Value, json};

use super::{BAD_CALL, but, filtered};

/// What a runtime does itself after it has loaded the filter must not be stopped by it.
const OWN_CALLS: &[&str] = &[
    "sendmsg",
    "recvmsg",
    "prctl",
    "capset",
    "capget",
    "setresuid",
    "setgroups",
    "getcwd",
    "chdir",
    "fchdir",
    "openat",
    "openat2",
    "statx",
    "faccessat2",
    "close",
    "close_range",
    "poll",
    "ppoll",
    "accept4",
    "mmap",
    "munmap",
    "futex",
    "seccomp",
    "fcntl",
    "dup3",
    "exit_group",
    "getdents64",
];

#[test]
fn a_profile_denies_what_init_does_and_stops_nothing() {
    needs_root!();
    peers_differ!("runc", "1.1.5 makes such calls behind the filter");
    peers_differ!("crun", "1.8.1 makes such calls behind the filter");
    for (action, errno) in [
        ("SCMP_ACT_ERRNO", json!(1)),
        ("SCMP_ACT_ERRNO", json!(4)),
        ("SCMP_ACT_KILL_PROCESS", Value::Null),
    ] {
        for no_new_privileges in [true, false] {
            let mut entry = json!({ "names": OWN_CALLS, "action": action });
            if !errno.is_null() {
                entry["errnoRet"] = errno.clone();
            }
            // The static busybox runs without these calls, and falls back from exit_group(2) to exit(2).
            let bundle = filtered(Bundle::new(), &but(&json!([entry])))
                .set("/process/noNewPrivileges", json!(no_new_privileges));
            let process = bundle.created();
            bundle.start().ok();
            let code = bundle.wait(process);
            let expected = if errno.is_null() { BAD_CALL } else { 0 };
            assert_eq!(code, expected, "{action} {errno}");
        }
    }
}

#[test]
fn each_call_alone_may_be_denied() {
    needs_root!();
    peers_differ!("runc", "1.1.5 makes such calls behind the filter");
    peers_differ!("crun", "1.8.1 makes such calls behind the filter");
    let names = OWN_CALLS.iter().filter(|name| !["mmap", "prctl", "exit_group"].contains(name));
    for name in names {
        let entry = json!([{ "names": [name], "action": "SCMP_ACT_KILL_PROCESS" }]);
        let bundle = filtered(Bundle::sleeping(), &but(&entry));
        bundle.started();
    }
}

#[test]
fn start_tells_that_the_program_can_not_be_executed() {
    needs_root!();
    peers_differ!("runc", "1.1.5 tells nobody");
    peers_differ!("crun", "1.8.1 tells nobody");
    let deny = but(&json!([{ "names": ["execve"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13 }]));
    let bundle = filtered(Bundle::sleeping(), &deny);
    let process = bundle.created();
    let said = bundle.start().fails();
    assert!(said.contains("permission denied"), "{said}");
    assert_eq!(bundle.wait(process), 255);
}

#[test]
fn start_tells_it_where_init_may_not() {
    needs_root!();
    peers_differ!("runc", "1.1.5 tells nobody");
    peers_differ!("crun", "1.8.1 tells nobody");
    let calls = ["execve", "sendmsg", "sendto", "write", "writev", "exit_group", "exit"];
    for (errno, text) in [(13, "permission denied"), (0, "the filter answers")] {
        let entry = json!([{ "names": calls, "action": "SCMP_ACT_ERRNO", "errnoRet": errno }]);
        let bundle = filtered(Bundle::sleeping(), &but(&entry));
        let process = bundle.created();
        let said = bundle.start().fails();
        assert!(said.contains(&format!("exec /bin/sleep: {text}")), "{said}");
        assert!(bundle.wait(process) > 0);
    }
}

#[test]
fn a_profile_that_allows_nothing_ends_the_container() {
    needs_root!();
    peers_differ!("runc", "1.1.5 makes calls behind the filter");
    peers_differ!("crun", "1.8.1 makes calls behind the filter");
    for (action, errno) in [
        ("SCMP_ACT_ERRNO", json!(1)),
        // As if each call was interrupted: nothing is tried for ever.
        ("SCMP_ACT_ERRNO", json!(4)),
        ("SCMP_ACT_ERRNO", json!(0)),
        ("SCMP_ACT_KILL", Value::Null),
    ] {
        for no_new_privileges in [true, false] {
            let mut profile = json!({ "defaultAction": action });
            if !errno.is_null() {
                profile["defaultErrnoRet"] = errno.clone();
            }
            let bundle = filtered(Bundle::sleeping(), &profile)
                .set("/process/noNewPrivileges", json!(no_new_privileges));
            let process = bundle.created();
            let started = bundle.start();
            // A killed process may have been a program that was killed at once.
            assert_eq!(started.code == 0, action == "SCMP_ACT_KILL", "{profile}: {started:?}");
            let code = bundle.wait(process);
            assert!(code > 128, "{profile}: {code}");
        }
    }
}
