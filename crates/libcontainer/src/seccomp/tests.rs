//! The program against the kernel's interpreter and against the rules themselves.

use std::fs;
use std::path::Path;

use oci_spec::runtime::{LinuxSeccompArg, Spec};

use super::arch::{Abi, X32_BIT};
use super::reference::{
    AARCH64, ALLOW, ARM, Call, ENOSYS, EPERM, ERRNO, KILL_PROCESS, Reference, X86, X86_64,
    interpret,
};
use super::*;

fn parse(json: &str) -> LinuxSeccomp {
    serde_json::from_str(json).unwrap()
}

fn of_fixture(name: &str) -> LinuxSeccomp {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name);
    let spec: Spec = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    spec.linux().as_ref().unwrap().seccomp().clone().unwrap()
}

/// Run with `--nocapture`, it prints how long the programs are.
#[test]
fn the_profiles_of_engines_are_short_and_mean_what_they_say() {
    for name in ["docker-28.json", "cri-container.json", "podman-5.json"] {
        let profile = of_fixture(name);
        for machine in [Machine::X86_64, Machine::Aarch64] {
            let program = program(&profile, machine);
            println!("{name} on {machine:?}: {} instructions", program.len());
            assert!(program.len() < 500, "{name}: {}", program.len());
            let reference = Reference::new(&profile, machine);
            for (audit, base) in [(X86_64, 0), (X86_64, X32_BIT), (X86, 0), (AARCH64, 0), (ARM, 0)]
            {
                for number in (0..560).map(|number| base + number) {
                    for argument in [0, 16, 40, 0x7e02_0000, 0xffff_ffff] {
                        let call = Call::new(audit, number, &[argument, 0, 9]);
                        let expected = reference.evaluate(&call);
                        assert_eq!(interpret(&program, &call), expected, "{name} {call:x?}");
                    }
                }
            }
        }
    }
}

#[test]
fn numbers_are_those_of_the_kernel() {
    for (abi, name, number) in [
        (Abi::X86_64, "clone3", Some(435)),
        (Abi::X86_64, "listns", Some(470)),
        (Abi::X86_64, "_llseek", None),
        (Abi::X86, "_llseek", Some(140)),
        (Abi::X86, "socket", Some(359)),
        (Abi::X32, "read", Some(X32_BIT)),
        (Abi::X32, "execve", Some(X32_BIT | 520)),
        (Abi::X32, "rseq_slice_yield", Some(X32_BIT | 471)),
        (Abi::Aarch64, "newfstatat", Some(79)),
        (Abi::Aarch64, "open", None),
        (Abi::Arm, "set_tls", Some(0xf_0005)),
        (Abi::Arm, "", None),
    ] {
        assert_eq!(abi.number(name), number, "{abi:?} {name}");
    }
}

fn returned(json: &str, call: &Call) -> u32 {
    interpret(&program(&parse(json), Machine::X86_64), call)
}

const READ_ALLOWED: &str = r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86"],
    "syscalls":[{"names":["read","execve"],"action":"SCMP_ACT_ALLOW"}]}"#;

#[test]
fn each_architecture_has_numbers_of_its_own() {
    for (audit, number, expected) in [
        (X86_64, 0, ALLOW),
        (X86_64, 59, ALLOW),
        (X86_64, 3, EPERM),
        (X86, 3, ALLOW),
        (X86, 0, EPERM),
        (AARCH64, 63, KILL_PROCESS),
        (ARM, 3, KILL_PROCESS),
        (0, 0, KILL_PROCESS),
    ] {
        assert_eq!(
            returned(READ_ALLOWED, &Call::new(audit, number, &[])),
            expected,
            "{audit:x} {number}"
        );
    }
}

#[test]
fn x32_is_let_in_only_where_it_is_listed() {
    let listed = READ_ALLOWED.replace("SCMP_ARCH_X86", "SCMP_ARCH_X32");
    for (number, alone, with) in [
        (X32_BIT, KILL_PROCESS, ALLOW),
        (X32_BIT | 1, KILL_PROCESS, EPERM),
        // execve has a number of its own there, and x86_64's is another call.
        (X32_BIT | 520, KILL_PROCESS, ALLOW),
        (X32_BIT | 59, KILL_PROCESS, EPERM),
        (X32_BIT | 521, KILL_PROCESS, ENOSYS),
        (u32::MAX - 1, KILL_PROCESS, ENOSYS),
        // What a tracer leaves is no system call of x32.
        (u32::MAX, EPERM, EPERM),
    ] {
        let call = Call::new(X86_64, number, &[]);
        assert_eq!(returned(READ_ALLOWED, &call), alone, "{number:x}");
        assert_eq!(returned(&listed, &call), with, "{number:x}");
    }
}

