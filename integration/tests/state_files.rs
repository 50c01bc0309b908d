//! State files that are damaged, foreign, or no files at all: other containers don't suffer, verbs say what
//! is wrong, and `delete --force` removes what is the container's and nothing else.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use integration::supervisor::{Action, Role};
use integration::{Bundle, Process, hierarchies, needs_root, peers_differ, rounds};
use nix::errno::Errno;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::{Uid, chown, mkfifo};
use serde_json::{Value, json};

use crate::crashes::scenario::supervise;

/// Where the record of a bundle's container is.
fn record(bundle: &Bundle) -> PathBuf {
    bundle.state_root().join(bundle.id()).join("record.json")
}

fn edit(bundle: &Bundle, change: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&fs::read(record(bundle)).unwrap()).unwrap();
    change(&mut value);
    fs::write(record(bundle), value.to_string()).unwrap();
}

/// Leaves the test, with the reason printed, where it can't be run.
macro_rules! needs_our_files {
    () => {
        needs_root!();
        peers_differ!("runc", "has other files, which one that is damaged makes undeletable");
        peers_differ!("crun", "has other files, of which one that is damaged fails list");
    };
}

/// That the record can't be read, which each verb says, and that `delete --force` still removes all.
#[track_caller]
fn is_damaged(bundle: &Bundle, process: Process, what: &str) {
    let id = bundle.id();
    for args in [&["state", id] as &[&str], &["start", id], &["kill", id, "KILL"], &["delete", id]]
    {
        let said = bundle.call(args).fails();
        assert!(said.contains(id) && said.contains("record.json"), "{what}: {args:?}: {said}");
        assert!(said.len() < 1000, "{what}: {said}");
        assert!(process.lives(), "{what}: {args:?}");
    }
    let list = bundle.call(&["list", "--format", "json"]);
    assert_eq!((list.code, &*list.stdout), (0, "null\n"), "{what}");
    assert!(list.stderr.contains(id), "{what}: {list:?}");
    bundle.delete_force().ok();
    assert!(!process.lives(), "{what}: it lives, and delete has said yes");
    assert_eq!(bundle.leftovers(), Vec::<String>::new(), "{what}");
}

/// Creates a container, does something to its record, and looks what becomes of it.
#[track_caller]
fn damaged(bundle: &Bundle, what: &str, damage: impl FnOnce(&Path)) {
    let process = bundle.started();
    damage(&record(bundle));
    is_damaged(bundle, process, what);
}

#[test]
fn a_record_that_is_cut_anywhere_is_none() {
    needs_our_files!();
    let bundle = Bundle::sleeping();
    bundle.created();
    let length = fs::read(record(&bundle)).unwrap().len();
    bundle.delete_force().ok();
    let count = rounds(12, length);
    for part in 0..count {
        damaged(&bundle, &format!("cut at {part}/{count}"), |path| {
            let text = fs::read(path).unwrap();
            fs::write(path, &text[..part * text.len() / count]).unwrap();
        });
    }
}

#[test]
fn a_record_that_is_something_else_is_none() {
    needs_our_files!();
    let bundle = Bundle::sleeping();
    let runc = r#"{"id":"x","init_process_pid":1,"init_process_start":7,"cgroup_paths":{"pids":"/sys/fs/cgroup/pids"}}"#;
    let crun = r#"{"pid":1,"process-start-time":7,"cgroup-path":"/","rootfs":"/","bundle":"/"}"#;
    let deep = "[".repeat(200_000);
    let wide = format!("{{{}\"x\":0}}", "\"a\":{},".repeat(100_000));
    let numbers = format!("{{\"format\":{}}}", "9".repeat(100_000));
    let (zeros, binary) = ("\0".repeat(4096), "\u{feff}{}\0");
    for text in [runc, crun, &deep, &wide, &numbers, &zeros, binary, "null", "[]", "1", "\"\""] {
        let what: String = text.chars().take(30).collect();
        damaged(&bundle, &what, |path| fs::write(path, text).unwrap());
    }
    damaged(&bundle, "of another format", |_| edit(&bundle, |value| value["format"] = json!(2)));
    damaged(&bundle, "of another container", |_| {
        edit(&bundle, |value| value["intent"]["id"] = json!("other"));
    });
    damaged(&bundle, "longer than any record", |path| {
        let file = fs::OpenOptions::new().append(true).open(path).unwrap();
        file.set_len(1 << 30).unwrap();
    });
}

