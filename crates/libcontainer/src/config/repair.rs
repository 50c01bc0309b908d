//! What oci-spec rejects although the runtime-spec allows it, put right in the JSON value.
//!
//! Runs only after the first parse has failed: what it costs, only such a configuration pays.

use oci_spec::runtime::Capability;
use serde_json::{Map, Value};

use crate::error::Warning;

/// One repair: a place, and what to do to the value there.
struct Repair {
    /// A JSON pointer.
    pointer: &'static str,
    /// Changes the value; false if there was nothing to change.
    apply: fn(&mut Value, &mut Vec<Warning>) -> bool,
}

const REPAIRS: &[Repair] = &[
    // The schema of a process requires `cwd` alone; Go reads a missing or null user as 0:0.
    Repair { pointer: "/process", apply: |process, _| absent_user(process) },
    // oci-spec derives the names from its own identifiers and arrives at others than the spec has.
    Repair {
        pointer: "/process/scheduler/flags",
        apply: |flags, _| rename(flags, "SCHED_FLAG_RESET_ON_FORK", "SCHED_RESET_ON_FORK"),
    },
    Repair {
        pointer: "/process/scheduler/flags",
        apply: |flags, _| rename(flags, "SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_D_L_OVERRUN"),
    },
    // Names that this build doesn't know are left out with a warning: configurations are written for
    // newer kernels, too.
    Repair { pointer: "/process/capabilities", apply: unknown_capabilities },
    // Both may be "omitted or empty".
    Repair {
        pointer: "/process/execCPUAffinity",
        apply: |affinity, _| drop_members(affinity, &["initial", "final"], is_empty_string),
    },
    // Go reads null as unset; without a limit the whole object asks for nothing.
    Repair {
        pointer: "/linux/resources/pids",
        apply: |pids, _| drop_members(pids, &["limit"], Value::is_null),
    },
];

/// Applies all repairs. False if the document needed none.
pub(super) fn repair(document: &mut Value, warnings: &mut Vec<Warning>) -> bool {
    let mut repaired = false;
    for repair in REPAIRS {
        if let Some(value) = document.pointer_mut(repair.pointer) {
            repaired |= (repair.apply)(value, warnings);
        }
    }
    repaired
}

fn absent_user(process: &mut Value) -> bool {
    match process.as_object_mut() {
        Some(process) if process.get("user").is_none_or(Value::is_null) => {
            process.insert("user".to_owned(), Value::Object(Map::new()));
            true
        }
        _ => false,
    }
}

fn rename(names: &mut Value, from: &str, to: &str) -> bool {
    let mut renamed = false;
    for name in names.as_array_mut().into_iter().flatten() {
        if name == from {
            *name = Value::from(to);
            renamed = true;
        }
    }
    renamed
}

fn unknown_capabilities(sets: &mut Value, warnings: &mut Vec<Warning>) -> bool {
    let mut repaired = false;
    for (set, names) in sets.as_object_mut().into_iter().flatten() {
        let Some(names) = names.as_array_mut() else {
            continue;
        };
        let mut unknown = Vec::new();
        names.retain(|name| match name.as_str() {
            Some(text) if serde_json::from_value::<Capability>(name.clone()).is_err() => {
                unknown.push(text.to_owned());
                false
            }
            // What is no string is left for the parser to refuse.
            _ => true,
        });
        if !unknown.is_empty() {
            repaired = true;
            warnings.push(Warning {
                property: format!("process.capabilities.{set}"),
                message: format!(
                    "ignoring unknown or unavailable capabilities: [{}]",
                    unknown.join(" ")
                ),
            });
        }
    }
    repaired
}

fn drop_members(object: &mut Value, names: &[&str], unwanted: fn(&Value) -> bool) -> bool {
    let Some(object) = object.as_object_mut() else {
        return false;
    };
    let before = object.len();
    object.retain(|name, value| !(names.contains(&name.as_str()) && unwanted(value)));
    object.len() < before
}

