//! How a process has ended, for those who wait for it through a pidfd: waitid(2) for a parent, and
//! `PIDFD_GET_INFO` where somebody else reaps.

use std::fs;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::poll::PollFlags;

use super::poll_until;
use super::stat::Stat;
use crate::container::ExitStatus;
use crate::error::{Error, ErrorKind, Result};
use crate::sys::pidfd::{PidfdInfo, pidfd_info, waitid};

/// Blocks until a process has ended, and says how.
///
/// The caller's own child is reaped. If another thread of the caller, or another process, reaps it, or
/// will, the kernel keeps the status for those who have a pidfd since Linux 6.15. A zombie of somebody
/// else, who may never reap it, is read; if we may not, this blocks until it is reaped.
pub(crate) fn exit_status(pidfd: BorrowedFd<'_>) -> Result<ExitStatus> {
    poll_until(pidfd, PollFlags::POLLIN, None)?;
    match waitid(pidfd) {
        Ok(waited) if waited.code == libc::CLD_EXITED => {
            return Ok(ExitStatus::Exited(waited.status));
        }
        Ok(waited) => return Ok(ExitStatus::Signaled(waited.status)),
        Err(Errno::ECHILD) => {}
        Err(errno) => return Err(Error::os("waitid(P_PIDFD, WEXITED)", errno as i32)),
    }
    if let Some(status) = zombie_status(pidfd)? {
        return Ok(status);
    }
    // The status appears when the process is reaped, and so does POLLHUP.
    poll_until(pidfd, PollFlags::empty(), None)?;
    let info = ask(pidfd).map_err(|errno| lost(Some(errno)))?;
    info.wait_status.map(decode).ok_or_else(|| lost(None))
}

/// `PIDFD_GET_INFO`. The kernel looks for the exit status first and for the task then: whoever is reaped
/// between the two is neither, and has left its status by the next time.
fn ask(pidfd: BorrowedFd<'_>) -> nix::Result<PidfdInfo> {
    match pidfd_info(pidfd) {
        Err(Errno::ESRCH) => pidfd_info(pidfd),
        other => other,
    }
}

/// How a zombie has ended, if it still is one and we may know.
fn zombie_status(pidfd: BorrowedFd<'_>) -> Result<Option<ExitStatus>> {
    let info = ask(pidfd).map_err(|errno| lost(Some(errno)))?;
    if let Some(status) = info.wait_status {
        return Ok(Some(decode(status)));
    }
    let Some(stat) = Stat::read(info.pid)? else {
        return Ok(None);
    };
    // The kernel shows 0 to those who may not know, and ESRCH or EACCES for `exe`; a zombie has none.
    let exe = fs::read_link(format!("/proc/{}/exe", info.pid));
    let may_know = exe.is_err_and(|error| error.raw_os_error() == Some(libc::ENOENT));
    // Not reaped until now: so this was its pid all the time.
    let still = ask(pidfd).map_err(|errno| lost(Some(errno)))?;
    Ok(match still.wait_status {
        Some(status) => Some(decode(status)),
        None if may_know && stat.state == b'Z' => Some(decode(stat.exit_code)),
        None => None,
    })
}

fn lost(errno: Option<Errno>) -> Error {
    let call = "exit status of a process that is not our child, or was reaped: ioctl(pidfd, PIDFD_GET_INFO)";
    match errno {
        Some(errno) => Error::os(call, errno as i32).with_kind(ErrorKind::Unsupported),
        None => Error::new(
            ErrorKind::Unsupported,
            format!("{call}: it was not kept: Linux 6.15 is the least"),
        ),
    }
}

