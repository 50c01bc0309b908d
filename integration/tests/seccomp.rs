//! Filters of system calls, as the process inside feels them.

use std::fs;
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::Path;

use integration::config::put_capabilities;
use integration::{Bundle, needs_root, peers_differ};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use serde_json::{Value, json};

const EPERM: i32 = 1;
const ENOSYS: i32 = 38;

/// SIGSYS, as a shell says it.
const BAD_CALL: i32 = 128 + 31;

/// The profile that an engine has written into a configuration.
fn of_engine(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name);
    let config: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    config["linux"]["seccomp"].clone()
}

fn filtered(bundle: Bundle, profile: &Value) -> Bundle {
    bundle.edit(|config| config["linux"]["seccomp"] = profile.clone())
}

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

/// Everything is allowed but what these entries say.
fn but(entries: &Value) -> Value {
    json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": entries })
}

/// The name of a system call, the call, and its errno under the default profile of Docker and of
/// containerd: what is allowed fails for its arguments.
#[cfg(target_arch = "x86_64")]
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

#[cfg(target_arch = "x86_64")]
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

#[cfg(target_arch = "x86_64")]
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

#[cfg(target_arch = "x86_64")]
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

#[cfg(target_arch = "x86_64")]
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

#[test]
fn one_filter_is_in_force_and_nothing_else_is_changed() {
    needs_root!();
    for no_new_privileges in [true, false] {
        let bundle = filtered(Bundle::sleeping(), &of_engine("docker-28.json"))
            .set("/process/noNewPrivileges", json!(no_new_privileges))
            .set("/process/user", json!({ "uid": 0, "gid": 0 }))
            .edit(|config| put_capabilities(config, &["CAP_KILL", "CAP_CHOWN"]));
        let process = bundle.started();
        assert_eq!(process.status("Seccomp"), "2");
        assert_eq!(process.status("Seccomp_filters"), "1");
        assert_eq!(process.status("NoNewPrivs"), if no_new_privileges { "1" } else { "0" });
        for set in ["CapBnd", "CapPrm", "CapEff"] {
            assert_eq!(process.mask(set), 1 << 5 | 1, "{set}, no_new_privs {no_new_privileges}");
        }
    }
}

#[test]
fn a_user_without_capabilities_gets_none_from_loading_a_filter() {
    needs_root!();
    let bundle = filtered(Bundle::sleeping(), &of_engine("docker-28.json"))
        .set("/process/noNewPrivileges", json!(false))
        .set("/process/user", json!({ "uid": 1000, "gid": 1000 }));
    let process = bundle.started();
    assert_eq!(process.status("Seccomp"), "2");
    for set in ["CapPrm", "CapEff", "CapInh", "CapAmb"] {
        assert_eq!(process.mask(set), 0, "{set}");
    }
}

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

/// A profile that asks the agent at this socket.
fn asking(socket: &Path) -> Value {
    let entry = json!({ "names": ["sched_get_priority_max"], "action": "SCMP_ACT_NOTIFY" });
    let mut profile = but(&json!([entry]));
    profile["listenerPath"] = json!(socket);
    profile["listenerMetadata"] = json!("opaque \"text\"");
    profile
}

