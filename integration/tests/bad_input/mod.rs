//! Bad input: what the runtime is given is wrong in one way or another. It must say so in exactly these
//! words and with runc's exit code, soon, and leave nothing: no process, cgroup, mount, state, file in the
//! bundle or the root filesystem. The id must be usable afterwards.
//!
//! A row of a table is one such input. All rows are tried, and all that fail are told together.

#![allow(clippy::too_many_lines, reason = "tables: a row an input")]

mod cgroups;
mod command_line;
mod consoles;
mod document;
mod hooks;
mod mounts;
mod namespaces;
mod place;
mod process;
mod rootfs;
mod sizes;
mod state;

use std::any::Any;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use integration::hierarchies::{self, Hierarchy};
use integration::leftovers::Snapshot;
use integration::{Bundle, Kind, Outcome, Under};

/// How long a refusal may take, beside what the row itself waits for.
const SOON: Duration = Duration::from_secs(1);

/// Something else may need the processors meanwhile: how often a row may be slow before that counts.
const ATTEMPTS: usize = 3;

/// The usual command of a row. In all of them `{bundle}` is the bundle's directory, `{id}` the id.
pub(crate) const CREATE: &[&str] = &["create", "--bundle", "{bundle}", "{id}"];
pub(crate) const RUN: &[&str] = &["run", "--bundle", "{bundle}", "{id}"];
pub(crate) const START: &[&str] = &["start", "{id}"];

/// Changes how the runtime is called.
type Change = dyn Fn(&mut Command) -> &mut Command;

/// A bad input, ready to be tried.
pub(crate) struct Setting {
    // Dropped before the bundle, which is removed then.
    kept: Vec<Box<dyn Any>>,
    changes: Vec<Box<Change>>,
    pub(crate) bundle: Bundle,
}

impl From<Bundle> for Setting {
    /// The bundle is written: what a row does to its files comes after that.
    fn from(bundle: Bundle) -> Self {
        bundle.write();
        Self { bundle, kept: Vec::new(), changes: Vec::new() }
    }
}

impl Setting {
    /// Keeps something until the row is over: a mount, a listener, a process.
    pub(crate) fn keep(mut self, what: impl Any) -> Self {
        self.kept.push(Box::new(what));
        self
    }

    /// Changes how the runtime is called.
    pub(crate) fn call(mut self, change: impl Fn(&mut Command) -> &mut Command + 'static) -> Self {
        self.changes.push(Box::new(change));
        self
    }

    /// What was wrong goes, and is nothing that the container left.
    fn end(mut self) {
        self.kept.clear();
        fs::remove_dir_all(self.bundle.state_root()).ok();
        self.bundle.remember();
    }

    /// Does something more to it.
    pub(crate) fn then(self, what: impl FnOnce(&Bundle)) -> Self {
        what(&self.bundle);
        self
    }

    /// Adds options to the command, with `{bundle}` and `{id}` as in a row's.
    pub(crate) fn options(self, words: &[&str]) -> Self {
        let words = filled(&self.bundle, words);
        self.call(move |command| command.args(&words))
    }
}

/// One bad input and what must come of it.
pub(crate) struct Row {
    name: String,
    make: Box<dyn Fn() -> Setting>,
    before: &'static [&'static [&'static str]],
    command: &'static [&'static str],
    message: String,
    code: i32,
    waits: Duration,
    again: bool,
    usage: bool,
    missing: Option<String>,
    peers: Vec<(&'static str, &'static str)>,
}

/// A row: its name, the whole message (without the command's prefix), and what is wrong. In the message
/// `{start}` stands for `unable to start container process`, one `{*}` for what differs from time to time
/// or is too long, and `{v1:NAME}` or `{v2}` for the caller's cgroup in this hierarchy: where there is no such
/// one, the row is skipped.
pub(crate) fn row<S: Into<Setting>>(
    name: &str,
    message: &str,
    make: impl Fn(Bundle) -> S + 'static,
) -> Row {
    let (message, missing) = with_cgroups(message);
    Row {
        name: name.to_string(),
        make: Box::new(move || make(Bundle::new()).into()),
        before: &[],
        command: CREATE,
        message: message.replace("{start}", "unable to start container process"),
        code: 1,
        waits: Duration::ZERO,
        again: true,
        usage: false,
        missing,
        peers: Vec::new(),
    }
}

