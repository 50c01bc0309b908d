//! Removes the container's cgroups. Works from a placement alone.
//!
//! Parents stay, as they do with runc: whether `/docker` is ours or its owner's is not written anywhere
//! that a crash would survive, other containers lie in it, and it costs nothing. Only a failed create
//! takes back the parents that it has made itself.

use std::ffi::{CStr, OsStr};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::directory::{Directory, is_gone};
use super::kill::{kill_all, pids_of};
use super::placement::{Place, Placement};
use super::walk::{Step, walk};
use crate::error::{Error, Result};

/// How long a cgroup may stay busy: its last processes may be on their way out.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long removing may take although it goes on: a container may leave any number of cgroups.
const DEADLINE: Duration = Duration::from_secs(10);
/// The first and the longest pause between two attempts.
const PAUSES: (Duration, Duration) = (Duration::from_micros(200), Duration::from_millis(50));

/// Removes the container's cgroups, and kills first who is in them.
pub(crate) fn destroy(placement: &Placement) -> Result<()> {
    // Most often everybody is dead, and rmdir(2), which never removes a cgroup with processes, is all
    // that it takes.
    let rmdir = |place: &Place| Directory::hierarchy(place)?.rmdir(&place.below);
    if placement.places().all(|place| rmdir(place).is_ok()) {
        return Ok(());
    }
    kill_all(placement)?;
    remove(placement)
}

/// Removes the container's cgroups and all below them. The processes in them have to be dead; those that
/// are on their way out are waited for. What doesn't exist is fine.
pub(crate) fn remove(placement: &Placement) -> Result<()> {
    let limits = Limits::from_now();
    let mut left = Vec::new();
    let mut reason: Option<Error> = None;
    for place in placement.places() {
        // A hierarchy that fails doesn't keep the others from being emptied.
        if let Err(error) = remove_tree(place, &limits) {
            left.push(describe(place));
            reason.get_or_insert(error);
        }
    }
    match reason {
        None => Ok(()),
        Some(error) => Err(error.context(format_args!(
            "unable to remove container's cgroup: left are {}",
            left.join(", ")
        ))),
    }
}

/// Removes those of a container's cgroups that are empty, and leaves alone who is in the others: for a
/// create that was interrupted in a cgroup that others had made.
pub(crate) fn withdraw(placement: &Placement) {
    let limits = Limits::from_now();
    for place in placement.places() {
        let rmdir = || Directory::hierarchy(place)?.rmdir(&place.below);
        // An init that lost its creator takes a moment to go.
        while rmdir().is_err_and(|e| e.errno() == Some(libc::EBUSY)) && !limits.reached() {
            sleep(PAUSES.1);
        }
    }
}

/// Removes the directories that a failed create has made: the last `levels` of the path. Says whether the
/// last one is gone; for as long as it is not, the state record has to name it.
pub(super) fn take_back(place: &Place, levels: usize, limits: &Limits) -> bool {
    let is_gone = remove_tree(place, limits).is_ok();
    if is_gone && let (Ok(root), Some(parent)) = (Directory::hierarchy(place), place.below.parent())
    {
        take_back_below(&root, parent, levels.saturating_sub(1));
    }
    is_gone
}

/// Removes the last `levels` of a path, as long as they are empty: others may use them by now.
pub(super) fn take_back_below(root: &Directory, below: &Path, levels: usize) {
    for path in below.ancestors().take(levels) {
        if root.rmdir(path).is_err() {
            return;
        }
    }
}

/// When removing gives up: points in time, so that nine hierarchies together don't wait nine times.
#[derive(Debug)]
pub(super) struct Limits {
    busy: Instant,
    all: Instant,
}

impl Limits {
    pub(super) fn from_now() -> Self {
        let now = Instant::now();
        Self { busy: now + PATIENCE, all: now + DEADLINE }
    }

    fn reached(&self) -> bool {
        Instant::now() >= self.busy
    }
}

