//! Which steps each outcome of a command stands for. An outcome that is none of these is a defect.

use integration::Outcome;

use super::model::State::{
    Absent, Created, CreatedDying, Creating, Running, RunningDying, Stopped,
};
use super::model::Step::{End, Finish, Kill, Open, Remove, RemoveUnfinished, See, Take};
use super::model::{ALIVE, PRESENT, State, Step};

/// A verb, as the workers choose them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Create,
    Start,
    State,
    Kill,
    Signal,
    Delete,
    DeleteForce,
    List,
    Run,
}

type Ways = Vec<Vec<Step>>;

/// The ways to an outcome; none if it may not be.
pub(super) fn ways(verb: Verb, outcome: &Outcome) -> Ways {
    let mut ways = plain_ways(verb, outcome);
    if matches!(verb, Verb::Create | Verb::Run) {
        // A delete by force may remove what was taken and is not yet locked; then it is taken again.
        for _ in 0..2 {
            let again: Ways = ways.iter().map(|way| [&[Take], &way[..]].concat()).collect();
            ways.extend(again);
            ways.sort_unstable();
            ways.dedup();
        }
    }
    ways
}

fn plain_ways(verb: Verb, outcome: &Outcome) -> Ways {
    let said = |text: &str| outcome.stderr.contains(text);
    if outcome.code == 0 && !outcome.stderr.is_empty() && verb != Verb::List {
        return Vec::new();
    }
    // What a run says at its end is that it can't remove its container.
    if said("the container is left") || outcome.code == 137 && !outcome.stderr.is_empty() {
        return Vec::new();
    }
    match (verb, outcome.code) {
        (Verb::Create, 0) => vec![vec![Take, Finish]],
        (Verb::Start, 0) => vec![vec![Open]],
        (Verb::Kill, 0) => vec![vec![Kill]],
        (Verb::Signal, 0) => vec![vec![See(ALIVE)]],
        (Verb::Delete, 0) => vec![vec![Remove], vec![See(&[Created]), Kill, Remove]],
        (Verb::DeleteForce, 0) => forced(),
        (Verb::Run, 0) => and_gone(&[&[Take, Finish, Open, End]]),
        // Killed by somebody else.
        (Verb::Run, 137) => and_gone(&[&[Take, Finish, Open]]),
        (_, 1) if said("container does not exist") => match verb {
            Verb::Run => run_cut_short(),
            _ => vec![vec![See(&[Absent])]],
        },
        (Verb::Create | Verb::Run, 1) => creation_failed(verb, &said),
        (_, 1) if said("unreadable: record.json: there is no record") => {
            vec![vec![See(&[Creating])]]
        }
        (Verb::Start, 1) if said("cannot start an already running container") => {
            vec![vec![See(&[Running, RunningDying])]]
        }
        (Verb::Start, 1) if said("cannot start a container that has stopped") => {
            vec![vec![See(&[Stopped])]]
        }
        // Init was killed while it was spoken to.
        (Verb::Start, 1)
            if said("init was killed before it executed") || said("container not running") =>
        {
            vec![vec![See(&[CreatedDying, Stopped])]]
        }
        (Verb::Kill | Verb::Signal, 1) if said("container not running") => {
            vec![vec![See(&[Creating, Stopped])]]
        }
        (Verb::Delete, 1) if said("that is not stopped: running") => {
            vec![vec![See(&[Running, RunningDying])]]
        }
        _ => Vec::new(),
    }
}

/// It kills what is on record before it has the lock, and once more what it then finds.
fn forced() -> Ways {
    let ends: [&[Step]; 4] = [&[See(&[Absent])], &[Remove], &[Kill, Remove], &[RemoveUnfinished]];
    let begins: [&[Step]; 2] = [&[], &[Kill]];
    begins.iter().flat_map(|begin| ends.iter().map(|end| [*begin, *end].concat())).collect()
}

fn creation_failed(verb: Verb, said: &dyn Fn(&str) -> bool) -> Ways {
    if said("container with given ID already exists") {
        return vec![vec![See(PRESENT)]];
    }
    let was_killed = said("init was killed") || said("container not running");
    match verb {
        Verb::Run if was_killed || said("cannot start a container that has stopped") => {
            run_cut_short()
        }
        Verb::Run if said("cannot start an already running container") => run_cut_short(),
        // Its own cleaning up finds it dead.
        Verb::Create if was_killed => vec![vec![Take, Finish, Remove]],
        _ => Vec::new(),
    }
}

/// Somebody has started, killed or removed its container before it did so itself.
fn run_cut_short() -> Ways {
    and_gone(&[
        &[Take, Finish],
        &[Take, Finish, Kill],
        &[Take, Finish, End],
        &[Take, Finish, Open],
        &[Take, Finish, Open, Kill],
        &[Take, Finish, Open, End],
    ])
}

/// However a run ends, it removes its container, or somebody else has done so: then there was none for a
/// moment, whoever takes the id next.
fn and_gone(ways: &[&[Step]]) -> Ways {
    let ends = [Remove, See(&[Absent])];
    ways.iter().flat_map(|way| ends.map(|end| [*way, &[end]].concat())).collect()
}

/// The states that a status stands for.
pub(super) fn states(status: &str) -> &'static [State] {
    match status {
        "creating" => &[Creating],
        "created" => &[Created, CreatedDying],
        "running" => &[Running, RunningDying],
        "stopped" => &[Stopped],
        _ => &[],
    }
}
