//! The rules of profiles, as the process inside feels them: actions, conditions, architectures, and the
//! default profiles of engines.

use std::fs;

use integration::{Bundle, needs_root, peers_differ};
use serde_json::{Value, json};

use super::{BAD_CALL, but, filtered, of_engine};

const EPERM: i32 = 1;

const ENOSYS: i32 = 38;

/// A bundle whose process makes these calls.
fn probing(profile: &Value, calls: &[&str]) -> Bundle {
    let bundle = Bundle::new().args(&[&["/probe"], calls].concat());
    fs::copy(env!("CARGO_BIN_EXE_probe"), bundle.rootfs("probe")).unwrap();
    filtered(bundle, profile)
}

/// The errnos of calls.
#[track_caller]
fn probe(profile: &Value, calls: &[&str]) -> Vec<i32> {
    let bundle = probing(profile, calls);
    bundle.run().ok().lines().map(|line| line.parse().unwrap()).collect()
}

/// The name of a system call, the call, and its errno under the default profile of Docker and of
/// containerd: what is allowed fails for its arguments.
const DEFAULT_PROFILE: &[(&str, &str, i32)] = &[
    ("getpid", "39", 0),
    ("getcwd", "79:0:0", 34),
    ("uname", "63:0", 14),
    ("mount", "165:0:0:0:0:0", EPERM),
    ("umount2", "166:0:0", EPERM),
    ("pivot_root", "155:0:0", EPERM),
    ("chroot", "161:0", 14),
    ("ptrace", "101:99:0", 3),
    ("process_vm_readv", "310:0:0:0:0:0:7", 22),
    ("clone of a uts namespace", "56:67108864", EPERM),
    ("clone of nonsense", "56:2048", 22),
    ("clone3", "435:0:0", ENOSYS),
    ("unshare", "272:0", EPERM),
    ("setns", "308:-1:0", EPERM),
    ("socket of AF_UNIX", "41:1:99:0", 22),
    ("socket of AF_VSOCK", "41:40:99:0", EPERM),
    ("personality, asked for", "135:4294967295", 0),
    ("personality without randomization", "135:262144", EPERM),
    ("keyctl", "250:0", EPERM),
    ("add_key", "248:0", EPERM),
    ("bpf", "321:99:0:0", EPERM),
    ("perf_event_open", "298:0", EPERM),
    ("userfaultfd", "323:-1", EPERM),
    ("kexec_load", "246:0:0:0:-1", EPERM),
    ("init_module", "175:0", EPERM),
    ("delete_module", "176:0", EPERM),
    ("finit_module", "313:-1", EPERM),
    ("open_by_handle_at", "304:-1:0:0", EPERM),
    ("name_to_handle_at", "303:-1:0:0:0:-1", 22),
    ("reboot", "169:0:0:0:0", EPERM),
    ("swapon", "167:0:0", EPERM),
    ("acct", "163:1", EPERM),
    ("settimeofday", "164:1:0", EPERM),
    ("adjtimex", "159:0", 14),
    ("iopl", "172:0", EPERM),
    ("sethostname", "170:0:0", EPERM),
    ("quotactl", "179:0:0:0:0", EPERM),
    ("syslog", "103:10:0:0", EPERM),
    ("arch_prctl", "158:0:0", 22),
    ("openat2", "437:-1:0:0:0", 22),
    ("pidfd_open", "434:0:0", 22),
    ("close_range", "436:1:0:0", 22),
    ("a call from the future", "999", ENOSYS),
];

#[test]
fn default_profiles_of_engines() {
    needs_root!();
    peers_differ!("crun", "1.8.1 answers calls that are newer than the profile with its default");
    let calls: Vec<&str> = DEFAULT_PROFILE.iter().map(|(_, call, _)| *call).collect();
    for fixture in ["docker-28.json", "cri-container.json"] {
        let errnos = probe(&of_engine(fixture), &calls);
        assert_eq!(errnos.len(), DEFAULT_PROFILE.len());
        let wrong: Vec<String> = DEFAULT_PROFILE
            .iter()
            .zip(errnos)
            .filter(|((_, _, expected), errno)| expected != errno)
            .map(|((name, call, expected), errno)| {
                format!("{name} ({call}): {errno}, not {expected}")
            })
            .collect();
        assert!(wrong.is_empty(), "{fixture}: {wrong:#?}");
    }
}

