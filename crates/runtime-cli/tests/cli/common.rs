//! Calling the binary.

use std::process::{Command, Output};

/// The binary under test.
pub(crate) const TARE: &str = env!("CARGO_BIN_EXE_tare");

/// What it said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The binary with these arguments and an empty environment.
pub(crate) fn tare(arguments: &[&str]) -> Command {
    let mut command = Command::new(TARE);
    command.args(arguments).env_clear();
    command
}

/// Calls the binary.
pub(crate) fn says(arguments: &[&str]) -> Said {
    output(&mut tare(arguments))
}

/// Calls a command.
pub(crate) fn output(command: &mut Command) -> Said {
    let Output { status, stdout, stderr } = command.output().unwrap();
    Said {
        code: status.code().unwrap(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}
