//! The command line as callers use it: grammar, outputs, strings and exit codes (runc's).

use std::fs;

use integration::{Bundle, Outcome, finish, needs_root, peers_differ};
use serde_json::{Value, json};

#[track_caller]
fn object(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn version_is_what_engines_parse() {
    let bundle = Bundle::unprepared();
    for flag in ["--version", "-v"] {
        let text = finish(&mut bundle.command(&[flag])).ok();
        let lines: Vec<&str> = text.lines().collect();
        let name = integration::Under::test().name();
        let version = lines[0].strip_prefix(&format!("{name} version ")).unwrap();
        let numbers =
            version.split(['.', '+', '-']).take(2).all(|part| part.parse::<u32>().is_ok());
        assert!(numbers, "{version}");
        assert!(lines.iter().any(|line| line.starts_with("commit: ")), "{text}");
        assert!(lines.iter().any(|line| line.starts_with("spec: 1.")), "{text}");
    }
}

#[test]
fn help_is_on_the_standard_output() {
    let bundle = Bundle::unprepared();
    for args in [
        &["--help"][..],
        &["-h"],
        &["create", "--help"],
        &["start", "--help"],
        &["run", "--help"],
        &["state", "--help"],
        &["kill", "--help"],
        &["delete", "--help"],
        &["list", "--help"],
        &["spec", "--help"],
    ] {
        peers_differ!("crun", "1.8.1 has only long help flags");
        let outcome = bundle.call(args);
        assert_eq!(outcome.code, 0, "{args:?}: {outcome:?}");
        assert!(
            outcome.stdout.contains("NAME:") && outcome.stderr.is_empty(),
            "{args:?}: {outcome:?}"
        );
    }
}

#[test]
fn flags_are_taken_in_every_form() {
    needs_root!();
    peers_differ!("crun", "has no single-dash long flags");
    let directory = |bundle: &Bundle| bundle.directory().display().to_string();
    let forms: [fn(&str) -> Vec<String>; 6] = [
        |path| vec!["run".into(), "--bundle".into(), path.into()],
        |path| vec!["run".into(), format!("--bundle={path}")],
        |path| vec!["run".into(), "-bundle".into(), path.into()],
        |path| vec!["run".into(), format!("-bundle={path}")],
        |path| vec!["run".into(), "-b".into(), path.into()],
        |path| {
            vec![
                "-debug=false".into(),
                "run".into(),
                "--no-pivot=false".into(),
                "--console-socket".into(),
                String::new(),
                "-b".into(),
                path.into(),
            ]
        },
    ];
    let bundle = Bundle::sh("echo ran");
    bundle.write();
    for form in forms {
        let args = form(&directory(&bundle));
        let mut command = bundle.command(&args.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(finish(command.arg(bundle.id())).ok(), "ran\n", "{args:?}");
    }
}

#[test]
fn the_last_of_repeated_globals_wins() {
    needs_root!();
    let bundle = Bundle::sleeping();
    bundle.created();
    let path = &integration::Under::test().path;
    let mut command = std::process::Command::new(path);
    command.args(["--root", "/nonexistent/a"]).arg("--root").arg(bundle.state_root());
    let text = finish(command.args(["state", bundle.id()])).ok();
    assert_eq!(object(&text)["id"], json!(bundle.id()));
}

#[test]
fn two_dashes_end_the_flags() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let process = bundle.started();
    bundle.call(&["kill", "--", bundle.id(), "9"]).ok();
    assert_eq!(bundle.wait(process), 137);
}

#[test]
fn the_bundle_is_the_working_directory_by_default() {
    needs_root!();
    let bundle = Bundle::sh("echo ran");
    bundle.write();
    let mut command = bundle.command(&["run", bundle.id()]);
    assert_eq!(finish(command.current_dir(bundle.directory())).ok(), "ran\n");
    let mut command = bundle.command(&["run", "--bundle", "..", bundle.id()]);
    assert_eq!(finish(command.current_dir(bundle.decoy())).ok(), "ran\n");
}

#[test]
fn the_pid_file_is_the_pid() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let file = bundle.directory().join("pid");
    let path = file.display().to_string();
    let mut command = bundle.command_for_bundle(&["create", "--pid-file", &path]);
    bundle.create_by(&mut command).ok();
    assert_eq!(fs::read_to_string(&file).unwrap(), bundle.process().0.to_string());
}

