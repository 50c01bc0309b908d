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
            return made.directory.write_all(&devices::v1_writes(rules)?);
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
    if locked.is_err() {
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

fn not_made() -> Error {
    Error::new(ErrorKind::Internal, "the container's cgroups are not made yet")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs::{create_dir, read_to_string, write};
    use std::os::fd::AsRawFd;
    use std::path::PathBuf;
    use std::sync::Barrier;
    use std::thread;

    use super::super::scratch::{Inhabitant, Scratch};
    use super::super::{kill_all, pids};
    use super::*;

    fn create(placement: &Placement) -> Result<Cgroup> {
        let mut cgroup = Cgroup::new(placement.clone());
        cgroup.make_unified()?;
        cgroup.make_v1()?;
        Ok(cgroup)
    }

    fn directories(placement: &Placement) -> Vec<PathBuf> {
        placement.places().map(Place::directory).collect()
    }

    #[test]
    fn a_cgroup_that_is_not_kept_goes_with_the_parents_made_for_it() {
        let Some(scratch) = Scratch::host("undo") else {
            return;
        };
        let placement = scratch.place("/a/b/c");
        let cgroup = create(&placement).unwrap();
        assert!(directories(&placement).iter().all(|d| d.is_dir()));
        drop(cgroup);
        // That the scratch directories can be removed is the test for the parents.
        assert!(directories(&placement).iter().all(|d| !d.exists()));
    }

    #[test]
    fn a_create_that_fails_half_way_leaves_what_was_there() {
        let Some(scratch) = Scratch::host("half") else {
            return;
        };
        let placement = scratch.place("/a/b");
        for directory in directories(&placement) {
            create_dir(directory.parent().unwrap()).unwrap();
        }
        drop(create(&placement).unwrap());
        for directory in directories(&placement) {
            assert!(!directory.exists());
            std::fs::remove_dir(directory.parent().unwrap()).unwrap();
        }
    }

    #[test]
    fn a_kept_cgroup_can_be_joined_and_removed_by_its_placement() {
        let Some(scratch) = Scratch::host("kept") else {
            return;
        };
        let placement = scratch.place("/kept");
        let cgroup = create(&placement).unwrap();
        let files = cgroup.join_files().unwrap();
        assert_eq!(files.len(), placement.v1.len());
        for (file, place) in files.iter().zip(&placement.v1) {
            let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
            assert_eq!(path, place.directory().join("tasks"));
        }
        assert_eq!(cgroup.unified_fd().is_some(), placement.unified.is_some());
        cgroup.keep();

        let inhabitant = Inhabitant::sleep(&placement);
        let pid = i32::try_from(inhabitant.child.id()).unwrap();
        assert_eq!(pids(&placement).unwrap(), [pid]);
        drop(inhabitant);
        remove(&placement).unwrap();
        assert!(directories(&placement).iter().all(|d| !d.exists()));
        // Nothing is there any more, and that is fine.
        kill_all(&placement).unwrap();
        remove(&placement).unwrap();
    }

    #[test]
    fn an_empty_cgroup_that_was_there_is_used_and_left() {
        let Some(scratch) = Scratch::host("there") else {
            return;
        };
        let placement = scratch.place("/there");
        for directory in directories(&placement) {
            create_dir(directory).unwrap();
        }
        let cgroup = create(&placement).unwrap();
        // On v1 its cpuset was empty, and nothing could have joined it.
        drop(Inhabitant::sleep(&placement));
        drop(cgroup);
        assert!(directories(&placement).iter().all(|d| d.is_dir()));
        remove(&placement).unwrap();
    }

    #[test]
    fn a_used_cgroup_is_refused() {
        let Some(scratch) = Scratch::host("used") else {
            return;
        };
        let placement = scratch.place("/used");
        create(&placement).unwrap().keep();
        for only in placement.places() {
            // The processes may be in one hierarchy only, and in a cgroup below.
            let sub = Place { below: only.below.join("sub"), ..only.clone() };
            create_dir(sub.directory()).unwrap();
            for file in ["cpuset.cpus", "cpuset.mems"].iter().filter(|_| only.has("cpuset")) {
                let value = read_to_string(only.directory().join(file)).unwrap();
                write(sub.directory().join(file), value).unwrap();
            }
            let (v1, v2): (Vec<_>, Vec<_>) = [sub].into_iter().partition(|s| !s.is_unified());
            let inside = Placement { v1, unified: v2.into_iter().next() };
            let inhabitant = Inhabitant::sleep(&inside);
            let error = create(&placement).unwrap_err();
            let text = "container's cgroup is not empty: 1 process(es) found";
            assert!(error.to_string().contains(text), "{error}");
            assert!(only.directory().exists());
            drop(inhabitant);
        }
        remove(&placement).unwrap();
    }

    #[test]
    fn a_frozen_cgroup_is_refused() {
        for (scratch, file, frozen, thawed) in [
            (Scratch::v1("frozen"), "freezer.state", "FROZEN", "THAWED"),
            (Scratch::v2("frozen"), "cgroup.freeze", "1", "0"),
        ] {
            let Some(scratch) = scratch else { continue };
            let parent = scratch.place("/p");
            create(&parent).unwrap().keep();
            let mut freezers = parent.places().filter(|p| p.has("freezer") || p.is_unified());
            let freezer = freezers.next().unwrap().directory().join(file);
            write(&freezer, frozen).unwrap();
            // Itself, and a new one below it.
            for path in ["/p", "/p/new"] {
                let error = create(&scratch.place(path)).unwrap_err().to_string();
                assert!(error.contains("container's cgroup unexpectedly frozen"), "{error}");
            }
            write(&freezer, thawed).unwrap();
            drop(create(&scratch.place("/p/new")).unwrap());
            remove(&parent).unwrap();
        }
    }

    #[test]
    fn a_threaded_parent_is_refused_in_words() {
        let Some(scratch) = Scratch::v2("threaded") else {
            return;
        };
        let parent = scratch.place("/p");
        create(&parent).unwrap().keep();
        // Whoever gives a controller can't have threaded children.
        let directory = &directories(&parent)[0];
        let given = read_to_string(directory.join("cgroup.controllers")).unwrap();
        for controller in given.split_whitespace() {
            let file = directory.with_file_name("cgroup.subtree_control");
            write(file, format!("-{controller}")).unwrap();
        }
        write(directory.join("cgroup.type"), "threaded").unwrap();
        let error = create(&scratch.place("/p/c")).unwrap_err();
        assert!(error.to_string().contains("domain invalid"), "{error}");
        remove(&parent).unwrap();
    }

    #[test]
    fn of_many_creators_of_one_cgroup_one_wins() {
        for scratch in [Scratch::host("race"), Scratch::v1("race")] {
            let Some(scratch) = scratch else { continue };
            let placement = scratch.place("/race");
            for _ in 0..20 {
                let barrier = Barrier::new(8);
                let winners: Vec<Cgroup> = thread::scope(|scope| {
                    let one = || {
                        barrier.wait();
                        let created = create(&placement);
                        // Nobody gives up before all have tried.
                        barrier.wait();
                        created.ok()
                    };
                    let all: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
                    all.into_iter().filter_map(|t| t.join().unwrap()).collect()
                });
                assert_eq!(winners.len(), 1);
                drop(winners);
                remove(&placement).unwrap();
            }
        }
    }

    #[test]
    fn parents_that_come_and_go_do_not_disturb_their_neighbours() {
        let Some(scratch) = Scratch::host("parents") else {
            return;
        };
        let failures: HashSet<String> = thread::scope(|scope| {
            let one = |n: usize| {
                let placement = scratch.place(&format!("/p/q/{n}"));
                let rounds = 0..25;
                rounds.filter_map(|_| create(&placement).err()).map(|e| e.to_string()).collect()
            };
            let all: Vec<_> =
                (0..4).map(|n| scope.spawn(move || -> Vec<String> { one(n) })).collect();
            all.into_iter().flat_map(|t| t.join().unwrap()).collect()
        });
        assert_eq!(failures, HashSet::new());
        // A parent stays if a neighbour came into it at the wrong moment; it is empty then.
        for path in ["/p/q", "/p"] {
            remove(&scratch.place(path)).unwrap();
        }
    }

    #[test]
    fn a_directory_that_is_no_cgroup_is_not_touched() {
        let directory = tempfile::tempdir().unwrap();
        for label in ["cpu", ""] {
            let place = Place {
                label: label.into(),
                mountpoint: directory.path().into(),
                below: "a".into(),
            };
            create_dir(place.directory()).unwrap();
            assert!(Directory::hierarchy(&place).is_err());
            let (v1, v2): (Vec<_>, Vec<_>) = [place].into_iter().partition(|p| !p.is_unified());
            let placement = Placement { v1, unified: v2.into_iter().next() };
            assert!(create(&placement).is_err());
            assert!(remove(&placement).is_err());
            std::fs::remove_dir(directory.path().join("a")).unwrap();
        }
    }

    #[test]
    fn without_device_control_only_everything_is_allowed() {
        let cgroup = Cgroup::new(Placement { v1: Vec::new(), unified: None });
        let denied = devices::rules(None).unwrap();
        let error = cgroup.apply_devices(&denied).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(error.property(), Some("linux.resources.devices"));
        let mut all = oci_spec::runtime::LinuxDeviceCgroup::default();
        all.set_allow(true).set_access(Some("rwm".into()));
        cgroup.apply_devices(&devices::rules(Some(&[all])).unwrap()).unwrap();
    }
}
