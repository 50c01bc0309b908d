//! One of those who run verbs at random.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use integration::{Bundle, Outcome, Process, Under, finish, leftovers, until};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use serde_json::Value;

use super::model::{Call, State, Step};
use super::outcomes::{Verb, states, ways};

/// No command may take longer.
const LIMIT: Duration = Duration::from_secs(5);

/// What all workers share.
pub(super) struct Scene {
    root: PathBuf,
    // That of a container that sleeps, and of one that ends at once.
    bundles: [PathBuf; 2],
    pub(super) ids: Vec<String>,
    begin: Instant,
    // The first processes that this process has to reap, with the ids of their containers.
    processes: Mutex<Vec<(i32, usize)>>,
}

impl Scene {
    pub(super) fn new(bundles: &[Bundle; 2], ids: usize) -> Self {
        bundles.iter().for_each(Bundle::write);
        Self {
            root: bundles[0].state_root(),
            bundles: bundles.each_ref().map(|bundle| bundle.directory().to_path_buf()),
            ids: (0..ids).map(|number| format!("{}-{number}", bundles[0].id())).collect(),
            begin: Instant::now(),
            processes: Mutex::default(),
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&Under::test().path);
        command.arg("--root").arg(&self.root).args(args).stdin(Stdio::null());
        command
    }

    fn processes(&self) -> MutexGuard<'_, Vec<(i32, usize)>> {
        self.processes.lock().unwrap()
    }

    /// Reaps as the caller of a runtime does, and looks that no id has two living processes.
    fn reap(&self) {
        let mut processes = self.processes();
        let mut living = BTreeMap::<usize, Vec<i32>>::new();
        processes.retain(|(pid, id)| {
            let ended = waitpid(Pid::from_raw(*pid), Some(WaitPidFlag::WNOHANG));
            let is_there = ended.is_ok_and(|status| status.pid().is_none());
            if is_there && Process(*pid).lives() {
                living.entry(*id).or_default().push(*pid);
            }
            is_there
        });
        assert!(living.values().all(|pids| pids.len() < 2), "{living:?}");
    }

    /// Removes the containers; then nothing may be left.
    pub(super) fn clear(&self) {
        for id in &self.ids {
            assert_eq!(finish(&mut self.command(&["delete", "--force", id])).ok(), "");
            assert_eq!(leftovers::cgroups(id), Vec::<PathBuf>::new());
        }
        assert!(until(|| {
            self.reap();
            self.processes().is_empty()
        }));
        assert_eq!(fs::read_dir(&self.root).unwrap().count(), 0);
    }
}