/// The message with the directories of the caller's cgroups, and the hierarchy that there is not.
fn with_cgroups(message: &str) -> (String, Option<String>) {
    let found = hierarchies::all();
    let (mut message, mut missing) = (message.to_string(), None);
    while let Some((before, rest)) = message.split_once("{v") {
        let (name, after) = rest.split_once('}').expect("the end of a placeholder");
        let is_it = |one: &&Hierarchy| match name.strip_prefix("1:") {
            Some(controller) => one.has(controller),
            None => one.is_v2(),
        };
        let own = found.iter().find(is_it).map(|one| one.own.display().to_string());
        if own.is_none() {
            missing = Some(format!("needs the hierarchy v{name}"));
        }
        message = format!("{before}{}{after}", own.unwrap_or_default());
    }
    (message, missing)
}

impl Row {
    /// It is skipped unless this is so.
    pub(crate) fn needs(mut self, so: bool, what: &str) -> Self {
        if !so {
            self.missing = Some(format!("needs {what}"));
        }
        self
    }

    /// Another command than `create`.
    pub(crate) fn command(mut self, words: &'static [&'static str]) -> Self {
        self.command = words;
        self
    }

    /// What is done before, and succeeds.
    pub(crate) fn after(mut self, commands: &'static [&'static [&'static str]]) -> Self {
        self.before = commands;
        self
    }

    /// Another exit code than 1. With 0 the input is odd, but taken.
    pub(crate) fn code(mut self, code: i32) -> Self {
        self.code = code;
        self
    }

    /// The row is about a deadline: the command waits as long.
    pub(crate) fn waits(mut self, duration: Duration) -> Self {
        self.waits = duration;
        self
    }

    /// The command line can't be read, so that no command says what failed.
    pub(crate) fn usage(mut self) -> Self {
        self.usage = true;
        self.never_again()
    }

    /// The id can't be used again, because of what is wrong.
    pub(crate) fn never_again(mut self) -> Self {
        self.again = false;
        self
    }

    /// What runc does otherwise, and why.
    pub(crate) fn runc(mut self, why: &'static str) -> Self {
        self.peers.push(("runc", why));
        self
    }

    /// What crun does otherwise, and why.
    pub(crate) fn crun(mut self, why: &'static str) -> Self {
        self.peers.push(("crun", why));
        self
    }

    /// What is wrong with what came of it, in a line; nothing if all is well.
    fn wrong(&self, good: &Bundle) -> Option<String> {
        if let Some(why) = &self.missing {
            eprintln!("skipped: {}: {why}", self.name);
            return None;
        }
        for (peer, why) in &self.peers {
            if Under::test().differs(peer) {
                eprintln!("skipped: {peer}: {}: {why}", self.name);
                return None;
            }
        }
        let mut wrong = Vec::new();
        for _ in 0..ATTEMPTS {
            let tried = catch_unwind(AssertUnwindSafe(|| self.attempt(good)));
            let (slow, found) = tried.unwrap_or_else(|panic| (false, Vec::from([said(&panic)])));
            wrong = found;
            if !slow {
                break;
            }
        }
        (!wrong.is_empty()).then(|| format!("{}: {}", self.name, wrong.join("; ")))
    }

    /// Tries it once. Whether the only thing wrong is that it was slow, and what is wrong.
    fn attempt(&self, good: &Bundle) -> (bool, Vec<String>) {
        let setting = (self.make)();
        let bundle = &setting.bundle;
        let directory = tempfile::tempdir().expect("mkdir");
        let anyone = fs::Permissions::from_mode(0o777);
        fs::set_permissions(directory.path(), anyone).expect("chmod");
        let log = directory.path().join("log");
        bundle.remember();
        let before = Snapshot::take(bundle);
        for words in self.before {
            first(bundle, words);
        }
        let mut bad = command(bundle, self.command, Some(&log));
        for change in &setting.changes {
            change(&mut bad);
        }
        let begin = Instant::now();
        let outcome = match self.command[0] {
            "create" => bundle.create_by(&mut bad),
            _ => bundle.finish(&mut bad),
        };
        let took = begin.elapsed();
        let mut wrong = self.differences(bundle, &outcome, &log);
        if !self.before.is_empty() || outcome.code == 0 {
            bundle.delete_force();
        }
        wrong.extend(before.changes(bundle));
        if self.again && wrong.is_empty() {
            wrong.extend(unusable(bundle, good));
        }
        setting.end();
        let slow = took > soon() + self.waits;
        if !slow {
            return (false, wrong);
        }
        let only = wrong.is_empty();
        wrong.push(format!("took {took:?}"));
        (only, wrong)
    }

    /// How the outcome differs from what it should be. The words of the peers are their own.
    fn differences(&self, bundle: &Bundle, outcome: &Outcome, log: &Path) -> Vec<String> {
        let mut wrong = Vec::new();
        if outcome.code != self.code {
            wrong.push(format!("exit code {} instead of {}", outcome.code, self.code));
        }
        if Under::test().kind != Kind::Tare {
            return wrong;
        }
        let shown = |text: &str| {
            text.replace(&*bundle.directory().to_string_lossy(), "{bundle}")
                .replace(bundle.id(), "{id}")
        };
        let said = shown(&outcome.stderr);
        let expected = match (self.message.as_str(), self.command[0]) {
            ("", _) => String::new(),
            (message, verb @ ("create" | "run")) if !self.usage => {
                format!("tare {verb} failed: {message}\n")
            }
            (message, _) => format!("{message}\n"),
        };
        if !matches(&said, &expected) {
            wrong.push(format!("says {said:?} instead of {expected:?}"));
        }
        let logged = fs::read_to_string(log).unwrap_or_default();
        let logged: Vec<String> = logged.lines().map(|line| shown(&message_of(line))).collect();
        let logged = logged.join("\n");
        // A message that names the time was written because there is no log.
        let is_logged = self.code != 0 && !expected.starts_with("time=");
        if is_logged && logged != said.trim_end_matches('\n') {
            wrong.push(format!("logs {logged:?}"));
        }
        wrong
    }
}

