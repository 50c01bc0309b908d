//! Who is in the container's cgroups, and their end. Works from a placement alone.
//!
//! v2 has `cgroup.kill` (Linux 5.14), which no fork can outrun. Without it the cgroup is frozen, each
//! process gets its SIGKILL, and it is thawed: a process that a v1 freezer holds doesn't even die.
//!
//! A pid that was read from a cgroup may belong to somebody else a moment later, so it is never
//! signalled: a pidfd is opened for it, and then the cgroup is read again. If the pid is in it while the
//! pidfd's process lives, then that process is the one.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::directory::{Directory, is_gone, read_at, write_at};
use super::placement::{Place, Placement};
use super::walk::{Step, walk};
use crate::error::{Error, ErrorKind, Result};
use crate::sys::pidfd::{pidfd_open, pidfd_send_signal};

/// How long the processes have to end. One in an uninterruptible sleep may take longer than anybody can
/// wait.
const DEADLINE: Duration = Duration::from_secs(10);
/// The first and the longest pause between two looks.
const PAUSES: (Duration, Duration) = (Duration::from_micros(100), Duration::from_millis(10));

/// The processes in the container's cgroups and below.
#[cfg(test)]
pub(crate) fn pids(placement: &Placement) -> Result<Vec<i32>> {
    members(&hold(placement.places())?)
}

/// A directory of a container, held open: when it is removed, and another container gets its path, those
/// are not its processes.
struct Held<'a> {
    place: &'a Place,
    directory: Directory,
}

