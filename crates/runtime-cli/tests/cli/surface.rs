//! What the binary says and how it exits, as far as no container is needed for it.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use crate::common::{self, TARE, says, tare};
use serde_json::Value;

const COMMANDS: [&str; 9] =
    ["create", "delete", "features", "kill", "list", "run", "spec", "start", "state"];

#[test]
fn the_version_is_what_moby_and_go_runc_parse() {
    for flag in ["--version", "-v", "-version"] {
        let said = says(&[flag]);
        assert_eq!(said.code, 0);
        assert_eq!(said.stderr, "");
        let lines: Vec<_> = said.stdout.lines().collect();
        assert_eq!(lines[0], format!("tare version {}", env!("CARGO_PKG_VERSION")));
        assert!(lines[1].starts_with("commit: "), "{lines:?}");
        assert_eq!(lines[2], "spec: 1.3.0");
    }
}

#[test]
fn help_begins_with_the_name_and_goes_to_stdout() {
    for line in [&[][..], &["-h"], &["--help"], &["help"], &["h"], &["--root", "/r", "-help"]] {
        let said = says(line);
        assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{line:?}");
        let mut lines = said.stdout.lines();
        assert_eq!(lines.next(), Some("NAME:"));
        assert_eq!(lines.next(), Some("   tare - Open Container Initiative runtime"));
        for command in COMMANDS {
            assert!(said.stdout.contains(&format!("\n   {command} ")), "{command}");
        }
        assert!(!said.stdout.contains("checkpoint"));
    }
    for command in COMMANDS {
        for line in [[command, "-h"], [command, "--help"], ["help", command]] {
            let said = says(&line);
            assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{line:?}");
            let second = said.stdout.lines().nth(1).unwrap();
            assert!(second.starts_with(&format!("   tare {command} - ")), "{second}");
        }
    }
}

#[test]
fn the_name_of_the_program_is_the_one_it_was_called_by() {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("runc");
    symlink(TARE, &link).unwrap();
    let said = common::output(std::process::Command::new(link).arg("state").arg("-h"));
    assert!(said.stdout.starts_with("NAME:\n   runc state - "), "{}", said.stdout);
}

/// A command line, the exit code, the first line of the standard output, and the message.
type Misuse = (&'static [&'static str], i32, &'static str, &'static str);