#[test]
fn a_relative_pid_file_starts_at_the_working_directory() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let elsewhere = bundle.directory().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let mut command = bundle.command_for_bundle(&["create", "--pid-file", "pid"]);
    peers_differ!("crun", "starts at the bundle");
    bundle.create_by(command.current_dir(&elsewhere)).ok();
    assert_eq!(fs::read_to_string(elsewhere.join("pid")).unwrap(), bundle.process().0.to_string());
}

#[test]
fn the_state_is_printed_like_the_references() {
    needs_root!();
    let bundle = Bundle::sleeping().set("/annotations", json!({ "a": "1" }));
    bundle.created();
    let outcome = bundle.call(&["state", bundle.id()]);
    assert_eq!(outcome.stderr, "");
    let text = outcome.ok();
    let state = object(&text);
    peers_differ!("crun", "prints other keys in another order, with four spaces");
    let keys: Vec<&str> = state.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "ociVersion",
        "id",
        "pid",
        "status",
        "bundle",
        "rootfs",
        "created",
        "annotations",
        "owner",
    ];
    assert_eq!(keys, expected);
    assert_eq!(state["rootfs"], json!(bundle.directory().join("rootfs")));
    assert_eq!(state["owner"], json!(""));
    assert_eq!(text, serde_json::to_string_pretty(&state).unwrap());
}

#[test]
fn list_prints_what_there_is() {
    needs_root!();
    let bundle = Bundle::sleeping();
    bundle.created();
    let process = bundle.process();
    assert_eq!(bundle.call(&["list", "-q"]).ok(), format!("{}\n", bundle.id()));
    let text = bundle.call(&["list", "--format", "json"]).ok();
    let list = object(&text);
    assert_eq!(list[0]["id"], json!(bundle.id()));
    assert_eq!(list[0]["pid"], json!(process.0));
    assert_eq!(list[0]["owner"], json!("root"));
    peers_differ!("crun", "has another table");
    let table = bundle.call(&["list"]).ok();
    let lines: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
    assert_eq!(
        lines[1][..4],
        [bundle.id(), &process.0.to_string(), "created", &bundle.directory().display().to_string()]
    );
    assert_eq!(lines[1][5], "root");
    assert_eq!(list.as_array().unwrap().len(), 1);
    assert_eq!(text.lines().count(), 1);
}

#[test]
fn an_empty_list_is_empty() {
    needs_root!();
    let bundle = Bundle::new();
    assert_eq!(bundle.call(&["list", "-q"]).ok(), "");
    peers_differ!("crun", "prints an empty array over two lines");
    assert_eq!(bundle.call(&["list", "--format", "json"]).ok().trim_end(), "null");
    let table = bundle.call(&["list"]).ok();
    assert_eq!(table, "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n");
    let text = bundle.call(&["list", "--format", "xml"]).fails();
    assert!(text.contains("invalid format option"), "{text}");
}

#[test]
fn errors_go_to_the_log_and_the_standard_error() {
    needs_root!();
    let bundle = Bundle::new();
    let log = bundle.directory().join("log");
    let path = log.display().to_string();
    let outcome = bundle.call(&["--log", &path, "--log-format", "json", "state", "nosuch"]);
    assert_eq!(outcome.stdout, "");
    let said = outcome.fails();
    let entry = object(&fs::read_to_string(&log).unwrap());
    assert_eq!(entry["level"], json!("error"));
    let message = entry["msg"].as_str().unwrap();
    assert!(message.contains("does not exist") || message.contains("No such file"), "{message}");
    let time = entry["time"].as_str().unwrap();
    assert!(time.starts_with("20") && time.contains('T'), "{time}");
    peers_differ!("crun", "prints its own form on the standard error");
    assert_eq!(said.trim_end(), message);
    let keys: Vec<&str> = entry.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["level", "msg", "time"]);
    // A second error is appended.
    bundle.call(&["--log", &path, "--log-format", "json", "state", "nosuch"]).fails();
    assert_eq!(fs::read_to_string(&log).unwrap().lines().count(), 2);
}

#[test]
fn errors_without_a_log_are_one_line() {
    needs_root!();
    let bundle = Bundle::new();
    let text = bundle.call(&["state", "nosuch"]).fails();
    assert_eq!(text.trim_end().lines().count(), 1, "{text}");
    peers_differ!("crun", "prints its own form on the standard error");
    assert!(text.starts_with("time=\"20") && text.contains(" level=error msg=\""), "{text}");
    assert!(text.contains("container does not exist"), "{text}");
}