/// A status word of wait(2).
fn decode(status: i32) -> ExitStatus {
    if libc::WIFSIGNALED(status) {
        ExitStatus::Signaled(libc::WTERMSIG(status))
    } else {
        ExitStatus::Exited(libc::WEXITSTATUS(status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::pidfd::{pidfd_open, pidfd_send_signal};
    use std::io::{BufRead, BufReader};
    use std::os::fd::{AsFd, OwnedFd};
    use std::process::{Child, Command, Stdio};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    /// A child that ends with a status as soon as its standard input is closed.
    fn child(status: i32) -> (Child, OwnedFd) {
        let child = Command::new("sh")
            .args(["-c", &format!("read x; exit {status}")])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let pidfd = pidfd_open(child.id().cast_signed()).unwrap();
        (child, pidfd)
    }

    /// A shell with a child of its own, `sleep`; the pidfd is that of the latter.
    fn grandchild(then: &str) -> (Child, OwnedFd) {
        let mut shell = Command::new("sh")
            .args(["-c", &format!("sleep 60 >/dev/null & echo $!; {then}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let pidfd = pidfd_open(line.trim().parse().unwrap()).unwrap();
        (shell, pidfd)
    }

    #[test]
    fn a_child_is_waited_for_and_reaped() {
        let (mut child, pidfd) = child(7);
        let closer = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            child.stdin.take();
        });
        assert_eq!(exit_status(pidfd.as_fd()).unwrap(), ExitStatus::Exited(7));
        closer.join().unwrap();
        assert_eq!(pidfd_send_signal(pidfd.as_fd(), 0), Err(Errno::ESRCH));
    }

    #[test]
    fn every_signal_is_told() {
        for signal in [libc::SIGKILL, libc::SIGTERM, libc::SIGSYS, 34, 64] {
            let (_child, pidfd) = child(0);
            pidfd_send_signal(pidfd.as_fd(), signal).unwrap();
            let status = exit_status(pidfd.as_fd()).unwrap();
            assert_eq!(status, ExitStatus::Signaled(signal));
        }
    }

    #[test]
    fn a_process_that_its_parent_reaps_is_told() {
        if crate::sys::probe::kernel_version() < (6, 15) {
            return eprintln!("skipped: PIDFD_INFO_EXIT is Linux 6.15");
        }
        let (mut shell, pidfd) = grandchild("wait; read x");
        pidfd_send_signal(pidfd.as_fd(), libc::SIGTERM).unwrap();
        poll_until(pidfd.as_fd(), PollFlags::empty(), None).unwrap();
        let status = exit_status(pidfd.as_fd()).unwrap();
        assert_eq!(status, ExitStatus::Signaled(libc::SIGTERM));
        // Again: it is kept for as long as the pidfd is open.
        let status = exit_status(pidfd.as_fd()).unwrap();
        assert_eq!(status, ExitStatus::Signaled(libc::SIGTERM));
        shell.stdin.take();
        shell.wait().unwrap();
    }

    #[test]
    fn a_process_that_nobody_reaps_is_told() {
        if crate::sys::probe::kernel_version() < (6, 13) {
            return eprintln!("skipped: PIDFD_GET_INFO is Linux 6.13");
        }
        let (mut shell, pidfd) = grandchild("exec cat");
        pidfd_send_signal(pidfd.as_fd(), libc::SIGTERM).unwrap();
        let (sender, told) = mpsc::channel();
        let own = pidfd.try_clone().unwrap();
        // Not joined: it would wait for ever if it waited for somebody to reap.
        thread::spawn(move || sender.send(exit_status(own.as_fd())));
        let status = told.recv_timeout(Duration::from_secs(10)).unwrap().unwrap();
        assert_eq!(status, ExitStatus::Signaled(libc::SIGTERM));
        assert_eq!(pidfd_send_signal(pidfd.as_fd(), 0), Ok(()), "still a zombie");
        shell.stdin.take();
        shell.wait().unwrap();
    }

    #[test]
    fn status_words_are_those_of_wait() {
        for (word, status) in [
            (0, ExitStatus::Exited(0)),
            (255 << 8, ExitStatus::Exited(255)),
            (9, ExitStatus::Signaled(9)),
            (11 | 0x80, ExitStatus::Signaled(11)),
            (64, ExitStatus::Signaled(64)),
        ] {
            assert_eq!(decode(word), status, "{word:#x}");
        }
    }

    /// A reaper takes the children of all threads: so this needs a process of its own.
    #[test]
    fn the_status_is_right_though_another_thread_reaps_every_child() {
        if crate::sys::probe::kernel_version() < (6, 15) {
            return eprintln!("skipped: PIDFD_INFO_EXIT is Linux 6.15");
        }
        let output = Command::new("/proc/self/exe")
            .args(["--ignored", "--exact", "--nocapture", "--test-threads=1"])
            .arg("process::exit::tests::with_a_reaper")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{output:?}");
        assert!(text.contains("1 passed"), "{text}");
    }

    #[test]
    #[ignore = "run by the test above, in a process of its own"]
    fn with_a_reaper() {
        let done = AtomicBool::new(false);
        let (told, reaped) = thread::scope(|scope| {
            let reaper = scope.spawn(|| {
                let mut reaped = 0;
                while !done.load(Ordering::Relaxed) {
                    match nix::sys::wait::wait() {
                        Ok(_) => reaped += 1,
                        Err(_) => thread::yield_now(),
                    }
                }
                reaped
            });
            let told: Vec<_> = (0..200).map(one_round).collect();
            done.store(true, Ordering::Relaxed);
            (told, reaper.join().unwrap())
        });
        for (told, expected) in told {
            assert_eq!(told.unwrap(), expected);
        }
        assert!(reaped > 0, "the reaper came never first: nothing was tested");
    }

    fn one_round(round: i32) -> (Result<ExitStatus>, ExitStatus) {
        let (mut child, pidfd) = child(round);
        let expected = if round % 3 == 0 {
            pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL).unwrap();
            ExitStatus::Signaled(libc::SIGKILL)
        } else {
            child.stdin.take();
            ExitStatus::Exited(round)
        };
        (exit_status(pidfd.as_fd()), expected)
    }
}