#[test]
fn a_record_that_can_not_be_read_at_the_moment_is_not_lost() {
    needs_our_files!();
    let bundle = Bundle::sleeping();
    let process = bundle.created();
    let root = bundle.state_root().to_path_buf();
    for (name, errno, text) in [
        ("openat2", Errno::EMFILE, "too many open files"),
        ("openat2", Errno::EACCES, "permission denied"),
        ("read", Errno::EIO, "input/output error"),
    ] {
        let command = bundle.command(&["delete", "--force", bundle.id()]);
        let seen = supervise(&command, None, Some(Role::Runtime), |call| {
            let is_its = call.name == name && Path::new(&call.file()).starts_with(&root);
            if is_its { Action::fail(errno) } else { Action::Make }
        });
        let said = seen.outcome.fails();
        assert!(said.contains("state of container") && said.contains(text), "{said}");
        assert!(process.lives(), "{name}: {errno}");
        assert_eq!(bundle.status(), "created");
    }
    bundle.delete_force().ok();
    assert_eq!(bundle.leftovers(), Vec::<String>::new());
}

#[test]
fn a_record_that_is_no_file_is_none() {
    needs_our_files!();
    let bundle = Bundle::sleeping();
    let all = Mode::from_bits_truncate(0o600);
    damaged(&bundle, "a FIFO", |path| {
        fs::remove_file(path).unwrap();
        mkfifo(path, all).unwrap();
    });
    damaged(&bundle, "a socket", |path| {
        fs::remove_file(path).unwrap();
        drop(UnixListener::bind(path).unwrap());
    });
    damaged(&bundle, "a directory", |path| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    });
    damaged(&bundle, "a directory with something in it", |path| {
        fs::remove_file(path).unwrap();
        fs::create_dir_all(path.join("a/b")).unwrap();
    });
    damaged(&bundle, "/dev/zero", |path| {
        fs::remove_file(path).unwrap();
        mknod(path, SFlag::S_IFCHR, all, makedev(1, 5)).unwrap();
    });
    damaged(&bundle, "a link to itself", |path| {
        fs::remove_file(path).unwrap();
        symlink("record.json", path).unwrap();
    });
    damaged(&bundle, "a link to a good record", |path| {
        fs::rename(path, path.with_file_name("moved")).unwrap();
        symlink("moved", path).unwrap();
    });
}

#[test]
fn fields_of_a_later_version_are_no_harm() {
    needs_our_files!();
    let bundle = Bundle::sleeping();
    let process = bundle.started();
    edit(&bundle, |value| {
        value["new"] = json!({ "a": [1, 2] });
        value["intent"]["new"] = json!(7);
        value["init"]["new"] = json!(null);
    });
    assert_eq!(bundle.process(), process);
    bundle.kill("KILL").ok();
    assert_eq!(bundle.wait(process), 137);
    bundle.delete().ok();
}

/// A process that is not the container's, in no cgroup of it.
struct Stranger(Child);

impl Stranger {
    fn new() -> Self {
        Self(Command::new("sleep").arg("1009").stdin(Stdio::null()).spawn().unwrap())
    }

