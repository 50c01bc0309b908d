//! Hooks: when, where, with what, and what their failures do.

use std::fs;
use std::path::PathBuf;

use integration::bundle::Bundle;
use integration::config::HOOK_KINDS;
use integration::{Process, needs_root, peers_differ, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// A hook that is a shell script of the host. Its output goes to a file beside the bundle.
fn shell(script: &str) -> Value {
    json!({ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"] })
}

fn with_hook(bundle: Bundle, kind: &str, hook: Value) -> Bundle {
    bundle.edit(|config| config["hooks"] = json!({ kind: [hook] }))
}

/// A directory that hooks of every kind can write to: the runtime's ones on the host, those in the
/// container below `/hooks`.
fn with_notes(bundle: Bundle, directory: &tempfile::TempDir) -> Bundle {
    let source = directory.path().to_str().unwrap().to_string();
    bundle.mount("/hooks", "bind", &source, &["bind"])
}

fn note(directory: &tempfile::TempDir, name: &str) -> Option<String> {
    fs::read_to_string(directory.path().join(name)).ok()
}

/// The same file, as seen by a hook of each kind.
fn place(directory: &tempfile::TempDir, kind: &str) -> PathBuf {
    match kind {
        "startContainer" => PathBuf::from("/hooks"),
        _ => directory.path().to_path_buf(),
    }
}

#[test]
fn each_hook_runs_once_and_in_order() {
    needs_root!();
    peers_differ!("crun", "1.8.1 runs poststart hooks while startContainer ones run");
    peers_differ!("runc", "1.1.5 runs poststart hooks in create");
    let notes = tempfile::tempdir().unwrap();
    let mut hooks = json!({});
    for kind in HOOK_KINDS {
        let log = place(&notes, kind).join("log");
        let one = |number: u32| shell(&format!("echo {kind} {number} >> {}", log.display()));
        hooks[kind] = json!([one(0), one(1)]);
    }
    let log = "/hooks/log";
    let bundle = with_notes(Bundle::sh(&format!("echo process >> {log}")), &notes)
        .edit(|config| config["hooks"] = hooks);
    let process = bundle.created();
    let created: String =
        HOOK_KINDS[..3].iter().map(|kind| format!("{kind} 0\n{kind} 1\n")).collect();
    assert_eq!(note(&notes, "log").unwrap(), created);
    bundle.start().ok();
    bundle.wait(process);
    bundle.delete().ok();
    let all = note(&notes, "log").unwrap();
    let of = |kind: &str| all.matches(&format!("{kind} 0\n{kind} 1\n")).count();
    assert!(HOOK_KINDS.iter().all(|kind| of(kind) == 1), "{all}");
    let at = |word: &str| all.find(word).unwrap();
    assert!(at("startContainer") < at("process"), "{all}");
    assert!(at("startContainer") < at("poststart") && at("poststart") < at("poststop"), "{all}");
}

#[test]
fn the_state_is_on_the_standard_input() {
    needs_root!();
    peers_differ!("crun", "1.8.1 says created where the container is being created");
    let notes = tempfile::tempdir().unwrap();
    let mut hooks = json!({});
    for kind in HOOK_KINDS {
        hooks[kind] = json!([shell(&format!("cat > {}/{kind}", place(&notes, kind).display()))]);
    }
    let bundle = with_notes(Bundle::sleeping(), &notes).edit(|config| {
        config["hooks"] = hooks;
        config["annotations"] = json!({ "org.example.key": "value" });
    });
    let process = bundle.started();
    bundle.kill("KILL").ok();
    bundle.wait(process);
    bundle.delete().ok();
    for (kind, status, pid) in [
        ("prestart", "created", Some(process.0)),
        ("createRuntime", "creating", Some(process.0)),
        ("createContainer", "creating", Some(1)),
        ("startContainer", "created", Some(1)),
        ("poststart", "running", Some(process.0)),
        ("poststop", "stopped", None),
    ] {
        if kind == "prestart" {
            peers_differ!("runc", "says creating in prestart hooks");
        }
        let state: Value = serde_json::from_str(&note(&notes, kind).unwrap()).unwrap();
        assert_eq!(state["status"], status, "{kind}: {state}");
        assert_eq!(state["pid"].as_i64(), pid.map(i64::from), "{kind}: {state}");
        assert_eq!(state["id"], bundle.id(), "{kind}");
        assert_eq!(state["bundle"], bundle.directory().to_str().unwrap(), "{kind}");
        assert_eq!(state["annotations"]["org.example.key"], "value", "{kind}");
        assert!(state["ociVersion"].is_string(), "{kind}: {state}");
    }
}

#[test]
fn hooks_are_in_the_right_namespaces() {
    needs_root!();
    let notes = tempfile::tempdir().unwrap();
    let mut hooks = json!({});
    for kind in HOOK_KINDS {
        let to = place(&notes, kind).join(kind);
        let script =
            format!("(readlink /proc/self/ns/uts; readlink /proc/self/ns/mnt) > {}", to.display());
        hooks[kind] = json!([shell(&script)]);
    }
    let bundle = with_notes(Bundle::sleeping(), &notes).edit(|config| config["hooks"] = hooks);
    let process = bundle.started();
    let inside = format!("{}\n{}\n", process.namespace("uts"), process.namespace("mnt"));
    bundle.kill("KILL").ok();
    bundle.wait(process);
    bundle.delete().ok();
    for kind in HOOK_KINDS {
        let is_inside = note(&notes, kind).unwrap() == inside;
        assert_eq!(is_inside, kind.ends_with("Container"), "{kind}");
    }
}

#[test]
fn a_failing_hook_of_create_leaves_nothing() {
    needs_root!();
    peers_differ!("crun", "runs no poststop hooks then");
    for kind in &HOOK_KINDS[..3] {
        let notes = tempfile::tempdir().unwrap();
        let stopped = notes.path().join("poststop");
        let bundle = Bundle::sleeping().edit(|config| {
            config["hooks"] = json!({
                *kind: [shell("echo out; echo err >&2; exit 4")],
                "poststop": [shell(&format!("echo > {}", stopped.display()))],
            });
        });
        let text = bundle.create().fails();
        assert!(text.contains("exit status 4") || text.contains("exit code: 4"), "{kind}: {text}");
        if integration::runtime::Under::test().name() == "tare" {
            let said = format!("error running {kind} hook #0: exit status 4, stdout: out");
            assert!(text.contains(&said) && text.contains("err"), "{text}");
        }
        bundle.delete_force();
        assert_eq!(bundle.leftovers(), Vec::<String>::new(), "{kind}");
        assert!(stopped.exists(), "{kind}: poststop did not run");
    }
}

#[test]
fn a_failing_start_container_hook_is_told_by_start() {
    needs_root!();
    peers_differ!("runc", "start has returned before the hook fails");
    peers_differ!("crun", "start has returned before the hook fails");
    let bundle = with_hook(Bundle::sleeping(), "startContainer", json!({ "path": "/bin/false" }));
    let process = bundle.created();
    let text = bundle.start().fails();
    assert!(text.contains("error running startContainer hook #0: exit status 1"), "{text}");
    bundle.wait(process);
    bundle.delete().ok();
}

#[test]
fn a_start_container_hook_that_nobody_can_fork_is_told_by_start() {
    needs_root!();
    peers_differ!("runc", "start has returned before the hook fails");
    peers_differ!("crun", "start has returned before the hook fails");
    let bundle = with_hook(Bundle::sleeping(), "startContainer", json!({ "path": "/bin/true" }))
        .set("/linux/resources", json!({ "pids": { "limit": 1 } }));
    let process = bundle.created();
    let text = bundle.start().fails();
    let said = "error running startContainer hook #0: clone3: resource temporarily unavailable";
    assert!(text.contains(said), "{text}");
    bundle.wait(process);
    bundle.delete().ok();
}

#[test]
fn what_fails_after_a_hook_is_not_the_hooks_failure() {
    needs_root!();
    peers_differ!("crun", "1.8.1 finds out at start");
    let hook = json!({ "path": "/bin/true" });
    let bundle = with_hook(Bundle::new().args(&["/dev/null"]), "createContainer", hook);
    let text = bundle.create().fails();
    assert!(text.contains("permission denied") && !text.contains("hook"), "{text}");
}

#[test]
fn a_start_container_hook_has_the_users_privileges() {
    needs_root!();
    peers_differ!("crun", "1.8.1 runs it with all capabilities");
    let notes = tempfile::tempdir().unwrap();
    std::fs::set_permissions(notes.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777))
        .unwrap();
    let hook = shell("id -u > /hooks/id; grep CapEff /proc/self/status >> /hooks/id");
    let bundle = with_hook(with_notes(Bundle::sleeping(), &notes), "startContainer", hook)
        .set("/process/user", json!({ "uid": 1000, "gid": 1000 }));
    bundle.started();
    assert_eq!(note(&notes, "id").unwrap(), "1000\nCapEff:\t0000000000000000\n");
}

#[test]
fn a_start_that_is_killed_has_said_go() {
    needs_root!();
    peers_differ!(
        "runc",
        "1.1.5 says \"created\" for ever, since its start was to remove what says so"
    );
    let notes = tempfile::tempdir().unwrap();
    let hook = shell("echo > /hooks/begun; until [ -e /hooks/end ]; do sleep 0.01; done");
    let bundle = with_hook(with_notes(Bundle::sleeping(), &notes), "startContainer", hook);
    let process = bundle.created();
    let mut start = bundle.command(&["start", bundle.id()]).spawn().unwrap();
    assert!(until(|| notes.path().join("begun").exists()));
    start.kill().unwrap();
    start.wait().unwrap();
    std::fs::write(notes.path().join("end"), "").unwrap();
    assert!(until(|| process.file("cmdline").starts_with("sleep\0")));
    assert_eq!(bundle.status(), "running");
}

#[test]
fn a_failing_poststart_hook_ends_the_container() {
    needs_root!();
    peers_differ!("crun", "1.8.1 ignores the failure");
    peers_differ!("runc", "1.1.5 runs poststart hooks in create");
    let bundle = with_hook(Bundle::sleeping(), "poststart", shell("exit 3"));
    let process = bundle.created();
    let text = bundle.start().fails();
    assert!(text.contains('3'), "{text}");
    bundle.wait(process);
    bundle.delete_force();
}

#[test]
fn failing_poststop_hooks_do_not_stop_delete() {
    needs_root!();
    peers_differ!("runc", "1.1.5 fails and skips the others, though everything is removed");
    let notes = tempfile::tempdir().unwrap();
    let second = notes.path().join("second");
    let bundle = Bundle::sleeping().edit(|config| {
        config["hooks"] = json!({ "poststop": [
            { "path": "/nonexistent" }, shell("exit 1"), shell(&format!("echo > {}", second.display())),
        ] });
    });
    let process = bundle.started();
    bundle.kill("KILL").ok();
    bundle.wait(process);
    bundle.delete().ok();
    assert!(second.exists());
    assert_eq!(bundle.leftovers(), Vec::<String>::new());
}

#[test]
fn a_grandchild_that_keeps_the_output_open_is_not_waited_for() {
    needs_root!();
    peers_differ!("runc", "1.1.5 waits for the end of the output");
    let notes = tempfile::tempdir().unwrap();
    let note = notes.path().join("pid");
    let hook = shell(&format!("sleep 1000 & echo $! > {}; echo started", note.display()));
    let bundle = with_hook(Bundle::sleeping(), "createRuntime", hook);
    let outcome = bundle.create();
    let grandchild = Process(fs::read_to_string(note).unwrap().trim().parse().unwrap());
    let lives = grandchild.lives();
    kill(Pid::from_raw(grandchild.0), Signal::SIGKILL).ok();
    outcome.ok();
    assert!(lives, "it was waited for");
    bundle.delete_force().ok();
}

#[test]
fn a_hook_that_writes_much_is_not_stopped() {
    needs_root!();
    for kind in ["createRuntime", "createContainer", "startContainer"] {
        let hook = shell("head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2");
        let bundle = with_hook(Bundle::sh("echo done"), kind, hook);
        assert!(bundle.run().ok().ends_with("done\n"), "{kind}");
    }
}
