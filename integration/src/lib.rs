//! The harness of the end-to-end tests: bundles, the runtime under test, and a look at containers from
//! the host.
//!
//! `RUNTIME` names the binary under test, so that the same expectations can be put to another runtime:
//! an expectation that no peer meets is probably wrong. Where a peer is known to differ, the test says
//! so and why with [`peers_differ!`].

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a harness fails a test by panicking, and says on stderr what it skips"
)]

pub mod bundle;
pub mod config;
mod container;
pub mod fingerprint;
pub mod hierarchies;
pub mod leftovers;
pub mod outcome;
pub mod process;
pub mod rootfs;
pub mod runtime;
#[cfg(target_arch = "x86_64")]
pub mod supervisor;
pub mod terminal;

pub use bundle::Bundle;
pub use fingerprint::Fingerprint;
pub use outcome::{Outcome, finish, until};
pub use process::Process;
pub use rootfs::Tree;
pub use runtime::{Kind, Under};

/// Leaves the test, with the reason printed, if it is not run by root.
#[macro_export]
macro_rules! needs_root {
    () => {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: needs root");
            return;
        }
    };
}

/// Leaves the test, with the reason printed, if the runtime under test is the peer that is known to
/// differ here. With `PEERS_DIFFER=fail` in the environment it doesn't, so that a difference that is gone
/// can be found: its test passes.
#[macro_export]
macro_rules! peers_differ {
    ($peer:literal, $why:literal) => {
        if $crate::Under::test().differs($peer) {
            eprintln!("skipped: {}: {}", $peer, $why);
            return;
        }
    };
}

/// Whether the kernel enforces AppArmor's profiles.
pub fn has_apparmor() -> bool {
    std::fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text == b"Y\n")
}

/// Whether the kernel enforces SELinux's labels.
pub fn has_selinux() -> bool {
    std::path::Path::new("/sys/fs/selinux/enforce").exists()
}

/// How often something random or racy is tried: `often` with `LONG` in the environment, which
/// `just test-long` sets, else as often as a run on every change has time for.
pub fn rounds(seldom: usize, often: usize) -> usize {
    if std::env::var_os("LONG").is_some() { often } else { seldom }
}
