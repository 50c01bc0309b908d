//! Which process a pid means, and how it ends.
//!
//! A pid is used again after its process was reaped, and after a reboot. What is written down is
//! therefore a [`ProcessId`], and what is signalled is a [`LiveProcess`]: a pidfd, opened first and
//! compared then, so that it is the process that was written down or none (SECURITY.md, "Identity of
//! processes"). Nothing in this crate calls kill(2).
//!
//! Since Linux 6.9 each pidfd has an inode number that no other process of this boot ever has. Before,
//! the start time tells processes apart: field 22 of `/proc/PID/stat`, in ticks of 10 ms.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::fstat;
use nix::sys::statfs::{FsType, fstatfs};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::sys::pidfd::{pidfd_open, pidfd_send_signal};

mod exit;
mod stat;

pub(crate) use exit::exit_status;
#[cfg(not(any(test, fuzzing)))]
use stat::Stat;
#[cfg(any(test, fuzzing))]
pub(crate) use stat::Stat;

/// The file system of pidfds since Linux 6.9 (`linux/magic.h`).
const PID_FS_MAGIC: FsType = FsType(0x5049_4446);

/// A process of this host, for ever: as it can be written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    /// Its pid, in the pid namespace of the one who wrote this.
    pub(crate) pid: i32,
    /// What tells it from later processes with this pid.
    pub(crate) birth: Birth,
    /// What tells this boot from others, at which everything began again.
    pub(crate) boot_id: BootId,
}

/// What tells a process from later ones with the same pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Birth {
    /// The inode number of its pidfd.
    PidfdInode(u64),
    /// When it began, in clock ticks since boot.
    StartTime(u64),
}

/// `/proc/sys/kernel/random/boot_id`: random, and another one after each boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct BootId(String);

/// A file, for as long as somebody has it open: `st_dev` and `st_ino`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Inode {
    /// The device of its file system.
    pub(crate) device: u64,
    /// Its number there.
    pub(crate) number: u64,
}

/// A process that was there when we looked, and that we can signal and wait for without a doubt.
#[derive(Debug)]
pub(crate) struct LiveProcess {
    pid: i32,
    pidfd: OwnedFd,
}

/// Whether a process has ended. A zombie has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// It has not.
    Alive,
    /// It has.
    Gone,
}

impl BootId {
    /// That of this boot.
    pub(crate) fn current() -> Result<Self> {
        const PATH: &str = "/proc/sys/kernel/random/boot_id";
        let mut text = [0; 36];
        let read = File::open(PATH).and_then(|mut file| file.read_exact(&mut text));
        match read {
            Ok(()) => Ok(Self(String::from_utf8_lossy(&text).into_owned())),
            Err(error) => Err(Error::io(format!("read(\"{PATH}\")"), &error)),
        }
    }
}

impl ProcessId {
    /// The identity of a process of which the caller has a pidfd, for example from clone3(2).
    pub(crate) fn of(pid: i32, pidfd: BorrowedFd<'_>) -> Result<Self> {
        let birth = match pidfd_inode(pidfd)? {
            Some(inode) => Birth::PidfdInode(inode),
            None => start_time_of(pid, pidfd)?,
        };
        Ok(Self { pid, birth, boot_id: BootId::current()? })
    }

    /// The identity of the calling process.
    pub(crate) fn of_caller() -> Result<Self> {
        let pid = std::process::id().cast_signed();
        let pidfd = pidfd_open(pid)
            .map_err(|errno| Error::os(format!("pidfd_open({pid})"), errno as i32))?;
        Self::of(pid, pidfd.as_fd())
    }

    /// The process, unless it has ended. A zombie has, and so has everything from before a reboot.
    pub(crate) fn open(&self) -> Result<Option<LiveProcess>> {
        let Some(pidfd) = self.open_unreaped()? else {
            return Ok(None);
        };
        let process = LiveProcess::new(self.pid, pidfd);
        match process.wait_exit(Duration::ZERO)? {
            Life::Alive => Ok(Some(process)),
            Life::Gone => Ok(None),
        }
    }

    /// A pidfd of the process, which may be a zombie.
    pub(crate) fn open_unreaped(&self) -> Result<Option<OwnedFd>> {
        // EINVAL: a pid below 1, which only a damaged record can have.
        let pidfd = match pidfd_open(self.pid) {
            Ok(pidfd) => pidfd,
            Err(Errno::ESRCH | Errno::EINVAL) => return Ok(None),
            Err(errno) => {
                return Err(Error::os(format!("pidfd_open({})", self.pid), errno as i32));
            }
        };
        let is_same = match self.birth {
            Birth::PidfdInode(inode) => pidfd_inode(pidfd.as_fd())? == Some(inode),
            Birth::StartTime(ticks) => start_time(self.pid)? == Some(ticks),
        };
        if !is_same || BootId::current()? != self.boot_id {
            return Ok(None);
        }
        // Last, because if the pidfd's process is still there, what was read by pid above was its own.
        match pidfd_send_signal(pidfd.as_fd(), 0) {
            Err(Errno::ESRCH) => Ok(None),
            // EPERM: it is there, and not ours to signal.
            _ => Ok(Some(pidfd)),
        }
    }
}