#[test]
fn what_is_newer_than_a_profile_that_denies_does_not_exist() {
    let with = |action: &str| {
        format!(
            r#"{{"defaultAction":"{action}","syscalls":[{{"names":["clone3"],"action":"SCMP_ACT_KILL_PROCESS","args":[{{"index":0,"value":1,"op":"SCMP_CMP_EQ"}}]}}]}}"#
        )
    };
    for (action, default, newer) in [
        ("SCMP_ACT_ERRNO", EPERM, ENOSYS),
        ("SCMP_ACT_KILL", 0, ENOSYS),
        ("SCMP_ACT_KILL_THREAD", 0, ENOSYS),
        ("SCMP_ACT_TRAP", 0x0003_0000, ENOSYS),
        ("SCMP_ACT_ALLOW", ALLOW, ALLOW),
        ("SCMP_ACT_LOG", 0x7ffc_0000, 0x7ffc_0000),
        ("SCMP_ACT_TRACE", 0x7ff0_0001, 0x7ff0_0001),
    ] {
        // clone3 is 435.
        for (number, expected) in
            [(434, default), (435, default), (436, newer), (X32_BIT - 1, newer)]
        {
            let call = Call::new(X86_64, number, &[]);
            assert_eq!(returned(&with(action), &call), expected, "{action} {number}");
        }
    }
    // Nothing is newer than a profile that names nothing.
    let empty = r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":5,"syscalls":[{"names":["nothing"],"action":"SCMP_ACT_ALLOW"}]}"#;
    assert_eq!(returned(empty, &Call::new(X86_64, 999, &[])), ERRNO | 5);
}

#[test]
fn rules_for_one_call_have_the_order_of_runc() {
    let profile = |syscalls: &str| {
        format!(
            r#"{{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"syscalls":[{syscalls},{{"names":["file_setattr"],"action":"SCMP_ACT_ALLOW"}}]}}"#
        )
    };
    let rule = |errno: u32, args: &str| {
        format!(
            r#"{{"names":["socket"],"action":"SCMP_ACT_ERRNO","errnoRet":{errno},"args":[{args}]}}"#
        )
    };
    let equal = |index: u32, value: u64| {
        format!(r#"{{"index":{index},"value":{value},"op":"SCMP_CMP_EQ"}}"#)
    };
    let (first, second) = (equal(0, 2), equal(1, 3));
    for (rules, expected) in [
        // The first one without conditions, wherever it is.
        (vec![rule(1, ""), rule(2, "")], 1),
        (vec![rule(2, &first), rule(1, "")], 1),
        // A rule that says what the default says isn't there.
        (vec![rule(38, ""), rule(1, "")], 1),
        (vec![rule(38, &first), rule(1, &second)], 1),
        (vec![rule(1, &first), rule(2, &second)], 1),
        (vec![rule(2, &equal(0, 9)), rule(1, &second)], 1),
        // Conditions on different arguments must all hold, on the same one any.
        (vec![rule(1, &format!("{first},{second}"))], 1),
        (vec![rule(1, &format!("{first},{}", equal(1, 9)))], 38),
        (vec![rule(1, &format!("{},{}", equal(0, 9), first))], 1),
        (vec![rule(1, &format!("{},{},{}", equal(0, 9), equal(0, 8), second))], 1),
    ] {
        let json = profile(&rules.join(","));
        let returned = returned(&json, &Call::new(X86_64, 41, &[2, 3]));
        assert_eq!(returned, ERRNO | expected, "{json}");
    }
}

#[test]
fn the_older_ways_of_x86_are_no_way_around() {
    let deny = r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"syscalls":[
        {"names":["socket"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":40,"op":"SCMP_CMP_EQ"}]},
        {"names":["semget"],"action":"SCMP_ACT_ERRNO"}]}"#;
    let allow = r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86"],"syscalls":[
        {"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":40,"op":"SCMP_CMP_NE"}]},
        {"names":["semget"],"action":"SCMP_ACT_ALLOW"},{"names":["file_setattr"],"action":"SCMP_ACT_ALLOW"}]}"#;
    // socketcall is 102, socket its 1; ipc is 117, semget its 2.
    for (number, first, expected) in [
        (102, 1, (EPERM, EPERM)),
        (102, 2, (ALLOW, EPERM)),
        (117, 2, (EPERM, ALLOW)),
        (117, 3, (ALLOW, EPERM)),
    ] {
        let call = Call::new(X86, number, &[first]);
        assert_eq!((returned(deny, &call), returned(allow, &call)), expected, "{number} {first}");
    }
}