fn is_empty_string(value: &Value) -> bool {
    value.as_str() == Some("")
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::Spec;

    use super::*;

    /// Each repair: what it puts right must fail without it, and give the value on the right with it.
    #[test]
    fn each_repair() {
        for (rejected, repaired) in [
            (r#"{"process":{"cwd":"/"}}"#, r#"{"process":{"cwd":"/","user":{}}}"#),
            (r#"{"process":{"cwd":"/","user":null}}"#, r#"{"process":{"cwd":"/","user":{}}}"#),
            (
                r#"{"process":{"cwd":"/","user":{},"scheduler":{"policy":"SCHED_OTHER","flags":["SCHED_FLAG_RESET_ON_FORK"]}}}"#,
                r#"{"process":{"cwd":"/","user":{},"scheduler":{"policy":"SCHED_OTHER","flags":["SCHED_RESET_ON_FORK"]}}}"#,
            ),
            (
                r#"{"process":{"cwd":"/","user":{},"scheduler":{"policy":"SCHED_OTHER","flags":["SCHED_FLAG_DL_OVERRUN"]}}}"#,
                r#"{"process":{"cwd":"/","user":{},"scheduler":{"policy":"SCHED_OTHER","flags":["SCHED_FLAG_D_L_OVERRUN"]}}}"#,
            ),
            (
                r#"{"process":{"cwd":"/","user":{},"capabilities":{"bounding":["CAP_NEW","CAP_KILL"],"ambient":["CAP_NEW"]}}}"#,
                r#"{"process":{"cwd":"/","user":{},"capabilities":{"bounding":["CAP_KILL"],"ambient":[]}}}"#,
            ),
            (
                r#"{"process":{"cwd":"/","user":{},"execCPUAffinity":{"initial":"","final":"0-3"}}}"#,
                r#"{"process":{"cwd":"/","user":{},"execCPUAffinity":{"final":"0-3"}}}"#,
            ),
            (
                r#"{"linux":{"resources":{"pids":{"limit":null}}}}"#,
                r#"{"linux":{"resources":{"pids":{}}}}"#,
            ),
        ] {
            assert!(serde_json::from_str::<Spec>(rejected).is_err(), "{rejected}");
            let mut value = serde_json::from_str(rejected).unwrap();
            assert!(repair(&mut value, &mut Vec::new()), "{rejected}");
            assert_eq!(value.to_string(), repaired);
            serde_json::from_str::<Spec>(repaired).unwrap();
            assert!(!repair(&mut value, &mut Vec::new()), "{repaired}");
        }
    }

    #[test]
    fn unknown_capabilities_are_told_once_per_set() {
        let mut value = serde_json::json!({"process": {"user": {}, "capabilities": {
            "bounding": ["CAP_A", "CAP_KILL", "CAP_B"], "effective": ["CAP_KILL"], "ambient": ["CAP_A"],
        }}});
        let mut warnings = Vec::new();
        assert!(repair(&mut value, &mut warnings));
        let told: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "process.capabilities.bounding: ignoring unknown or unavailable capabilities: [CAP_A CAP_B]",
                "process.capabilities.ambient: ignoring unknown or unavailable capabilities: [CAP_A]",
            ]
        );
    }

    #[test]
    fn values_of_a_wrong_type_are_left_for_the_parser() {
        for text in [
            r"5",
            r#"{"process":5}"#,
            r#"{"process":{"user":{},"capabilities":{"bounding":[5,{}]}}}"#,
            r#"{"process":{"user":{},"scheduler":{"flags":{}},"execCPUAffinity":[]}}"#,
            r#"{"linux":{"resources":{"pids":{"limit":"many"}}}}"#,
        ] {
            let mut value: Value = serde_json::from_str(text).unwrap();
            assert!(!repair(&mut value, &mut Vec::new()), "{text}");
            assert_eq!(value.to_string(), text);
        }
    }
}
