//! Sysctls of the container's namespaces.

use std::fs;

use integration::{Bundle, Kind, Under, needs_root, peers_differ};
use serde_json::json;

const PORT_START: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";

fn host(path: &str) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn sysctls_are_set_in_the_container_alone() {
    needs_root!();
    let before = (host(PORT_START), host("/proc/sys/kernel/msgmax"), host("/proc/sys/kernel/sem"));
    let script = "cd /proc/sys; cat net/ipv4/ip_unprivileged_port_start kernel/msgmax kernel/sem \
                  net/ipv4/ping_group_range kernel/domainname fs/mqueue/msg_max";
    let bundle = Bundle::sh(script).set(
        "/linux/sysctl",
        json!({
            "net.ipv4.ip_unprivileged_port_start": "77",
            "net.ipv4.ping_group_range": "0 2147483647",
            "kernel/msgmax": "65536",
            "kernel.sem": "250 32000 32 128",
            "kernel.domainname": "tare.test",
            "fs.mqueue.msg_max": "11",
        }),
    );
    let text = bundle.run().ok();
    assert_eq!(text, "77\n65536\n250\t32000\t32\t128\n0\t2147483647\ntare.test\n11\n");
    let now = (host(PORT_START), host("/proc/sys/kernel/msgmax"), host("/proc/sys/kernel/sem"));
    assert_eq!(now, before);
}

#[test]
fn sysctls_of_a_user_namespace_are_set() {
    needs_root!();
    let script =
        "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/user/max_net_namespaces";
    let bundle = Bundle::sh(script)
        .edit(|config| integration::config::put_user_namespace(config, 100_000, 65536))
        .set(
            "/linux/sysctl",
            json!({"net.ipv4.ip_unprivileged_port_start": "78", "user.max_net_namespaces": "3"}),
        );
    peers_differ!("runc", "1.1.5 knows no sysctls of user namespaces");
    peers_differ!("crun", "has no sysctls of user namespaces");
    assert_eq!(bundle.run().ok(), "78\n3\n");
}

#[test]
fn sysctls_of_joined_namespaces_are_set() {
    needs_root!();
    let owner = Bundle::sleeping();
    let process = owner.started();
    for joined in [&["net"][..], &["pid", "net"], &["pid", "net", "ipc"]] {
        let bundle = Bundle::sh("cat /proc/sys/net/ipv4/ip_unprivileged_port_start")
            .set("/linux/sysctl", json!({"net.ipv4.ip_unprivileged_port_start": "79"}))
            .edit(|config| {
                for namespace in integration::config::array(config, "/linux/namespaces") {
                    let name = match namespace["type"].as_str().unwrap() {
                        "network" => "net",
                        other => other,
                    };
                    if joined.contains(&name) {
                        namespace["path"] = json!(format!("/proc/{}/ns/{name}", process.0));
                    }
                }
            });
        assert_eq!(bundle.run().ok(), "79\n", "{joined:?}");
    }
}

#[test]
fn sysctls_of_the_host_are_refused() {
    needs_root!();
    for (name, removed, words) in [
        ("net.ipv4.ip_unprivileged_port_start", "network", "not allowed in host network namespace"),
        ("kernel.msgmax", "ipc", "ipc namespace"),
        ("vm.swappiness", "", "is not in a separate kernel namespace"),
        ("kernel.panic_on_oops", "", "is not in a separate kernel namespace"),
        ("kernel.core_pattern", "", "is not in a separate kernel namespace"),
        ("user.max_net_namespaces", "", "setting ucounts without a user namespace not allowed"),
        ("kernel.hostname", "", "conflicts with the OCI \"hostname\" field"),
        ("net/../kernel/panic", "", "is no name of a sysctl"),
        ("net.//.kernel.panic", "", "is no name of a sysctl"),
        ("/net/ipv4/ip_forward", "", "is no name of a sysctl"),
    ] {
        let file = match name {
            _ if name.starts_with("net") => PORT_START.to_string(),
            _ => format!("/proc/sys/{}", name.replace('.', "/")),
        };
        let before = fs::read_to_string(&file).ok();
        let bundle = Bundle::new().set("/linux/sysctl", json!({name: "1"})).edit(|config| {
            let namespaces = integration::config::array(config, "/linux/namespaces");
            namespaces.retain(|namespace| namespace["type"] != removed);
            if removed == "network" {
                // Without a network namespace there is no sysfs.
                let mounts = integration::config::array(config, "/mounts");
                mounts.retain(|mount| mount["type"] != "sysfs" && mount["type"] != "cgroup");
            }
        });
        let text = bundle.run_fails();
        assert_eq!(fs::read_to_string(&file).ok(), before, "{name}");
        let words = match Under::test().kind {
            Kind::Crun => "",
            // Joins the parts, which then lead to no file.
            Kind::Runc if name.contains('/') => "",
            // 1.1.5 knows no sysctls of user namespaces.
            Kind::Runc if name.starts_with("user") => "is not in a separate kernel namespace",
            _ => words,
        };
        if !words.is_empty() {
            // The text is JSON or logfmt, whose quotes are escaped.
            let text = text.replace('\\', "");
            assert!(text.contains(words), "{name}: {text}");
        }
    }
}

#[test]
fn a_value_that_the_kernel_refuses_fails_create() {
    needs_root!();
    for (name, value) in [
        ("net.ipv4.ip_unprivileged_port_start", "70000"),
        ("net.ipv4.ip_unprivileged_port_start", "word"),
        ("net.no_such_sysctl", "1"),
    ] {
        let text = Bundle::new().set("/linux/sysctl", json!({name: value})).run_fails();
        peers_differ!("crun", "names no sysctl");
        assert!(text.contains(&name.replace('.', "/")), "{text}");
    }
}
