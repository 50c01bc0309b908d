//! Hooks: host code that runs beside what an image controls.

use std::fs;

use integration::config::HOOK_KINDS;
use integration::{Bundle, until};
use serde_json::{Value, json};

use crate::probe::{Verdict, ends, holds, needs_tare, require};

/// What each hook of a container has: its environment, and its descriptors.
#[track_caller]
fn notes(env: Option<Value>) -> (Bundle, tempfile::TempDir) {
    let notes = tempfile::tempdir().unwrap();
    let mut hooks = json!({});
    for kind in HOOK_KINDS {
        let place = match kind {
            "startContainer" => "/hooks".into(),
            _ => notes.path().display().to_string(),
        };
        let script = format!(
            "exec > {place}/{kind}; tr '\\0' ';' < /proc/self/environ; echo; ls /proc/self/fd | tr '\\n' ' '"
        );
        hooks[kind] = json!([{ "path": "/bin/sh", "args": ["sh", "-c", script] }]);
        if let Some(env) = &env {
            hooks[kind][0]["env"] = env.clone();
        }
    }
    let source = notes.path().display().to_string();
    let bundle = Bundle::sleeping().mount("/hooks", "bind", &source, &["bind"]).edit(|config| {
        config["hooks"] = hooks;
        config["process"]["env"] = json!(["FROM_IMAGE=1", "LD_PRELOAD=/evil.so", "PATH=/bin"]);
    });
    (bundle, notes)
}

#[track_caller]
fn told_by_hooks(env: Option<Value>) -> Verdict {
    let expected = if env.is_some() { "HOOK=1;PATH=/usr/bin:/bin;" } else { "" };
    let (bundle, notes) = notes(env);
    let mut create = bundle.command_for_bundle(&["create"]);
    bundle.create_by(create.env("FROM_CALLER", "1")).ok();
    let process = bundle.process();
    bundle.start().ok();
    let note = |kind: &str| fs::read_to_string(notes.path().join(kind)).unwrap_or_default();
    // Some of a peer's run on behind start.
    assert!(until(|| HOOK_KINDS[..5].iter().all(|kind| note(kind).lines().count() == 2)));
    bundle.kill("KILL").ok();
    bundle.wait(process);
    bundle.delete().ok();
    let verdict = HOOK_KINDS.into_iter().try_for_each(|kind| {
        let note = note(kind);
        let mut lines = note.lines();
        let (env, descriptors) = (lines.next().unwrap(), lines.next().unwrap().trim());
        // The shell hands that on, too.
        let env: String =
            env.split_inclusive(';').filter(|entry| !entry.starts_with("PWD=")).collect();
        require(env == expected, || format!("{kind} has the environment {env}"))?;
        // 3 is the directory that ls reads.
        require(descriptors == "0 1 2 3", || format!("{kind} has the descriptors {descriptors}"))
    });
    ends(bundle, verdict)
}

/// T-D10. CVE-2025-23266: a hook had the environment of the image, and loaded its library. Hooks have their
/// own, and no descriptor of the runtime.
#[test]
fn cve_2025_23266_a_hook_has_its_own_environment_and_no_descriptor() {
    needs_tare!();
    let own = || told_by_hooks(Some(json!(["HOOK=1", "PATH=/usr/bin:/bin"])));
    holds(own, &[("runc 1.1.5", "has the descriptors")]);
    holds(|| told_by_hooks(None), &[("crun 1.8.1", "has the environment")]);
}
