//! Each system call on the way to a container fails once, or only pretends: it says that it was done, and
//! was not. Then there is no container and nothing of it, or one that is confined as it is without the fault.

use std::collections::BTreeMap;

use integration::fingerprint::{Fingerprint, diff};
use integration::supervisor::{Action, Call, Role, Supervised};
use integration::{Outcome, leftovers, needs_root, peers_differ, rounds, until};
use nix::errno::Errno;

use crate::crashes::scenario::{Scenario, supervise};

/// What the C library and the standard library do before `main`: they abort, or do without.
const BEFORE_MAIN: [&str; 12] = [
    "arch_prctl",
    "brk",
    "getrandom",
    "mmap",
    "mprotect",
    "munmap",
    "poll",
    "rseq",
    "rt_sigaction",
    "sched_getaffinity",
    "set_tid_address",
    "sigaltstack",
];

/// Calls of which 0 is no success, but a descriptor, an address, a process, or no return; or that write
/// the descriptors to where nobody has put any.
const NEVER_PRETEND: [&str; 18] = [
    "accept4",
    "clone3",
    "execve",
    "execveat",
    "exit",
    "exit_group",
    "fsmount",
    "fsopen",
    "memfd_create",
    "mmap",
    "open_tree",
    "openat",
    "openat2",
    "pidfd_open",
    "pipe2",
    "recvmsg",
    "socket",
    "socketpair",
];

/// Pretences that nobody sees through: whose, of what, about what, and why.
const BELIEVED: [(Role, &str, &str, &str); 19] = [
    (Role::Init, "dup3", "", "the stream stays what the caller has made it"),
    (Role::Init, "fcntl", "4", "the null device blocks nobody, whatever it was opened with"),
    (Role::Init, "fsconfig", "0", "as below"),
    (Role::Init, "fsconfig", "1", "what options a file system took only mountinfo tells"),
    (Role::Init, "ioctl", "", "the loopback device stays down"),
    (Role::Init, "mount", "", "what a mount propagates to only mountinfo tells"),
    (Role::Init, "mount_setattr", "", "fstatfs(2) would ask whoever serves the file system"),
    (Role::Init, "read", "", "a passwd file may be empty"),
    (Role::Init, "rt_sigaction", "", "a signal that the caller ignores stays ignored"),
    (Role::Init, "seccomp", "", "what asks for the filter may be what the filter denies"),
    (Role::Init, "statx", "null", "the stream stays what the caller has made it"),
    (Role::Init, "statx", "passwd", "what is no regular file is no passwd file"),
    (Role::Init, "symlinkat", "", "a link less in /dev"),
    (Role::Init, "unshare", "", "as those of clone3(2), a namespace is believed to be made"),
    (Role::Runtime, "capget", "", "who seems to have no capability may set no groups"),
    (
        Role::Runtime,
        "newfstatat",
        "of the state",
        "an entry that seems to be another's is left alone",
    ),
    (Role::Runtime, "prctl", "17", "a capability that the caller seems to lack is left out"),
    (Role::Runtime, "statfs", "", "a hierarchy that seems to be covered is left out"),
    (Role::Runtime, "write", "devices.allow", "a device less may be opened"),
];

/// `AT_RECURSIVE | AT_EMPTY_PATH`.
const RECURSIVE: u64 = 0x9000;

const MOUNT_ATTR_RDONLY: u64 = 1;

/// What an engine asks for, two stages of init, a terminal, and each hook.
const SCENARIOS: [fn() -> Scenario; 4] =
    [Scenario::engine, Scenario::mapped, Scenario::at_terminal, Scenario::hooked];

/// A call to interfere with: in which command, which of this process's calls of this name it is, and what
/// it is about besides.
#[derive(Debug, Clone)]
struct Point {
    verb: &'static str,
    call: Call,
    nth: usize,
    about: String,
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { verb, call, nth, about } = self;
        write!(f, "{verb}, {call} ({nth} of its name) {about}")
    }
}

/// What a call is about, where calls of its name differ by that.
fn about(call: &Call) -> String {
    match call.name {
        "prctl" | "keyctl" => format!("{:x}", call.arguments[0]),
        // What becomes read-only with all below it is what `linux.readonlyPaths` names.
        "mount_setattr" => match (call.arguments[2], call.word(call.arguments[3])) {
            (RECURSIVE, MOUNT_ATTR_RDONLY) => "of a read-only path".to_string(),
            _ => String::new(),
        },
        "fsconfig" | "fcntl" => format!("{:x}", call.arguments[1]),
        "newfstatat" if call.file().contains("/state") => "of the state".to_string(),
        "statx" | "write" => call.file().rsplit('/').next().unwrap_or_default().to_string(),
        _ => String::new(),
    }
}

