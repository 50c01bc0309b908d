//! What one container may do: the states of an id, the steps that take it from one to the next, and a check
//! whether a history of commands that met can be told as such steps, one after the other.

use std::collections::BTreeSet;
use std::time::Duration;

/// The state of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    /// There is no such container.
    Absent,
    /// Somebody creates it; perhaps there is no record yet.
    Creating,
    /// Its init waits for start.
    Created,
    /// The same with a SIGKILL on its way.
    CreatedDying,
    /// The user's process runs.
    Running,
    /// The same with a SIGKILL on its way, or at its end.
    RunningDying,
    /// The first process has ended.
    Stopped,
}

use State::{Absent, Created, CreatedDying, Creating, Running, RunningDying, Stopped};

/// One thing that a command does, at an instant between its begin and its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// Takes the id.
    Take,
    /// Has it created.
    Finish,
    /// Lets it run.
    Open,
    /// Sends SIGKILL.
    Kill,
    /// Ends by itself.
    End,
    /// Removes a container that has ended.
    Remove,
    /// Removes one that somebody has begun to create.
    RemoveUnfinished,
    /// Takes note that it is one of these.
    See(&'static [State]),
}

/// All states of a container that is there.
pub(super) const PRESENT: &[State] =
    &[Creating, Created, CreatedDying, Running, RunningDying, Stopped];

/// Those in which there is a process to signal.
pub(super) const ALIVE: &[State] = &[Created, CreatedDying, Running, RunningDying];

impl State {
    fn after(self, step: Step) -> Option<Self> {
        match (step, self) {
            (Step::Take, Absent) => Some(Creating),
            (Step::Finish, Creating) => Some(Created),
            (Step::Open, Created) => Some(Running),
            (Step::Open, CreatedDying) => Some(RunningDying),
            (Step::Kill, Created | CreatedDying) => Some(CreatedDying),
            (Step::Kill | Step::End, Running | RunningDying) => Some(RunningDying),
            (Step::Remove, Stopped) | (Step::RemoveUnfinished, Creating) => Some(Absent),
            (Step::See(states), state) => states.contains(&state).then_some(state),
            _ => None,
        }
    }

    /// What it may become without a command.
    fn by_itself(self) -> Option<Self> {
        matches!(self, CreatedDying | RunningDying).then_some(Stopped)
    }
}

/// A command that was run, and the ways in which its outcome can be explained.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// When it began and ended, from the begin of the history on.
    pub during: (Duration, Duration),
    /// The command and its outcome, for whoever reads that there is no explanation.
    pub text: String,
    /// Each of these is a sequence of steps that gives this outcome.
    pub ways: Vec<Vec<Step>>,
}

/// What may be at an instant: the state, and the steps that each command that runs has done. Which way a
/// command goes is open for as long as its ways begin with the same steps: this keeps them few.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Possible {
    state: State,
    running: Vec<(usize, Vec<Step>)>,
}

/// Looks for an explanation of a history of one id that begins absent, and returns the possible states
/// at its end. The error is the first command that has none, with those that ran before it.
pub(super) fn explain(calls: &[Call]) -> Result<Vec<State>, String> {
    let mut events: Vec<(Duration, bool, usize)> = Vec::new();
    for (number, call) in calls.iter().enumerate() {
        events.push((call.during.0, false, number));
        events.push((call.during.1, true, number));
    }
    events.sort_unstable();
    let mut possible = BTreeSet::from([Possible { state: Absent, running: Vec::new() }]);
    for (at, (_, is_end, number)) in events.iter().enumerate() {
        if *is_end {
            possible = with_steps(possible, calls);
            possible = possible.into_iter().filter_map(|one| ended(one, *number, calls)).collect();
        } else {
            possible = possible.into_iter().map(|one| begun(one, *number)).collect();
        }
        if possible.is_empty() {
            return Err(story(calls, &events[..=at]));
        }
    }
    Ok(with_steps(possible, calls).into_iter().map(|one| one.state).collect())
}

/// A command begins, and has done nothing yet.
fn begun(mut one: Possible, number: usize) -> Possible {
    one.running.push((number, Vec::new()));
    one.running.sort_unstable();
    one
}

/// A command ends: it must have done all steps of one of its ways.
fn ended(mut one: Possible, number: usize, calls: &[Call]) -> Option<Possible> {
    let index = one.running.iter().position(|(running, _)| *running == number)?;
    let (_, done) = one.running.remove(index);
    calls[number].ways.contains(&done).then_some(one)
}

/// All that may be once the running commands have done any number of steps.
fn with_steps(possible: BTreeSet<Possible>, calls: &[Call]) -> BTreeSet<Possible> {
    let mut all = possible.clone();
    let mut new: Vec<_> = possible.into_iter().collect();
    while let Some(one) = new.pop() {
        for next in successors(&one, calls) {
            if all.insert(next.clone()) {
                new.push(next);
            }
        }
    }
    all
}

/// What may be one step later.
fn successors(one: &Possible, calls: &[Call]) -> Vec<Possible> {
    let ended = one.state.by_itself().map(|state| Possible { state, ..one.clone() });
    let mut all: Vec<_> = ended.into_iter().collect();
    for (index, (number, done)) in one.running.iter().enumerate() {
        let ways = calls[*number].ways.iter().filter(|way| way.starts_with(done));
        let steps: BTreeSet<Step> = ways.filter_map(|way| way.get(done.len()).copied()).collect();
        for step in steps {
            if let Some(state) = one.state.after(step) {
                let mut next = Possible { state, ..one.clone() };
                next.running[index].1.push(step);
                all.push(next);
            }
        }
    }
    all
}

/// The commands around the one that can't be explained.
fn story(calls: &[Call], events: &[(Duration, bool, usize)]) -> String {
    let numbers: BTreeSet<_> = events.iter().rev().take(24).map(|event| event.2).collect();
    let last = events.last().map_or(0, |event| event.2);
    let line = |number: &usize| {
        let Call { during, text, .. } = &calls[*number];
        let mark = if *number == last { "no explanation: " } else { "" };
        format!("{:>9?} {:>9?} {mark}{text}", during.0, during.1)
    };
    numbers.iter().map(line).collect::<Vec<_>>().join("\n")
}
