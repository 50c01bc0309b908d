//! What mounts cover, in every mount namespace that `/proc` shows.
//!
//! rmdir(2) and unlink(2) of what is a mount point in other mount namespaces alone succeed since Linux 3.18,
//! and take the mounts away there: who removes has to look first.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, DirEntry};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::mountinfo::Line;
use crate::process::is_gone;

/// How often a table is read that others change.
const MOST_READS: usize = 10;

/// A file system, as `MAJOR:MINOR`, and a path inside it: the same in every namespace.
type Place = (Vec<u8>, PathBuf);

/// What is covered.
#[derive(Debug, Default)]
pub(super) struct Covered {
    places: BTreeSet<Place>,
    /// The mounts that cover these.
    known: HashSet<Vec<u8>>,
    /// Mounts of which a table does not say what they cover.
    unknown: HashSet<Vec<u8>>,
    /// The table of this thread.
    own: Vec<u8>,
}

impl Covered {
    /// Looks through the mount tables of all threads.
    ///
    /// # Errors
    ///
    /// If there may be mounts that nobody knows.
    pub(super) fn look() -> io::Result<Self> {
        let own = table_of(Path::new("/proc/thread-self"))?.ok_or(io::ErrorKind::NotFound)?;
        let mut covered = Self { own, ..Self::default() };
        let mut seen = HashSet::new();
        for process in numbered(Path::new("/proc"))? {
            // A thread may have a mount namespace of its own, and may outlive the first one.
            for thread in numbered(&process.join("task"))? {
                let link = |name| fs::read_link(thread.join(name)).ok();
                // A table has only the mounts below the root directory. Whose links may not be read is
                // read itself.
                let view = link("ns/mnt").zip(link("root"));
                if view.as_ref().is_some_and(|view| seen.contains(view)) {
                    continue;
                }
                if let Some(table) = table_of(&thread)? {
                    covered.add(&table).ok_or(io::ErrorKind::InvalidData)?;
                    seen.extend(view);
                }
            }
        }
        if covered.unknown.is_subset(&covered.known) {
            Ok(covered)
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    /// Adds what the mounts of a table cover. None if it is none.
    fn add(&mut self, table: &[u8]) -> Option<()> {
        let lines = lines(table).collect::<Option<Vec<_>>>()?;
        let by_id: HashMap<_, _> = lines.iter().map(|line| (line.id, line)).collect();
        for line in &lines {
            let point = line.mountpoint();
            let parent = by_id.get(line.parent);
            if let Some(place) = parent.and_then(|parent| place_on(parent, &point)) {
                self.places.insert(place);
                self.known.insert(line.id.to_vec());
            } else if point != Path::new("/") {
                // Its parent is out of reach from a root directory that is no mount. That of others may
                // show it.
                self.unknown.insert(line.id.to_vec());
            }
        }
        Some(())
    }

    /// Whether a name in a directory, or something below it, may be covered.
    pub(super) fn has(&self, directory: &OwnedFd, name: &OsStr) -> bool {
        // What can't be found in our own table may be anywhere.
        self.place_of(directory)
            .is_none_or(|(device, path)| self.has_place((device, path.join(name))))
    }

    /// The place of a directory. The number that stat(2) has for its file system can be another one than that
    /// in the mount table: on btrfs each subvolume has its own.
    fn place_of(&self, directory: &OwnedFd) -> Option<Place> {
        let number = directory.as_raw_fd();
        let path = fs::read_link(format!("/proc/thread-self/fd/{number}")).ok()?;
        let info = fs::read(format!("/proc/thread-self/fdinfo/{number}")).ok()?;
        let id = info.split(|b| *b == b'\n').find_map(|line| line.strip_prefix(b"mnt_id:\t"))?;
        let mount = lines(&self.own).flatten().find(|line| line.id == id)?;
        place_on(&mount, &path)
    }

    fn has_place(&self, place: Place) -> bool {
        // What is below a path comes right behind it.
        let next = self.places.range(&place..).next();
        next.is_some_and(|(device, path)| *device == place.0 && path.starts_with(&place.1))
    }
}

/// The numbered entries of a directory of `/proc`.
fn numbered(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Err(error) if is_gone(&error) => Vec::new(),
        entries => entries?,
    };
    let is_number = |entry: &DirEntry| {
        entry.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit)
    };
    Ok(entries.iter().filter(|entry| is_number(entry)).map(DirEntry::path).collect())
}

