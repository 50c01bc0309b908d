//! Puts the runtime under test to a conformance suite that is built already: `conformance DIR [PROGRAM
//! ...]`, where DIR is a tree of opencontainers/runtime-tools after `make runtimetest
//! validation-executables`. Prints a line for each program, and a summary; fails if one is not passed
//! that should be.
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

use crate::run::{Ended, Suite};
use crate::verdict::{Verdict, judge};

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

fn suite() -> Result<(PathBuf, Vec<String>)> {
    let mut arguments = env::args_os().skip(1);
    let directory = arguments.next().context("usage: conformance DIR [PROGRAM ...]")?;
    let directory = std::path::absolute(directory)?;
    let mut names = all(&directory)?;
    ensure!(!names.is_empty(), "{}: nothing is built", directory.display());
    let wanted: Vec<String> = arguments.map(|name| name.to_string_lossy().into_owned()).collect();
    for name in &wanted {
        ensure!(names.contains(name), "{}: no program {name}", directory.display());
    }
    names.retain(|name| wanted.is_empty() || wanted.contains(name));
    Ok((directory, names))
}

/// What there is to say of a verdict, beside the numbers.
fn remark(name: &str, verdict: &Verdict) -> String {
    let known = match Under::test().kind {
        Kind::Tare => programs::unfair(name).or(programs::refused(name)),
        _ => programs::unfair(name),
    };
    let known = known.map(|why| format!("({why})"));
    let why = match verdict {
        Verdict::Failed(why) => Some(why.replace('|', "\\|")),
        Verdict::Passed | Verdict::Vacuous(_) => None,
    };
    why.into_iter().chain(known).collect::<Vec<_>>().join(" ")
}

fn print(ended: &BTreeMap<String, Ended>, verdicts: &BTreeMap<&str, Verdict>) {
    println!("| program | verdict | ok / not ok / skipped | remark |");
    println!("|---|---|---|---|");
    for (name, verdict) in verdicts {
        let report = &ended[*name].report;
        let counts = format!("{} / {} / {}", report.ok, report.not_ok, report.skipped);
        println!("| {name} | {verdict} | {counts} | {} |", remark(name, verdict));
    }
    let passed = |name: &str| matches!(verdicts.get(name), Some(Verdict::Passed));
    let all = verdicts.keys().filter(|name| passed(name)).count();
    let fair: Vec<_> = programs::FAIR.iter().filter(|name| verdicts.contains_key(*name)).collect();
    let kept = fair.iter().filter(|name| passed(name)).count();
    let (fair, programs) = (fair.len(), verdicts.len());
    let name = Under::test().name();
    println!("\n{name}: {kept} of {fair} fair programs passed; {all} of {programs} in all");
}

fn conformance() -> Result<ExitCode> {
    ensure!(nix::unistd::geteuid().is_root(), "needs root");
    let (directory, names) = suite()?;
    enter_private_mounts();
    let suite = Suite::new(directory)?;
    let mut ended = BTreeMap::new();
    for name in names {
        let outcome = suite.run(&name).with_context(|| name.clone())?;
        ended.insert(name, outcome);
    }
    let verdicts: BTreeMap<&str, Verdict> =
        ended.keys().map(|name| (name.as_str(), judge(name, &ended))).collect();
    print(&ended, &verdicts);
    let kept = |name: &&str| {
        matches!(verdicts.get(*name), None | Some(Verdict::Passed))
            || programs::refused(name).is_some()
    };
    let success = programs::FAIR.iter().all(kept);
    Ok(if success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn main() -> ExitCode {
    conformance().unwrap_or_else(|error| {
        eprintln!("conformance: {error:#}");
        ExitCode::FAILURE
    })
}