fn watch(
    scenario: &Scenario,
    verb: &str,
    only: Option<Role>,
    decide: impl FnMut(&Call) -> Action + Send,
) -> Supervised {
    let bundle = &scenario.bundle;
    let (command, init) = match verb {
        "create" => (scenario.command("create"), None),
        _ => (bundle.command(&["start", bundle.id()]), Some(scenario.created())),
    };
    supervise(&command, init, only, decide)
}

/// A configuration, what its containers are like, and the calls that make them.
struct Undisturbed {
    make: fn() -> Scenario,
    scenario: Scenario,
    print: Fingerprint,
    points: Vec<Point>,
}

impl Undisturbed {
    fn of(make: fn() -> Scenario) -> Self {
        let scenario = make();
        // The first container makes the targets of mounts.
        scenario.started();
        assert_eq!(scenario.remove(), Vec::<String>::new());
        let mut points = Vec::new();
        let mut counts = BTreeMap::new();
        for verb in ["create", "start"] {
            let seen = watch(&scenario, verb, None, |call| {
                let count: &mut usize = counts.entry((verb, call.role, call.name)).or_default();
                *count += 1;
                points.push(Point { verb, call: call.clone(), nth: *count, about: about(call) });
                Action::Make
            });
            seen.outcome.ok();
            if verb == "create" {
                scenario.bundle.process();
                assert_eq!(scenario.remove(), Vec::<String>::new());
            }
        }
        let print = scenario.fingerprint().unwrap();
        assert_eq!(scenario.remove(), Vec::<String>::new());
        Self { make, scenario, print, points }
    }

    /// The first and the last of the calls that are about the same; all with `LONG`.
    fn chosen(&self) -> Vec<Point> {
        let mut alike = BTreeMap::<_, Vec<&Point>>::new();
        for point in &self.points {
            let Point { verb, call, about, .. } = point;
            let is_early = call.role == Role::Runtime && BEFORE_MAIN.contains(&call.name);
            // What close(2) returns, it has closed: a pipe that stays open has no end.
            let is_close = call.role == Role::Runtime && call.name == "close";
            if !is_early && !is_close && !call.name.starts_with("exit") {
                alike.entry((verb, call.role, call.name, about)).or_default().push(point);
            }
        }
        let chosen = alike.values().flat_map(|points| {
            let last = points.len() - 1;
            let step = if last == 0 { 1 } else { rounds(last, 1) };
            points.iter().step_by(step).map(|point| (*point).clone())
        });
        chosen.collect()
    }

    /// What is wrong with what comes of one fault.
    fn disturb(
        &mut self,
        point: &Point,
        action: &(dyn Fn(&Call) -> Action + Sync),
    ) -> Option<String> {
        let mut count = 0;
        let seen = watch(&self.scenario, point.verb, Some(point.call.role), |call| {
            count += usize::from(call.name == point.call.name);
            match call.name == point.call.name && count == point.nth {
                true => action(call),
                false => Action::Make,
            }
        });
        let wrong = self.judge(point, &seen);
        let left = self.scenario.remove();
        seen.reap();
        if !left.is_empty() {
            // What is left has been told, and would be that of every fault after this one.
            std::mem::replace(&mut self.scenario, (self.make)()).bundle.end();
            self.scenario.started();
            assert_eq!(self.scenario.remove(), Vec::<String>::new());
        }
        let wrong = wrong.or((!left.is_empty()).then(|| format!("left by delete: {left:?}")));
        wrong.map(|wrong| format!("{point}: {:?}: {wrong}", seen.interfered))
    }

