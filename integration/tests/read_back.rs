//! A control that the kernel accepts and does not apply fails `create`. strace makes a system call of init
//! return success without being made.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use integration::{Bundle, Kind, Under, needs_root};
use serde_json::json;

/// Leaves the test, with the reason printed, where it can't be run.
macro_rules! needs_strace {
    () => {
        needs_root!();
        if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
            eprintln!("skipped: strace is missing");
            return;
        }
        if Under::test().kind != Kind::Tare {
            eprintln!("skipped: the peers make other calls");
            return;
        }
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

/// A command of the runtime below strace, with these options of it.
fn traced(bundle: &Bundle, command: &str, options: &[&str]) -> Command {
    let inner = bundle.command_for_bundle(&[command]);
    let mut traced = Command::new("strace");
    traced.args(["-f", "-qq", "-o"]).arg(bundle.directory().join("strace")).args(options);
    traced.arg(inner.get_program()).args(inner.get_args()).stdin(Stdio::null());
    traced
}

/// That the container runs. (After a mere `create` strace would wait for its end.)
#[track_caller]
fn run(bundle: &Bundle, options: &[&str]) {
    bundle.finish(&mut traced(bundle, "run", options)).ok();
}

/// That `create` fails because the kernel does not report what was set, and that the lie was told.
#[track_caller]
fn fails(bundle: &Bundle, property: &str, options: &[&str]) {
    let outcome = bundle.create_by(&mut traced(bundle, "create", options));
    let (code, text) = (outcome.code, format!("{outcome:?}"));
    let log = fs::read_to_string(bundle.directory().join("strace")).unwrap();
    assert!(log.contains("(INJECTED)"), "{options:?} lied to nobody:\n{log}");
    assert_ne!(code, 0, "{options:?}: {text}");
    assert!(text.contains(property), "{options:?}: {text}");
    let reason = "the kernel accepted the setting but does not report it";
    assert!(text.contains(reason), "{options:?}: {text}");
    assert_eq!(bundle.leftovers(), Vec::<String>::new());
}

#[test]
fn without_lies_the_container_is_created_below_strace() {
    needs_strace!();
    run(&controlled(), &["-e", "trace=none"]);
}

#[test]
fn calls_that_only_pretend_fail_create() {
    needs_strace!();
    for (call, property) in [
        ("capset", "process.capabilities"),
        ("setresuid", "process.user"),
        ("setresgid", "process.user"),
        ("setgroups", "process.user.additionalGids"),
        ("sethostname", "hostname"),
        ("setdomainname", "domainname"),
        ("keyctl:retval=7:when=2+", "session keyring"),
    ] {
        let inject = match call.contains(':') {
            true => format!("inject={call}"),
            false => format!("inject={call}:retval=0"),
        };
        let name = call.split(':').next().unwrap();
        fails(&controlled(), property, &["-e", &format!("trace={name}"), "-e", &inject]);
    }
}

/// prctl(2) is many calls: which of init's they are is seen in a run without lies.
#[test]
fn prctls_that_only_pretend_fail_create() {
    needs_strace!();
    let bundle = controlled();
    run(&bundle, &["-e", "trace=prctl"]);
    let log = fs::read_to_string(bundle.directory().join("strace")).unwrap();
    drop(bundle);
    // strace counts the calls of each process.
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for line in log.lines() {
        let (pid, call) = line.split_once(' ').unwrap();
        let Some(arguments) = call.trim_start().strip_prefix("prctl(") else { continue };
        let count = counts.entry(pid).or_default();
        *count += 1;
        let option = arguments.split([',', ')']).next().unwrap();
        last.insert(option, *count);
        first.entry(option).or_insert(*count);
    }
    for (property, when) in [
        ("process.noNewPrivileges", last["PR_SET_NO_NEW_PRIVS"]),
        ("process.capabilities", last["PR_CAPBSET_DROP"]),
        // Later ones repeat what the change of the user has done.
        ("process", first["PR_SET_DUMPABLE"]),
    ] {
        let inject = format!("inject=prctl:retval=0:when={when}");
        fails(&controlled(), property, &["-e", "trace=prctl", "-e", &inject]);
    }
}

#[test]
fn writes_that_only_pretend_fail_create() {
    needs_strace!();
    // A detached procfs has no place: its files have paths that begin with its own root.
    let sysctl = "/sys/net/ipv4/ip_unprivileged_port_start";
    let options = ["-P", sysctl, "-e", "trace=write", "-e", "inject=write:retval=2"];
    fails(&controlled(), "linux.sysctl", &options);
    let options = ["-P", sysctl, "-e", "trace=write", "-e", "inject=write:retval=1"];
    fails(&controlled(), "linux.sysctl", &options);
    let pids = "/sys/fs/cgroup/pids";
    if !Path::new(pids).join("tasks").exists() {
        eprintln!("skipped in part: no v1 hierarchy");
        return;
    }
    let bundle = controlled();
    let path = format!("/tare-test/{}", bundle.id());
    let bundle = bundle.set("/linux/cgroupsPath", json!(path));
    let tasks = format!("{pids}{path}/tasks");
    let options = ["-P", &tasks, "-e", "trace=write", "-e", "inject=write:retval=1"];
    fails(&bundle, "linux.cgroupsPath", &options);
    let _may_stay = fs::remove_dir(format!("{pids}/tare-test"));
}

#[test]
fn limits_that_only_pretend_fail_create() {
    needs_strace!();
    let bundle = controlled()
        .set("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 123, "hard": 456}]));
    let options = ["-e", "trace=prlimit64", "-e", "inject=prlimit64:retval=0:when=1"];
    fails(&bundle, "process.rlimits", &options);
    let options = ["-e", "trace=umask", "-e", "inject=umask:retval=0:when=2+"];
    fails(&controlled(), "process.user.umask", &options);
}
