//! The program against the kernel's interpreter and against the rules themselves.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use oci_spec::runtime::{
    Arch, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder, LinuxSeccompOperator as Op,
    LinuxSyscall, LinuxSyscallBuilder, Spec,
};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::arch::{Abi, X32_BIT};
use super::emit::Instruction;
use super::*;

const ALLOW: u32 = 0x7fff_0000;
const KILL_PROCESS: u32 = 0x8000_0000;
const ERRNO: u32 = 0x0005_0000;
const ENOSYS: u32 = ERRNO | 38;
const EPERM: u32 = ERRNO | 1;

const X86_64: u32 = 0xc000_003e;
const X86: u32 = 0x4000_0003;
const AARCH64: u32 = 0xc000_00b7;
const ARM: u32 = 0x4000_0028;

/// What the kernel gives to a filter.
#[derive(Debug, Clone, Copy)]
struct Call {
    audit: u32,
    number: u32,
    arguments: [u64; 6],
}

impl Call {
    fn new(audit: u32, number: u32, arguments: &[u64]) -> Self {
        let mut all = [0; 6];
        all[..arguments.len()].copy_from_slice(arguments);
        Self { audit, number, arguments: all }
    }

    fn word(&self, offset: u32) -> u32 {
        let half =
            |value: u64, upper: u32| u32::try_from(value >> (upper * 32) & 0xffff_ffff).unwrap();
        match (offset, offset % 4) {
            (0, _) => self.number,
            (4, _) => self.audit,
            (16..64, 0) => {
                half(self.arguments[usize::try_from(offset / 8 - 2).unwrap()], offset / 4 % 2)
            }
            _ => panic!("{offset}"),
        }
    }
}

/// Runs a program as the kernel does; panics where the kernel's checker would refuse it.
fn interpret(program: &[Instruction], call: &Call) -> u32 {
    let (mut next, mut accumulator) = (0, 0);
    loop {
        let Instruction { code, if_true, if_false, operand } = program[next];
        next += 1;
        let holds = match code {
            0x20 => {
                accumulator = call.word(operand);
                continue;
            }
            0x54 => {
                accumulator &= operand;
                continue;
            }
            0x05 => {
                next += usize::try_from(operand).unwrap();
                continue;
            }
            0x06 => return operand,
            0x15 => accumulator == operand,
            0x25 => accumulator > operand,
            0x35 => accumulator >= operand,
            _ => panic!("{code:#x}"),
        };
        next += usize::from(if holds { if_true } else { if_false });
    }
}

/// What a profile says about a call, straight from its text. The names are looked up once.
struct Reference<'p> {
    profile: &'p LinuxSeccomp,
    machine: Machine,
    numbers: Vec<(Abi, Vec<Vec<Name>>)>,
}

/// The number of a name, and the call that carries it with the first argument it has there.
type Name = (Option<u32>, Option<(u32, u64)>);

impl<'p> Reference<'p> {
    fn new(profile: &'p LinuxSeccomp, machine: Machine) -> Self {
        let look_up = |abi: Abi| {
            let of_entry = |entry: &LinuxSyscall| {
                entry.names().iter().map(|name| (abi.number(name), abi.multiplexed(name))).collect()
            };
            (abi, profile.syscalls().iter().flatten().map(of_entry).collect())
        };
        Self { profile, machine, numbers: ABIS.iter().map(|(_, abi)| look_up(*abi)).collect() }
    }

    fn evaluate(&self, call: &Call) -> u32 {
        let profile = self.profile;
        let default = super::action::value(profile.default_action(), profile.default_errno_ret());
        let abi = match self.abi(call) {
            Ok(abi) => abi,
            Err(None) => return KILL_PROCESS,
            Err(Some(())) => return default,
        };
        let names = &self.numbers.iter().find(|(other, _)| *other == abi).unwrap().1;
        let newest = names.iter().flatten().filter_map(|name| name.0).max().unwrap_or(0);
        if newest > 0 && call.number > newest {
            return if permits(profile.default_action()) { default } else { ENOSYS };
        }
        let mut conditional = None;
        for (entry, names) in profile.syscalls().iter().flatten().zip(names) {
            let action = super::action::value(entry.action(), entry.errno_ret());
            let arguments = entry.args().as_deref().unwrap_or_default();
            for (number, carried) in names.iter().filter(|_| action != default) {
                let matched = match carried {
                    // What is in memory can't be seen: only what denies holds regardless.
                    Some((carrier, index)) if *carrier == call.number => {
                        let known = arguments.is_empty() || !permits(entry.action());
                        known && call.arguments[0] & 0xffff_ffff == *index
                    }
                    _ if *number != Some(call.number) => false,
                    _ if arguments.is_empty() => return action,
                    _ => all_hold(arguments, abi, call),
                };
                if matched && conditional.is_none() {
                    conditional = Some(action);
                }
            }
        }
        conditional.unwrap_or(default)
    }