    fn judge(&self, point: &Point, seen: &Supervised) -> Option<String> {
        if seen.interfered.is_empty() {
            return Some("was not made this time".to_string());
        }
        let is_clear =
            |outcome: &Outcome| outcome.code == 1 && outcome.stderr.contains("level=error");
        let mut outcome = seen.outcome.clone();
        if outcome.code != 0 && point.verb == "create" {
            let left = self.scenario.left();
            return (!left.is_empty() || !is_clear(&outcome))
                .then(|| format!("left without delete: {left:?}: {outcome:?}"));
        }
        if point.verb == "create" {
            outcome = self.scenario.bundle.start();
        }
        if outcome.code != 0 {
            if !is_clear(&outcome) {
                return Some(format!("{outcome:?}"));
            }
            if until(|| !self.runs_the_program()) {
                return None;
            }
            // It does all the same, and must be what it should be.
        }
        let found = match self.scenario.fingerprint() {
            Ok(found) => found,
            Err(wrong) => return Some(format!("{wrong}: {outcome:?}")),
        };
        let mut differs = diff(&self.print, &found);
        // Others may let the host's v2 cgroups have another controller meanwhile.
        differs
            .retain(|line| !(line.starts_with("cgroup  ") && line.contains(": nothing became ")));
        (!differs.is_empty()).then(|| format!("{differs:?}"))
    }

    fn runs_the_program(&self) -> bool {
        let bundle = &self.scenario.bundle;
        let processes = leftovers::processes(bundle.id(), bundle.directory());
        processes.iter().any(|process| process.contains("): sleep "))
    }

    /// Each of the chosen calls that it is to be done to, one by one.
    fn disturb_all(
        &mut self,
        is_wanted: impl Fn(&Point) -> bool,
        action: &(dyn Fn(&Call) -> Action + Sync),
    ) -> Vec<String> {
        let chosen: Vec<Point> = self.chosen().into_iter().filter(is_wanted).collect();
        assert!(chosen.len() > 100, "{chosen:?}");
        chosen.iter().filter_map(|point| self.disturb(point, action)).collect()
    }
}

fn may_pretend(Point { call, about, .. }: &Point) -> bool {
    // Both stages of init are.
    let whose = if call.role == Role::SecondStage { Role::Init } else { call.role };
    let mut believed = BELIEVED.iter();
    !NEVER_PRETEND.contains(&call.name)
        && !believed.any(|(role, name, what, _)| (*role, *name, *what) == (whose, call.name, about))
}

/// The call returns what it does when it succeeds.
fn pretend(call: &Call) -> Action {
    match call.name {
        "write" => Action::Return(call.arguments[2].cast_signed()),
        // The number of a key.
        "keyctl" => Action::Return(7),
        _ => Action::Return(0),
    }
}

macro_rules! needs_tare {
    () => {
        needs_root!();
        peers_differ!("runc", "makes other calls");
        peers_differ!("crun", "makes other calls");
    };
}

#[test]
fn a_call_that_fails_never_means_less_confinement() {
    needs_tare!();
    let errnos =
        [Errno::EPERM, Errno::ENOSYS, Errno::EINVAL, Errno::ENOMEM, Errno::EINTR, Errno::EAGAIN];
    for make in SCENARIOS {
        let mut undisturbed = Undisturbed::of(make);
        for errno in &errnos[..rounds(1, errnos.len())] {
            let wrong = undisturbed.disturb_all(|_| true, &|_| Action::fail(*errno));
            assert!(wrong.is_empty(), "{errno}: {wrong:#?}");
        }
    }
}

#[test]
fn a_call_that_only_pretends_never_means_less_confinement() {
    needs_tare!();
    for make in SCENARIOS {
        let wrong = Undisturbed::of(make).disturb_all(may_pretend, &pretend);
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

/// The same calls in the same order, so that a moment can be named and come back to.
#[test]
fn undisturbed_runs_make_the_same_calls() {
    needs_tare!();
    // Not those with hooks: how often their output is looked for depends on how fast they are.
    for make in [Scenario::engine, Scenario::mapped, Scenario::at_terminal] {
        let scenario = make();
        scenario.started();
        assert_eq!(scenario.remove(), Vec::<String>::new());
        for verb in ["create", "start"] {
            let run = || {
                let seen = watch(&scenario, verb, None, |_| Action::Make);
                assert_eq!(scenario.remove(), Vec::<String>::new());
                seen
            };
            let (first, second) = (run(), run());
            assert_eq!(first.roles(), second.roles());
            for role in first.roles() {
                let names =
                    |seen: &Supervised| seen.of(role).map(|call| call.name).collect::<Vec<_>>();
                let (first, second) = (names(&first), names(&second));
                let same = first.iter().zip(&second).take_while(|(one, other)| one == other);
                let same = same.count();
                assert_eq!(
                    (first.len(), first.get(same..)),
                    (second.len(), second.get(same..)),
                    "{verb} of {role}, behind call {same}"
                );
            }
        }
    }
}
