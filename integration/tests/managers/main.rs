//! Engines from Debian packages, with the runtime under test below them: what their users see is what they
//! see with runc, which is put to the same checks in the same engine.
//!
//! Each engine is started by its test, in a network and a mount namespace with a `/run` of its own, with all
//! its files below a temporary directory and all its cgroups below one of the test.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::tests_outside_test_module,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and says on stderr what it skips"
)]

mod ctr;
mod docker;
mod docker_checks;
mod image;
mod place;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use integration::{Kind, Under};

/// Where a program is; nothing if it is not installed.
fn installed(name: &str) -> Option<PathBuf> {
    ["/usr/bin", "/usr/sbin"]
        .iter()
        .map(|directory| Path::new(directory).join(name))
        .find(|path| path.exists())
}

/// Leaves the test, with the reason printed, if one of the programs is missing.
macro_rules! needs_installed {
    ($($name:literal),+) => {
        $(if $crate::installed($name).is_none() {
            eprintln!("skipped: {} is not installed", $name);
            return;
        })+
    };
}
use needs_installed;

/// A name of a runtime for messages, and its path: the control, and the runtime under test.
fn runtimes() -> Vec<(&'static str, PathBuf)> {
    let control = ("runc", installed("runc").expect("checked by needs_installed"));
    let under = Under::test();
    match under.kind {
        Kind::Runc => vec![control],
        _ => vec![control, (under.name(), under.path.clone())],
    }
}

/// Something that must hold of an engine with either of the runtimes.
type Check<Engine> = (&'static str, fn(&Engine));

/// Puts the checks to each of the engines, and tells all that failed.
fn put<Engine>(engines: &[(&str, Engine)], checks: &[Check<Engine>]) {
    let mut failed = Vec::new();
    for (name, check) in checks {
        for (runtime, engine) in engines {
            // The engine is used for the next check all the same; nothing in it can be half changed.
            if catch_unwind(AssertUnwindSafe(|| check(engine))).is_err() {
                failed.push(format!("{name} with {runtime}"));
            }
        }
    }
    assert!(failed.is_empty(), "failed: {failed:#?}");
}