#[test]
fn a_success_says_nothing() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let quiet = |outcome: Outcome| {
        assert_eq!((outcome.code, &*outcome.stdout, &*outcome.stderr), (0, "", ""));
    };
    quiet(bundle.create());
    quiet(bundle.start());
    let process = bundle.process();
    quiet(bundle.kill("KILL"));
    bundle.wait(process);
    quiet(bundle.delete());
}

#[test]
fn unknown_properties_are_ignored() {
    needs_root!();
    let bundle = Bundle::sh("echo ran")
        .set("/nosuch", json!({ "a": [1, 2] }))
        .set("/process/nosuch", json!(1))
        .set("/linux/nosuch", json!("x"))
        .set("/solaris", json!({}))
        .set("/annotations", json!({ "org.example.unknown": "" }));
    assert_eq!(bundle.run().ok(), "ran\n");
}

#[test]
fn spec_writes_a_configuration_that_runs() {
    needs_root!();
    let bundle = Bundle::new();
    let directory = bundle.directory().display().to_string();
    let config = bundle.directory().join("config.json");
    let made = finish(bundle.command(&["spec"]).current_dir(bundle.directory()));
    made.ok();
    let text = finish(bundle.command(&["spec"]).current_dir(bundle.directory())).fails();
    let mut spec = object(&fs::read_to_string(&config).unwrap());
    assert_eq!(spec["process"]["args"], json!(["sh"]));
    assert_eq!(spec["process"]["terminal"], json!(true));
    spec["process"]["terminal"] = json!(false);
    spec["process"]["args"] = json!(["echo", "ran"]);
    fs::write(&config, spec.to_string()).unwrap();
    assert_eq!(bundle.call(&["run", "--bundle", &directory, bundle.id()]).ok(), "ran\n");
    peers_differ!("crun", "words it differently and has no --bundle");
    assert!(text.contains("File config.json exists. Remove it first"), "{text}");
    fs::remove_file(&config).unwrap();
    bundle.call(&["spec", "--bundle", &directory]).ok();
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.starts_with("{\n\t\"ociVersion\": \"1."), "{text}");
    fs::remove_file(&config).unwrap();
    bundle.call(&["spec", "--rootless", "--bundle", &directory]).ok();
    let spec = object(&fs::read_to_string(&config).unwrap());
    assert_eq!(spec["linux"]["uidMappings"], json!([{ "containerID": 0, "hostID": 0, "size": 1 }]));
    assert!(spec["linux"].get("resources").is_none(), "{spec}");
}

#[test]
fn the_template_is_what_it_should_be() {
    needs_root!();
    let bundle = Bundle::new();
    finish(bundle.command(&["spec"]).current_dir(bundle.directory())).ok();
    let spec = object(&fs::read_to_string(bundle.directory().join("config.json")).unwrap());
    let base = integration::config::base_config();
    for pointer in [
        "/process/capabilities/bounding",
        "/process/env",
        "/process/rlimits",
        "/process/noNewPrivileges",
        "/process/cwd",
        "/root",
        "/mounts",
        "/linux/namespaces",
        "/linux/readonlyPaths",
        "/linux/resources",
    ] {
        assert_eq!(spec.pointer(pointer), base.pointer(pointer), "{pointer}");
    }
    let masked = |spec: &Value| spec["linux"]["maskedPaths"].as_array().cloned().unwrap();
    let ours = masked(&spec);
    assert!(masked(&base).iter().all(|path| ours.contains(path)), "fewer than runc's: {ours:?}");
}

#[test]
fn features_are_what_engines_read() {
    peers_differ!("crun", "1.8.1 has no features command");
    let bundle = Bundle::unprepared();
    let outcome = bundle.call(&["features"]);
    assert_eq!(outcome.stderr, "");
    let features = object(&outcome.ok());
    for pointer in ["/ociVersionMin", "/ociVersionMax"] {
        assert!(
            features.pointer(pointer).and_then(Value::as_str).is_some_and(|text| !text.is_empty())
        );
    }
    for (pointer, word) in [
        ("/mountOptions", "rbind"),
        ("/mountOptions", "rro"),
        ("/linux/namespaces", "network"),
        ("/linux/namespaces", "user"),
        ("/linux/capabilities", "CAP_KILL"),
    ] {
        let list = features.pointer(pointer).and_then(Value::as_array).unwrap();
        assert!(list.contains(&json!(word)), "{pointer}: {word}");
    }
    assert_eq!(features.pointer("/linux/cgroup/v1"), Some(&json!(true)));
}
