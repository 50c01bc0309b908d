//! What execve(2) never takes. It is told before anything is made, not when the container is started.

use std::collections::HashMap;

use oci_spec::runtime::{PosixRlimitType, Process, Spec};

use super::Rule;
use crate::config::property::Property;
use crate::config::view;

/// `MAX_ARG_STRLEN`, include/uapi/linux/binfmts.h: 32 pages, with the NUL at the end. Of the other
/// architectures some have pages of 64 KiB.
const MAX_STRING: usize = 32 * if cfg!(target_arch = "x86_64") { 4 << 10 } else { 64 << 10 };
/// Three quarters of `_STK_LIM` for all strings and the pointers to them: `bprm_stack_limits`, fs/exec.c.
const MAX_ALL: u64 = 6 << 20;
/// `ARG_MAX`: that much there is however small the stack.
const MIN_ALL: u64 = 128 << 10;
const POINTER: usize = size_of::<usize>();

pub(super) const RULES: &[Rule] = &[
    Rule {
        property: "process",
        allowed: "args and env whose strings are each below 32 pages",
        check: |spec, report| {
            for (property, string) in strings(spec) {
                if string.len() >= MAX_STRING {
                    let wrong = format!("argument list too long: {} bytes", string.len());
                    report.wrong_at(property(), wrong);
                }
            }
        },
    },
    Rule {
        property: "process",
        allowed: "args and env of 6 MiB together, or a quarter of RLIMIT_STACK",
        check: |spec, report| {
            let sizes = strings(spec).map(|(_, string)| string.len() + 1 + POINTER);
            let size: usize = sizes.sum();
            if size as u64 > room(spec) {
                report.wrong(format!("argument list too long: args and env take {size} bytes"));
            }
        },
    },
];

/// The arguments and the environment, of which the last value of each name counts.
fn strings(spec: &Spec) -> impl Iterator<Item = (impl Fn() -> Property, &String)> {
    let process = view::process(spec);
    let args = view::list(process.and_then(|process| process.args().as_ref()));
    let env = view::list(process.and_then(|process: &Process| process.env().as_ref()));
    let name = |variable: &&String| variable.split('=').next().map(str::to_owned);
    let last: HashMap<_, usize> = env.iter().enumerate().map(|(at, v)| (name(&v), at)).collect();
    let args = args.iter().enumerate().map(|(at, arg)| ("process.args", at, arg));
    let env = env.iter().enumerate().map(|(at, variable)| ("process.env", at, variable));
    let env = env.filter(move |(_, at, variable)| last.get(&name(variable)) == Some(at));
    args.chain(env).map(|(list, at, string)| (move || Property::at(list).index(at), string))
}

/// A stack whose limit isn't configured is the caller's, which may be any.
fn room(spec: &Spec) -> u64 {
    let limits = view::rlimits(spec).iter();
    let stack = limits.filter(|limit| limit.typ() == PosixRlimitType::RlimitStack);
    let quarter = stack.map(|limit| limit.soft() / 4).min().unwrap_or(MAX_ALL);
    quarter.clamp(MIN_ALL, MAX_ALL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_is_that_of_the_kernel() {
        for (stack, expected) in
            [(0, MIN_ALL), (8 << 20, 2 << 20), (24 << 20, MAX_ALL), (u64::MAX, MAX_ALL)]
        {
            let json = format!(
                r#"{{"process":{{"cwd":"/","user":{{}},"rlimits":[{{"type":"RLIMIT_STACK","soft":{stack},"hard":{stack}}}]}}}}"#
            );
            assert_eq!(room(&serde_json::from_str(&json).unwrap()), expected, "{stack}");
        }
        assert_eq!(room(&serde_json::from_str("{}").unwrap()), MAX_ALL);
    }

    #[test]
    fn what_is_too_long_is_told_and_not_repeated() {
        let told = |args: &[String], env: &[String], stack: u64| -> Vec<String> {
            let rlimits =
                [serde_json::json!({"type": "RLIMIT_STACK", "soft": stack, "hard": stack})];
            let process = serde_json::json!({
                "cwd": "/", "user": {}, "args": args, "env": env, "rlimits": rlimits,
            });
            let spec = serde_json::from_value(serde_json::json!({ "process": process })).unwrap();
            let (violations, _) = crate::config::rules::check(&spec, &[]);
            let ours = violations.iter().filter(|v| v.wrong().starts_with("argument list"));
            ours.map(|violation| format!("{}: {}", violation.property(), violation.wrong()))
                .collect()
        };
        let string = |length: usize| "x".repeat(length);
        assert_eq!(told(&[string(MAX_STRING - 1)], &[], u64::MAX), Vec::<String>::new());
        let expected = format!("argument list too long: {MAX_STRING} bytes");
        assert_eq!(
            told(&[string(1), string(MAX_STRING)], &[], u64::MAX),
            [format!("process.args[1]: {expected}")]
        );
        let secret = format!("A={}", string(MAX_STRING - 2));
        let told_of_env = told(&[string(1)], std::slice::from_ref(&secret), u64::MAX);
        assert_eq!(told_of_env, [format!("process.env[0]: {expected}")]);
        assert_eq!(told(&[string(1)], &[secret, "A=".to_owned()], u64::MAX), Vec::<String>::new());
        // 128 KiB are there for any stack; each string has a NUL and a pointer.
        let half = (128 << 10) / 2 - 1 - POINTER;
        assert_eq!(told(&[string(half), string(half)], &[], 0), Vec::<String>::new());
        assert_eq!(
            told(&[string(half), string(half + 1)], &[], 0),
            ["process: argument list too long: args and env take 131073 bytes"]
        );
    }

    #[test]
    fn a_variable_counts_once() {
        let json = r#"{"process":{"cwd":"/","user":{},"args":["a"],"env":["A=1","B=2","A=3"]}}"#;
        let spec = serde_json::from_str(json).unwrap();
        let counted: Vec<String> =
            strings(&spec).map(|(property, string)| format!("{} {string}", property())).collect();
        assert_eq!(counted, ["process.args[0] a", "process.env[1] B=2", "process.env[2] A=3"]);
    }
}
