//! A storm: workers that run random verbs on few ids of one state root, all at once. Each outcome must be
//! one that the model of a container explains; nothing hangs, tears or stays.

mod model;
mod outcomes;
mod runs;
mod worker;

use std::collections::BTreeMap;

use integration::config::{HOOK_KINDS, put_user_namespace};
use integration::{Bundle, Outcome, needs_root, peers_differ, rounds};
use serde_json::json;

use model::{Call, State, Step, explain};
use worker::{Scene, Worker};

/// How many work at once, on how many ids.
const WORKERS: u64 = 8;
const IDS: usize = 4;

/// What the storm begins with: `SEED` repeats one as far as the scheduler lets it.
fn seed() -> u64 {
    let given = std::env::var("SEED").ok().and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| u64::from(std::process::id()) << 20 | u64::from(nanoseconds()))
}

fn nanoseconds() -> u32 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |time| time.subsec_nanos() >> 12)
}

/// What the containers of a storm are like: one that sleeps, and one that ends at once.
type Make = fn(Bundle) -> Bundle;

fn storm(make: Make, count: usize) {
    let seed = seed();
    eprintln!("SEED={seed}");
    let bundles = [Bundle::sleeping(), Bundle::new()].map(make);
    let scene = Scene::new(&bundles, IDS);
    let mut histories: Vec<_> = std::thread::scope(|scope| {
        let scene = &scene;
        let work = |number| move || Worker::new(scene, seed.wrapping_add(number)).work(count);
        let workers: Vec<_> = (0..WORKERS).map(|number| scope.spawn(work(number))).collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker fails")).collect()
    });
    // What is there at the end must have an explanation too.
    histories.push(Worker::new(&scene, seed).look());
    let mut by_id: BTreeMap<usize, Vec<Call>> = BTreeMap::new();
    for (id, call) in histories.into_iter().flatten() {
        by_id.entry(id).or_default().push(call);
    }
    for (id, mut calls) in by_id {
        calls.sort_by_key(|call| call.during);
        let explained = explain(&calls);
        assert!(explained.is_ok(), "SEED={seed}, id {id}:\n{}", explained.unwrap_err());
    }
    scene.clear();
}

#[test]
fn every_outcome_in_a_storm_has_an_explanation() {
    needs_root!();
    peers_differ!("runc", "1.1.5 has no lock: commands that meet fail in ways of their own");
    peers_differ!("crun", "1.8.1 has no lock: commands that meet fail in ways of their own");
    storm(|bundle| bundle, rounds(500, 2000));
}

#[test]
fn every_outcome_in_a_storm_with_hooks_and_two_stages_has_an_explanation() {
    needs_root!();
    peers_differ!("runc", "1.1.5 has no lock: commands that meet fail in ways of their own");
    peers_differ!("crun", "1.8.1 has no lock: commands that meet fail in ways of their own");
    storm(
        |bundle| {
            bundle.edit(|config| {
                put_user_namespace(config, 1000, 1000);
                let hook = |kind| (kind, json!([{ "path": "/bin/true" }]));
                config["hooks"] =
                    json!(HOOK_KINDS.map(hook).into_iter().collect::<BTreeMap<_, _>>());
            })
        },
        rounds(120, 1000),
    );
}

fn call(begin: u64, end: u64, ways: &[&[Step]]) -> Call {
    let during = std::time::Duration::from_millis;
    let ways = ways.iter().map(|way| way.to_vec()).collect();
    Call { during: (during(begin), during(end)), text: String::new(), ways }
}

/// A run that ends with this exit code, as it would be told.
fn run(begin: u64, end: u64, code: i32) -> Call {
    let outcome = Outcome { code, stdout: String::new(), stderr: String::new() };
    Call { ways: outcomes::ways(outcomes::Verb::Run, &outcome), ..call(begin, end, &[]) }
}

const CREATE: &[Step] = &[Step::Take, Step::Finish];
const RUNS: &[Step] = &[Step::See(&[State::Running])];

#[test]
fn the_model_takes_what_is_right() {
    let histories = [
        vec![call(0, 1, &[CREATE]), call(2, 3, &[&[Step::Open]]), call(4, 5, &[RUNS])],
        // The start that is told first comes second.
        vec![call(0, 9, &[&[Step::Open]]), call(1, 8, &[CREATE]), call(2, 7, &[RUNS])],
        // Two that met, of which the second won.
        vec![
            call(0, 5, &[&[Step::See(model::PRESENT)]]),
            call(1, 4, &[CREATE]),
            call(6, 7, &[&[Step::Kill, Step::Remove], &[Step::Remove]]),
            call(8, 9, &[&[Step::See(&[State::Absent])]]),
        ],
        // One run removes its container; another one's is removed by somebody else, and the id taken.
        vec![run(0, 1, 0), call(2, 3, &[CREATE])],
        vec![
            run(0, 9, 137),
            call(1, 8, &[&[Step::Kill, Step::Remove]]),
            call(2, 7, &[CREATE]),
            call(10, 11, &[&[Step::See(&[State::Created])]]),
        ],
    ];
    for history in histories {
        assert!(explain(&history).is_ok(), "{history:#?}");
    }
    let history = [call(0, 1, &[CREATE]), call(2, 3, &[&[Step::Kill]])];
    assert_eq!(explain(&history), Ok(vec![State::CreatedDying, State::Stopped]));
}

#[test]
fn the_model_refuses_what_is_wrong() {
    let histories = [
        ("two creates win", vec![call(0, 5, &[CREATE]), call(1, 4, &[CREATE])]),
        ("it starts twice", {
            let start: &[&[Step]] = &[&[Step::Open]];
            vec![call(0, 1, &[CREATE]), call(2, 5, start), call(3, 6, start)]
        }),
        ("it runs before it is started", {
            vec![call(0, 1, &[CREATE]), call(2, 3, &[RUNS]), call(4, 5, &[&[Step::Open]])]
        }),
        ("what was killed runs on", {
            let stopped: &[&[Step]] = &[&[Step::See(&[State::Stopped])]];
            vec![
                call(0, 1, &[CREATE]),
                call(2, 3, &[&[Step::Open]]),
                call(4, 5, &[&[Step::Kill]]),
                call(6, 7, stopped),
                call(8, 9, &[RUNS]),
            ]
        }),
        ("what runs is removed", {
            vec![
                call(0, 1, &[CREATE]),
                call(2, 3, &[&[Step::Open]]),
                call(4, 5, &[&[Step::Remove]]),
            ]
        }),
        ("a run leaves its container", {
            vec![run(0, 1, 0), call(2, 3, &[&[Step::See(&[State::Stopped])]])]
        }),
        ("a run that was killed leaves its container", {
            vec![
                run(0, 5, 137),
                call(1, 4, &[&[Step::Kill]]),
                call(6, 7, &[&[Step::See(model::PRESENT)]]),
            ]
        }),
        ("it comes back", {
            vec![
                call(0, 1, &[CREATE]),
                call(2, 3, &[&[Step::Kill, Step::Remove]]),
                call(4, 5, &[&[Step::See(model::PRESENT)]]),
            ]
        }),
    ];
    for (what, history) in histories {
        assert!(explain(&history).is_err(), "{what}");
    }
}