fn remove_tree(place: &Place, limits: &Limits) -> Result<()> {
    let root = Directory::hierarchy(place)?;
    let mut pause = PAUSES.0;
    loop {
        let busy = match root.rmdir(&place.below) {
            Err(error) if error.errno() == Some(libc::EBUSY) => error,
            removed => return removed,
        };
        let removed_some = match root.open(&place.below) {
            Err(error) if is_gone(&error) => return Ok(()),
            opened => remove_children(&opened?, limits)?,
        };
        if removed_some {
            continue;
        }
        if limits.reached() {
            return Err(busy);
        }
        sleep(pause);
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// Removes what it can below a directory, the deepest first, and says whether that was anything.
fn remove_children(directory: &Directory, limits: &Limits) -> Result<bool> {
    let mut removed = false;
    walk(directory, &mut |step| match step {
        Step::Enter(_) => Ok(()),
        Step::Leave(parent, name) => {
            if Instant::now() >= limits.all {
                let call = format!("rmdir below {}", directory.path().display());
                return Err(Error::os(call, libc::ETIMEDOUT));
            }
            removed |= rmdir_child(parent, name, directory)?;
            Ok(())
        }
    })?;
    Ok(removed)
}

fn rmdir_child(parent: BorrowedFd<'_>, name: &CStr, top: &Directory) -> Result<bool> {
    match unlinkat(parent, name, UnlinkatFlags::RemoveDir) {
        Ok(()) => Ok(true),
        Err(Errno::ENOENT | Errno::EBUSY) => Ok(false),
        Err(errno) => {
            let name = Path::new(OsStr::from_bytes(name.to_bytes())).display();
            let call = format!("rmdir({name:?}) below {}", top.path().display());
            Err(Error::os(call, errno as i32))
        }
    }
}

/// A directory that is left, and who is in it.
fn describe(place: &Place) -> String {
    let directory = Directory::hierarchy(place).and_then(|root| root.open(&place.below));
    match directory.and_then(|directory| pids_of(&directory)) {
        Ok(pids) if !pids.is_empty() => {
            let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
            format!("{place} (processes {})", pids.join(" "))
        }
        _ => place.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::create_dir;
    use std::thread;

    use super::super::Cgroup;
    use super::super::scratch::{Inhabitant, Scratch};
    use super::*;

    fn created(scratch: &Scratch) -> Placement {
        let placement = scratch.place("/removed");
        let mut cgroup = Cgroup::new(placement.clone());
        cgroup.make_unified().unwrap();
        cgroup.make_v1().unwrap();
        cgroup.keep();
        placement
    }

    #[test]
    fn cgroups_of_the_container_go_however_deep_and_wide() {
        let Some(scratch) = Scratch::host("deep") else {
            return;
        };
        let placement = created(&scratch);
        // One hierarchy is enough for the depth: more than descriptors by default, or a stack of frames.
        let place = placement.places().next().unwrap();
        let mut path = place.directory();
        for _ in 0..1200 {
            path.push("d");
            create_dir(&path).unwrap();
        }
        for place in placement.places() {
            for name in ["x", "x/y", "x/z", "w"] {
                create_dir(place.directory().join(name)).unwrap();
            }
        }
        remove(&placement).unwrap();
        assert!(placement.places().all(|p| !p.directory().exists()));
    }

    #[test]
    fn what_a_container_left_is_destroyed() {
        let Some(scratch) = Scratch::host("destroy") else {
            return;
        };
        let placement = created(&scratch);
        let inhabitant = Inhabitant::sleep(&placement);
        for place in placement.places() {
            create_dir(place.directory().join("sub")).unwrap();
        }
        destroy(&placement).unwrap();
        assert!(placement.places().all(|p| !p.directory().exists()));
        destroy(&placement).unwrap();
        drop(inhabitant);
    }

    #[test]
    fn a_cgroup_whose_processes_are_ending_is_waited_for() {
        let Some(scratch) = Scratch::host("ending") else {
            return;
        };
        let placement = created(&scratch);
        let inhabitant = Inhabitant::sleep(&placement);
        thread::scope(|scope| {
            scope.spawn(|| {
                sleep(Duration::from_millis(100));
                kill_all(&placement).unwrap();
            });
            remove(&placement).unwrap();
        });
        drop(inhabitant);
        assert!(placement.places().all(|p| !p.directory().exists()));
    }

    #[test]
    fn a_cgroup_in_use_is_named_with_its_processes() {
        let Some(scratch) = Scratch::host("busy") else {
            return;
        };
        let placement = created(&scratch);
        let inhabitant = Inhabitant::sleep(&placement);
        let start = Instant::now();
        let error = remove(&placement).unwrap_err().to_string();
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
        for place in placement.places() {
            let left = format!("{place} (processes {})", inhabitant.child.id());
            assert!(error.contains(&left), "{error}");
        }
        assert!(error.starts_with("unable to remove container's cgroup: "), "{error}");
        assert!(error.ends_with("device or resource busy"), "{error}");
        drop(inhabitant);
        remove(&placement).unwrap();
    }
}
