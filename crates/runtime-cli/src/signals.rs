//! A foreground `run`: signals that come to tare go on to the container's first process, until that has
//! ended (signalfd(2), pidfd_open(2)).

use std::os::fd::{AsFd, BorrowedFd};

use anyhow::Context;
use libcontainer::{Container, ExitStatus};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};

use crate::text;

/// The signals that come to this process, held back from the moment that the value is made.
#[derive(Debug)]
pub(crate) struct Signals(SignalFd);

/// What to do about a signal.
#[derive(Debug, PartialEq, Eq)]
enum Reaction {
    /// It is the container's.
    Forward,
    /// A child has ended: the container's processes become ours when their parents end.
    Reap,
    /// Nothing.
    Ignore,
}

impl Signals {
    /// Blocks all signals. Those that come before there is a container wait for it.
    pub(crate) fn block() -> anyhow::Result<Self> {
        let all = SigSet::all();
        all.thread_block().map_err(text::errno).context("sigprocmask(SIG_BLOCK)")?;
        SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .map(Self)
            .map_err(text::errno)
            .context("signalfd")
    }

    /// Forwards signals until `ended`, the pidfd of the container's first process, says that it has
    /// ended. `pid` is its pid: its exit status is left for the container to collect.
    pub(crate) fn forward_until(
        &self,
        ended: BorrowedFd<'_>,
        container: &Container,
        pid: i32,
    ) -> anyhow::Result<ExitStatus> {
        loop {
            let mut fds = [self.0.as_fd(), ended].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(text::errno(errno).context("poll")),
            }
            let has_ended = fds[1].any() == Some(true);
            self.react(container, pid)?;
            if has_ended {
                return Ok(container.wait()?);
            }
        }
    }

    fn react(&self, container: &Container, pid: i32) -> anyhow::Result<()> {
        while let Some(info) = self.0.read_signal().map_err(text::errno).context("read signalfd")? {
            let signal = i32::try_from(info.ssi_signo).unwrap_or(0);
            match reaction(signal) {
                Reaction::Ignore => {}
                Reaction::Reap => reap_all_but(pid),
                // A process that has just ended can't be signalled: the pidfd tells that.
                Reaction::Forward => match container.kill(signal) {
                    Ok(()) => log::debug!("forwarded signal {signal}"),
                    Err(error) => log::debug!("forward signal {signal}: {error}"),
                },
            }
        }
        Ok(())
    }
}

fn reaction(signal: i32) -> Reaction {
    match Signal::try_from(signal) {
        Ok(Signal::SIGCHLD) => Reaction::Reap,
        Ok(Signal::SIGWINCH | Signal::SIGURG) => Reaction::Ignore,
        // Signals without a name are the real-time ones.
        Ok(_) | Err(_) => Reaction::Forward,
    }
}

/// Collects the children that have ended, up to the container's first process.
fn reap_all_but(init: i32) {
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    while let Some(pid) = waitid(Id::All, look).ok().as_ref().and_then(WaitStatus::pid) {
        if pid.as_raw() == init || waitpid(pid, Some(WaitPidFlag::WNOHANG)).is_err() {
            return;
        }
    }
}

/// The exit code that stands for how the container's process ended.
pub(crate) fn exit_code(status: ExitStatus) -> u8 {
    let (base, number) = match status {
        ExitStatus::Exited(code) => (0, code),
        ExitStatus::Signaled(signal) => (128, signal),
    };
    // The kernel keeps eight bits.
    u8::try_from((base + number) & 0xff).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use nix::unistd::Pid;

    use super::*;

    #[test]
    fn exit_codes_are_those_of_a_shell() {
        for (status, code) in [
            (ExitStatus::Exited(0), 0),
            (ExitStatus::Exited(7), 7),
            (ExitStatus::Exited(255), 255),
            (ExitStatus::Signaled(9), 137),
            (ExitStatus::Signaled(15), 143),
            (ExitStatus::Signaled(31), 159),
        ] {
            assert_eq!(exit_code(status), code, "{status:?}");
        }
    }

    #[test]
    fn all_signals_but_three_are_the_containers() {
        for signal in 1..=64 {
            let expected = match signal {
                17 => Reaction::Reap,
                23 | 28 => Reaction::Ignore,
                _ => Reaction::Forward,
            };
            assert_eq!(reaction(signal), expected, "{signal}");
        }
    }

    /// No other test of this program has children.
    #[test]
    fn the_first_process_is_left_for_the_container_to_collect() {
        let mut children = ["exit 1", "exit 2", "exit 7"]
            .map(|code| Command::new("sh").args(["-c", code]).spawn().unwrap());
        let pids = children.each_ref().map(|child| i32::try_from(child.id()).unwrap());
        for pid in pids {
            let ended = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
            waitid(Id::Pid(Pid::from_raw(pid)), ended).unwrap();
        }
        reap_all_but(pids[2]);
        let collected = children.each_mut().map(std::process::Child::wait);
        let errno = |at: usize| collected[at].as_ref().unwrap_err().raw_os_error();
        assert_eq!([errno(0), errno(1)], [Some(Errno::ECHILD as i32); 2]);
        assert_eq!(collected[2].as_ref().unwrap().code(), Some(7));
        reap_all_but(pids[2]);
    }
}
