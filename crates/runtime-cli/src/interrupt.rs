//! A command that is asked to end while it makes a container: what it waits for is killed, so that making
//! the container fails and what was made is removed.

use std::fs;
use std::process::id;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context, anyhow};
use libcontainer::{Container, Delete};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

use crate::text;

/// The signals that ask for an end.
const ASKING: [Signal; 3] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM];

/// What the one who makes a container and the one who looks for signals know of each other.
#[derive(Debug, Default)]
struct Making {
    /// The last signal that came.
    asked: Option<Signal>,
    /// Nobody is to be killed any more.
    over: bool,
}

/// Makes a container, unless a signal asks for an end meanwhile: then there is none.
pub(crate) fn interruptible(
    make: impl FnOnce() -> anyhow::Result<Container>,
) -> anyhow::Result<Container> {
    let status = fs::read_to_string("/proc/self/status").map_err(|error| text::io(&error));
    let asking = heeded(&status.context("read /proc/self/status")?);
    asking.thread_block().map_err(text::errno).context("sigprocmask(SIG_BLOCK)")?;
    let signals = SignalFd::with_flags(&asking, SfdFlags::SFD_CLOEXEC)
        .map_err(text::errno)
        .context("signalfd")?;
    let making = Arc::new(Mutex::new(Making::default()));
    let shared = Arc::clone(&making);
    // It is not waited for: that would be one thing more that can hang. It ends with this process.
    let watching = thread::Builder::new().spawn(move || watch(&signals, &shared));
    watching.map_err(|error| text::io(&error)).context("clone of a thread")?;
    let made = make();
    let asked = {
        let mut making = lock(&making);
        making.over = true;
        making.asked
    };
    asking.thread_unblock().map_err(text::errno).context("sigprocmask(SIG_UNBLOCK)")?;
    let Some(signal) = asked else { return made };
    match made.and_then(|container| Ok(container.delete(Delete::Force)?)) {
        Ok(_) => Err(anyhow!("interrupted by {signal}")),
        Err(error) => Err(error.context(format!("interrupted by {signal}"))),
    }
}

fn lock(making: &Mutex<Making>) -> MutexGuard<'_, Making> {
    making.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Those that the caller has not set to be ignored, as nohup(1) does.
fn heeded(status: &str) -> SigSet {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    ASKING.into_iter().filter(|signal| ignored >> (*signal as i32 - 1) & 1 == 0).collect()
}

/// Waits for signals until the container is made or has failed.
fn watch(signals: &SignalFd, making: &Mutex<Making>) {
    loop {
        let info = match signals.read_signal() {
            Ok(Some(info)) => info,
            Ok(None) | Err(Errno::EINTR) => continue,
            Err(_) => return,
        };
        let mut making = lock(making);
        if making.over {
            return;
        }
        making.asked = i32::try_from(info.ssi_signo).ok().and_then(|n| Signal::try_from(n).ok());
        kill_children();
    }
}

/// Kills init and the hooks, which are all the children that there are. Once a signal, because hooks that
/// clean up come after. A stopped process dies too.
fn kill_children() {
    let path = format!("/proc/self/task/{}/children", id());
    let children = fs::read_to_string(path).unwrap_or_default();
    for pid in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
        // One that has ended has been waited for.
        kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_that_are_ignored_stay_ignored() {
        for (mask, expected) in [
            ("0000000000000000", &ASKING[..]),
            ("0000000000001000", &ASKING),
            ("0000000000001001", &ASKING[1..]),
            ("0000000000004003", &[]),
        ] {
            let heeded = heeded(&format!("Name:\ttare\nSigIgn:\t{mask}\nSigCgt:\t0\n"));
            assert_eq!(heeded.iter().collect::<Vec<_>>(), expected, "{mask}");
        }
    }
}
