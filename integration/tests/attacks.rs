//! A kernel that lies, tables that are full, and images that know how a runtime works: a container is as
//! it should be, or there is none (SECURITY.md: fail closed).

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use integration::{Bundle, needs_root, peers_differ, until};
use serde_json::json;

/// The kernel says that it did what it didn't do.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_setting_that_the_kernel_only_pretends_is_noticed() {
    use integration::supervisor::{Action, Role, Supervisor};

    needs_root!();
    peers_differ!("runc", "believes what the kernel says");
    peers_differ!("crun", "believes what the kernel says");
    for name in ["setgroups", "setresuid", "setresgid", "capset"] {
        let bundle = Bundle::sleeping()
            .set("/process/user", json!({ "uid": 1000, "gid": 1000, "additionalGids": [7, 8] }));
        let inner = bundle.command_for_bundle(&["create"]);
        // As many groups as the container is to have, but others.
        let mut command = Command::new("setpriv");
        command.args(["--groups", "5,6"]).arg(inner.get_program()).args(inner.get_args());
        let pretend = |call: &integration::supervisor::Call| match call.role {
            Role::Init if call.name == name => Action::Return(0),
            _ => Action::Make,
        };
        let said = Supervisor::of(&command).run(pretend).outcome.fails();
        assert!(said.contains("does not report it"), "{name}: {said}");
        assert_eq!(bundle.leftovers(), Vec::<String>::new(), "{name}");
    }
}

/// Descriptors that find no place in the table are dropped by the kernel without an error.
#[test]
fn a_full_table_of_descriptors_never_means_fewer_cgroups() {
    needs_root!();
    peers_differ!("crun", "1.8.1 leaves a cgroup behind when it runs out of descriptors");
    let mut created = 0;
    for most in (10..40).step_by(2) {
        let limit = json!([{ "type": "RLIMIT_NOFILE", "soft": most, "hard": most }]);
        let bundle = Bundle::sleeping()
            .edit(|config| integration::config::put_user_namespace(config, 1000, 1000))
            .set("/process/rlimits", limit);
        if bundle.create().code != 0 {
            assert_eq!(bundle.leftovers(), Vec::<String>::new());
            continue;
        }
        created += 1;
        let process = bundle.process();
        let outside: Vec<_> =
            process.cgroups().into_iter().filter(|(_, path)| !path.contains(bundle.id())).collect();
        // A hierarchy that is mounted nowhere can't be joined by anybody.
        let outside = outside.iter().filter(|(name, _)| {
            let name = name.strip_prefix("name=").unwrap_or(name);
            fs::exists(format!("/sys/fs/cgroup/{name}/cgroup.procs")).unwrap()
        });
        let outside: Vec<_> = outside.collect();
        assert!(outside.is_empty(), "RLIMIT_NOFILE {most}: {outside:?}");
    }
    assert!(created > 0, "nothing was tested");
}

#[test]
fn a_link_to_the_root_is_no_target() {
    needs_root!();
    peers_differ!("crun", "1.8.1 mounts over the root, where nobody sees it");
    for (link, to) in [("var/link", "/"), ("var/link", "../.."), ("var/link", "../../../..")] {
        let bundle = Bundle::new().writes(&[""]).mount("/var/link", "bind", "decoy", &["bind"]);
        symlink(to, bundle.rootfs(link)).unwrap();
        let said = bundle.run_fails();
        // 1.1.5 fails as well, after the mount, and in other words.
        peers_differ!("runc", "words it differently");
        assert!(said.contains("on the top of rootfs"), "{to}: {said}");
    }
}

#[test]
fn strange_names_of_targets_are_made_or_refused() {
    needs_root!();
    peers_differ!("crun", "1.8.1 makes a part of the path that it then refuses");
    let long = "n".repeat(255);
    for (target, is_made) in [
        (format!("/var/{long}"), true),
        (format!("/var/{}", "n".repeat(256)), false),
        (format!("/var{}", format!("/{long}").repeat(15)), true),
        (format!("/var{}", format!("/{long}").repeat(16)), false),
        ("/var/a b\tc\\d'\"*?$;\u{e4}".to_string(), true),
        ("/var/.../....".to_string(), true),
    ] {
        let bundle = Bundle::new().writes(&["var"]).mount(&target, "tmpfs", "tmpfs", &[]);
        let outcome = bundle.run();
        if is_made {
            outcome.ok();
        } else {
            assert_ne!(outcome.code, 0, "{target}");
            assert_eq!(bundle.leftovers(), Vec::<String>::new());
        }
        // Too long for a path from the host's root.
        let _made = fs::remove_dir_all(bundle.rootfs(&format!("var/{long}")));
    }
}

/// A link that points nowhere, in every form, as the target of a file.
#[test]
fn dangling_links_are_made_inside_or_refused() {
    needs_root!();
    peers_differ!("crun", "1.8.1 makes the file elsewhere in the root filesystem");
    for to in
        ["new", "new/", "./new", "../var/new", "/var/new", "deep/new", "..", "../..", ".", "link"]
    {
        let bundle = Bundle::new().writes(&["var", "new"]).mount(
            "/var/link",
            "bind",
            "config.json",
            &["bind", "ro"],
        );
        symlink(to, bundle.rootfs("var/link")).unwrap();
        symlink("nowhere", bundle.rootfs("var/other")).unwrap();
        let outcome = bundle.run();
        assert!(outcome.code == 0 || !outcome.stderr.trim().is_empty(), "{to}: {outcome:?}");
        assert_eq!(bundle.leftovers(), Vec::<String>::new(), "{to}");
    }
}

