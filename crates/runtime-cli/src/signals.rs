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

use crate::relay::{Left, Relay};
use crate::text;

/// The signals that come to this process, held back from the moment that the value is made.
#[derive(Debug)]
pub(crate) struct Signals(SignalFd);

/// Blocks SIGXFSZ: a write beyond `RLIMIT_FSIZE` fails with `EFBIG` then, instead of killing us without a
/// word. Containers and hooks get a mask of their own.
pub(crate) fn survive_file_size_limit() -> anyhow::Result<()> {
    let signal = SigSet::from_iter([Signal::SIGXFSZ]);
    signal.thread_block().map_err(text::errno).context("sigprocmask(SIG_BLOCK)")
}

/// Whether the container's first process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Alive,
    Ended,
}

/// What to do about a signal.
#[derive(Debug, PartialEq, Eq)]
enum Reaction {
    /// It is the container's.
    Forward,
    /// A child has ended: the container's processes become ours when their parents end.
    Reap,
    /// The terminal that we were started at has another size.
    Resize,
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

    /// Forwards signals, and what the terminals say, until `ended`, the pidfd of the container's first
    /// process, says that it has ended, and all that it has written was copied. `pid` is its pid: its
    /// exit status is left for the container to collect.
    pub(crate) fn forward_until(
        &self,
        ended: BorrowedFd<'_>,
        container: &Container,
        pid: i32,
        mut relay: Option<Relay>,
    ) -> anyhow::Result<ExitStatus> {
        let mut life = Life::Alive;
        loop {
            self.wait(relay.as_ref(), (life == Life::Alive).then_some(ended))?;
            let forwarded = self.react(container, pid, relay.as_ref())?;
            // Nobody was left to forward a signal to: it is for us, who can't get the output written.
            let is_cut_short = forwarded && life == Life::Ended;
            // Before the copying: what it has written by then is there to be read.
            if life == Life::Alive && has_ended(ended)? {
                life = Life::Ended;
            }
            let left = relay.as_mut().map_or(Left::Nothing, Relay::copy);
            if life == Life::Ended && (left == Left::Nothing || is_cut_short) {
                return Ok(container.wait()?);
            }
        }
    }

    fn wait(&self, relay: Option<&Relay>, ended: Option<BorrowedFd<'_>>) -> anyhow::Result<()> {
        let mut fds = vec![PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        fds.extend(ended.map(|ended| PollFd::new(ended, PollFlags::POLLIN)));
        if let Some(relay) = relay {
            relay.wanted(&mut fds);
        }
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(text::errno(errno).context("poll")),
        }
    }

    /// Whether a signal was forwarded, or could not be because there is no process.
    fn react(
        &self,
        container: &Container,
        pid: i32,
        relay: Option<&Relay>,
    ) -> anyhow::Result<bool> {
        let mut forwarded = false;
        while let Some(info) = self.0.read_signal().map_err(text::errno).context("read signalfd")? {
            let signal = i32::try_from(info.ssi_signo).unwrap_or(0);
            match reaction(signal) {
                Reaction::Ignore => {}
                Reaction::Reap => reap_all_but(pid),
                Reaction::Resize => relay.into_iter().for_each(Relay::resize),
                Reaction::Forward => {
                    forwarded = true;
                    // A process that has just ended can't be signalled: the pidfd tells that.
                    match container.kill(signal) {
                        Ok(()) => log::debug!("forwarded signal {signal}"),
                        Err(error) => log::debug!("forward signal {signal}: {error}"),
                    }
                }
            }
        }
        Ok(forwarded)
    }
}

/// Whether the process of a pidfd has ended.
fn has_ended(process: BorrowedFd<'_>) -> anyhow::Result<bool> {
    poll(&mut [PollFd::new(process, PollFlags::POLLIN)], PollTimeout::ZERO)
        .map(|count| count > 0)
        .map_err(text::errno)
        .context("poll")
}

fn reaction(signal: i32) -> Reaction {
    match Signal::try_from(signal) {
        Ok(Signal::SIGCHLD) => Reaction::Reap,
        Ok(Signal::SIGWINCH) => Reaction::Resize,
        Ok(Signal::SIGURG) => Reaction::Ignore,
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
                23 => Reaction::Ignore,
                28 => Reaction::Resize,
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