    /// The numbers that a call is one of: none if the profile doesn't list them, or if it is none.
    fn abi(&self, call: &Call) -> Result<Abi, Option<()>> {
        let listed = |word| self.profile.architectures().iter().flatten().any(|arch| *arch == word);
        match (self.machine, call.audit, call.number) {
            (Machine::X86_64, X86_64, u32::MAX) => Err(Some(())),
            (Machine::X86_64, X86_64, 0..X32_BIT) => Ok(Abi::X86_64),
            (Machine::X86_64, X86_64, _) if listed(Arch::ScmpArchX32) => Ok(Abi::X32),
            (Machine::X86_64, X86, _) if listed(Arch::ScmpArchX86) => Ok(Abi::X86),
            (Machine::Aarch64, AARCH64, _) => Ok(Abi::Aarch64),
            (Machine::Aarch64, ARM, _) if listed(Arch::ScmpArchArm) => Ok(Abi::Arm),
            _ => Err(None),
        }
    }
}

fn permits(action: LinuxSeccompAction) -> bool {
    use LinuxSeccompAction as Action;
    matches!(action, Action::ScmpActAllow | Action::ScmpActLog | Action::ScmpActTrace)
}

fn all_hold(arguments: &[LinuxSeccompArg], abi: Abi, call: &Call) -> bool {
    let cut = if abi.is_wide() { u64::MAX } else { 0xffff_ffff };
    let holds = |condition: &LinuxSeccompArg| {
        let argument = call.arguments[condition.index()] & cut;
        let value = condition.value() & cut;
        match condition.op() {
            Op::ScmpCmpNe => argument != value,
            Op::ScmpCmpLt => argument < value,
            Op::ScmpCmpLe => argument <= value,
            Op::ScmpCmpEq => argument == value,
            Op::ScmpCmpGe => argument >= value,
            Op::ScmpCmpGt => argument > value,
            Op::ScmpCmpMaskedEq => argument & value == condition.value_two().unwrap_or(0) & value,
        }
    };
    let indexes: HashSet<usize> = arguments.iter().map(LinuxSeccompArg::index).collect();
    if indexes.len() < arguments.len() {
        arguments.iter().any(holds)
    } else {
        arguments.iter().all(holds)
    }
}

const NAMES: &[&str] = &[
    "read",
    "write",
    "readv",
    "socket",
    "accept4",
    "recvmmsg",
    "send",
    "socketcall",
    "ipc",
    "semget",
    "shmat",
    "personality",
    "clone",
    "clone3",
    "ioctl",
    "execveat",
    "pwritev2",
    "_llseek",
    "arch_prctl",
    "set_tls",
    "openat2",
    "no_such_call",
    "io_uring_setup",
    "file_setattr",
    "setuid32",
];

const VALUES: &[u64] = &[
    0,
    1,
    2,
    3,
    40,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fffe,
    0xffff_ffff,
    0x1_0000_0000,
    0x1_0000_0028,
    0x7e02_0000,
    0xffff_ffff_0000_0000,
    u64::MAX - 1,
    u64::MAX,
];

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![4 => select(VALUES), 1 => any::<u64>()]
}

fn action() -> impl Strategy<Value = (LinuxSeccompAction, Option<u32>)> {
    use LinuxSeccompAction as Action;
    let any = select(vec![
        Action::ScmpActKill,
        Action::ScmpActKillThread,
        Action::ScmpActKillProcess,
        Action::ScmpActTrap,
        Action::ScmpActErrno,
        Action::ScmpActErrno,
        Action::ScmpActNotify,
        Action::ScmpActTrace,
        Action::ScmpActLog,
        Action::ScmpActAllow,
    ]);
    (any, prop::option::of(select(vec![0_u32, 1, 5, 38, 4095])))
}

