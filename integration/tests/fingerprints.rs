//! The oracle of the tests that disturb the runtime: equal for equal configurations, and different as soon
//! as one thing confines less.

use integration::config::{array, drop_namespace, put_namespace};
use integration::fingerprint::diff;
use integration::{Bundle, Fingerprint, needs_root};
use serde_json::{Value, json};

/// A container that is confined in every way that a fingerprint knows.
pub(crate) fn confined() -> Bundle {
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["swapon"], "action": "SCMP_ACT_ERRNO" }],
    });
    let user = json!({ "uid": 1000, "gid": 1000, "additionalGids": [7], "umask": 0o77 });
    let rlimits = json!([{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 },
        { "type": "RLIMIT_CORE", "hard": 0, "soft": 0 }]);
    Bundle::sleeping()
        .set("/linux/seccomp", profile)
        .set("/process/user", user)
        .set("/process/rlimits", rlimits)
        .set("/process/oomScoreAdj", json!(500))
        .set("/process/cwd", json!("/home/user"))
        .set("/linux/sysctl", json!({ "net.ipv4.ip_unprivileged_port_start": "77" }))
        .set("/linux/resources/pids", json!({ "limit": 20 }))
        .set("/linux/resources/memory", json!({ "limit": 64 << 20 }))
        .edit(|config| put_ambient(config, &["CAP_KILL"]))
        .edit(|config| put_namespace(config, json!({ "type": "cgroup" })))
}

/// Capabilities that a user without privileges keeps.
fn put_ambient(config: &mut Value, names: &[&str]) {
    for set in ["inheritable", "ambient"] {
        config["process"]["capabilities"][set] = json!(names);
    }
}

fn mapped() -> Bundle {
    confined().edit(|config| {
        integration::config::put_user_namespace(config, 100_000, 65536);
        config["linux"].as_object_mut().unwrap().remove("sysctl");
    })
}

#[track_caller]
fn print(bundle: &Bundle) -> Fingerprint {
    let process = bundle.started();
    let print = Fingerprint::of(process, bundle);
    bundle.delete_force().ok();
    print
}

#[test]
fn equal_configurations_have_equal_fingerprints() {
    needs_root!();
    for kind in [confined, mapped] {
        let first = print(&kind());
        let bundle = kind();
        // Another bundle and id, and the same once more.
        for _ in 0..2 {
            let second = print(&bundle);
            assert_eq!(diff(&first, &second), Vec::<String>::new());
            assert_eq!(first, second);
        }
        assert!(first.to_string().lines().count() > 100, "{first}");
    }
}

