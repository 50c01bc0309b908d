//! Runs a hook in the container's namespaces, with init's identity of that moment.

use super::format::{Text, Texts};
use super::protocol::{Cause, Fault};
use super::run::{self, Init};
use super::{control, identity, numbers as nr, program, sys};

/// What the programs of a host have.
const UMASK: u32 = 0o022;

/// Runs a program and waits for it, not longer than `timeout` milliseconds unless that is 0. The peer
/// gives the standard streams. What a hook leaves running is the container's business.
pub(crate) fn run(
    init: &Init,
    number: u32,
    path: Text<'static>,
    arguments: Texts<'static>,
    environment: Texts<'static>,
    timeout: u64,
) -> sys::Result<()> {
    control::announce_hook(number)?;
    let mut streams = [-1; sys::MOST_DESCRIPTORS];
    if control::wait_for_continue(&mut streams)? != 3 {
        return Err(Fault::of(Cause::BadReply));
    }
    let mut pidfd = -1i32;
    let pid = sys::fork(&mut pidfd)?;
    if pid == 0 {
        let fault = match prepare(init, &streams) {
            Ok(()) => execute(path, arguments, environment),
            Err(fault) => Err(fault),
        };
        // The first report is the one that counts: init's own comes after it.
        if let Err(fault) = fault {
            run::report(fault);
        }
        sys::exit(run::FAILED)
    }
    for stream in streams.iter().take(3) {
        sys::close(*stream);
    }
    let ended = wait(pid, pidfd, timeout);
    sys::close(pidfd);
    ended
}

/// The child, before it executes: a process group of its own, so that all of it can be killed.
fn prepare(init: &Init, streams: &[i32]) -> sys::Result<()> {
    identity::session()?;
    sys::prctl(nr::PR_SET_PDEATHSIG, u64::from(nr::SIGKILL), 0)?;
    for (stream, fd) in (0..3).zip(streams) {
        sys::dup3(*fd, stream)?;
    }
    sys::close_on_exec()?;
    identity::set_umask(UMASK)?;
    if init.root >= 0 && !init.entered { sys::fchdir(init.root) } else { sys::chdir_root() }
}

fn execute(
    path: Text<'static>,
    arguments: Texts<'static>,
    environment: Texts<'static>,
) -> sys::Result<()> {
    let arguments = program::pointers(arguments, None)?;
    let environment = program::pointers(environment, None)?;
    Err(sys::execve(path, arguments, environment))
}

/// How the hook ended. At its deadline it is killed, with all of its process group.
fn wait(pid: usize, pidfd: i32, timeout: u64) -> sys::Result<()> {
    let limit = (timeout != 0).then_some(timeout);
    let in_time = sys::wait_readable(pidfd, limit)?;
    if !in_time {
        sys::kill_group(pid)?;
    }
    let (code, status) = sys::wait_child(pidfd)?;
    const CLD_EXITED: i32 = 1;
    match (in_time, code) {
        (false, _) => Err(Fault::of(Cause::HookTimeout)),
        (true, CLD_EXITED) if status == 0 => Ok(()),
        (true, CLD_EXITED) => {
            Err(Fault { errno: status.unsigned_abs(), ..Fault::of(Cause::HookExited) })
        }
        _ => Err(Fault { errno: status.unsigned_abs(), ..Fault::of(Cause::HookKilled) }),
    }
}