    fn pid(&self) -> i32 {
        self.0.id().cast_signed()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// That nobody is signalled by a record of another boot, another host, or with another's pid. The
/// container's own process is found by its cgroups.
#[test]
fn a_record_that_names_another_process_reaches_nobody() {
    needs_our_files!();
    type Forgery = fn(&mut Value, i32);
    let forgeries: [(&str, Forgery); 4] = [
        ("another boot", |value, _| {
            value["init"]["process"]["boot_id"] = json!("00000000-0000-4000-8000-000000000000");
        }),
        ("another's pid", |value, pid| value["init"]["process"]["pid"] = json!(pid)),
        ("another's pid of another boot", |value, pid| {
            value["init"]["process"]["pid"] = json!(pid);
            value["init"]["process"]["boot_id"] = json!("00000000-0000-4000-8000-000000000000");
        }),
        ("nobody", |value, _| value["init"]["process"]["pid"] = json!(-1)),
    ];
    for (what, forge) in forgeries {
        let stranger = Stranger::new();
        let bundle = Bundle::sleeping();
        let process = bundle.started();
        edit(&bundle, |value| forge(value, stranger.pid()));
        assert_eq!(bundle.status(), "stopped", "{what}");
        assert!(bundle.kill("KILL").fails().contains("container not running"), "{what}");
        assert!(bundle.start().fails().contains("has stopped"), "{what}");
        bundle.delete_force().ok();
        assert!(Process(stranger.pid()).lives(), "{what}: a stranger was killed");
        assert!(!process.lives(), "{what}: delete has left its process");
        assert_eq!(bundle.leftovers(), Vec::<String>::new(), "{what}");
    }
}

/// Records that name what is outside of the hierarchies, or the hierarchies themselves.
#[test]
fn a_record_that_names_what_is_outside_removes_nothing() {
    needs_our_files!();
    if !hierarchies::has_v1() {
        return eprintln!("skipped: needs cgroup v1");
    }
    for (mountpoint, below) in [
        ("DECOY", "victim"),
        ("HIERARCHY", "."),
        ("HIERARCHY", ""),
        ("HIERARCHY", "../.."),
        ("HIERARCHY", "/"),
        ("sys/fs/cgroup", "x"),
        ("HIERARCHY/..", "../../../DECOY/victim"),
    ] {
        let bundle = Bundle::sleeping();
        let process = bundle.started();
        let decoy = bundle.decoy().display().to_string();
        let victim = bundle.decoy().join("victim");
        fs::create_dir(&victim).unwrap();
        let good = fs::read(record(&bundle)).unwrap();
        edit(&bundle, |value| {
            let place = &mut value["intent"]["cgroup"]["v1"][0];
            let hierarchy = place["mountpoint"].as_str().unwrap().to_string();
            let mountpoint = mountpoint.replace("HIERARCHY", &hierarchy);
            place["mountpoint"] = json!(mountpoint.replace("DECOY", &decoy));
            place["below"] = json!(below.replace("/DECOY", &decoy));
        });
        let said = bundle.delete_force().fails();
        assert!(victim.exists(), "{mountpoint} {below}: {said}");
        assert!(!process.lives(), "{mountpoint} {below}: the record has the right process");
        fs::remove_dir(&victim).unwrap();
        fs::write(record(&bundle), good).unwrap();
        bundle.delete_force().ok();
    }
}

/// With all that is in it, the directory of one container says nothing about another one.
#[test]
fn a_copied_directory_does_not_reach_the_original() {
    needs_our_files!();
    let bundle = Bundle::sleeping();
    let process = bundle.started();
    let copy = format!("{}-copy", bundle.id());
    let (from, to) = (bundle.state_root().join(bundle.id()), bundle.state_root().join(&copy));
    let copied = Command::new("cp").arg("-a").args([&from, &to]).status().unwrap();
    assert!(copied.success());
    let list = bundle.call(&["list", "--quiet"]);
    assert_eq!((list.code, list.stdout), (0, format!("{}\n", bundle.id())));
    for args in [&["state", &*copy] as &[&str], &["start", &copy], &["kill", &copy, "KILL"]] {
        assert!(bundle.call(args).fails().contains("it is the record of container"));
    }
    bundle.call(&["delete", "--force", &copy]).ok();
    assert!(!to.exists());
    assert!(process.lives(), "the original was killed");
    assert_eq!(bundle.status(), "running");
}

#[test]
fn what_is_no_container_in_the_root_is_left_alone() {
    needs_our_files!();
    let bundle = Bundle::sleeping();
    let process = bundle.started();
    let root = bundle.state_root();
    let outside = bundle.decoy();
    fs::write(root.join("file"), "x").unwrap();
    fs::write(root.join("ä b"), "x").unwrap();
    fs::create_dir(root.join("no~id")).unwrap();
    mkfifo(&root.join("fifo"), Mode::from_bits_truncate(0o600)).unwrap();
    symlink(&outside, root.join("link")).unwrap();
    symlink(bundle.id(), root.join("alias")).unwrap();
    fs::DirBuilder::new().mode(0o711).create(root.join("empty")).unwrap();
    let list = bundle.call(&["list", "--quiet"]);
    assert_eq!((list.code, list.stdout), (0, format!("{}\n", bundle.id())));
    for id in ["file", "fifo", "link", "alias"] {
        for args in [&["state", id] as &[&str], &["start", id], &["kill", id], &["delete", id]] {
            bundle.call(args).fails();
        }
        bundle.call(&["delete", "--force", id]).fails();
        assert!(fs::symlink_metadata(root.join(id)).is_ok(), "{id}");
    }
    assert!(process.lives());
    bundle.call(&["delete", "--force", "empty"]).ok();
    assert!(!root.join("empty").exists());
    for id in ["file", "ä b", "fifo", "link", "alias"] {
        fs::remove_file(root.join(id)).unwrap();
    }
    fs::remove_dir(root.join("no~id")).unwrap();
}

#[test]
fn a_root_of_somebody_else_is_refused() {
    needs_root!();
    peers_differ!("runc", "1.1.5 takes any root");
    peers_differ!("crun", "1.8.1 takes any root");
    let bundle = Bundle::sleeping();
    let process = bundle.started();
    let root = bundle.state_root();
    let id = bundle.id();
    let refused = |why: &str| {
        let verbs: [&[&str]; 6] = [
            &["state", id],
            &["start", id],
            &["kill", id, "KILL"],
            &["delete", id],
            &["delete", "--force", id],
            &["list"],
        ];
        for args in verbs {
            let said = bundle.call(args).fails();
            assert!(said.contains(why), "{args:?}: {said}");
        }
        assert!(bundle.run().fails().contains(why));
        assert!(process.lives());
    };
    chown(&root, Some(Uid::from_raw(1000)), None).unwrap();
    refused("belongs to uid 1000");
    chown(&root, Some(Uid::from_raw(0)), None).unwrap();
    for mode in [0o777, 0o770, 0o702] {
        fs::set_permissions(&root, fs::Permissions::from_mode(mode)).unwrap();
        refused("others may write to it");
    }
    fs::set_permissions(&root, fs::Permissions::from_mode(0o700)).unwrap();
}