impl LiveProcess {
    /// A process of which the caller has a pidfd, for example from clone3(2).
    pub(crate) fn new(pid: i32, pidfd: OwnedFd) -> Self {
        Self { pid, pidfd }
    }

    /// Its pid in the caller's pid namespace.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Sends a signal. `Gone` if there was nobody left to take it; a zombie takes signals.
    pub(crate) fn signal(&self, signal: i32) -> Result<Life> {
        match pidfd_send_signal(self.pidfd.as_fd(), signal) {
            Ok(()) => Ok(Life::Alive),
            Err(Errno::ESRCH) => Ok(Life::Gone),
            Err(errno) => {
                let call = format!("pidfd_send_signal({}, {signal})", self.pid);
                Err(Error::os(call, errno as i32))
            }
        }
    }

    /// Waits until the process has ended, or for `timeout`.
    pub(crate) fn wait_exit(&self, timeout: Duration) -> Result<Life> {
        let deadline = Instant::now() + timeout;
        let events = poll_until(self.pidfd.as_fd(), PollFlags::POLLIN, Some(deadline))?;
        Ok(if events.is_empty() { Life::Alive } else { Life::Gone })
    }

    /// The file that it executes; none if it has ended. `/proc/PID/exe` is a path to follow only: the
    /// name that it shows is the container's to choose.
    pub(crate) fn executable(&self) -> Result<Option<Inode>> {
        let path = format!("/proc/{}/exe", self.pid);
        let inode = match fs::metadata(&path) {
            Ok(file) => Some(Inode { device: file.dev(), number: file.ino() }),
            Err(error) if is_gone(&error) => None,
            Err(error) => return Err(Error::io(format!("stat(\"{path}\")"), &error)),
        };
        // As in `open`: the pid was this process's own if it is still there.
        match self.wait_exit(Duration::ZERO)? {
            Life::Alive => Ok(inode),
            Life::Gone => Ok(None),
        }
    }
}

impl AsFd for LiveProcess {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// poll(2) of one descriptor, until there is something or the deadline is over; then nothing.
pub(crate) fn poll_until(
    fd: BorrowedFd<'_>,
    flags: PollFlags,
    deadline: Option<Instant>,
) -> Result<PollFlags> {
    loop {
        let timeout = match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
            // Rounded up, so that the last round does not spin; the longest is 24 days, then again.
            Some(left) => {
                PollTimeout::try_from(left.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX)
            }
            None => PollTimeout::NONE,
        };
        let mut fds = [PollFd::new(fd, flags)];
        match poll(&mut fds, timeout) {
            Ok(0) if deadline.is_some_and(|at| Instant::now() >= at) => {
                return Ok(PollFlags::empty());
            }
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(fds[0].revents().unwrap_or(PollFlags::POLLERR)),
            Err(errno) => return Err(Error::os("poll(pidfd)", errno as i32)),
        }
    }
}

/// The inode number of a pidfd where that is its own; before Linux 6.9 all pidfds share one inode.
fn pidfd_inode(pidfd: BorrowedFd<'_>) -> Result<Option<u64>> {
    let file_system = fstatfs(pidfd).map_err(|errno| Error::os("fstatfs(pidfd)", errno as i32))?;
    if file_system.filesystem_type() != PID_FS_MAGIC {
        return Ok(None);
    }
    let file = fstat(pidfd).map_err(|errno| Error::os("fstat(pidfd)", errno as i32))?;
    Ok(Some(file.st_ino))
}

/// The start time of a process that we have a pidfd of, and that may be a zombie.
fn start_time_of(pid: i32, pidfd: BorrowedFd<'_>) -> Result<Birth> {
    let gone = || Error::os(format!("read(\"/proc/{pid}/stat\")"), libc::ESRCH);
    let ticks = start_time(pid)?.ok_or_else(gone)?;
    // Not reaped until now: so this was its pid all the time.
    pidfd_send_signal(pidfd, 0).map_err(|errno| match errno {
        Errno::ESRCH => gone(),
        _ => Error::os(format!("pidfd_send_signal({pid}, 0)"), errno as i32),
    })?;
    Ok(Birth::StartTime(ticks))
}

fn start_time(pid: i32) -> Result<Option<u64>> {
    Ok(Stat::read(pid)?.map(|stat| stat.start_time))
}