/// A worker, with its random numbers.
pub(super) struct Worker<'a> {
    scene: &'a Scene,
    random: u64,
    pid_file: PathBuf,
    history: Vec<(usize, Call)>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(scene: &'a Scene, seed: u64) -> Self {
        let pid_file = scene.bundles[0].join(format!("pid-{seed}"));
        Self { scene, random: seed, pid_file, history: Vec::new() }
    }

    /// SplitMix64.
    fn random(&mut self, below: usize) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % (below as u64)).unwrap()
    }

    /// Runs verbs, and returns what happened to which id.
    pub(super) fn work(mut self, count: usize) -> Vec<(usize, Call)> {
        const VERBS: [Verb; 16] = [
            Verb::Create,
            Verb::Create,
            Verb::Create,
            Verb::Start,
            Verb::Start,
            Verb::Start,
            Verb::State,
            Verb::State,
            Verb::Kill,
            Verb::Kill,
            Verb::Signal,
            Verb::Delete,
            Verb::Delete,
            Verb::DeleteForce,
            Verb::List,
            Verb::Run,
        ];
        for _ in 0..count {
            let (verb, id) = (VERBS[self.random(VERBS.len())], self.random(self.scene.ids.len()));
            self.one(verb, id);
        }
        self.history
    }

    /// Looks at each id, and returns what was seen.
    pub(super) fn look(mut self) -> Vec<(usize, Call)> {
        for id in 0..self.scene.ids.len() {
            self.one(Verb::State, id);
        }
        self.history
    }

    fn one(&mut self, verb: Verb, id: usize) {
        let begin = self.scene.begin.elapsed();
        let outcome = finish(&mut self.command(verb, id));
        let during = (begin, self.scene.begin.elapsed());
        assert!(during.1 - during.0 < LIMIT, "{verb:?} took {during:?}: {outcome:?}");
        if verb == Verb::Create && outcome.code == 0 {
            let pid = fs::read_to_string(&self.pid_file).unwrap().parse().unwrap();
            self.scene.processes().push((pid, id));
        }
        self.scene.reap();
        match (verb, outcome.code) {
            (Verb::List, 0) => self.listed(&outcome, during),
            (Verb::State, 0) => {
                let state: Value = serde_json::from_str(&outcome.stdout).unwrap();
                let seen = self.seen(&state, id);
                self.note(id, during, format!("{verb:?} {outcome:?}"), vec![vec![seen]]);
            }
            _ => {
                let ways = ways(verb, &outcome);
                assert!(!ways.is_empty(), "{verb:?} may not end so: {outcome:#?}");
                self.note(id, during, format!("{verb:?} {outcome:?}"), ways);
            }
        }
    }

    fn command(&mut self, verb: Verb, id: usize) -> Command {
        let bundle = &self.scene.bundles[usize::from(verb == Verb::Run)];
        let (bundle, pid_file) = (bundle.to_str().unwrap(), self.pid_file.to_str().unwrap());
        let id = self.scene.ids[id].as_str();
        let args = match verb {
            Verb::Create => vec!["create", "--bundle", bundle, "--pid-file", pid_file, id],
            Verb::Run => vec!["run", "--bundle", bundle, id],
            Verb::Start => vec!["start", id],
            Verb::State => vec!["state", id],
            Verb::Kill => vec!["kill", id, "KILL"],
            Verb::Signal => vec!["kill", id, "TERM"],
            Verb::Delete => vec!["delete", id],
            Verb::DeleteForce => vec!["delete", "--force", id],
            Verb::List => vec!["list", "--format", "json"],
        };
        self.scene.command(&args)
    }

    /// That a state is what the statuses allow, and complete.
    fn seen(&self, state: &Value, id: usize) -> Step {
        assert_eq!(state["id"], self.scene.ids[id].as_str());
        let status = state["status"].as_str().unwrap();
        let pid = state["pid"].as_i64().unwrap();
        assert_eq!(pid > 0, matches!(status, "created" | "running"), "{state}");
        Step::See(states(status))
    }

    /// A list says something about every id, also by its absence.
    fn listed(&mut self, outcome: &Outcome, during: (Duration, Duration)) {
        let list: Value = serde_json::from_str(&outcome.stdout).unwrap();
        let entries = list.as_array().cloned().unwrap_or_default();
        for id in 0..self.scene.ids.len() {
            let name = &self.scene.ids[id];
            let found: Vec<_> = entries.iter().filter(|entry| entry["id"] == **name).collect();
            let unread = format!("load container {name}: ");
            let ways = match (&found[..], outcome.stderr.contains(&unread)) {
                ([], false) => vec![vec![Step::See(&[State::Absent])]],
                ([], true) => vec![vec![Step::See(&[State::Creating])]],
                ([entry], false) => vec![vec![self.seen(entry, id)]],
                _ => panic!("{outcome:#?}"),
            };
            self.note(id, during, format!("List {outcome:?}"), ways);
        }
        let known = ["there is no record"];
        let all_known =
            outcome.stderr.lines().all(|line| known.iter().any(|text| line.contains(text)));
        assert!(all_known, "{outcome:#?}");
    }

    fn note(
        &mut self,
        id: usize,
        during: (Duration, Duration),
        text: String,
        ways: Vec<Vec<Step>>,
    ) {
        self.history.push((id, Call { during, text, ways }));
    }
}
