//! Spawns init and hands it its plan.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::PollFlags;
use nix::sys::signal::{Signal, killpg};
use nix::sys::socket::{AddressFamily, Shutdown, SockFlag, SockType, shutdown, socketpair};
use nix::unistd::Pid;

use super::conversation::{Received as Heard, hear, say};
use super::executable::{Executable, data_flag, sealed};
use super::made::Inode;
use super::namespace::{check_foreign, open_namespace};
use super::status::Status;
use crate::container::ExitStatus;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::plan::protocol::Kind;
use crate::plan::{NamespaceKind, Plan, Received};
use crate::process::{exit_status, poll_until};
use crate::sys::pidfd::{pidfd_send_signal, waitid, waitid_by_pid};
use crate::sys::spawn::{Child, Spawn};
use crate::sys::{own, spawn as sys};

/// The descriptors that init gets beside its plan.
#[derive(Debug)]
pub(crate) struct Streams<'a> {
    /// The listening socket, for a container.
    pub(crate) gate: Option<BorrowedFd<'a>>,
    /// The standard streams, if the caller gave some.
    pub(crate) stdio: Option<&'a [OwnedFd; 3]>,
    /// The v2 cgroup.
    pub(crate) cgroup: Option<BorrowedFd<'a>>,
}

/// Init while it works. Dropping the value kills it, unless it was let go.
#[derive(Debug)]
pub(crate) struct Init {
    /// The container's first process, or the first stage as long as there is no second one.
    process: Option<Child>,
    second: Second,
    pub(super) control: OwnedFd,
    pub(super) status: Status,
}

/// The second stage, which the kernel makes a child of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Second {
    /// There is none, or it is known.
    Settled,
    /// The first stage may have cloned it.
    ToCome,
    /// It has this pid, and its pidfd is lost.
    Nameless(i32),
}

/// How long a process takes from the begin of its exit to its end. Only a create that has failed waits for it.
const EXIT_TIME: Duration = Duration::from_millis(200);

/// How long the first stage may take to say what has become of it.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Spawns init; from here on it works by itself.
pub(crate) fn spawn(plan: &Plan, executable: &Executable, streams: &Streams<'_>) -> Result<Init> {
    let namespaces = open_namespaces(plan)?;
    let data = data_flag();
    let image = sealed(c"tare-plan", plan.image.bytes(), data)?;
    let status = Status::new(data)?;
    let (ours, theirs) = control_pair(plan)?;
    let number = CString::new(theirs.as_raw_fd().to_string()).unwrap_or_default();
    let child = spawn_unless_busy(&Spawn {
        executable: executable.as_fd(),
        arguments: [c"tare-init", &number],
        inherited: theirs.as_fd(),
        namespaces: plan.spawn_flags,
        cgroup: if plan.two_stages { None } else { streams.cgroup },
    })?;
    let second = if plan.two_stages { Second::ToCome } else { Second::Settled };
    let init = Init { process: Some(child), second, control: ours, status };
    drop(theirs);
    let mut along: Vec<RawFd> = vec![image.as_raw_fd(), init.status.as_raw_fd()];
    let mut namespaces = namespaces.iter();
    for received in &plan.received {
        let fd = match received {
            Received::Gate => streams.gate.map(|gate| gate.as_raw_fd()),
            Received::Stdio(stream) => streams.stdio.map(|stdio| stdio[*stream].as_raw_fd()),
            Received::Namespace { .. } => namespaces.next().map(AsRawFd::as_raw_fd),
            Received::UnifiedCgroup => streams.cgroup.map(|cgroup| cgroup.as_raw_fd()),
        };
        along.push(fd.ok_or_else(|| Error::new(ErrorKind::Internal, "a descriptor is missing"))?);
    }
    let length = u32::try_from(plan.image.bytes().len()).unwrap_or(u32::MAX);
    say(init.control.as_fd(), length, &along).context(|| "hand over the plan")?;
    Ok(init)
}

