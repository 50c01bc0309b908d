//! Namespaces: new, joined and inherited (namespaces(7)), and what they are filled with.

use std::path::Path;

use integration::config::{drop_namespace, put_namespace, put_user_namespace};
use integration::{Bundle, Process, needs_root, peers_differ};
use serde_json::json;

/// Names of the specification with those of /proc.
const TYPES: [(&str, &str); 6] = [
    ("pid", "pid"),
    ("network", "net"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("mount", "mnt"),
    ("cgroup", "cgroup"),
];

/// The test thread, whose mount namespace is not the process's.
fn own(name: &str) -> String {
    let link = format!("/proc/thread-self/ns/{name}");
    std::fs::read_link(link).unwrap().display().to_string()
}

#[test]
fn each_type_is_new() {
    needs_root!();
    let bundle = Bundle::sleeping().edit(|config| {
        put_namespace(config, json!({ "type": "cgroup" }));
        put_user_namespace(config, 100_000, 65_536);
    });
    let process = bundle.started();
    for (_, name) in TYPES.into_iter().chain([("user", "user")]) {
        assert_ne!(process.namespace(name), own(name), "{name}");
    }
}

#[test]
fn time_namespace_is_new() {
    needs_root!();
    peers_differ!("crun", "1.8.1 fails here: its child dies while it joins");
    peers_differ!("runc", "1.1.5 does not know time namespaces");
    let bundle = Bundle::sleeping().edit(|config| put_namespace(config, json!({ "type": "time" })));
    let process = bundle.started();
    assert_ne!(process.namespace("time"), own("time"));
    let children = process.namespace("time_for_children");
    assert_eq!(process.namespace("time"), children);
}

#[test]
fn a_namespace_that_is_not_listed_is_inherited() {
    needs_root!();
    for (kind, name) in TYPES.into_iter().filter(|(kind, _)| *kind != "mount") {
        let bundle = Bundle::sleeping().edit(|config| {
            drop_namespace(config, kind);
            if kind == "uts" {
                config.as_object_mut().unwrap().remove("hostname");
            }
        });
        let process = bundle.started();
        assert_eq!(process.namespace(name), own(name), "{kind}");
        for other in ["user", "time"] {
            assert_eq!(process.namespace(other), own(other), "{other}");
        }
    }
}

#[test]
fn a_namespace_is_joined_by_path() {
    needs_root!();
    let holder =
        Bundle::sleeping().edit(|config| put_namespace(config, json!({ "type": "cgroup" })));
    let holder_process = holder.started();
    for (kind, name) in TYPES.into_iter().filter(|(kind, _)| *kind != "mount") {
        let path = format!("/proc/{}/ns/{name}", holder_process.0);
        let bundle = Bundle::sleeping().edit(|config| {
            put_namespace(config, json!({ "type": kind, "path": path }));
            config.as_object_mut().unwrap().remove("hostname");
        });
        let process = bundle.started();
        for (_, other) in TYPES {
            let same = process.namespace(other) == holder_process.namespace(other);
            assert_eq!(same, other == name, "{kind}: {other}");
        }
        bundle.delete_force().ok();
        assert!(holder_process.lives(), "{kind}");
    }
}

#[test]
fn a_joined_pid_namespace_has_one_pid_1() {
    needs_root!();
    let holder = Bundle::sleeping();
    let path = format!("/proc/{}/ns/pid", holder.started().0);
    let bundle = Bundle::sleeping()
        .edit(|config| put_namespace(config, json!({ "type": "pid", "path": path })));
    let process = bundle.started();
    let inner: Vec<i32> =
        process.status("NSpid").split(' ').map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(inner.len(), 2);
    assert_eq!(inner[0], process.0);
    assert!(inner[1] > 1, "{inner:?}");
}

#[test]
fn a_joined_time_namespace_is_the_same() {
    needs_root!();
    peers_differ!("crun", "1.8.1 fails here: its child dies while it joins");
    peers_differ!("runc", "1.1.5 does not know time namespaces");
    let holder = Bundle::sleeping().edit(|config| put_namespace(config, json!({ "type": "time" })));
    let first = holder.started();
    let path = format!("/proc/{}/ns/time", first.0);
    let bundle = Bundle::sleeping()
        .edit(|config| put_namespace(config, json!({ "type": "time", "path": path })));
    assert_eq!(bundle.started().namespace("time"), first.namespace("time"));
}

#[test]
fn a_joined_user_namespace_is_the_same() {
    needs_root!();
    peers_differ!("runc", "1.1.5 wants mappings even so");
    let holder = Bundle::sleeping().edit(|config| put_user_namespace(config, 100_000, 65_536));
    let first = holder.started();
    let path = format!("/proc/{}/ns/user", first.0);
    let bundle = Bundle::sleeping()
        .edit(|config| put_namespace(config, json!({ "type": "user", "path": path })));
    let process = bundle.started();
    assert_eq!(process.namespace("user"), first.namespace("user"));
    assert_ne!(process.namespace("net"), first.namespace("net"));
    assert_eq!(process.status("Uid"), "100000 100000 100000 100000");
}

#[test]
fn a_joined_user_namespace_may_repeat_its_mappings() {
    needs_root!();
    let holder = Bundle::sleeping().edit(|config| put_user_namespace(config, 100_000, 65_536));
    let first = holder.started();
    let path = format!("/proc/{}/ns/user", first.0);
    let bundle = Bundle::sleeping().edit(|config| {
        put_user_namespace(config, 100_000, 65_536);
        put_namespace(config, json!({ "type": "user", "path": path }));
    });
    assert_eq!(bundle.started().namespace("user"), first.namespace("user"));
}

#[test]
fn ids_are_mapped_as_configured() {
    needs_root!();
    let uids = json!([
        { "containerID": 0, "hostID": 100_000, "size": 10 },
        { "containerID": 10, "hostID": 200_000, "size": 1 },
        { "containerID": 1000, "hostID": 300_000, "size": 5 },
    ]);
    let gids = json!([{ "containerID": 0, "hostID": 400_000, "size": 2000 }]);
    let bundle = Bundle::sleeping().edit(|config| {
        put_namespace(config, json!({ "type": "user" }));
        config["linux"]["uidMappings"] = uids;
        config["linux"]["gidMappings"] = gids;
        config["process"]["user"] = json!({ "uid": 1001, "gid": 7, "additionalGids": [9] });
    });
    let process = bundle.started();
    let expected = [[0, 100_000, 10], [10, 200_000, 1], [1000, 300_000, 5]].map(Vec::from);
    assert_eq!(process.id_map("uid_map"), expected);
    assert_eq!(process.id_map("gid_map"), [Vec::from([0, 400_000, 2000])]);
    assert_eq!(process.status("Uid"), "300001 300001 300001 300001");
    assert_eq!(process.status("Gid"), "400007 400007 400007 400007");
    assert_eq!(process.status("Groups"), "400009");
}

#[test]
fn root_of_a_user_namespace_owns_its_other_namespaces() {
    needs_root!();
    let script = "id -u; id -g; hostname changed && hostname; ip link set lo down && echo net";
    let bundle = Bundle::sh(script).edit(|config| {
        put_user_namespace(config, 100_000, 65_536);
        integration::config::put_capabilities(config, &["CAP_SYS_ADMIN", "CAP_NET_ADMIN"]);
    });
    assert_eq!(bundle.run().ok(), "0\n0\nchanged\nnet\n");
}

#[test]
fn loopback_is_up() {
    needs_root!();
    let bundle = Bundle::sh(
        "cat /sys/class/net/lo/flags; ip -4 addr show lo | grep -o 'inet [^ ]*'; ls /sys/class/net",
    );
    // IFF_UP | IFF_LOOPBACK
    let text = bundle.run().ok();
    assert!(text.starts_with("0x9\ninet 127.0.0.1/8\n"), "{text}");
    assert!(text.lines().any(|line| line == "lo"), "{text}");
}

#[test]
fn loopback_of_a_user_namespace_is_up() {
    needs_root!();
    let bundle = Bundle::sh("cat /sys/class/net/lo/flags")
        .edit(|config| put_user_namespace(config, 100_000, 65_536));
    assert_eq!(bundle.run().ok(), "0x9\n");
}

#[test]
fn loopback_of_a_joined_namespace_is_left_alone() {
    needs_root!();
    let holder = Bundle::sh("ip link set lo down && echo down && sleep 1000").edit(|config| {
        integration::config::put_capabilities(config, &["CAP_NET_ADMIN"]);
    });
    let process = holder.created();
    holder.start().ok();
    assert!(integration::until(|| holder.output().0 == "down\n"));
    let path = format!("/proc/{}/ns/net", process.0);
    let bundle = Bundle::sh("cat /sys/class/net/lo/flags")
        .edit(|config| put_namespace(config, json!({ "type": "network", "path": path })));
    assert_eq!(bundle.run().ok(), "0x8\n");
}

#[test]
fn the_host_name_is_set_inside_only() {
    needs_root!();
    let before = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let bundle = Bundle::sh("hostname").set("/hostname", json!("other-name"));
    assert_eq!(bundle.run().ok(), "other-name\n");
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap(), before);
}

