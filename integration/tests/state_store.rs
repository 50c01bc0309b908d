//! The state directory: ids, annotations, reuse of pids, commands at the same time, and runtimes that are
//! killed on the way.

use std::process::{Command, Stdio};
use std::time::Duration;

use integration::{Bundle, Process, needs_root, peers_differ, until};
use nix::sys::signal::{SIGKILL, kill};
use nix::unistd::Pid;
use serde_json::json;

#[test]
fn the_state_is_complete() {
    needs_root!();
    let bundle = Bundle::sleeping().set("/annotations", json!({ "org.example.a": "1", "b": "" }));
    let process = bundle.created();
    let state = bundle.state();
    assert_eq!(state["id"], json!(bundle.id()));
    assert_eq!(state["pid"], json!(process.0));
    assert_eq!(state["status"], json!("created"));
    assert_eq!(state["bundle"], json!(bundle.directory()));
    assert_eq!(state["annotations"], json!({ "org.example.a": "1", "b": "" }));
    let created = state["created"].as_str().unwrap();
    assert!(
        created.starts_with("20") && created.ends_with('Z') && created.contains('T'),
        "{created}"
    );
    assert!(!state["ociVersion"].as_str().unwrap().is_empty());
}

#[test]
fn ids_of_all_allowed_characters_work() {
    needs_root!();
    let bundle = Bundle::sh("echo ran");
    bundle.write();
    let directory = bundle.directory().display().to_string();
    for suffix in ["a", "A_b+c.d-e", "0", &"x".repeat(150)] {
        let id = format!("{}{suffix}", bundle.id());
        assert_eq!(bundle.call(&["run", "--bundle", &directory, &id]).ok(), "ran\n");
    }
}

#[test]
fn a_long_state_root_works() {
    needs_root!();
    let bundle = Bundle::sh("echo ran");
    bundle.write();
    // Longer than a socket's address.
    let root = bundle.directory().join("d".repeat(150)).join("e".repeat(100));
    let mut command = Command::new(&integration::Under::test().path);
    command
        .arg("--root")
        .arg(&root)
        .arg("run")
        .arg("--bundle")
        .arg(bundle.directory())
        .arg(bundle.id());
    assert_eq!(integration::finish(command.stdin(Stdio::null())).ok(), "ran\n");
}

#[test]
fn the_state_is_for_the_owner_only() {
    needs_root!();
    let bundle = Bundle::sleeping();
    bundle.created();
    for entry in std::fs::read_dir(bundle.state_root().join(bundle.id())).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_symlink() {
            continue; // A link has no mode; the directory above protects what it says.
        }
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&entry.metadata().unwrap().permissions());
        peers_differ!("runc", "its fifo can be opened by everyone");
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", entry.path().display());
    }
}

/// A process with this pid, which must be free.
fn process_with_pid(pid: i32) -> Option<std::process::Child> {
    for _ in 0..200 {
        std::fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).ok()?;
        let mut child = Command::new("sleep").arg("1007").spawn().unwrap();
        if i32::try_from(child.id()).unwrap() == pid {
            return Some(child);
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    None
}

#[test]
fn another_process_with_the_same_pid_is_not_the_container() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let process = bundle.started();
    kill(Pid::from_raw(process.0), SIGKILL).unwrap();
    bundle.wait(process);
    let Some(mut other) = process_with_pid(process.0) else {
        eprintln!("skipped: the pid was not free again");
        return;
    };
    let status = bundle.status();
    let killed = bundle.kill("KILL");
    let deleted = bundle.delete_force();
    let lives = Process(process.0).lives();
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(status, "stopped");
    assert_ne!(killed.code, 0);
    assert_eq!(deleted.code, 0, "{deleted:?}");
    assert!(lives, "a process of somebody else was killed");
}

#[test]
fn one_of_two_creates_wins() {
    needs_root!();
    peers_differ!("runc", "1.1.5 lets the loser remove what the winner made");
    for _ in 0..5 {
        let bundle = Bundle::sleeping();
        bundle.deleted_at_end();
        let mut children: Vec<_> = (0..4)
            .map(|_| {
                let mut command = bundle.command_for_bundle(&["create"]);
                command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
            })
            .collect();
        let won = children.iter_mut().filter(|_| true).map(|child| child.wait().unwrap().success());
        assert_eq!(won.filter(|won| *won).count(), 1);
        assert_eq!(bundle.status(), "created");
        bundle.start().ok();
    }
}