/// Spawns. An executable in the state directory, which was written a moment ago, can't be executed while a
/// child that another thread of the caller forked meanwhile has a copy of the descriptor that wrote it;
/// its execve closes that.
fn spawn_unless_busy(spawn: &Spawn<'_>) -> Result<Child> {
    const ATTEMPTS: usize = 1000;
    let mut attempt = 0;
    loop {
        attempt += 1;
        match sys::spawn(spawn) {
            Err(failed) if failed.errno == Errno::ETXTBSY && attempt < ATTEMPTS => {
                sleep(Duration::from_millis(1));
            }
            spawned => {
                return spawned.map_err(|failed| {
                    Error::os(failed.call, failed.errno as i32).context("spawn init")
                });
            }
        }
    }
}

fn open_namespaces(plan: &Plan) -> Result<Vec<OwnedFd>> {
    let namespaces = plan.received.iter().filter_map(|received| match received {
        Received::Namespace { kind, path, property } => Some((*kind, path, property)),
        _ => None,
    });
    let open = |(kind, path, property): (NamespaceKind, &PathBuf, &String)| {
        let namespace = open_namespace(kind, path, property)?;
        for (_, message) in plan.host.foreign.iter().filter(|(foreign, _)| *foreign == kind) {
            check_foreign(namespace.as_fd(), kind, message)?;
        }
        Ok(namespace)
    };
    namespaces.map(open).collect()
}

/// The pair over which host side and init talk. Init's end lies above the descriptors that the user's
/// process inherits, which may have holes.
fn control_pair(plan: &Plan) -> Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
            .map_err(|errno| Error::os("socketpair(AF_UNIX, SOCK_SEQPACKET)", errno as i32))?;
    let least = i32::try_from(plan.preserve_fds.saturating_add(3)).unwrap_or(i32::MAX);
    if theirs.as_raw_fd() >= least {
        return Ok((ours, theirs));
    }
    let moved = fcntl(&theirs, FcntlArg::F_DUPFD_CLOEXEC(least))
        .map_err(|errno| Error::os(format!("fcntl(F_DUPFD_CLOEXEC, {least})"), errno as i32))
        .context(|| format!("preserve {} file descriptors", plan.preserve_fds))?;
    Ok((ours, own(moved)))
}

impl Init {
    /// The process that the next steps are about.
    pub(super) fn pid(&self) -> i32 {
        self.process.as_ref().map_or(0, |child| child.pid)
    }

    /// The first stage has done its work: the container's first process takes its place.
    pub(super) fn replace(&mut self, pid: i32, pidfd: Option<OwnedFd>) -> Result<()> {
        let Some(pidfd) = pidfd else {
            self.second = Second::Nameless(pid);
            // The kernel drops a descriptor that it can't install, and does not say why.
            return Err(Error::os("recvmsg(pidfd of init)", libc::EMFILE));
        };
        self.second = Second::Settled;
        if let Some(first) = self.process.replace(Child { pid, pidfd }) {
            // It exits after its report. Whoever else reaps it is welcome.
            waitid(first.pidfd.as_fd()).ok();
        }
        Ok(())
    }

    /// Hears what the first stage still has to say about the second one. Both end when nobody talks to
    /// them any more.
    fn hear_out(&mut self) -> Result<()> {
        let deadline = Instant::now() + LAST_WORDS;
        while self.second == Second::ToCome {
            let said = poll_until(self.control.as_fd(), PollFlags::POLLIN, Some(deadline))?;
            if said.is_empty() {
                return Ok(());
            }
            match hear(self.control.as_fd())? {
                Heard::Message(message, pidfd) if message.kind == Kind::Spawned as u32 => {
                    self.replace(i32::try_from(message.a).unwrap_or(0), pidfd)?;
                }
                Heard::Message(..) => {}
                Heard::HungUp => return Ok(()),
            }
        }
        Ok(())
    }

    /// Ends init, and says what it has made in the root filesystem.
    pub(crate) fn end_and_tell(mut self) -> Vec<Inode> {
        self.finish();
        self.status.made()
    }

    /// Whether it has ended, or is about to: a process that exits leaves its cgroups, and has no memory any
    /// more, before its pidfd says so.
    pub(super) fn has_ended(&self) -> bool {
        let deadline = Instant::now() + EXIT_TIME;
        let ended = |pidfd| poll_until(pidfd, PollFlags::POLLIN, Some(deadline));
        self.pidfd().and_then(ended).is_ok_and(|events| !events.is_empty())
    }