/// A name of what differs then, and the edit.
type Weakening = (&'static str, fn(&mut Value));

/// Takes an option off a mount.
fn without(config: &mut Value, destination: &str, option: &str) {
    let mounts = array(config, "/mounts").iter_mut();
    let mount = mounts.into_iter().find(|mount| mount["destination"] == destination).unwrap();
    mount["options"].as_array_mut().unwrap().retain(|other| other != option);
}

const PRIVILEGES: [Weakening; 17] = [
    ("CapBnd", |config| {
        array(config, "/process/capabilities/bounding").push(json!("CAP_SYS_ADMIN"));
    }),
    ("CapInh", |config| {
        array(config, "/process/capabilities/inheritable").push(json!("CAP_AUDIT_WRITE"));
    }),
    ("CapPrm", |config| put_ambient(config, &["CAP_KILL", "CAP_AUDIT_WRITE"])),
    ("CapEff", |config| put_ambient(config, &["CAP_KILL", "CAP_AUDIT_WRITE"])),
    ("CapAmb", |config| put_ambient(config, &["CAP_KILL", "CAP_AUDIT_WRITE"])),
    ("NoNewPrivs", |config| config["process"]["noNewPrivileges"] = json!(false)),
    ("Seccomp", |config| drop(config["linux"].as_object_mut().unwrap().remove("seccomp"))),
    ("Uid", |config| config["process"]["user"]["uid"] = json!(0)),
    ("Gid", |config| config["process"]["user"]["gid"] = json!(0)),
    ("Groups", |config| config["process"]["user"]["additionalGids"] = json!([7, 0])),
    ("Umask", |config| config["process"]["user"]["umask"] = json!(0)),
    ("limits", |config| config["process"]["rlimits"][0]["hard"] = json!(1025)),
    ("limits", |config| drop(array(config, "/process/rlimits").pop())),
    ("oom_score_adj", |config| config["process"]["oomScoreAdj"] = json!(0)),
    ("environ", |config| array(config, "/process/env").push(json!("LD_PRELOAD=/x"))),
    ("cwd", |config| config["process"]["cwd"] = json!("/")),
    ("cmdline", |config| config["process"]["args"] = json!(["sleep", "1001"])),
];

const SURROUNDINGS: [Weakening; 20] = [
    ("mount /sys/firmware", |config| {
        array(config, "/linux/maskedPaths").retain(|path| path != "/sys/firmware");
    }),
    ("mount /proc/sys", |config| {
        array(config, "/linux/readonlyPaths").retain(|path| path != "/proc/sys");
    }),
    ("mount / ", |config| config["root"]["readonly"] = json!(false)),
    ("mount / ", |config| config["linux"]["rootfsPropagation"] = json!("shared")),
    ("mount /sys ", |config| without(config, "/sys", "ro")),
    ("mount /dev/shm", |config| without(config, "/dev/shm", "nosuid")),
    ("mount /dev/shm", |config| without(config, "/dev/shm", "nodev")),
    ("mount /dev/shm", |config| without(config, "/dev/shm", "size=65536k")),
    ("mount /dev/mqueue", |config| without(config, "/dev/mqueue", "noexec")),
    ("mount /opt", |config| {
        array(config, "/mounts").push(json!({ "destination": "/opt", "type": "bind",
            "source": "/etc", "options": ["bind", "ro"] }));
    }),
    ("namespace net", |config| {
        drop_namespace(config, "network");
        config["linux"].as_object_mut().unwrap().remove("sysctl");
        array(config, "/mounts").retain(|mount| mount["destination"] != "/sys");
    }),
    ("namespace ipc", |config| drop_namespace(config, "ipc")),
    ("namespace pid", |config| drop_namespace(config, "pid")),
    ("namespace cgroup", |config| drop_namespace(config, "cgroup")),
    ("namespace uts", |config| {
        drop_namespace(config, "uts");
        config.as_object_mut().unwrap().remove("hostname");
    }),
    ("sysctl kernel/hostname", |config| config["hostname"] = json!("other")),
    ("sysctl net/ipv4", |config| drop(config["linux"].as_object_mut().unwrap().remove("sysctl"))),
    ("cgroup pids pids.max", |config| config["linux"]["resources"]["pids"]["limit"] = json!(21)),
    ("cgroup devices devices.list", |config| {
        array(config, "/linux/resources/devices")
            .push(json!({ "allow": true, "type": "c", "major": 10, "minor": 229, "access": "r" }));
    }),
    ("device fuse", |config| {
        config["linux"]["devices"] =
            json!([{ "path": "/dev/fuse", "type": "c", "major": 10, "minor": 229 }]);
    }),
];

/// That each of them is seen.
#[track_caller]
fn all_are_seen(base: fn() -> Bundle, weakenings: &[Weakening]) {
    let strong = print(&base());
    for (name, edit) in weakenings {
        let weak = print(&base().edit(edit));
        let found = diff(&strong, &weak);
        assert!(found.iter().any(|line| line.starts_with(name)), "{name}: {found:#?}\n{weak}");
    }
}

#[test]
fn more_privileges_are_seen() {
    needs_root!();
    all_are_seen(confined, &PRIVILEGES);
}

#[test]
fn surroundings_that_confine_less_are_seen() {
    needs_root!();
    all_are_seen(confined, &SURROUNDINGS);
}

#[test]
fn other_maps_of_ids_are_seen() {
    needs_root!();
    let bigger: Weakening = ("uid_map", |config| {
        config["linux"]["uidMappings"][0]["size"] = json!(65537);
    });
    let none: Weakening = ("namespace user", |config| {
        drop_namespace(config, "user");
        let linux = config["linux"].as_object_mut().unwrap();
        linux.retain(|name, _| !name.ends_with("Mappings"));
    });
    all_are_seen(mapped, &[bigger, none]);
}

#[test]
fn what_the_command_line_weakens_is_seen() {
    needs_root!();
    let strong = print(&confined());
    for (flags, name) in
        [(&["--no-new-keyring"] as &[&str], "keyring"), (&["--preserve-fds", "1"], "descriptor 3")]
    {
        let bundle = confined();
        let mut arguments = vec!["create"];
        arguments.extend(flags);
        let inner = bundle.command_for_bundle(&arguments);
        // A shell that opens descriptor 3.
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "exec \"$@\" 3</etc", "sh"]).arg(inner.get_program());
        command.args(inner.get_args()).stdin(std::process::Stdio::null());
        bundle.create_by(&mut command).ok();
        bundle.start().ok();
        let weak = Fingerprint::of(bundle.process(), &bundle);
        let found = diff(&strong, &weak);
        assert!(found.iter().any(|line| line.starts_with(name)), "{name}: {found:#?}");
    }
}