/// The container's directories; of those that don't exist, nothing is to be killed.
fn hold<'a>(places: impl Iterator<Item = &'a Place>) -> Result<Vec<Held<'a>>> {
    let mut held = Vec::new();
    for place in places {
        match Directory::hierarchy(place)?.open(&place.below) {
            Ok(directory) => held.push(Held { place, directory }),
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(held)
}

/// The processes in the container's cgroups and below, each once, as this pid namespace sees them
/// (0 for one that it can't see).
fn members(cgroups: &[Held<'_>]) -> Result<Vec<i32>> {
    let mut pids = BTreeSet::new();
    for cgroup in cgroups {
        pids.append(&mut pids_of(&cgroup.directory)?);
    }
    Ok(pids.into_iter().collect())
}

/// Kills every process in the container's cgroups and below, and returns when none is left.
pub(crate) fn kill_all(placement: &Placement) -> Result<()> {
    kill_until(placement, Instant::now() + DEADLINE)
}

fn kill_until(placement: &Placement, deadline: Instant) -> Result<()> {
    let cgroups = hold(placement.places())?;
    let mut pause = PAUSES.0;
    let mut first = true;
    loop {
        let left = members(&cgroups)?;
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let message =
                format!("kill the processes of the cgroups {placement}: {left:?} still run");
            return Err(Error::new(ErrorKind::Os, message));
        }
        // The kernel's own way gets one try alone, because freezing only delays what it does. Whoever
        // then still is there is on a v1 hierarchy only, or came after.
        let by_the_kernel = cgroup_kill(&cgroups)?;
        if !(by_the_kernel && first) {
            freeze(&cgroups, Freeze::On)?;
            let signalled = signal(&cgroups, &left);
            freeze(&cgroups, Freeze::Off)?;
            signalled?;
        } else {
            freeze(&cgroups, Freeze::Off)?;
        }
        first = false;
        sleep(pause);
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// Writes `cgroup.kill`. False without a v2 hierarchy or before Linux 5.14.
fn cgroup_kill(cgroups: &[Held<'_>]) -> Result<bool> {
    let Some(unified) = cgroups.iter().find(|cgroup| cgroup.place.is_unified()) else {
        return Ok(false);
    };
    match unified.directory.write("cgroup.kill", "1") {
        Err(error) if is_gone(&error) => Ok(false),
        written => written.map(|()| true),
    }
}

/// Sends SIGKILL to those of `candidates` that are still in the container's cgroups.
fn signal(cgroups: &[Held<'_>], candidates: &[i32]) -> Result<()> {
    let mut held: Vec<(i32, OwnedFd)> = Vec::with_capacity(candidates.len());
    for &pid in candidates.iter().filter(|pid| **pid > 0) {
        match pidfd_open(pid) {
            Ok(pidfd) => held.push((pid, pidfd)),
            Err(Errno::ESRCH) => {}
            // The rest has its turn when these are gone.
            Err(Errno::EMFILE | Errno::ENFILE) if !held.is_empty() => break,
            Err(errno) => return Err(Error::os(format_args!("pidfd_open({pid})"), errno as i32)),
        }
    }
    let members = members(cgroups)?;
    for (pid, pidfd) in held {
        if members.binary_search(&pid).is_err() {
            continue;
        }
        match pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => {
                let call = format!("pidfd_send_signal(process {pid}, SIGKILL)");
                return Err(Error::os(call, errno as i32));
            }
        }
    }
    Ok(())
}

/// Thaws a container that a v1 freezer holds: no signal reaches its processes before, not even SIGKILL.
pub(crate) fn thaw_v1(placement: &Placement) -> Result<()> {
    let freezer = placement.v1.iter().filter(|place| place.has("freezer"));
    freeze(&hold(freezer)?, Freeze::Off)
}

/// What a freezer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Freeze {
    On,
    Off,
}

/// Freezes or thaws the container. The container's own cgroups below it are thawed as well: on v1 a
/// process that one of them holds doesn't die.
fn freeze(cgroups: &[Held<'_>], freeze: Freeze) -> Result<()> {
    let freezer = cgroups.iter().find(|cgroup| cgroup.place.has("freezer"));
    let unified = cgroups.iter().find(|cgroup| cgroup.place.is_unified());
    let v1 = freezer.map(|cgroup| (cgroup, "freezer.state", ["FROZEN", "THAWED"]));
    let v2 = unified.map(|cgroup| (cgroup, "cgroup.freeze", ["1", "0"]));
    let Some((Held { place, directory }, file, [on, off])) = v1.or(v2) else {
        return Ok(());
    };
    if freeze == Freeze::On {
        return match directory.write(file, on) {
            Err(error) if !is_gone(&error) => Err(error),
            _ => Ok(()),
        };
    }
    walk(directory, &mut |step| match step {
        Step::Leave(..) => Ok(()),
        Step::Enter(cgroup) => match write_at(cgroup, Path::new(file), off) {
            Ok(()) | Err(Errno::ENOENT | Errno::ENODEV) => Ok(()),
            Err(errno) => {
                let call = format!("write({file:?}, {off:?}) in or below {place}");
                Err(Error::os(call, errno as i32))
            }
        },
    })
}

/// The processes in a directory and below.
pub(super) fn pids_of(directory: &Directory) -> Result<BTreeSet<i32>> {
    let mut pids = BTreeSet::new();
    walk(directory, &mut |step| {
        let Step::Enter(cgroup) = step else {
            return Ok(());
        };
        match read_at(cgroup, Path::new("cgroup.procs")) {
            Ok(text) => pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok())),
            // Removed meanwhile; or part of a threaded subtree, whose processes the cgroup above lists.
            Err(Errno::ENOENT | Errno::ENODEV | Errno::EOPNOTSUPP) => {}
            Err(errno) => {
                let call = format!("read cgroup.procs in or below {}", directory.path().display());
                return Err(Error::os(call, errno as i32));
            }
        }
        Ok(())
    })?;
    Ok(pids)
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir, write};
    use std::process::Command;

    use super::super::scratch::{Inhabitant, Scratch, wait_for};
    use super::super::{Cgroup, remove};
    use super::*;

    fn created(scratch: &Scratch) -> Placement {
        let placement = scratch.place("/killed");
        let mut cgroup = Cgroup::new(placement.clone());
        cgroup.make_unified().unwrap();
        cgroup.make_v1().unwrap();
        cgroup.keep();
        placement
    }

    fn scratches(name: &str) -> impl Iterator<Item = Scratch> {
        [Scratch::host(name), Scratch::v1(name), Scratch::v2(name)].into_iter().flatten()
    }

    #[test]
    fn processes_that_fork_all_the_time_are_killed() {
        for scratch in scratches("forks") {
            let placement = created(&scratch);
            // Each starts its successor and dies, so that no list of pids is ever true.
            let script =
                r#"t() { ( t ) & exit 0; }; for i in 1 2 3; do ( t ) & done; exec sleep 1000"#;
            let inhabitant = Inhabitant::run(&placement, script);
            wait_for(|| pids(&placement).unwrap().len() >= 3);
            kill_all(&placement).unwrap();
            assert!(pids(&placement).unwrap().is_empty());
            drop(inhabitant);
            remove(&placement).unwrap();
        }
    }

    #[test]
    fn a_frozen_container_dies_also_where_it_froze_itself() {
        for scratch in scratches("frozen") {
            let placement = created(&scratch);
            let inhabitant = Inhabitant::sleep(&placement);
            let freezers = placement.places().filter(|p| p.is_unified() || p.has("freezer"));
            let place = freezers.last().unwrap();
            let sub = place.directory().join("sub");
            create_dir(&sub).unwrap();
            let procs = if place.is_unified() { "cgroup.procs" } else { "tasks" };
            write(sub.join(procs), inhabitant.child.id().to_string()).unwrap();
            let (file, value) = if place.is_unified() {
                ("cgroup.freeze", "1")
            } else {
                ("freezer.state", "FROZEN")
            };
            write(sub.join(file), value).unwrap();
            let start = Instant::now();
            kill_all(&placement).unwrap();
            assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
            drop(inhabitant);
            remove(&placement).unwrap();
        }
    }

    #[test]
    fn who_is_not_in_the_cgroup_is_not_signalled() {
        let Some(scratch) = Scratch::host("strangers") else {
            return;
        };
        let placement = created(&scratch);
        let mut stranger = Command::new("sleep").arg("1000").spawn().unwrap();
        let inhabitant = Inhabitant::sleep(&placement);
        let pid = |child: &std::process::Child| i32::try_from(child.id()).unwrap();
        signal(&hold(placement.places()).unwrap(), &[pid(&stranger), pid(&inhabitant.child)])
            .unwrap();
        wait_for(|| pids(&placement).unwrap().is_empty());
        assert!(stranger.try_wait().unwrap().is_none());
        stranger.kill().unwrap();
        stranger.wait().unwrap();
        drop(inhabitant);
        remove(&placement).unwrap();
    }

    #[test]
    fn who_gets_the_path_later_is_not_killed() {
        for scratch in scratches("later") {
            let placement = created(&scratch);
            let held = hold(placement.places()).unwrap();
            remove(&placement).unwrap();
            let placement = created(&scratch);
            let mut inhabitant = Inhabitant::sleep(&placement);
            let pid = i32::try_from(inhabitant.child.id()).unwrap();
            assert_eq!(members(&held).unwrap(), Vec::<i32>::new());
            signal(&held, &[pid]).unwrap();
            assert!(!cgroup_kill(&held).unwrap());
            assert!(inhabitant.child.try_wait().unwrap().is_none());
            kill_all(&placement).unwrap();
            drop(inhabitant);
            remove(&placement).unwrap();
        }
    }

    #[test]
    fn who_does_not_die_in_time_is_named() {
        let Some(scratch) = Scratch::host("late") else {
            return;
        };
        let placement = created(&scratch);
        let inhabitant = Inhabitant::sleep(&placement);
        let error = kill_until(&placement, Instant::now()).unwrap_err().to_string();
        assert!(error.contains(&format!("[{}] still run", inhabitant.child.id())), "{error}");
        drop(inhabitant);
        remove(&placement).unwrap();
    }
}
