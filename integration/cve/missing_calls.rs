//! A kernel that lacks system calls, as the launcher `enosys` makes one. Without those of the floor, Linux
//! 5.10, each verb refuses and says which call it misses, and leaves nothing. The probes of the other modules
//! are made without each newer one.

use std::collections::BTreeSet;
use std::fs;

use integration::config::put_user_namespace;
use integration::{Bundle, Outcome, Under};
use serde_json::json;
use syscalls::Sysno;

use crate::probe::{ENOSYS, NEWER, needs_strace, needs_tare, traced};

/// Calls of Linux 5.10 or older without which nothing can be done, or not safely, with the verbs that make
/// them.
const FLOOR: [(&str, &[&str]); 15] = [
    ("openat2", &["create"]),
    ("open_tree", &["create"]),
    ("fsopen", &["create"]),
    ("fsconfig", &["create"]),
    ("fsmount", &["create"]),
    ("move_mount", &["create"]),
    ("clone3", &["create"]),
    ("pidfd_open", &["create"]),
    ("close_range", &["create"]),
    ("pidfd_send_signal", &["kill", "delete"]),
    ("execveat", &["create"]),
    ("memfd_create", &["create"]),
    ("statx", &["create"]),
    ("pivot_root", &["create"]),
    ("capset", &["create"]),
];

/// A container with as many kinds of calls as there are.
fn demanding() -> Bundle {
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["kexec_load"], "action": "SCMP_ACT_ERRNO" }],
    });
    Bundle::sleeping()
        .mount("/opt", "bind", "decoy", &["bind", "ro"])
        .set("/linux/seccomp", profile)
        .set("/linux/sysctl", json!({ "net.ipv4.ip_unprivileged_port_start": "77" }))
        .set("/process/user", json!({ "uid": 1000, "gid": 1000, "additionalGids": [7] }))
        .edit(|config| put_user_namespace(config, 100_000, 65536))
}

/// It failed by itself, and said which call is missing.
#[track_caller]
fn names(call: &str, outcome: &Outcome) {
    let said = outcome.clone().fails();
    assert!(said.contains(call), "{call} is not named: {outcome:?}");
}

#[test]
fn without_a_call_of_the_floor_no_container_is_made_and_nothing_is_left() {
    needs_tare!();
    for (call, needing) in FLOOR {
        Under::test().below(&[ENOSYS, call]).run(|| {
            for made_by in ["run", "create"].into_iter().filter(|_| needing.contains(&"create")) {
                for bundle in [demanding(), Bundle::sleeping()] {
                    let outcome = if made_by == "run" { bundle.run() } else { bundle.create() };
                    names(call, &outcome);
                    assert_eq!(
                        bundle.leftovers(),
                        Vec::<String>::new(),
                        "{made_by} without {call}"
                    );
                }
            }
        });
    }
}

#[test]
fn without_a_call_of_the_floor_a_container_can_still_be_deleted() {
    needs_tare!();
    for (call, needing) in FLOOR {
        for then in ["start", "kill", "state", "delete"] {
            let bundle = demanding();
            let process = bundle.created();
            let under = Under::test().below(&[ENOSYS, call]);
            let arguments = match then {
                "kill" => vec!["kill", bundle.id(), "KILL"],
                "delete" => vec!["delete", "--force", bundle.id()],
                _ => vec![then, bundle.id()],
            };
            let mut command = under.command();
            command.arg("--root").arg(bundle.state_root()).args(arguments);
            let outcome = bundle.finish(&mut command);
            if needing.contains(&then) {
                names(call, &outcome);
            }
            if outcome.code != 0 {
                names(call, &outcome);
                assert!(process.lives(), "{then} without {call}");
            }
            if then != "delete" || outcome.code != 0 {
                bundle.delete_force().ok();
            }
            assert_eq!(bundle.leftovers(), Vec::<String>::new(), "{then} without {call}");
        }
    }
}

/// The filter is loaded behind the gate: the container is there, is not started, and can be deleted.
#[test]
fn without_seccomp_a_container_with_a_filter_is_not_started() {
    needs_tare!();
    Under::test().below(&[ENOSYS, "seccomp"]).run(|| {
        let bundle = demanding();
        let process = bundle.created();
        names("seccomp", &bundle.start());
        bundle.wait(process);
        assert_eq!(bundle.status(), "stopped");
        bundle.delete().ok();
        assert_eq!(bundle.leftovers(), Vec::<String>::new());
    });
}

/// Every call newer than Linux 5.10 that is made is one of those that the probes are made without.
#[test]
fn the_newer_calls_are_known() {
    needs_tare!();
    needs_strace!();
    let mut made = BTreeSet::new();
    for bundle in [demanding().args(&["true"]), Bundle::new()] {
        let mut command = traced(&bundle, &[], &bundle.command_for_bundle(&["run"]));
        bundle.finish(&mut command).ok();
        let trace = fs::read_to_string(bundle.directory().join("trace")).unwrap();
        let calls = trace.lines().filter_map(|line| line.split_once('(')?.0.split(' ').next_back());
        made.extend(calls.filter_map(|call| call.parse::<Sysno>().ok()));
    }
    // Numbers are given in turn; this is 5.10's last.
    let newer: Vec<_> = made.iter().filter(|call| **call > Sysno::process_madvise).collect();
    let newer: Vec<_> = newer.iter().map(|call| call.name()).collect();
    assert!(made.contains(&Sysno::openat2), "{made:?}");
    assert_eq!(newer, NEWER);
}