/// As long as that on a machine that has nothing else to do.
fn soon() -> Duration {
    let text = fs::read_to_string("/proc/loadavg").expect("/proc is mounted");
    let load: f64 = text.split(' ').next().and_then(|load| load.parse().ok()).expect("a number");
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    SOON.mul_f64((load / f64::from(u32::try_from(processors).unwrap_or(1))).max(1.0))
}

/// Does what must succeed before.
fn first(bundle: &Bundle, words: &[&str]) {
    let mut command = command(bundle, words, None);
    match words[0] {
        "create" => bundle.create_by(&mut command),
        _ => bundle.finish(&mut command),
    }
    .ok();
    let ends = words[0] == "kill";
    assert!(!ends || integration::until(|| bundle.status() == "stopped"), "it does not stop");
}

/// The runtime with these words, in which the bundle and its id are put.
fn command(bundle: &Bundle, words: &[&str], log: Option<&Path>) -> Command {
    let mut command = bundle.command(&[]);
    if let Some(log) = log {
        command.arg("--log").arg(log).args(["--log-format", "json"]);
    }
    command.args(filled(bundle, words));
    command
}

fn filled(bundle: &Bundle, words: &[&str]) -> Vec<String> {
    let directory = bundle.directory().to_string_lossy();
    let fill = |word: &&str| word.replace("{bundle}", &directory).replace("{id}", bundle.id());
    words.iter().map(fill).collect()
}

/// Whether a text is as expected, where `{*}` stands for what differs from time to time.
fn matches(said: &str, expected: &str) -> bool {
    match expected.split_once("{*}") {
        Some((start, end)) => said.starts_with(start) && said.ends_with(end),
        None => said == expected,
    }
}

/// The message in a line of a log, if it is one of an error.
fn message_of(line: &str) -> String {
    let entry: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
    match (entry["level"].as_str(), entry["msg"].as_str()) {
        (Some("error"), Some(message)) => message.to_string(),
        _ => line.to_string(),
    }
}

/// A container of the id, from a bundle that nothing is wrong with.
fn unusable(bundle: &Bundle, good: &Bundle) -> Option<String> {
    let mut run = bundle.command(&["run", "--bundle"]);
    let outcome = bundle.finish(run.arg(good.directory()).arg(bundle.id()));
    (outcome.code != 0).then(|| format!("the id can't be used again: {}", outcome.stderr))
}

/// What a panic says, in a line.
fn said(panic: &Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
    text.unwrap_or_default().replace('\n', " ")
}

/// Tries all rows, and tells all that fail.
pub(crate) fn check(rows: &[Row]) {
    integration::needs_root!();
    let good = Bundle::new();
    good.write();
    let wrong: Vec<String> = rows.iter().filter_map(|row| row.wrong(&good)).collect();
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}