/// A process's directory in /proc is not there, or went while we had it open.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::pidfd::sleeping_child_with_pid;
    use nix::sys::wait::waitpid;
    use nix::unistd::Pid;
    use std::process::{Child, Command, Stdio};
    use std::thread;

    /// A child that lives until its standard input is closed.
    fn child() -> (Child, LiveProcess) {
        let child =
            Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let pid = child.id().cast_signed();
        let process = LiveProcess::new(pid, pidfd_open(pid).unwrap());
        (child, process)
    }

    fn identify(process: &LiveProcess) -> ProcessId {
        ProcessId::of(process.pid(), process.as_fd()).unwrap()
    }

    /// The same as a kernel before Linux 6.9 has it.
    fn identify_by_start_time(process: &LiveProcess) -> ProcessId {
        ProcessId {
            birth: start_time_of(process.pid(), process.as_fd()).unwrap(),
            ..identify(process)
        }
    }

    #[test]
    fn a_process_is_found_until_it_ends() {
        let (mut child, process) = child();
        let ids = [identify(&process), identify_by_start_time(&process)];
        for id in &ids {
            let json = serde_json::to_string(id).unwrap();
            let id: ProcessId = serde_json::from_str(&json).unwrap();
            assert_eq!(id.open().unwrap().unwrap().pid(), process.pid(), "{json}");
        }
        assert_eq!(process.wait_exit(Duration::from_millis(20)).unwrap(), Life::Alive);
        assert_eq!(process.signal(libc::SIGKILL).unwrap(), Life::Alive);
        assert_eq!(process.wait_exit(Duration::from_secs(10)).unwrap(), Life::Gone);
        for id in &ids {
            assert!(id.open().unwrap().is_none(), "a zombie: {id:?}");
        }
        assert_eq!(process.executable().unwrap(), None);
        child.wait().unwrap();
        for id in &ids {
            assert!(id.open().unwrap().is_none(), "reaped: {id:?}");
        }
        assert_eq!(process.signal(libc::SIGTERM).unwrap(), Life::Gone);
        assert_eq!(process.executable().unwrap(), None);
        assert!(start_time_of(process.pid(), process.as_fd()).is_err());
    }

    #[test]
    fn another_birth_or_boot_is_another_process() {
        let (mut child, process) = child();
        let id = identify(&process);
        let Birth::StartTime(ticks) = identify_by_start_time(&process).birth else {
            panic!("no start time");
        };
        let others = [
            ProcessId { birth: Birth::StartTime(ticks - 1), ..id.clone() },
            ProcessId { birth: Birth::PidfdInode(1), ..id.clone() },
            ProcessId {
                boot_id: BootId("00000000-0000-0000-0000-000000000000".to_string()),
                ..id.clone()
            },
            ProcessId { pid: 0, ..id.clone() },
            ProcessId { pid: -1, ..id },
        ];
        for other in others {
            assert!(other.open().unwrap().is_none(), "{other:?}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_pid_that_is_used_again_is_another_process() {
        let (mut child, process) = child();
        let ids = [identify(&process), identify_by_start_time(&process)];
        let pid = process.pid();
        child.kill().unwrap();
        child.wait().unwrap();
        // Start times have a resolution of 10 ms.
        thread::sleep(Duration::from_millis(20));
        match sleeping_child_with_pid(pid) {
            Ok(()) => {}
            Err(Errno::EPERM) => {
                return eprintln!("skipped: to choose a pid takes CAP_CHECKPOINT_RESTORE");
            }
            Err(errno) => panic!("clone3(set_tid {pid}): {errno}"),
        }
        let second = LiveProcess::new(pid, pidfd_open(pid).unwrap());
        let found: Vec<bool> = ids.iter().map(|id| id.open().unwrap().is_some()).collect();
        let itself = identify(&second).open().unwrap().is_some();
        assert_eq!(second.signal(libc::SIGKILL).unwrap(), Life::Alive);
        waitpid(Pid::from_raw(pid), None).unwrap();
        assert_eq!((found, itself), (vec![false, false], true));
        assert_eq!(process.signal(libc::SIGKILL).unwrap(), Life::Gone);
    }

    #[test]
    fn the_executable_is_the_file_and_not_its_name() {
        let (mut child, process) = child();
        let inode = process.executable().unwrap().unwrap();
        let path = fs::read_link(format!("/proc/{}/exe", process.pid())).unwrap();
        let file = fs::metadata(path).unwrap();
        assert_eq!((inode.device, inode.number), (file.dev(), file.ino()));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn the_caller_finds_itself() {
        let id = ProcessId::of_caller().unwrap();
        assert_eq!(id.pid.cast_unsigned(), std::process::id());
        assert!(id.open().unwrap().is_some());
        let has_inode = matches!(id.birth, Birth::PidfdInode(_));
        assert_eq!(has_inode, crate::sys::probe::kernel_version() >= (6, 9));
        assert_eq!(id.boot_id.0.len(), 36);
    }
}