#[test]
fn the_domain_name_is_set() {
    needs_root!();
    peers_differ!("runc", "1.1.5 ignores domainname");
    let bundle =
        Bundle::sh("cat /proc/sys/kernel/domainname").set("/domainname", json!("example.test"));
    assert_eq!(bundle.run().ok(), "example.test\n");
}

#[test]
fn the_process_is_pid_1_and_the_only_one() {
    needs_root!();
    // The shell itself expands the pattern.
    let bundle = Bundle::sh("echo $$ /proc/[0-9]*; exit 0");
    assert_eq!(bundle.run().ok(), "1 /proc/1\n");
}

#[test]
fn the_cgroup_namespace_starts_at_the_containers_cgroup() {
    needs_root!();
    let bundle = Bundle::sh("cut -d: -f3 /proc/self/cgroup | sort -u")
        .edit(|config| put_namespace(config, json!({ "type": "cgroup" })));
    assert_eq!(bundle.run().ok(), "/\n");
}

#[test]
fn the_caller_stays_in_its_namespaces() {
    needs_root!();
    let names = ["pid", "net", "ipc", "uts", "mnt", "cgroup", "user", "time"];
    let bundle = Bundle::sleeping();
    let before = names.map(own);
    let process = bundle.started();
    assert_eq!(names.map(own), before);
    assert!(Path::new(&format!("/proc/{}", process.0)).exists());
    assert_ne!(Process(process.0).namespace("pid"), own("pid"));
}