#[test]
fn each_action_does_what_it_says() {
    needs_root!();
    let alone = |action: &str, errno: Value| {
        let mut entry = json!({ "names": ["sched_get_priority_max"], "action": action });
        if !errno.is_null() {
            entry["errnoRet"] = errno;
        }
        but(&json!([entry]))
    };
    for (action, errno, expected) in [
        ("SCMP_ACT_ERRNO", Value::Null, EPERM),
        ("SCMP_ACT_ERRNO", json!(77), 77),
        ("SCMP_ACT_ERRNO", json!(0), 0),
        ("SCMP_ACT_ALLOW", Value::Null, 0),
        ("SCMP_ACT_LOG", Value::Null, 0),
        // Nobody traces it.
        ("SCMP_ACT_TRACE", Value::Null, ENOSYS),
        ("SCMP_ACT_TRACE", json!(5), ENOSYS),
    ] {
        assert_eq!(
            probe(&alone(action, errno.clone()), &["146:0"]),
            [expected],
            "{action} {errno}"
        );
    }
    for action in
        ["SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"]
    {
        let outcome = probing(&alone(action, Value::Null), &["146:0"]).run();
        assert_eq!((outcome.code, outcome.stdout.as_str()), (BAD_CALL, ""), "{action}");
    }
}

#[test]
fn rules_and_their_conditions() {
    needs_root!();
    let condition = |index: u32, op: &str, value: u64, two: u64| json!({ "index": index, "op": format!("SCMP_CMP_{op}"), "value": value, "valueTwo": two });
    let rule = |errno: u32, args: Value| json!({ "names": ["getpid", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno, "args": args });
    let none = || json!([]);
    for (entries, call, expected) in [
        (vec![rule(5, json!([condition(0, "MASKED_EQ", 0xf0, 0x20)]))], "39:303", 5),
        (vec![rule(5, json!([condition(0, "MASKED_EQ", 0xf0, 0x20)]))], "39:304", 0),
        (
            vec![rule(5, json!([condition(5, "GT", 0x1_0000_0000, 0)]))],
            "39:0:0:0:0:0:4294967297",
            5,
        ),
        (
            vec![rule(5, json!([condition(5, "GT", 0x1_0000_0000, 0)]))],
            "39:0:0:0:0:0:4294967296",
            0,
        ),
        (vec![rule(5, json!([condition(0, "LE", 7, 0)]))], "39:-1", 0),
        (vec![rule(5, json!([condition(0, "EQ", 1, 0), condition(1, "EQ", 2, 0)]))], "39:1:2", 5),
        (vec![rule(5, json!([condition(0, "EQ", 1, 0), condition(1, "EQ", 2, 0)]))], "39:1:3", 0),
        // The same argument twice: either.
        (vec![rule(5, json!([condition(0, "EQ", 1, 0), condition(0, "EQ", 2, 0)]))], "39:2", 5),
        (vec![rule(5, json!([condition(0, "EQ", 1, 0), condition(0, "EQ", 2, 0)]))], "39:3", 0),
        // Without conditions comes first, and of these the first.
        (vec![rule(5, json!([condition(0, "EQ", 1, 0)])), rule(6, none())], "39:1", 6),
        (vec![rule(6, none()), rule(5, none())], "39:1", 6),
        (
            vec![
                rule(5, json!([condition(0, "EQ", 1, 0)])),
                rule(6, json!([condition(0, "EQ", 2, 0)])),
            ],
            "39:2",
            6,
        ),
    ] {
        let profile = but(&json!(entries));
        assert_eq!(probe(&profile, &[call]), [expected], "{profile} {call}");
    }
}

#[test]
fn the_numbers_of_x32_are_another_architecture() {
    needs_root!();
    let number = (0x4000_0000_u32 | 39).to_string();
    let deny = json!([{ "names": ["getpid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5 }]);
    let outcome = probing(&but(&deny), &[&number]).run();
    assert_eq!((outcome.code, outcome.stdout.as_str()), (BAD_CALL, ""));
    let mut profile = but(&deny);
    profile["architectures"] = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"]);
    assert_eq!(probe(&profile, &[&number, "39"]), [5, 5]);
}