/// What comes over one connection to an agent, up to its end: the text, and the descriptors.
fn accepted(listener: &UnixListener) -> (String, Vec<RawFd>) {
    let (connection, _) = listener.accept().unwrap();
    let (mut text, mut fds) = (Vec::new(), Vec::new());
    loop {
        let mut bytes = [0; 4096];
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let mut control = nix::cmsg_space!([RawFd; 2]);
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message =
            recvmsg::<()>(connection.as_raw_fd(), &mut slices, Some(&mut control), flags).unwrap();
        for part in message.cmsgs().unwrap() {
            if let ControlMessageOwned::ScmRights(more) = part {
                fds.extend(more);
            }
        }
        let length = message.bytes;
        if length == 0 {
            return (String::from_utf8(text).unwrap(), fds);
        }
        text.extend_from_slice(&bytes[..length]);
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn an_agent_is_asked() {
    needs_root!();
    peers_differ!("crun", "1.8.1 tells the agent version 0.2.0 of the runtime-spec");
    for no_new_privileges in [true, false] {
        let bundle = Bundle::new();
        let socket = bundle.directory().join("agent");
        let listener = UnixListener::bind(&socket).unwrap();
        let bundle = filtered(bundle.args(&["/probe", "146:0"]), &asking(&socket))
            .set("/process/noNewPrivileges", json!(no_new_privileges))
            .edit(|config| config["annotations"] = json!({ "key": "value" }));
        fs::copy(env!("CARGO_BIN_EXE_probe"), bundle.rootfs("probe")).unwrap();
        let agent = std::thread::spawn(move || {
            let (text, fds) = accepted(&listener);
            // As long as the agent has the listener, the call waits for it.
            std::thread::sleep(std::time::Duration::from_millis(200));
            let late = std::time::Instant::now();
            let count = fds.len();
            fds.into_iter().for_each(|fd| nix::unistd::close(fd).unwrap());
            (text, count, late)
        });
        let process = bundle.created();
        bundle.start().ok();
        let code = bundle.wait(process);
        let ended = std::time::Instant::now();
        let (text, count, late) = agent.join().unwrap();
        // An agent that goes away leaves "no such call" behind.
        assert_eq!((code, bundle.output().0.as_str()), (0, "38\n"));
        assert!(ended > late, "the call did not wait for the agent");
        assert_eq!(count, 1);
        let told: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(told["fds"], json!(["seccompFd"]));
        assert_eq!(told["pid"], json!(process.0));
        assert_eq!(told["metadata"], json!("opaque \"text\""));
        assert_eq!(told["ociVersion"].as_str().unwrap().split('.').next(), Some("1"));
        assert_eq!(told["state"]["id"], json!(bundle.id()));
        assert_eq!(told["state"]["pid"], json!(process.0));
        assert_eq!(told["state"]["bundle"], json!(bundle.directory()));
        assert_eq!(told["state"]["annotations"]["key"], json!("value"));
    }
}

#[test]
fn an_agent_may_read_slowly() {
    needs_root!();
    peers_differ!("crun", "1.8.1 sends what the socket takes at once");
    let bundle = Bundle::sleeping();
    let socket = bundle.directory().join("agent");
    let listener = UnixListener::bind(&socket).unwrap();
    // More than a socket holds.
    let value = "x".repeat(600_000);
    let bundle = filtered(bundle, &asking(&socket))
        .edit(|config| config["annotations"] = json!({ "key": value }));
    let agent = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        accepted(&listener)
    });
    bundle.created();
    bundle.start().ok();
    let (text, fds) = agent.join().unwrap();
    assert_eq!(fds.len(), 1);
    fds.into_iter().for_each(|fd| nix::unistd::close(fd).unwrap());
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["state"]["annotations"]["key"], json!(value));
    assert_eq!(bundle.status(), "running");
}

#[test]
fn without_the_agent_nothing_is_started() {
    needs_root!();
    peers_differ!("runc", "1.1.5 connects in create");
    peers_differ!("crun", "1.8.1 connects in create");
    let bundle = Bundle::sleeping();
    let socket = bundle.directory().join("agent");
    let bundle = filtered(bundle, &asking(&socket));
    bundle.create().ok();
    let said = bundle.start().fails();
    assert!(said.contains("failed to connect with seccomp agent"), "{said}");
    assert_eq!(bundle.status(), "created");
    // It may come later.
    let listener = UnixListener::bind(&socket).unwrap();
    let agent = std::thread::spawn(move || accepted(&listener).1);
    bundle.start().ok();
    let listeners = agent.join().unwrap();
    listeners.into_iter().for_each(|fd| nix::unistd::close(fd).unwrap());
    assert_eq!(bundle.status(), "running");
}

#[test]
fn a_listener_without_an_agent_ends_the_container() {
    needs_root!();
    peers_differ!("runc", "keeps another record");
    peers_differ!("crun", "keeps another record");
    let bundle = Bundle::sleeping();
    let socket = bundle.directory().join("agent");
    let bundle = filtered(bundle, &asking(&socket));
    let process = bundle.created();
    let record = bundle.state_root().join(bundle.id()).join("record.json");
    let mut changed: Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    assert!(changed["intent"]["agent"].is_object());
    changed["intent"]["agent"] = Value::Null;
    fs::write(&record, changed.to_string()).unwrap();
    let said = bundle.start().fails();
    assert!(said.contains("the filter asks an agent, and none is on record"), "{said}");
    assert!(bundle.wait(process) > 128);
}

#[test]
fn a_listener_that_can_not_be_handed_over_is_refused() {
    needs_root!();
    peers_differ!("runc", "1.1.5 hands it over with write");
    peers_differ!("crun", "1.8.1 needs no call behind the filter");
    let bundle = Bundle::sleeping();
    let mut profile = asking(&bundle.directory().join("agent"));
    profile["syscalls"][0]["names"] = json!(["sendmsg"]);
    let said = filtered(bundle, &profile).run_fails();
    assert!(said.contains("sendmsg"), "{said}");
}
