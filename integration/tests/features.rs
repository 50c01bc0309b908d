//! What `features` claims is what happens: each claim is tried.

use integration::Under;
use integration::bundle::Bundle;
use integration::{needs_root, peers_differ};
use serde_json::{Value, json};

fn features() -> Value {
    let outcome = Bundle::unprepared().call(&["features"]);
    serde_json::from_str(&outcome.ok()).unwrap()
}

fn words<'a>(features: &'a Value, pointer: &str) -> Vec<&'a str> {
    let list = features.pointer(pointer).and_then(Value::as_array);
    list.unwrap_or_else(|| panic!("{pointer}")).iter().map(|word| word.as_str().unwrap()).collect()
}

/// Only tare is held to its word: the peers' lists are known to be off (COMPAT of their own).
macro_rules! only_tare {
    () => {
        needs_root!();
        peers_differ!("runc", "its lists are its own business");
        peers_differ!("crun", "its lists are its own business");
    };
}

#[test]
fn each_mount_option_is_understood() {
    only_tare!();
    let features = features();
    let options = words(&features, "/mountOptions");
    assert!(options.is_sorted() && options.len() > 50, "{options:?}");
    let mut bundle = Bundle::sh("true");
    for (index, option) in options.iter().enumerate() {
        let target = format!("/tmp/option-{index}");
        bundle = match *option {
            "bind" | "rbind" => bundle.mount(&target, "none", "/tmp", &[option]),
            "remount" => bundle.mount("/proc", "proc", "proc", &["remount"]),
            option => bundle.mount(&target, "tmpfs", "tmpfs", &[option]),
        };
    }
    bundle.run().ok();
}

#[test]
fn each_namespace_can_be_made() {
    only_tare!();
    let features = features();
    for kind in words(&features, "/linux/namespaces") {
        let name = match kind {
            "mount" => "mnt",
            "network" => "net",
            other => other,
        };
        let bundle = Bundle::sleeping().edit(|config| {
            integration::config::drop_namespace(config, kind);
            integration::config::put_namespace(config, json!({ "type": kind }));
            if kind == "user" {
                let map = json!([{ "containerID": 0, "hostID": 0, "size": 65536 }]);
                config["linux"]["uidMappings"] = map.clone();
                config["linux"]["gidMappings"] = map;
            }
        });
        let process = bundle.started();
        let own = std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        assert_ne!(process.namespace(name), own.to_str().unwrap(), "{kind}");
    }
}

#[test]
fn each_hook_is_run() {
    only_tare!();
    let notes = tempfile::tempdir().unwrap();
    let source = notes.path().to_str().unwrap();
    let features = features();
    let kinds = words(&features, "/hooks");
    let mut hooks = json!({});
    for kind in &kinds {
        let directory = if *kind == "startContainer" { "/hooks" } else { source };
        let script = format!("echo > {directory}/{kind}");
        hooks[kind] = json!([{ "path": "/bin/sh", "args": ["sh", "-c", script] }]);
    }
    let bundle = Bundle::sh("true").mount("/hooks", "bind", source, &["bind"]);
    bundle.edit(|config| config["hooks"] = hooks).run().ok();
    for kind in kinds {
        assert!(notes.path().join(kind).exists(), "{kind}");
    }
}

#[test]
fn each_word_of_seccomp_is_understood() {
    only_tare!();
    let features = features();
    assert_eq!(features.pointer("/linux/seccomp/enabled"), Some(&json!(true)));
    let mut rules = Vec::new();
    for operator in words(&features, "/linux/seccomp/operators") {
        let argument = json!({ "index": 0, "value": 4711, "valueTwo": 1, "op": operator });
        rules.push(json!({ "names": ["acct"], "action": "SCMP_ACT_ERRNO", "args": [argument] }));
    }
    for action in words(&features, "/linux/seccomp/actions") {
        // An agent is another matter: see the tests of seccomp.
        if action != "SCMP_ACT_NOTIFY" {
            rules.push(json!({ "names": ["swapoff"], "action": action }));
        }
    }
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": words(&features, "/linux/seccomp/archs"),
        "flags": words(&features, "/linux/seccomp/supportedFlags")
            .into_iter().filter(|flag| !flag.contains("WAIT_KILLABLE")).collect::<Vec<_>>(),
        "syscalls": rules,
    });
    let bundle = Bundle::sh("grep ^Seccomp: /proc/self/status").set("/linux/seccomp", profile);
    assert_eq!(bundle.run().ok(), "Seccomp:\t2\n");
}

#[test]
fn each_capability_can_be_had_as_far_as_the_host_has_it() {
    only_tare!();
    let features = features();
    let known = words(&features, "/linux/capabilities");
    let mask = integration::Process(i32::try_from(std::process::id()).unwrap()).mask("CapBnd");
    let had: Vec<&str> = (0..)
        .zip(&known)
        .filter(|(bit, _)| mask & (1 << bit) != 0)
        .map(|(_, name)| *name)
        .collect();
    let bundle = Bundle::sleeping().set(
        "/process/capabilities",
        json!({
            "bounding": had, "permitted": had, "effective": had,
        }),
    );
    assert_eq!(bundle.started().mask("CapEff"), mask);
}

#[test]
fn what_is_not_enabled_is_refused() {
    only_tare!();
    let features = features();
    for (pointer, property, value) in [
        ("/linux/intelRdt/enabled", "/linux/intelRdt", json!({ "closID": "x" })),
        ("/linux/netDevices/enabled", "/linux/netDevices", json!({ "eth0": {} })),
    ] {
        assert_eq!(features.pointer(pointer), Some(&json!(false)), "{pointer}");
        let text = Bundle::new().set(property, value).run_fails();
        assert!(text.contains("not supported"), "{text}");
    }
    assert_eq!(features.pointer("/linux/mountExtensions/idmap/enabled"), Some(&json!(false)));
    let text = Bundle::new().mount("/mnt", "none", "/tmp", &["bind", "idmap"]).run_fails();
    assert!(text.contains("not supported"), "{text}");
    assert_eq!(Under::test().name(), "tare");
}
