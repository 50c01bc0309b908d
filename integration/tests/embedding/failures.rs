//! What fails, how it is told, and that nothing is left of it.

use std::fs;
use std::sync::Barrier;
use std::thread;

use integration::config::{array, put_user_namespace};
use integration::{Bundle, leftovers, needs_root};
use libcontainer::{Config, CreateOptions, Delete, Error, ErrorKind, HostFacts, Runtime, Stdio};
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::own_process::{self, Given};

/// Edits a valid configuration into one that fails.
type Edit = fn(&mut Value);

/// A failure: what is done to the configuration, and the error's kind, property, errno and text.
type Case = (Edit, ErrorKind, Option<&'static str>, Option<i32>, &'static str);

fn bad_mount(config: &mut Value) {
    array(config, "/mounts").push(json!({
        "destination": "/mnt", "type": "nosuchfs", "source": "none",
    }));
}

fn missing_source(config: &mut Value) {
    array(config, "/mounts").push(json!({
        "destination": "/mnt", "type": "bind", "source": "/nonexistent", "options": ["bind"],
    }));
}

fn missing_program(config: &mut Value) {
    config["process"]["args"] = json!(["/bin/nonexistent"]);
}

const CASES: &[Case] =
    &[(missing_program, ErrorKind::NotFound, Some("process.args"), Some(libc::ENOENT), "")];

/// Loads and creates.
fn attempt(given: &Given, suffix: &str) -> Result<libcontainer::Container, Error> {
    let text = serde_json::to_vec(&given.config).expect("JSON");
    let bundle = libcontainer::Bundle::new(&given.directory, Config::from_bytes(&text)?)?;
    let options = CreateOptions::new().stdio(Stdio::Null);
    let id = format!("{}-{suffix}", given.id);
    Ok(given.runtime().create(&id, &bundle, &options)?.container)
}

#[test]
fn each_failure_says_what_where_and_why() {
    fn shared<T: Send + Sync + 'static>(_: &T) {}
    needs_root!();
    let bundle = Bundle::sleeping();
    let given = Given::from_bundle(&bundle);
    for (edit, kind, property, errno, text) in CASES {
        let mut given = given.clone();
        edit(&mut given.config);
        let error = attempt(&given, "failure").expect_err(text);
        shared(&error);
        let directory = given.directory.display().to_string();
        let told = error.to_string().replace(&directory, "BUNDLE").replace(&given.id, "ID");
        let found = (error.kind(), error.property(), error.errno(), &*told);
        assert_eq!(found, (*kind, *property, *errno, *text));
        assert!(!told.contains('\n'), "{told}");
    }
}

#[test]
fn failing_creates_leave_nothing() {
    needs_root!();
    own_process::run(&Bundle::sleeping(), "failures::in_a_loop");
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn in_a_loop() {
    let Some(given) = own_process::given() else { return };
    let rootless = |config: &mut Value| config["root"]["path"] = json!("nonexistent");
    let both = |config: &mut Value| {
        put_user_namespace(config, 100_000, 65536);
        bad_mount(config);
    };
    let edits: [(&str, Edit); 5] = [
        ("program", missing_program),
        ("mount", bad_mount),
        ("source", missing_source),
        ("rootfs", rootless),
        ("second stage", both),
    ];
    let caller = Caller::now();
    for (name, edit) in edits {
        let mut given = given.clone();
        edit(&mut given.config);
        for _ in 0..20 {
            attempt(&given, "failure").expect_err(name);
        }
        let left = leftovers::cgroups(&given.id);
        assert!(left.is_empty(), "{name}: {left:?}");
        let state = fs::read_dir(given.state_root()).expect("readdir").count();
        assert_eq!(state, 0, "{name}: state is left");
        caller.is_unchanged();
    }
}

#[test]
fn one_of_two_gets_the_id() {
    needs_root!();
    let bundle = Bundle::sleeping();
    let given = Given::from_bundle(&bundle);
    let mut losses = 0;
    for round in 0..30 {
        let barrier = Barrier::new(2);
        let race = || {
            barrier.wait();
            attempt(&given, &format!("race-{round}"))
        };
        let (one, other) = thread::scope(|scope| {
            let racers = [(); 2].map(|()| scope.spawn(race));
            let [one, other] = racers.map(|racer| racer.join().expect("create does not panic"));
            (one, other)
        });
        let (winner, loser) = match (one, other) {
            (Ok(winner), Err(loser)) | (Err(loser), Ok(winner)) => (winner, loser),
            both => panic!("not one winner: {both:?}"),
        };
        assert_eq!(loser.kind(), ErrorKind::Exists, "{loser}");
        assert_eq!(loser.to_string(), "container with given ID already exists");
        losses += 1;
        winner.start().expect("start");
        winner.delete(Delete::Force).expect("delete");
        winner.wait().expect("wait");
    }
    assert_eq!(losses, 30);
}

#[test]
fn facts_that_the_caller_gives_are_what_counts() {
    needs_root!();
    let bundle = Bundle::sh("exit 7");
    let given = Given::from_bundle(&bundle);
    let options = CreateOptions::new().stdio(Stdio::Null);
    let mut elsewhere = given.clone();
    array(&mut elsewhere.config, "/mounts").retain(|mount| mount["type"] != "cgroup");
    let plan = |facts: HostFacts| {
        let runtime = Runtime::with_facts(given.state_root(), facts);
        runtime.plan("id", &elsewhere.bundle(), &options).expect("plan").to_string()
    };
    let facts = HostFacts::probe().expect("facts");
    let same = given.runtime().plan("id", &elsewhere.bundle(), &options).expect("plan").to_string();
    assert_eq!(plan(facts.clone()), same);
    assert!(same.contains("cgroups "), "{same}");
    let mut minimal = HostFacts::minimal();
    minimal.kernel.mount_setattr = true;
    assert!(!plan(minimal).contains("cgroups "));

    let runtime = Runtime::with_facts(given.state_root(), facts);
    let id = format!("{}-facts", given.id);
    let container = runtime.create(&id, &given.bundle(), &options).expect("create").container;
    container.start().expect("start");
    assert_eq!(container.wait().expect("wait").code(), Some(7));
    container.delete(Delete::Stopped).expect("delete");
}

#[test]
fn a_relative_state_root_is_refused() {
    let runtime = Runtime::new("relative");
    let told = [
        runtime.list().unwrap_err(),
        runtime.container("a").unwrap_err(),
        runtime.delete("a", Delete::Force).unwrap_err(),
    ];
    for error in told {
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert_eq!(error.to_string(), "state root relative: the path must be absolute");
    }
}
