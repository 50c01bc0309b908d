use std::fs::read_to_string;

use super::super::Cgroup;
use super::super::scratch::{Inhabitant, Scratch};
use super::*;

fn device(json: &str) -> LinuxDeviceCgroup {
    serde_json::from_str(json).unwrap()
}

fn values(rules: &[DeviceRule]) -> Vec<String> {
    let writes = v1_writes(rules).unwrap();
    writes.into_iter().map(|w| format!("{} {}", w.file, w.value)).collect()
}

const DEFAULT_WRITES: [&str; 12] = [
    "devices.deny a",
    "devices.allow c *:* m",
    "devices.allow b *:* m",
    "devices.allow c 1:3 rwm",
    "devices.allow c 1:8 rwm",
    "devices.allow c 1:7 rwm",
    "devices.allow c 5:0 rwm",
    "devices.allow c 1:5 rwm",
    "devices.allow c 1:9 rwm",
    "devices.allow c 136:* rwm",
    "devices.allow c 5:2 rwm",
    "devices.allow c 10:200 rwm",
];

#[test]
fn without_a_configuration_all_but_the_defaults_is_denied() {
    assert_eq!(values(&rules(None).unwrap()), DEFAULT_WRITES);
    let template = [device(r#"{"allow":false,"access":"rwm"}"#)];
    assert_eq!(values(&rules(Some(&template)).unwrap()), DEFAULT_WRITES);
}

#[test]
fn the_configuration_comes_before_the_defaults() {
    let devices = [
        device(r#"{"allow":false,"type":"a","access":"rwm"}"#),
        device(r#"{"allow":true,"type":"b","major":8,"minor":-1,"access":"wr"}"#),
        device(r#"{"allow":false,"type":"c","major":1,"minor":3,"access":"rwm"}"#),
    ];
    let written = values(&rules(Some(&devices)).unwrap());
    assert_eq!(written[1], "devices.allow b 8:* rw");
    assert_eq!(written[2..], DEFAULT_WRITES[1..]);
}

#[test]
fn a_privileged_container_may_do_everything() {
    let all = [device(r#"{"allow":true,"access":"rwm"}"#)];
    let rules = rules(Some(&all)).unwrap();
    assert!(allow_everything(&rules));
    assert_eq!(values(&rules), ["devices.allow a"]);
    assert!(!allow_everything(&super::rules(None).unwrap()));
}

#[test]
fn rules_that_cannot_be_are_refused() {
    for (json, text) in [
        (r#"{"allow":true}"#, "device access at 0 field cannot be empty"),
        (r#"{"allow":true,"access":""}"#, "device access at 0 field cannot be empty"),
        (r#"{"allow":true,"access":"rx"}"#, "not made of r, w and m"),
        (r#"{"allow":true,"type":"p","access":"r"}"#, "invalid cgroup device type \"p\""),
        (r#"{"allow":true,"major":-2,"access":"r"}"#, "devices[0].major: -2"),
        (r#"{"allow":true,"minor":4294967296,"access":"r"}"#, "devices[0].minor: 4294967296"),
    ] {
        let error = rules(Some(&[device(json)])).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert_eq!(error.property(), Some("linux.resources.devices[0]"));
    }
}

#[test]
fn what_v1_would_silently_ignore_is_refused() {
    let devices = [
        device(r#"{"allow":true,"type":"c","major":7,"access":"rwm"}"#),
        device(r#"{"allow":false,"type":"c","major":7,"minor":1,"access":"w"}"#),
    ];
    let error = v1_writes(&rules(Some(&devices)).unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the rule \"c 7:1 w\" takes a part out of \"c 7:* rwm\", which cgroup v1 can't do"
    );
}

/// What the kernel makes of the writes (`security/device_cgroup.c`).
fn kernel_v1(writes: &[Write], kind: DeviceKind, numbers: (u32, u32), access: u8) -> bool {
    let allowed_by_default = writes[0].file == "devices.allow";
    let mut hits = writes[1..].iter().filter_map(|write| {
        let fields: Vec<&str> = write.value.split([' ', ':']).collect();
        let number = |text: &str, n: u32| text == "*" || text == n.to_string();
        let letter = if kind == DeviceKind::Char { "c" } else { "b" };
        let hit =
            fields[0] == letter && number(fields[1], numbers.0) && number(fields[2], numbers.1);
        let bit = |letter, bit| if fields[3].contains(letter) { bit } else { 0 };
        hit.then(|| bit('m', MKNOD) | bit('r', READ) | bit('w', WRITE))
    });
    if allowed_by_default {
        !hits.any(|hit| hit & access != 0)
    } else {
        hits.any(|hit| access & !hit == 0)
    }
}

#[test]
fn the_v1_files_mean_what_the_rules_mean() {
    let mut compared = 0;
    for rules in samples() {
        let Ok(writes) = v1_writes(&rules) else {
            continue;
        };
        compared += 1;
        for (kind, numbers, access) in requests() {
            let v1 = kernel_v1(&writes, kind, numbers, access);
            let meant = permits(&rules, kind, numbers, access);
            // The kernel wants one exception that has all of an access, and is stricter for that.
            let same = v1 == meant || (!v1 && access.count_ones() > 1);
            assert!(same, "{rules:?}\n{writes:?}\n{kind:?} {numbers:?} {access}");
        }
    }
    assert!(compared > 500, "{compared}");
}

#[test]
fn the_kernel_enforces_them() {
    // /dev/kmsg may only be read, /dev/mem only be made.
    let readable = [device(r#"{"allow":true,"type":"c","major":1,"minor":11,"access":"r"}"#)];
    let rules = rules(Some(&readable)).unwrap();
    let script = r#"
        : < /dev/zero; : > /dev/null; : <> /dev/null; : < /dev/kmsg
        try() { ( eval ": $1" ) 2>&1 && echo "$1 worked"; }
        try '<> /dev/kmsg' || :; try '> /dev/kmsg' || :
        mknod mem c 1 1; try '< mem' || :"#;
    for scratch in [Scratch::v1("devices"), Scratch::v2("devices")] {
        let Some(scratch) = scratch else { continue };
        let placement = scratch.place("/x");
        let mut cgroup = Cgroup::new(placement.clone());
        cgroup.make_unified().unwrap();
        cgroup.make_v1().unwrap();
        // Twice, because an earlier container's rules have to give way.
        cgroup.apply_devices(&super::rules(None).unwrap()).unwrap();
        cgroup.apply_devices(&rules).unwrap();
        if let Some(place) = placement.v1.iter().find(|place| place.has("devices")) {
            let list = read_to_string(place.directory().join("devices.list")).unwrap();
            assert_eq!(list.lines().count(), 12, "{list}");
        }
        let nodes = tempfile::tempdir().unwrap();
        let script = format!("cd {}\n{script}", nodes.path().display());
        let mut inhabitant = Inhabitant::run(&placement, &script);
        let status = inhabitant.child.wait().unwrap();
        let stream = inhabitant.child.stdout.take().unwrap();
        let said = std::io::read_to_string(stream).unwrap();
        let stderr = std::io::read_to_string(inhabitant.child.stderr.take().unwrap()).unwrap();
        assert!(status.success(), "{said}{stderr}");
        assert_eq!(said.matches("Operation not permitted").count(), 3, "{said}");
        assert!(!said.contains("worked"), "{said}");
        drop(inhabitant);
        drop(cgroup);
    }
}
