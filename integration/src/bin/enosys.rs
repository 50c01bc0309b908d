//! Runs a command on a kernel that seems to lack some system calls: `enosys CALL[,CALL...] COMMAND ...`.
//!
//! A seccomp filter answers `ENOSYS` for them. It is inherited by all that the command starts, init too.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, anyhow, bail};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use syscalls::Sysno;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [calls, command, rest @ ..] = arguments.as_slice() else {
        bail!("usage: enosys CALL[,CALL...] COMMAND [ARGUMENT ...]");
    };
    let filter = filter(calls)?;
    seccompiler::apply_filter(&filter).context("seccomp")?;
    let error = Command::new(command).args(rest).exec();
    Err(error).with_context(|| command.clone())
}

fn filter(calls: &str) -> anyhow::Result<BpfProgram> {
    let mut rules = BTreeMap::new();
    for call in calls.split(',') {
        let number: Sysno = call.parse().map_err(|_no| anyhow!("{call}: no system call"))?;
        // Without conditions: whatever the arguments are.
        rules.insert(i64::from(number.id()), Vec::new());
    }
    let missing = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let machine = std::env::consts::ARCH.try_into()?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, missing, machine)?;
    Ok(filter.try_into()?)
}