/// How many of these commands, all begun at once, succeed; what the others say.
fn at_once(bundle: &Bundle, verb: &str) -> (usize, Vec<String>) {
    let run = || {
        let mut command = bundle.command(&[verb, bundle.id()]);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<_> = (0..8).map(|_| run()).collect();
    let outputs = children.into_iter().map(|child| child.wait_with_output().unwrap());
    let (won, lost): (Vec<_>, Vec<_>) = outputs.partition(|output| output.status.success());
    let said = lost.into_iter().map(|output| String::from_utf8(output.stderr).unwrap());
    (won.len(), said.collect())
}

#[test]
fn of_starts_and_of_deletes_at_once_one_wins() {
    needs_root!();
    peers_differ!("runc", "1.1.5 has no lock");
    peers_differ!("crun", "1.8.1 has no lock");
    for _ in 0..integration::rounds(5, 50) {
        let bundle = Bundle::sleeping();
        let process = bundle.created();
        let (won, said) = at_once(&bundle, "start");
        assert_eq!(won, 1, "{said:?}");
        let known = |text: &String| text.contains("cannot start an already running container");
        assert!(said.iter().all(known), "{said:?}");
        bundle.kill("KILL").ok();
        assert_eq!(bundle.wait(process), 137);
        let (won, said) = at_once(&bundle, "delete");
        assert_eq!(won, 1, "{said:?}");
        assert!(said.iter().all(|text| text.contains("does not exist")), "{said:?}");
    }
}

#[test]
fn many_deletes_at_once_do_no_harm() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let process = bundle.started();
    let mut children: Vec<_> = (0..4)
        .map(|_| {
            let mut command = bundle.command(&["delete", "--force", bundle.id()]);
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    let all = children.iter_mut().map(|child| child.wait().unwrap().code());
    let codes: Vec<_> = all.collect();
    assert!(!process.lives());
    peers_differ!("crun", "1.8.1 has no lock, so that some fail");
    assert!(codes.iter().all(|code| *code == Some(0)), "{codes:?}");
}

/// Kills a runtime that creates, after a time; then what is there must be removable.
fn kill_create_after(delay: Duration) {
    let bundle = Bundle::sh("echo usable");
    let mut command = bundle.command_for_bundle(&["create"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(delay);
    child.kill().unwrap();
    child.wait().unwrap();
    bundle.delete_force().ok();
    assert_eq!(bundle.leftovers(), Vec::<String>::new(), "killed after {delay:?}");
    assert_eq!(bundle.run().ok(), "usable\n", "killed after {delay:?}");
}

#[test]
fn a_killed_create_leaves_what_delete_can_remove() {
    needs_root!();
    peers_differ!("runc", "1.1.5 forgets what it made before its state was written");
    peers_differ!("crun", "1.8.1 forgets what it made before its state was written");
    for step in 0..40 {
        kill_create_after(Duration::from_micros(step * 250));
    }
}

#[test]
fn a_killed_delete_can_be_repeated() {
    needs_root!();
    peers_differ!("crun", "killed early, it sometimes leaves the bind mount of its own file");
    for step in 0..20 {
        let bundle = Bundle::sleeping();
        bundle.started();
        let mut command = bundle.command(&["delete", "--force", bundle.id()]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(step * 500));
        child.kill().unwrap();
        child.wait().unwrap();
        bundle.delete_force().ok();
        assert_eq!(bundle.leftovers(), Vec::<String>::new());
    }
}

#[test]
fn a_killed_run_leaves_what_delete_can_remove() {
    needs_root!();
    let bundle = Bundle::sleeping();
    bundle.deleted_at_end();
    let mut command = bundle.command_for_bundle(&["run"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    assert!(until(|| bundle.call(&["state", bundle.id()]).stdout.contains("running")));
    child.kill().unwrap();
    child.wait().unwrap();
    bundle.delete_force().ok();
    assert_eq!(bundle.leftovers(), Vec::<String>::new());
}

#[test]
fn a_damaged_state_can_be_removed() {
    needs_root!();
    peers_differ!("runc", "1.1.5 refuses to delete what it can't read");
    peers_differ!("crun", "1.8.1 refuses to delete what it can't read");
    for damage in ["empty", "cut", "garbage", "missing"] {
        let bundle = Bundle::sleeping();
        bundle.started();
        for entry in std::fs::read_dir(bundle.state_root().join(bundle.id())).unwrap() {
            let path = entry.unwrap().path();
            let Some(text) = path.is_file().then(|| std::fs::read(&path).unwrap()) else {
                continue;
            };
            match damage {
                "empty" => std::fs::write(&path, "").unwrap(),
                "cut" => std::fs::write(&path, &text[..text.len() / 2]).unwrap(),
                "garbage" => std::fs::write(&path, b"\0\xff{").unwrap(),
                _ => std::fs::remove_file(&path).unwrap(),
            }
        }
        bundle.delete_force().ok();
        assert_eq!(bundle.leftovers(), Vec::<String>::new(), "{damage}");
    }
}

#[test]
fn one_bundle_serves_many_containers() {
    needs_root!();
    let bundle = Bundle::sleeping();
    bundle.started();
    let second = format!("{}-second", bundle.id());
    let directory = bundle.directory().display().to_string();
    bundle.create_by(&mut bundle.command(&["create", "--bundle", &directory, &second])).ok();
    bundle.call(&["delete", "--force", &second]).ok();
    assert_eq!(bundle.status(), "running");
}
