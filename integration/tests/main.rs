//! The end-to-end tests, one module for each topic.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::tests_outside_test_module,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and says on stderr what it skips"
)]

mod smoke;
