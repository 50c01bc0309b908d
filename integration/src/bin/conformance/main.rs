//! Puts the runtime under test to a conformance suite that is built already: `conformance [--rounds N] DIR
//! [PROGRAM ...]`, where DIR is a tree of opencontainers/runtime-tools after `make runtimetest
//! validation-executables`. Some programs race with the runtime, so that each runs in every one of N rounds,
//! which are 3. Prints a line for each program, and a summary; fails if one is not passed that should be, or
//! if one that can't be passed does worse than it should.
//!
//! The programs run one after the other, in a mount namespace with a `/run` of its own, with this process
//! as the reaper of what they leave. What is still there at the end of a program is removed.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program whose purpose is to print a table"
)]

mod programs;
mod run;
mod tap;
mod verdict;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use integration::runtime::enter_private_mounts;
use integration::{Kind, Under};

use crate::run::Suite;
use crate::verdict::{Rounds, Verdict};

/// The names of the programs in a tree, sorted.
fn all(directory: &Path) -> Result<Vec<String>> {
    let validation = directory.join("validation");
    let entries = fs::read_dir(&validation).with_context(|| validation.display().to_string())?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| validation.join(name).join(format!("{name}.t")).is_file())
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// What the command line asks for.
struct Request {
    rounds: usize,
    directory: PathBuf,
    names: Vec<String>,
}

fn request() -> Result<Request> {
    let usage = "usage: conformance [--rounds N] DIR [PROGRAM ...]";
    let mut arguments = env::args_os().skip(1).peekable();
    let mut rounds = 3;
    if arguments.next_if(|argument| argument == "--rounds").is_some() {
        let number = arguments.next().and_then(|number| number.into_string().ok()?.parse().ok());
        rounds = number.filter(|number| *number > 0).context(usage)?;
    }
    let directory = arguments.next().context(usage)?;
    let directory = std::path::absolute(directory)?;
    let mut names = all(&directory)?;
    ensure!(!names.is_empty(), "{}: nothing is built", directory.display());
    let missing = programs::missing(&names);
    let wanted: Vec<String> = arguments.map(|name| name.to_string_lossy().into_owned()).collect();
    for name in &wanted {
        ensure!(names.contains(name), "{}: no program {name}", directory.display());
    }
    if wanted.is_empty() {
        let directory = directory.display();
        ensure!(missing.is_empty(), "{directory}: not built: {}", missing.join(", "));
    }
    names.retain(|name| wanted.is_empty() || wanted.contains(name));
    Ok(Request { rounds, directory, names })
}

/// What there is to say of a verdict, beside the numbers.
fn remark(name: &str, verdict: &Verdict) -> String {
    let known = match Under::test().kind {
        Kind::Tare => programs::reason(name).or(programs::refused(name)),
        _ => programs::reason(name),
    };
    let known = known.map(|why| format!("({why})"));
    let why = match verdict {
        Verdict::Failed(why) => Some(why.replace('|', "\\|")),
        Verdict::Passed | Verdict::Vacuous(_) => None,
    };
    why.into_iter().chain(known).collect::<Vec<_>>().join(" ")
}

fn print(results: &[Rounds]) {
    println!("| program | verdict | ok / not ok / skipped | remark |");
    println!("|---|---|---|---|");
    for result in results {
        let Rounds { name, verdict, report, .. } = result;
        let counts = format!("{} / {} / {}", report.ok, report.not_ok, report.skipped);
        println!("| {name} | {result} | {counts} | {} |", remark(name, verdict));
    }
    let passed = |result: &&Rounds| result.passed();
    let fair = || results.iter().filter(|result| programs::FAIR.contains(&result.name));
    println!(
        "\n{}: {} of {} fair programs passed; {} of {} in all",
        Under::test().name(),
        fair().filter(passed).count(),
        fair().count(),
        results.iter().filter(passed).count(),
        results.len()
    );
}

/// What should be better.
fn regression(result: &Rounds) -> Option<String> {
    let (name, ok) = (result.name, result.report.ok);
    if result.passed() || programs::refused(name).is_some() {
        return None;
    }
    if programs::FAIR.contains(&name) {
        return Some(format!("{name}: {result}"));
    }
    let least = programs::least(name).filter(|least| ok < *least)?;
    Some(format!("{name}: {ok} assertions held instead of {least}"))
}

fn conformance() -> Result<ExitCode> {
    ensure!(nix::unistd::geteuid().is_root(), "needs root");
    let Request { rounds, directory, names } = request()?;
    enter_private_mounts();
    let suite = Suite::new(directory)?;
    let mut ended = Vec::new();
    for _ in 0..rounds {
        let mut round = BTreeMap::new();
        for name in &names {
            let outcome = suite.run(name).with_context(|| name.clone())?;
            round.insert(name.clone(), outcome);
        }
        ended.push(round);
    }
    let results: Vec<_> = names.iter().filter_map(|name| Rounds::of(name, &ended)).collect();
    print(&results);
    let regressions: Vec<_> = results.iter().filter_map(regression).collect();
    for regression in &regressions {
        eprintln!("{regression}");
    }
    Ok(if regressions.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn main() -> ExitCode {
    conformance().unwrap_or_else(|error| {
        eprintln!("conformance: {error:#}");
        ExitCode::FAILURE
    })
}
