//! Death at every system call of every verb: of the runtime, of init, of both. Then `delete --force` removes
//! everything, and the id is free.

use integration::fingerprint::diff;
use integration::supervisor::{Action, Call, Role, Supervised};
use integration::{Bundle, Fingerprint, needs_root, peers_differ, rounds};

use super::scenario::{Scenario, supervise};

/// Of how many kills one is followed by a whole life of a container of the same id. (Each of them is by the
/// next kill, as far as that lets it come.)
const LIFE: usize = 16;

/// Who is killed, as seen from who makes the call.
const VICTIMS: [Victims; 3] = [Victims::Itself, Victims::Others, Victims::All];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victims {
    Itself,
    Others,
    All,
}

impl Victims {
    fn at(self, call: Role) -> Vec<Role> {
        let all = [Role::Runtime, Role::Init, Role::SecondStage];
        match self {
            Self::Itself => vec![call],
            Self::Others => all.into_iter().filter(|role| *role != call).collect(),
            Self::All => all.into_iter().chain([call]).collect(),
        }
    }
}

/// A verb of a scenario.
struct Sweep<'a> {
    scenario: &'a Scenario,
    verb: &'static str,
    /// Of how many calls one is a moment to die.
    step: usize,
    /// Of how many of these one is so for the others, too.
    others: usize,
    /// For create: a container to which nothing has happened.
    whole: Option<Fingerprint>,
}

impl Sweep<'_> {
    /// The verb on a container that is as the verb wants it.
    fn supervise(
        &self,
        only: Option<Role>,
        decide: impl FnMut(&Call) -> Action + Send,
    ) -> Supervised {
        let bundle = &self.scenario.bundle;
        let id = bundle.id();
        let (command, init) = match self.verb {
            "create" | "run" => (self.scenario.command(self.verb), None),
            "start" => (bundle.command(&["start", id]), Some(self.scenario.created())),
            "kill" => {
                self.scenario.started();
                (bundle.command(&["kill", id, "KILL"]), None)
            }
            "delete --force" => {
                self.scenario.started();
                (bundle.command(&["delete", "--force", id]), None)
            }
            verb => {
                self.scenario.created();
                (bundle.command(&[verb, id]), None)
            }
        };
        supervise(&command, init, only, decide)
    }

    fn run(&self) {
        let seen = self.supervise(None, |_| Action::Make);
        seen.outcome.clone().ok();
        assert_eq!(self.scenario.remove(), Vec::<String>::new(), "{}", self.verb);
        let points: Vec<&Call> = seen.calls.iter().collect();
        assert!(points.len() > 30, "{}: {points:?}", self.verb);
        let (mut tried, mut came) = (0, 0);
        for (number, point) in points.iter().step_by(self.step).enumerate() {
            for victims in VICTIMS {
                // A verb that ends what it finds has nobody else.
                let alone = seen.roles() == [Role::Runtime];
                let often = victims == Victims::Itself || (!alone && number % self.others == 0);
                if often {
                    tried += 1;
                    came += usize::from(self.kill_at(point, victims));
                }
            }
            if number % rounds(LIFE, 1) == 0 {
                self.scenario.created();
                assert_eq!(self.scenario.remove(), Vec::<String>::new(), "behind {point}");
            }
        }
        // Beside hooks the number of calls differs with what else the machine does.
        assert!(came * 4 > tried * 3, "{}: {came} of {tried} were killed", self.verb);
    }

    /// What is left of a create can't be started, or is confined as if nothing had happened.
    fn is_whole_or_nothing(&self, why: &str) {
        let bundle = &self.scenario.bundle;
        if let Some(whole) = &self.whole
            && bundle.start().code == 0
        {
            let differs = diff(whole, &self.scenario.fingerprint().unwrap());
            assert!(differs.is_empty(), "{why}: {differs:#?}");
        }
    }

    /// Whether the moment came: how often the runtime looks for the output of a hook differs.
    fn kill_at(&self, point: &Call, victims: Victims) -> bool {
        let roles = victims.at(point.role);
        let seen = self.supervise(Some(point.role), |call| match call.index == point.index {
            true => Action::Kill(roles.clone()),
            false => Action::Make,
        });
        let why = format!("{}, {victims:?} killed at {point}: {:?}", self.verb, seen.outcome);
        self.is_whole_or_nothing(&why);
        let begins = matches!(self.verb, "create" | "run");
        if begins && !roles.contains(&Role::Runtime) && seen.outcome.code != 0 {
            // A run whose container is killed exits as that did; of a hook its own end is told.
            let hook = matches!(roles[..], [Role::Hook(_)]);
            let end = if hook { "signal 9" } else { "init was killed by signal 9" };
            let is_told = seen.outcome.stderr.contains(end);
            assert!(self.verb == "run" || is_told, "{why}");
            let left = self.scenario.left();
            assert!(left.is_empty(), "{why}: without delete: {left:#?}");
        }
        let left = self.scenario.remove();
        assert!(left.is_empty(), "{why}: {left:#?}");
        seen.reap();
        !seen.interfered.is_empty()
    }
}

/// Leaves the test where the runtime makes other calls.
macro_rules! needs_tare {
    () => {
        needs_root!();
        peers_differ!("runc", "1.1.5 forgets what it made before its state was written");
        peers_differ!("crun", "1.8.1 forgets what it made before its state was written");
    };
}

fn sweep(scenario: &Scenario, verb: &'static str, step: usize) {
    let whole = (verb == "create").then(|| {
        scenario.started();
        let whole = scenario.fingerprint().unwrap();
        assert_eq!(scenario.remove(), Vec::<String>::new());
        whole
    });
    Sweep { scenario, verb, step, others: rounds(8, 1), whole }.run();
}

#[test]
fn create_killed_at_any_call_leaves_what_delete_can_remove() {
    needs_tare!();
    sweep(&Scenario::of(Bundle::sleeping()), "create", 1);
}

#[test]
fn start_killed_at_any_call_leaves_what_delete_can_remove() {
    needs_tare!();
    sweep(&Scenario::of(Bundle::sleeping()), "start", 1);
}

#[test]
fn kill_and_delete_killed_at_any_call_leave_what_delete_can_remove() {
    needs_tare!();
    let scenario = Scenario::of(Bundle::sleeping());
    for verb in ["kill", "delete", "delete --force"] {
        sweep(&scenario, verb, 1);
    }
}

#[test]
fn run_killed_at_any_call_leaves_what_delete_can_remove() {
    needs_tare!();
    sweep(&Scenario::of(Bundle::new()), "run", rounds(3, 1));
}

#[test]
fn two_stages_killed_at_any_call_leave_what_delete_can_remove() {
    needs_tare!();
    for (verb, step) in [("create", 29), ("start", 13)] {
        sweep(&Scenario::mapped(), verb, rounds(step, 1));
    }
}

#[test]
fn a_terminal_whose_maker_is_killed_leaves_what_delete_can_remove() {
    needs_tare!();
    sweep(&Scenario::at_terminal(), "create", rounds(31, 1));
}

#[test]
fn hooks_run_at_most_once_whoever_is_killed() {
    needs_tare!();
    let scenario = Scenario::hooked();
    for (verb, step) in [("create", 31), ("start", 11), ("delete", 11), ("delete --force", 11)] {
        sweep(&scenario, verb, rounds(step, 1));
    }
}

#[test]
fn an_engines_container_killed_at_any_call_leaves_what_delete_can_remove() {
    needs_tare!();
    for (verb, step) in [("create", 37), ("start", 13), ("delete --force", 13)] {
        sweep(&Scenario::engine(), verb, rounds(step, 1));
    }
}