#[test]
fn a_strange_passwd_file_is_no_trouble() {
    needs_root!();
    peers_differ!("runc", "1.1.5 waits for a FIFO");
    peers_differ!("crun", "1.8.1 waits for a FIFO");
    for kind in ["fifo", "directory", "sparse", "device", "binary", "loop"] {
        let bundle = Bundle::sh("echo $HOME")
            .writes(&["etc"])
            .set("/process/user", json!({ "uid": 1000, "gid": 1000 }));
        let passwd = bundle.rootfs("etc/passwd");
        fs::remove_file(&passwd).unwrap();
        let mode = nix::sys::stat::Mode::from_bits_truncate(0o644);
        match kind {
            "fifo" => nix::unistd::mkfifo(&passwd, mode).unwrap(),
            "directory" => fs::create_dir(&passwd).unwrap(),
            "sparse" => fs::File::create(&passwd).unwrap().set_len(3 << 30).unwrap(),
            "device" => {
                let (character, zero) =
                    (nix::sys::stat::SFlag::S_IFCHR, nix::sys::stat::makedev(1, 5));
                nix::sys::stat::mknod(&passwd, character, mode, zero).unwrap();
            }
            "binary" => fs::write(&passwd, [0xff, 0, b':', b'\n'].repeat(10_000)).unwrap(),
            _ => symlink("passwd", &passwd).unwrap(),
        }
        let outcome = bundle.run();
        if kind == "loop" {
            let said = outcome.fails();
            assert!(said.contains("/etc/passwd"), "{said}");
        } else {
            assert_eq!(outcome.ok(), "/\n", "{kind}");
        }
    }
}

#[test]
fn a_created_init_shows_nothing() {
    needs_root!();
    peers_differ!("runc", "its init is runc itself, with its environment");
    peers_differ!("crun", "its init is crun itself, with its environment");
    let secret = "a-secret-of-the-caller";
    let bundle = Bundle::sleeping();
    let mut command = bundle.command_for_bundle(&["create"]);
    bundle.create_by(command.env("SECRET", secret)).ok();
    let process = bundle.process();
    assert_eq!(process.file("environ"), "");
    let line = process.file("cmdline");
    let number = line.strip_prefix("tare-init\0").and_then(|rest| rest.strip_suffix('\0'));
    assert!(number.is_some_and(|number| number.parse::<u32>().is_ok()), "{line:?}");
    assert!(process.link("exe").to_string_lossy().starts_with("/memfd:tare-init"));
    assert_eq!(process.link("cwd"), process.link("root"), "/ of the container");
    let open = process.descriptors();
    assert_eq!(open.len(), 4, "the streams and the gate: {open:?}");
    assert!(open.values().last().unwrap().starts_with("socket:"), "{open:?}");
    for line in process.file("maps").lines() {
        let file = line.split_whitespace().nth(5).unwrap_or("");
        assert!(
            file.is_empty() || file.starts_with('[') || file.starts_with("/memfd:tare-"),
            "{line}"
        );
    }
    assert_eq!(process.status("Seccomp"), "0");
    assert_eq!(process.status("TracerPid"), "0");
}

/// What init has made for one container, another one mounts on: to remove it would take those mounts away.
#[test]
fn a_failed_create_takes_no_mount_from_another_container() {
    needs_root!();
    let notes = tempfile::tempdir().unwrap();
    let [begun, go] = ["begun", "go"].map(|name| notes.path().join(name));
    let script = format!(
        "echo > {}; until [ -e {} ]; do sleep 0.01; done; exit 1",
        begun.display(),
        go.display()
    );
    let first = Bundle::sleeping();
    for name in ["dev", "proc", "sys"] {
        fs::remove_dir(first.rootfs(name)).unwrap();
    }
    let rootfs = first.rootfs("");
    let policies = |bundle: Bundle| {
        bundle.mount("/policy", "bind", "decoy", &["bind", "ro"]).mount(
            "/etc/policy/file",
            "bind",
            "decoy/marker",
            &["bind", "ro"],
        )
    };
    let second = policies(Bundle::sleeping()).set("/root/path", json!(rootfs));
    let hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", script] });
    let first = policies(first)
        .mount("/unused", "tmpfs", "tmpfs", &[])
        .edit(|config| config["hooks"] = json!({ "createRuntime": [hook] }));

    let mut command = first.command_for_bundle(&["create"]);
    let mut create = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let has_begun = until(|| begun.exists());
    let process = second.started();
    let before = process.file("mountinfo");
    fs::write(&go, "").unwrap();
    assert!(!create.wait().unwrap().success());
    assert!(has_begun);
    assert_eq!(process.file("mountinfo"), before);
    assert_eq!(process.file("root/policy/marker"), "decoy\n");
    assert_eq!(first.leftovers(), Vec::<String>::new());
    peers_differ!("runc", "leaves what it has made in the root filesystem");
    peers_differ!("crun", "leaves what it has made in the root filesystem");
    assert!(!first.rootfs("unused").exists(), "nothing is mounted on it");

    second.delete_force().ok();
    let left = ["policy", "etc/policy/file", "dev", "proc", "sys"];
    assert!(left.iter().all(|name| first.rootfs(name).exists()));
    assert_eq!(second.leftovers(), Vec::<String>::new());
}