    /// How init ended, once it has hung up.
    pub(super) fn end(&mut self) -> Result<ExitStatus> {
        match self.process.take() {
            Some(child) => exit_status(child.pidfd.as_fd()),
            None => Err(Error::new(ErrorKind::Internal, "init has ended twice")),
        }
    }

    pub(super) fn pidfd(&self) -> Result<BorrowedFd<'_>> {
        let child = self.process.as_ref();
        child
            .map(|child| child.pidfd.as_fd())
            .ok_or_else(|| Error::new(ErrorKind::Internal, "init has ended"))
    }

    /// Kills the process group that it leads.
    pub(super) fn kill_group(&self) {
        // It has not been waited for, so that the number still is its own.
        killpg(Pid::from_raw(self.pid()), Signal::SIGKILL).ok();
    }

    /// Ends whatever of init there is.
    fn finish(&mut self) {
        if self.second != Second::Settled {
            shutdown(self.control.as_raw_fd(), Shutdown::Write).ok();
            // The failure that led here is what the caller is told.
            self.hear_out().ok();
        }
        if let Some(child) = self.process.take() {
            // It may have ended already, and may have been reaped by others: gone is gone.
            pidfd_send_signal(child.pidfd.as_fd(), libc::SIGKILL).ok();
            waitid(child.pidfd.as_fd()).ok();
        }
        if let Second::Nameless(pid) = std::mem::replace(&mut self.second, Second::Settled) {
            waitid_by_pid(pid).ok();
        }
    }

    /// Lets init go: it stays when the value is dropped.
    pub(crate) fn release(mut self) -> Option<OwnedFd> {
        self.process.take().map(|child| child.pidfd)
    }
}

impl Drop for Init {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::Path;

    use super::*;
    use crate::plan::format::{HEADER, Operation, Text};
    use crate::plan::protocol::{Cause, Fault, Message};
    use crate::plan::{Hook, HookKind, Image};
    use crate::sys::probe::memfd_exec;

    fn plan() -> Plan {
        let hook = Hook {
            kind: HookKind::Prestart,
            index: 0,
            path: "/bin/false".into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            timeout: None,
        };
        Plan::of_hook(&hook, Path::new("/")).unwrap()
    }

    /// What init says first about an image, whose header is made to fit.
    fn said_first(mut image: Vec<u8>) -> Box<Message> {
        let length = u32::try_from(image.len()).unwrap();
        image[8..12].copy_from_slice(&length.to_le_bytes());
        let plan = Plan { image: Image::of(&image), ..plan() };
        let stdio = [(); 3].map(|()| OwnedFd::from(File::open("/dev/null").unwrap()));
        let directory = tempfile::tempdir().unwrap();
        let directory = File::open(directory.path()).unwrap();
        let executable = Executable::new(memfd_exec(), directory.as_fd()).unwrap();
        let streams = Streams { gate: None, stdio: Some(&stdio), cgroup: None };
        let init = spawn(&plan, &executable, &streams).unwrap();
        match hear(init.control.as_fd()).unwrap() {
            Heard::Message(message, _) => message,
            Heard::HungUp => panic!("init has said nothing"),
        }
    }

    #[test]
    fn init_does_nothing_of_a_plan_that_is_broken_further_on() {
        let plan = plan();
        let (header, records) = plan.image.bytes().split_at(HEADER);
        // An operation that can be heard.
        let mut speaks = Vec::new();
        Operation::RuntimeHooks {}.encode(Text::from_c_str(c"x"), &mut speaks);
        let length = u32::try_from(speaks.len()).unwrap().to_le_bytes();
        let begin = [header, &length, &speaks].concat();
        let whole = [&begin, records].concat();
        assert_eq!(said_first(whole.clone()).kind, Kind::RuntimeHooks as u32);
        let cut = whole[..whole.len() - 1].to_vec();
        for broken in [begin, cut, [whole, vec![0]].concat()] {
            let message = said_first(broken);
            assert_eq!((message.kind, message.a), (Kind::Failed as u32, 0));
            assert_eq!(message.fault, Fault::of(Cause::BadPlan));
        }
    }
}
