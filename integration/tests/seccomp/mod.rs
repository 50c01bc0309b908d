//! Filters of system calls: here that one is in force, and what else a process has then.

mod agent;
mod init;
#[cfg(target_arch = "x86_64")]
mod rules;

use std::fs;
use std::path::Path;

use integration::config::put_capabilities;
use integration::{Bundle, needs_root};
use serde_json::{Value, json};

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

/// Everything is allowed but what these entries say.
fn but(entries: &Value) -> Value {
    json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": entries })
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