/// The mount table of a thread, if that has not ended.
fn table_of(thread: &Path) -> io::Result<Option<Vec<u8>>> {
    let path = thread.join("mountinfo");
    let mut last = None;
    for _ in 0..MOST_READS {
        let table = match fs::read(&path) {
            Ok(table) => Some(table),
            // EINVAL: a zombie has no namespace.
            Err(error) if is_gone(&error) || error.raw_os_error() == Some(libc::EINVAL) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        // The kernel hands it out by the page. In between others mount, or the thread gets another root.
        if table == last {
            return Ok(table);
        }
        last = table;
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

fn lines(table: &[u8]) -> impl Iterator<Item = Option<Line<'_>>> {
    table.split(|b| *b == b'\n').filter(|line| !line.is_empty()).map(Line::parse)
}

/// The place of a path that lies on a mount.
fn place_on(mount: &Line<'_>, path: &Path) -> Option<Place> {
    let below = path.strip_prefix(mount.mountpoint()).ok()?;
    Some((mount.device.to_vec(), mount.root().join(below)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &[u8] = b"\
22 1 8:1 / / rw - ext4 /dev/root rw
30 22 0:40 /sub /data\\040x rw - btrfs /dev/sdb rw
31 30 0:41 / /data\\040x/b/proc rw - proc proc rw
";

    fn covered(tables: &[&[u8]]) -> Covered {
        let mut covered = Covered::default();
        for table in tables {
            covered.add(table).unwrap();
        }
        covered
    }

    fn has(covered: &Covered, device: &str, path: &str) -> bool {
        covered.has_place((device.into(), path.into()))
    }

    #[test]
    fn a_place_is_a_file_system_and_a_path_inside_it() {
        // A container, whose root covers something that its table doesn't show.
        let container = b"\
90 89 8:1 /image / rw - ext4 /dev/root rw
91 90 0:50 / /proc rw - proc proc rw
92 90 8:1 /null /dev/a/null rw - ext4 /dev/root rw
93 91 0:51 / /proc/sys rw - tmpfs tmpfs rw
";
        let covered = covered(&[HOST, container]);
        assert!(covered.unknown.is_empty(), "{covered:?}");
        for (device, path, expected) in [
            ("8:1", "/data x", true),
            ("0:40", "/sub/b/proc", true),
            ("0:40", "/sub/b", true),
            ("0:40", "/sub/b/pro", false),
            ("0:40", "/b", false),
            ("8:1", "/image/proc", true),
            ("8:1", "/image/dev", true),
            ("8:1", "/image/dev/a/null", true),
            ("8:1", "/image/dev/a/null/x", false),
            ("8:1", "/image/dev/b", false),
            ("8:1", "/image/sys", false),
            ("0:50", "/sys", true),
            ("0:4", "/sub", false),
        ] {
            assert_eq!(has(&covered, device, path), expected, "{device} {path}");
        }
    }

    #[test]
    fn what_a_chroot_hides_is_known_from_another_table_or_not_at_all() {
        let chroot = b"31 30 0:41 / /proc rw - proc proc rw\n";
        assert!(!covered(&[chroot]).unknown.is_empty());
        let both = covered(&[chroot, HOST]);
        assert!(both.unknown.is_subset(&both.known));
        assert!(has(&both, "0:40", "/sub/b/proc"));
    }

    #[test]
    fn half_a_table_is_none() {
        let mut covered = Covered::default();
        assert_eq!(covered.add(b"31 30 0:41 / /proc rw - pr"), None);
        assert_eq!(covered.add(b""), Some(()));
    }

    #[test]
    fn the_mounts_of_this_host_are_there() {
        let covered = Covered::look().unwrap();
        let root = OwnedFd::from(fs::File::open("/").unwrap());
        assert!(covered.has(&root, OsStr::new("proc")));
        let directory = tempfile::tempdir().unwrap();
        let directory = OwnedFd::from(fs::File::open(directory.path()).unwrap());
        assert!(!covered.has(&directory, OsStr::new("new")));
    }
}