/// On x86 `send` has no number of its own.
#[test]
fn what_carries_a_named_call_is_not_newer_than_the_profile() {
    let profile = r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86"],
        "syscalls":[{"names":["read","send"],"action":"SCMP_ACT_ALLOW"}]}"#;
    // socketcall is 102, send its 9.
    for (number, first, expected) in [
        (3, 0, ALLOW),
        (4, 0, EPERM),
        (101, 0, EPERM),
        (102, 9, ALLOW),
        (102, 1, EPERM),
        (103, 0, ENOSYS),
    ] {
        let call = Call::new(X86, number, &[first]);
        assert_eq!(returned(profile, &call), expected, "{number} {first}");
    }
    for space in decision::spaces(&parse(profile), Machine::X86_64) {
        assert!(space.intervals.is_sorted_by_key(|(start, _)| *start), "{space:?}");
    }
}

#[test]
fn flags_are_those_of_the_profile() {
    for (flags, notify, expected) in [
        ("", false, SPEC_ALLOW),
        (r#""flags":[],"#, false, 0),
        (r#""flags":["SECCOMP_FILTER_FLAG_TSYNC"],"#, false, 0),
        (
            r#""flags":["SECCOMP_FILTER_FLAG_LOG","SECCOMP_FILTER_FLAG_SPEC_ALLOW"],"#,
            false,
            LOG | SPEC_ALLOW,
        ),
        (r#""flags":["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],"#, false, 0),
        (
            r#""flags":["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],"#,
            true,
            NEW_LISTENER | WAIT_KILLABLE_RECV,
        ),
        (r#""flags":[],"#, true, NEW_LISTENER),
    ] {
        let action = if notify { "SCMP_ACT_NOTIFY" } else { "SCMP_ACT_ERRNO" };
        let json = format!(
            r#"{{"defaultAction":"SCMP_ACT_ALLOW",{flags}"syscalls":[{{"names":["mount"],"action":"{action}"}}]}}"#
        );
        let filter = compile(&parse(&json)).unwrap();
        assert_eq!(filter.flags, expected, "{json}");
    }
}

#[test]
fn a_program_that_the_kernel_would_not_take_is_refused() {
    let args: Vec<String> =
        (0..6).map(|i| format!(r#"{{"index":{i},"value":{i},"op":"SCMP_CMP_GT"}}"#)).collect();
    let rule =
        format!(r#"{{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{}]}}"#, args.join(","));
    let profile = |count| {
        format!(
            r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{}]}}"#,
            vec![rule.clone(); count].join(",")
        )
    };
    assert!(compile(&parse(&profile(100))).unwrap().program.len() < 8 * MOST_INSTRUCTIONS);
    let error = compile(&parse(&profile(200))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(error.to_string().contains("the kernel takes 4096"), "{error}");
}

#[test]
fn the_listener_can_always_be_handed_over() {
    let profile = |default: &str, sendmsg: &str| {
        let json = format!(
            r#"{{"defaultAction":"{default}","syscalls":[{{"names":["mount"],"action":"SCMP_ACT_NOTIFY"}}{sendmsg}]}}"#
        );
        compile(&parse(&json)).map_err(|error| error.to_string())
    };
    let args = r#","args":[{"index":0,"value":1,"op":"SCMP_CMP_GT"}]"#;
    let rule = |action: &str, args: &str| {
        format!(r#",{{"names":["sendmsg"],"action":"SCMP_ACT_{action}"{args}}}"#)
    };
    assert!(profile("SCMP_ACT_ALLOW", "").is_ok());
    assert!(profile("SCMP_ACT_LOG", "").is_ok());
    assert!(profile("SCMP_ACT_ERRNO", &rule("ALLOW", "")).is_ok());
    for (default, sendmsg) in [
        ("SCMP_ACT_ERRNO", String::new()),
        ("SCMP_ACT_TRACE", String::new()),
        ("SCMP_ACT_ALLOW", rule("NOTIFY", "")),
        ("SCMP_ACT_ALLOW", rule("ERRNO", args)),
        ("SCMP_ACT_ERRNO", rule("ALLOW", args)),
    ] {
        let error = profile(default, &sendmsg).unwrap_err();
        assert!(error.contains("sendmsg"), "{default} {sendmsg}: {error}");
    }
}

/// A word that the table lists and the reader of configurations doesn't know, or the other way round,
/// would make `features` a lie.
#[test]
fn every_listed_word_is_understood() {
    for word in ACTIONS {
        parse(&format!(r#"{{"defaultAction":"{word}"}}"#));
    }
    for word in ARCHITECTURES {
        parse(&format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","architectures":["{word}"]}}"#));
    }
    for word in FLAGS {
        parse(&format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","flags":["{word}"]}}"#));
    }
    for word in OPERATORS {
        let _argument: LinuxSeccompArg =
            serde_json::from_str(&format!(r#"{{"index":0,"value":0,"op":"{word}"}}"#)).unwrap();
    }
    assert_eq!((ACTIONS.len(), ARCHITECTURES.len(), FLAGS.len(), OPERATORS.len()), (9, 23, 4, 7));
}
