//! Makes the container's cgroups, and removes them again unless they are kept.
//!
//! The v2 directory is needed before the clone, the v1 ones only when init joins them, so that they are
//! made while init already works. All of it lies on the way of every start: a system call per hierarchy
//! here is nine on a v1 host.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::fcntl::OFlag;

use super::devices::{self, DeviceRule};
use super::directory::{Directory, Mkdir, is_gone};
use super::placement::{Place, Placement};
use super::{device_bpf, kill, remove, v1, v2};
use crate::error::{Context, Error, ErrorKind, Result};

/// How often a parent may vanish under our hands: another container's failed create takes back the
/// parents it has made.
const RACES: usize = 16;

/// The container's cgroups, as far as they are made. Dropped, it removes the directories that it made,
/// parents included; so the processes in them have to be gone by then.
#[derive(Debug)]
pub(crate) struct Cgroup {
    placement: Placement,
    unified: Option<Made>,
    /// As many as are made, in the order of the placement.
    v1: Vec<Made>,
}

/// A directory that exists now.
#[derive(Debug)]
pub(super) struct Made {
    /// The directory.
    pub(super) directory: Directory,
    /// How many directories of the path were made for it, from the last one upwards; none if it was
    /// there already.
    pub(super) levels: usize,
}

impl Made {
    /// Whether the directory was made for us, so that nothing can be in it that others left.
    pub(super) fn is_new(&self) -> bool {
        self.levels > 0
    }
}

impl Cgroup {
    /// Nothing is made yet.
    pub(crate) fn new(placement: Placement) -> Self {
        Self { v1: Vec::with_capacity(placement.v1.len()), unified: None, placement }
    }

    /// Makes the v2 directory, if the host has a v2 hierarchy. Comes before the clone.
    pub(crate) fn make_unified(&mut self) -> Result<()> {
        let Some(place) = &self.placement.unified else {
            return Ok(());
        };
        let root = Directory::hierarchy(place)?;
        let made = self.unified.insert(make(&root, place)?);
        // The lock of one hierarchy stands for all: two containers that share a cgroup share all.
        own(made)?;
        // On a hybrid host the processes of the system lie where it suits the v1 hierarchies, and no
        // controller of v2 is used.
        let controllers = if self.placement.v1.is_empty() {
            v2::Controllers::Enable
        } else {
            v2::Controllers::Leave
        };
        v2::prepare(&root, place, made, controllers)
    }

    /// Makes the v1 directories, if the host has v1 hierarchies. Comes before init joins.
    pub(crate) fn make_v1(&mut self) -> Result<()> {
        for (index, place) in self.placement.v1.iter().enumerate().skip(self.v1.len()) {
            let root = Directory::hierarchy(place)?;
            self.v1.push(make(&root, place)?);
            if let Some(made) = self.v1.last_mut() {
                if index == 0 && self.unified.is_none() {
                    own(made)?;
                }
                v1::prepare(&root, place, made)?;
            }
        }
        Ok(())
    }

    /// Puts device rules in force. Comes before anything of the user's runs, and after the directories
    /// are made.
    pub(crate) fn apply_devices(&self, rules: &[DeviceRule]) -> Result<()> {
        self.devices(rules)
            .context(|| "apply the device rules")
            .map_err(|error| error.with_property("linux.resources.devices"))
    }

    fn devices(&self, rules: &[DeviceRule]) -> Result<()> {
        if let Some(index) = self.placement.v1.iter().position(|place| place.has("devices")) {
            let made = self.v1.get(index).ok_or_else(not_made)?;
            made.directory.write_all(&devices::v1_writes(rules)?)?;
            return check_devices(&made.directory, rules);
        }
        if self.placement.unified.is_some() {
            let made = self.unified.as_ref().ok_or_else(not_made)?;
            return device_bpf::apply(&made.directory, rules);
        }
        if devices::allow_everything(rules) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Unsupported,
            "neither the v1 devices hierarchy nor the v2 hierarchy is mounted",
        ))
    }

    /// The directory that has a controller: on a hybrid host, where no controller of v2 is used, a v1 one.
    pub(super) fn of_controller(&self, controller: &str) -> Result<(&Place, &Made)> {
        let place = self.placement.v1.iter().zip(&self.v1).find(|(place, _)| place.has(controller));
        let unified = self.placement.unified.iter().zip(&self.unified);
        place
            .or_else(|| unified.take(usize::from(self.placement.v1.is_empty())).next())
            .ok_or_else(not_made)
    }

    /// The v2 directory of a host that has no other hierarchy.
    pub(super) fn unified_alone(&self) -> Option<&Directory> {
        let alone = self.placement.v1.is_empty();
        self.unified.as_ref().filter(|_| alone).map(|made| &made.directory)
    }

    /// The v1 files in which init writes `0` to join, in the order of the placement.
    pub(crate) fn join_files(&self) -> Result<Vec<OwnedFd>> {
        let tasks = Path::new("tasks");
        self.v1.iter().map(|made| made.directory.open_file(tasks, OFlag::O_WRONLY)).collect()
    }

    /// The v2 directory, for `CLONE_INTO_CGROUP`.
    pub(crate) fn unified_fd(&self) -> Option<BorrowedFd<'_>> {
        self.unified.as_ref().map(|made| made.directory.as_fd())
    }

    /// Removes the directories that were made, and says whether none is left.
    pub(crate) fn take_back(&mut self) -> bool {
        let limits = remove::Limits::from_now();
        let v1 = self.placement.v1.iter().zip(&mut self.v1);
        let unified = self.placement.unified.iter().zip(&mut self.unified);
        let mut is_gone = true;
        for (place, made) in v1.chain(unified) {
            if made.is_new() {
                is_gone &= remove::take_back(place, made.levels, &limits);
                made.levels = 0;
            }
        }
        is_gone
    }

    /// Leaves the directories in place.
    pub(crate) fn keep(mut self) {
        for made in self.unified.iter_mut().chain(&mut self.v1) {
            made.levels = 0;
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        self.take_back();
    }
}

