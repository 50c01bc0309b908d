//! The library as an embedder uses it: from threads of a process that does other things, and from
//! processes in odd states. What concerns a whole process runs in one of its own: see `own_process`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::tests_outside_test_module,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and says on stderr what it skips or has measured"
)]

mod caller;
mod cycles;
mod facts;
mod failures;
mod ids;
mod odd_callers;
mod own_process;
mod stdio;
mod terminal;
mod waiting;
