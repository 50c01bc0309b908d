//! The end-to-end tests, one module for each topic.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::tests_outside_test_module,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and says on stderr what it skips"
)]

mod attacks;
mod bad_input;
mod callers;
mod cgroups;
mod cli_compat;
mod crashes;
mod descriptors;
mod devices;
#[cfg(target_arch = "x86_64")]
mod faults;
mod features;
mod fingerprints;
mod hooks;
mod hostile_rootfs;
mod identity;
mod keyring;
mod labels;
mod lifecycle;
mod limits;
mod mounts;
mod namespaces;
#[cfg(target_arch = "x86_64")]
mod read_back;
mod restricted_paths;
mod seccomp;
mod spec_coverage;
mod state_disk;
mod state_files;
mod state_store;
mod storm;
mod sysctls;
mod terminal;