const MISUSES: &[Misuse] = &[
    (&["foo"], 3, "", "No help topic for 'foo'"),
    (&["foo", "-h"], 1, "", "No help topic for 'foo'"),
    (&["help", "foo"], 3, "", "No help topic for 'foo'"),
    (&["exec", "y"], 3, "", "No help topic for 'exec'"),
    (
        &["--bogus", "list"],
        1,
        "Incorrect Usage: flag provided but not defined: -bogus",
        "flag provided but not defined: -bogus",
    ),
    (
        &["create", "-bogus", "y"],
        1,
        "Incorrect Usage: flag provided but not defined: -bogus",
        "flag provided but not defined: -bogus",
    ),
    (
        &["create", "--bundle"],
        1,
        "Incorrect Usage: flag needs an argument: --bundle",
        "flag needs an argument: --bundle",
    ),
    (&["state"], 1, "Incorrect Usage.", r#"tare: \"state\" requires exactly 1 argument(s)"#),
    (&["spec", "x"], 1, "Incorrect Usage.", r#"tare: \"spec\" requires exactly 0 argument(s)"#),
    (&["kill"], 1, "Incorrect Usage.", r#"tare: \"kill\" requires a minimum of 1 argument(s)"#),
    (
        &["create", "--preserve-fds", "x", "y"],
        1,
        r#"Incorrect Usage: invalid value "x" for flag -preserve-fds: parse error"#,
        r#"invalid value \"x\" for flag -preserve-fds: parse error"#,
    ),
    (&["--log-format", "xx", "list"], 1, "", "invalid log-format: xx"),
    (&["--root", "/", "list"], 1, "", "Option --root argument should not be set to /"),
    (&["--root", "/nonexistent", "list"], 1, "", "open /nonexistent: no such file or directory"),
    (
        &["--log", "/nonexistent/log", "list"],
        1,
        "",
        "open /nonexistent/log: no such file or directory",
    ),
];

#[test]
fn misuse_is_told_as_by_runc() {
    for &(line, code, first, message) in MISUSES {
        let said = says(line);
        assert_eq!(said.code, code, "{line:?}");
        assert_eq!(said.stdout.lines().next().unwrap_or_default(), first, "{line:?}");
        let (time, rest) = said.stderr.split_once(' ').unwrap();
        assert!(time.starts_with("time=\"20") && time.ends_with("Z\""), "{time}");
        assert_eq!(rest, format!("level=error msg=\"{message}\"\n"), "{line:?}");
        if first.starts_with("Incorrect Usage") {
            assert!(said.stdout.contains("\n\nNAME:\n   tare"), "{line:?}");
        }
    }
}

#[test]
fn the_log_file_holds_the_error_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log.json");
    let path = log.to_str().unwrap();
    let line = ["--log", path, "--log-format", "json", "list", "-f", "x"];
    let said = says(&line);
    assert_eq!((said.code, said.stderr.as_str()), (1, "invalid format option\n"));
    let record: Value = serde_json::from_slice(&fs::read(&log).unwrap()).unwrap();
    let keys: Vec<_> = record.as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["level", "msg", "time"]);
    assert_eq!(record["level"], "error");
    assert_eq!(record["msg"], "invalid format option");
    assert_eq!(record["time"].as_str().unwrap().len(), "2026-11-20T22:16:04Z".len());
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o644);

    says(&line);
    let text = fs::read_to_string(&log).unwrap();
    assert_eq!(text.lines().count(), 2, "the second run appends");

    let said = says(&["--log", path, "--log-format", "json", "list"]);
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));
    assert_eq!(fs::read_to_string(&log).unwrap(), text, "success is silent");
}

#[test]
fn an_empty_log_option_means_the_standard_error() {
    let said = says(&["--log", "", "--log-format", "", "list", "--format", "x"]);
    assert!(
        said.stderr.ends_with("level=error msg=\"invalid format option\"\n"),
        "{}",
        said.stderr
    );
}

#[test]
fn an_empty_root_lists_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let root = format!("--root={}", directory.path().display());
    let header = "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n";
    for (line, expected) in [
        (&["list"][..], header),
        (&["list", "-f", "table"], header),
        (&["list", "--format=json"], "null\n"),
        (&["list", "-q"], ""),
    ] {
        let line: Vec<_> = [root.as_str()].into_iter().chain(line.iter().copied()).collect();
        let said = says(&line);
        assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{line:?}");
        assert_eq!(said.stdout, expected, "{line:?}");
    }
}

#[test]
fn spec_writes_a_configuration_once() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config.json");
    let said = common::output(tare(&["spec"]).current_dir(directory.path()));
    assert_eq!((said.code, said.stdout.as_str(), said.stderr.as_str()), (0, "", ""));
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.starts_with("{\n\t\"ociVersion\": \"1."), "{text}");
    assert!(text.ends_with("\n}"));
    let spec: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(spec["hostname"], "tare");

    let bundle = directory.path().to_str().unwrap();
    let said = says(&["spec", "-b", bundle]);
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains("File config.json exists. Remove it first"), "{}", said.stderr);
    assert_eq!(fs::read_to_string(&config).unwrap(), text);

    fs::remove_file(&config).unwrap();
    assert_eq!(says(&["spec", "--bundle", bundle, "--rootless"]).code, 0);
    let spec: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    let namespaces = spec["linux"]["namespaces"].to_string();
    assert!(namespaces.contains("user") && !namespaces.contains("network"), "{namespaces}");
}