/// Makes sure that this create is the only one in the directory. The loser must not remove it, even if
/// it was the one that had made it.
fn own(made: &mut Made) -> Result<()> {
    let locked = made.directory.lock();
    if locked.as_ref().is_err_and(|error| error.kind() == ErrorKind::Exists) {
        made.levels = 0;
    }
    locked
}

/// Makes a directory and its parents.
fn make(root: &Directory, place: &Place) -> Result<Made> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        match try_make(root, &place.below) {
            Err(error) if error.errno() == Some(libc::ENOENT) && attempt < RACES => {}
            made => return made.context(|| format!("make the cgroup {place}")),
        }
    }
}

/// Most often only the last directory is missing, so that is tried first.
fn try_make(root: &Directory, below: &Path) -> Result<Made> {
    let levels = match root.mkdir(below) {
        Ok(Mkdir::Made) => 1,
        Ok(Mkdir::Existed) => 0,
        Err(error) if error.errno() == Some(libc::ENOENT) => make_all(root, below)?,
        Err(error) => return Err(error),
    };
    match root.open(below) {
        Ok(directory) => Ok(Made { directory, levels }),
        Err(error) => {
            remove::take_back_below(root, below, levels);
            Err(error)
        }
    }
}

/// Makes a directory and its parents from the top, and says how many of the last ones were made.
fn make_all(root: &Directory, below: &Path) -> Result<usize> {
    let mut levels = 0;
    for path in from_the_top(below) {
        match root.mkdir(path) {
            Ok(Mkdir::Made) => levels += 1,
            // Somebody else was faster. What lies above is theirs too, now.
            Ok(Mkdir::Existed) => levels = 0,
            Err(error) => {
                let parent = path.parent().unwrap_or(path);
                remove::take_back_below(root, parent, levels);
                return Err(error);
            }
        }
    }
    Ok(levels)
}

/// `a`, `a/b`, `a/b/c` of `a/b/c`.
pub(super) fn from_the_top(below: &Path) -> impl Iterator<Item = &Path> {
    let mut paths: Vec<&Path> = below.ancestors().filter(|p| !p.as_os_str().is_empty()).collect();
    paths.reverse();
    paths.into_iter()
}

/// Refuses a cgroup in which processes are.
pub(super) fn refuse_used(directory: &Directory) -> Result<()> {
    let pids = match kill::pids_of(directory) {
        // It was removed at this moment; joining it will say so.
        Err(error) if is_gone(&error) => return Ok(()),
        pids => pids?,
    };
    if pids.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidState,
        format!(
            "container's cgroup is not empty: {} process(es) found in {}",
            pids.len(),
            directory.path().display()
        ),
    ))
}

/// Why a frozen cgroup is refused: what joins it stops, and a create that waited for it would never end.
pub(super) fn frozen(directory: &Directory) -> Error {
    Error::new(
        ErrorKind::InvalidState,
        format!("container's cgroup unexpectedly frozen: {}", directory.path().display()),
    )
}

/// That the v1 controller denies what is not excepted: it lists everything otherwise.
fn check_devices(cgroup: &Directory, rules: &[DeviceRule]) -> Result<()> {
    let listed = cgroup.read("devices.list")?;
    if !listed.starts_with("a ") || devices::allowed_by_default(rules) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Os, "the kernel accepted the setting but does not report it"))
}

fn not_made() -> Error {
    Error::new(ErrorKind::Internal, "the container's cgroups are not made yet")
}

#[cfg(test)]
mod tests;
