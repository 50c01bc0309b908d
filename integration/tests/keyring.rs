//! The session keyring (session-keyring(7)).

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use integration::{Bundle, finish, needs_root, peers_differ};
use serde_json::json;

const KEYS: &str = env!("CARGO_BIN_EXE_keys");

/// A bundle whose process asks about keys.
fn asking(arguments: &[&str]) -> Bundle {
    let bundle = Bundle::new().args(arguments);
    fs::copy(KEYS, bundle.rootfs("bin/keys")).unwrap();
    bundle
}

/// Runs a container for a caller whose session keyring has the key `tare-secret`.
fn run_with_secret(bundle: &Bundle, options: &[&str]) -> String {
    let inner = bundle.command_for_bundle(&[&["run"], options].concat());
    let mut command = Command::new(KEYS);
    command.args(["with", "tare-secret"]).arg(inner.get_program()).args(inner.get_args());
    finish(command.stdin(Stdio::null())).ok()
}

#[test]
fn keys_of_the_caller_are_out_of_reach() {
    needs_root!();
    let bundle = asking(&["keys", "find", "tare-secret"]);
    let text = run_with_secret(&bundle, &[]);
    assert!(text.starts_with("ENOKEY"), "{text}");
}

#[test]
fn the_callers_keyring_stays_if_that_is_asked_for() {
    needs_root!();
    let bundle = asking(&["keys", "find", "tare-secret"]);
    assert_eq!(run_with_secret(&bundle, &["--no-new-keyring"]), "found\n");
}

#[test]
fn the_caller_keeps_its_keyring() {
    needs_root!();
    let bundle = asking(&["keys", "session"]);
    let inner = bundle.command_for_bundle(&["run"]);
    let script = "\"$0\" session; \"$@\"; \"$0\" session; \"$0\" find tare-secret";
    let mut command = Command::new(KEYS);
    command.args(["with", "tare-secret", "sh", "-c", script, KEYS]);
    command.arg(inner.get_program()).args(inner.get_args());
    let text = finish(command.stdin(Stdio::null())).ok();
    let lines: Vec<&str> = text.lines().collect();
    let [before, inside, after, found] = lines.as_slice() else { panic!("{text}") };
    assert_eq!((before, *found), (after, "found"), "{text}");
    assert_ne!(before, inside, "{text}");
}

#[test]
fn the_keyring_is_named_for_the_container() {
    needs_root!();
    peers_differ!("crun", "calls it by the id alone and lets nobody search it");
    let bundle = asking(&["keys", "describe"]);
    let name = format!("_ses.{}", bundle.id());
    assert_eq!(bundle.run().ok(), format!("keyring;0;0;3f1b0000;{name}\n"));
}

#[test]
fn the_keyring_of_a_user_namespace_belongs_to_its_root() {
    needs_root!();
    peers_differ!("crun", "makes it outside of the namespace");
    let bundle = asking(&["keys", "describe"])
        .edit(|config| integration::config::put_user_namespace(config, 100_000, 65536));
    let name = format!("_ses.{}", bundle.id());
    assert_eq!(bundle.run().ok(), format!("keyring;0;0;3f130008;{name}\n"));
}

#[test]
fn a_used_up_quota_is_called_one_of_keys() {
    needs_root!();
    peers_differ!("crun", "makes the keyring of another user");
    const USER: u32 = 231_072;
    let mut hoarder = Command::new("setpriv")
        .args([&format!("--reuid={USER}"), "--clear-groups", KEYS, "fill"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(hoarder.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "full\n");
    let bundle =
        Bundle::new().edit(|config| integration::config::put_user_namespace(config, USER, 1000));
    let text = bundle.set("/process/args", json!(["true"])).run_fails();
    drop(hoarder.stdin.take());
    hoarder.wait().unwrap();
    assert!(text.contains("disk quota exceeded"), "{text}");
    peers_differ!("runc", "says no more");
    assert!(text.contains("kernel.keys.maxkeys"), "{text}");
}