#[test]
fn features_are_complete_and_have_no_nulls() {
    let said = says(&["features"]);
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));
    assert!(said.stdout.starts_with("{\n    \"ociVersionMin\": \"1.0.0\",\n"));
    assert!(said.stdout.ends_with("\n}\n"));
    assert!(!said.stdout.contains("null"));
    let features: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(features["linux"]["namespaces"].as_array().unwrap().len(), 8);
    assert!(features["mountOptions"].is_array());
    assert_eq!(features["potentiallyUnsafeConfigAnnotations"], serde_json::json!([]));
    let last = fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap();
    let capabilities = features["linux"]["capabilities"].as_array().unwrap();
    assert_eq!(capabilities.len(), last.trim().parse::<usize>().unwrap().min(40) + 1);
}

#[test]
fn what_create_cannot_do_yet_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let bundle = directory.path().to_str().unwrap();
    for (line, option) in [
        (["create", "--pidfd-socket", "/s"], "--pidfd-socket"),
        (["run", "--pidfd-socket=/s", "-d"], "--pidfd-socket"),
        (["--systemd-cgroup", "create", "--no-pivot"], "--systemd-cgroup"),
    ] {
        let line: Vec<_> = line.into_iter().chain(["-b", bundle, "y"]).collect();
        let said = says(&line);
        let verb = if line[0] == "run" { "run" } else { "create" };
        let message = format!("msg=\"tare {verb} failed: {option} is not supported yet\"\n");
        assert_eq!(said.code, 1, "{line:?}");
        assert!(said.stderr.ends_with(&message), "{}", said.stderr);
    }
    // An empty value is not given; what is missing is the config.json.
    let said = says(&["create", "--console-socket", "", "-b", bundle, "y"]);
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains("tare create failed: "), "{}", said.stderr);
    assert!(said.stderr.contains("config.json"), "{}", said.stderr);
}

#[test]
fn a_reader_that_is_gone_is_an_error_not_a_panic() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let said = common::output(tare(&["features"]).stdout(writer));
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains("broken pipe"), "{}", said.stderr);

    let full = File::options().write(true).open("/dev/full").unwrap();
    let said = common::output(tare(&["--version"]).stdout(full));
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains("no space left on device"), "{}", said.stderr);

    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let said = common::output(tare(&["state"]).stderr(writer).stdout(Stdio::null()));
    assert_eq!(said.code, 1);
}

/// A file that is opened by a process without descriptor 2 would become its standard error.
#[test]
fn closed_standard_streams_are_not_taken_by_files() {
    let directory = tempfile::tempdir().unwrap();
    for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        let log = directory.path().join(format!("log{closed}"));
        let script = format!(r#"exec "$0" --log "$1" --log-format json create {closed}"#);
        let status = std::process::Command::new("sh")
            .args(["-c", &script, TARE])
            .arg(&log)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(1), "{closed}");
        let text = fs::read_to_string(&log).unwrap();
        assert!(serde_json::from_str::<Value>(&text).is_ok(), "{closed}: {text}");
    }
}

/// CVE-2020-5291 and its kin: see SECURITY T-D13.
#[test]
fn a_setuid_binary_refuses() {
    if !fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0) {
        println!("skipped: needs root");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    let binary = directory.path().join("tare");
    fs::copy(TARE, &binary).unwrap();
    for mode in [0o755, 0o4755, 0o2755] {
        fs::set_permissions(&binary, Permissions::from_mode(mode)).unwrap();
        let mut command = std::process::Command::new(&binary);
        command.arg("--version").uid(65534).gid(65534);
        let said = common::output(&mut command);
        if mode == 0o755 {
            assert_eq!(said.code, 0, "{}", said.stderr);
        } else {
            assert_eq!((said.code, said.stdout.as_str()), (1, ""), "{mode:o}");
            assert!(said.stderr.contains("refusing to run setuid"), "{}", said.stderr);
        }
    }
}