fn argument() -> impl Strategy<Value = LinuxSeccompArg> {
    let op = select(vec![
        Op::ScmpCmpNe,
        Op::ScmpCmpLt,
        Op::ScmpCmpLe,
        Op::ScmpCmpEq,
        Op::ScmpCmpGe,
        Op::ScmpCmpGt,
        Op::ScmpCmpMaskedEq,
    ]);
    (0..6_usize, op, value(), prop::option::of(value())).prop_map(|(index, op, value, two)| {
        let builder = LinuxSeccompArgBuilder::default().index(index).op(op).value(value);
        match two {
            Some(two) => builder.value_two(two).build().unwrap(),
            None => builder.build().unwrap(),
        }
    })
}

fn entry() -> impl Strategy<Value = LinuxSyscall> {
    let names = subsequence(NAMES.to_vec(), 1..4);
    (names, action(), prop::collection::vec(argument(), 0..4)).prop_map(
        |(names, (action, errno), args)| {
            let names: Vec<String> = names.into_iter().map(String::from).collect();
            let mut entry = LinuxSyscallBuilder::default()
                .names(names)
                .action(action)
                .args(args)
                .build()
                .unwrap();
            entry.set_errno_ret(errno);
            entry
        },
    )
}

/// Some rules, or so many that jumps become long.
fn profile() -> impl Strategy<Value = LinuxSeccomp> {
    let architectures = subsequence(
        vec![
            Arch::ScmpArchX32,
            Arch::ScmpArchX86,
            Arch::ScmpArchX86_64,
            Arch::ScmpArchArm,
            Arch::ScmpArchMips,
        ],
        0..=5,
    );
    let entries = prop_oneof![
        6 => prop::collection::vec(entry(), 0..12),
        1 => prop::collection::vec(entry(), 40..80),
    ];
    (action(), architectures, entries).prop_map(|((default, errno), architectures, entries)| {
        let mut profile = LinuxSeccomp::default();
        profile.set_default_action(default);
        profile.set_default_errno_ret(errno);
        profile.set_architectures(Some(architectures));
        profile.set_syscalls(Some(entries));
        profile
    })
}

const ABIS: [(u32, Abi); 5] = [
    (X86_64, Abi::X86_64),
    (X86_64, Abi::X32),
    (X86, Abi::X86),
    (AARCH64, Abi::Aarch64),
    (ARM, Abi::Arm),
];

fn call() -> impl Strategy<Value = Call> {
    let named = (select(ABIS.to_vec()), select(NAMES), prop_oneof![6 => Just(0), 1 => -1..=1_i32])
        .prop_map(|((audit, abi), name, off)| {
            (audit, abi.number(name).unwrap_or(0).wrapping_add_signed(off))
        });
    let boundary = (
        select(vec![X86_64, X86, AARCH64, ARM, 0, 8, u32::MAX]),
        prop_oneof![
            select(vec![
                0,
                547,
                X32_BIT - 1,
                X32_BIT,
                X32_BIT | 547,
                0x8000_0000,
                u32::MAX - 1,
                u32::MAX
            ]),
            0..600_u32,
            any::<u32>(),
        ],
    );
    let arguments = prop::array::uniform6(prop_oneof![
        3 => select(VALUES),
        1 => (select(VALUES), -1..=1_i64).prop_map(|(value, off)| value.wrapping_add_signed(off)),
        1 => any::<u64>(),
        1 => 0..25_u64,
    ]);
    (prop_oneof![4 => named, 1 => boundary], arguments)
        .prop_map(|((audit, number), arguments)| Call { audit, number, arguments })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn the_program_means_what_the_profile_says(
        profile in profile(),
        calls in prop::collection::vec(call(), 150),
    ) {
        for machine in [Machine::X86_64, Machine::Aarch64] {
            let program = program(&profile, machine);
            let reference = Reference::new(&profile, machine);
            for call in &calls {
                let expected = reference.evaluate(call);
                prop_assert_eq!(interpret(&program, call), expected, "{:?} {:x?}", machine, call);
            }
        }
    }
}

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
