//! A container's directory: locked, written and removed through its descriptor.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat, renameat};
use nix::sys::stat::{FchmodatFlags, Mode, fchmod, fchmodat, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};

use super::lock::Lock;
use super::read::{At, has, read_record, unreadable};
use super::record::{Identity, Record};
use super::{directory, exists, id, not_found};
use crate::cgroup::Placement;
use crate::error::{Error, ErrorKind, Result};

/// The socket on which init waits for `start`: its name in the container's directory.
pub(crate) const GATE: &str = "gate";

/// The record's name in the container's directory.
pub(super) const RECORD: &str = "record.json";

/// Where the cgroups are, once more: a symbolic link with the text of the id and the placement, which no
/// truncated or overwritten file takes along. It is made before the record, so that without it nothing was
/// made. The id tells it from one that was copied here with the directory of another container.
const CGROUPS: &str = "cgroups";

/// The next record, until it is complete.
const NEXT_RECORD: &str = "record.json.next";

/// A container's directory, locked until the value is dropped. Dropping does nothing else: whoever
/// creates a container removes the entry when everything else that it made is removed, so that a
/// record is there for as long as there is something to remove.
#[derive(Debug)]
pub(crate) struct Entry {
    root: OwnedFd,
    directory: Lock,
    id: String,
}

impl Entry {
    /// Locks the directory that `mkdirat` has just made, and writes the first record. If that fails, the
    /// directory is removed. None if somebody else removed it before it was locked.
    pub(super) fn make(
        root: OwnedFd,
        id: &str,
        record: &Record,
        deadline: Instant,
    ) -> Result<Option<Self>> {
        // The caller's umask can have taken away anything, and is not ours to change.
        let mode = Mode::from_bits_truncate(0o711);
        match fchmodat(&root, id, mode, FchmodatFlags::FollowSymlink) {
            Ok(()) => {}
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => {
                remove_if_empty(root.as_fd(), id);
                let error = Error::os(format!("fchmodat(\"{id}\")"), errno as i32);
                return Err(in_state_of(id, error));
            }
        }
        let directory = match lock_directory(root.as_fd(), id, deadline) {
            Ok(Some(directory)) => directory,
            Ok(None) => return Ok(None),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            // Somebody else has locked it: a removal, or a create that follows one.
            Err(error) if error.errno() == Some(libc::EWOULDBLOCK) => return Err(error),
            Err(error) => {
                remove_if_empty(root.as_fd(), id);
                return Err(error);
            }
        };
        let entry = Self { root, directory, id: id.to_string() };
        let written = entry
            .link_cgroups(&record.intent.cgroup)
            .and_then(|()| entry.is_unwritten())
            .and_then(|()| entry.replace(record));
        match written {
            Ok(()) => Ok(Some(entry)),
            // Ours was removed, and another one made, before we could lock it: that one is not ours.
            Err(error) if error.errno() == Some(libc::EEXIST) => Err(exists()),
            Err(error) => {
                let error = in_state_of(id, error);
                // If this fails too, the first failure is what to tell.
                entry.remove().ok();
                Err(error)
            }
        }
    }

    /// Locks the directory of a container. None if it was removed while we waited for the lock.
    pub(super) fn lock(root: OwnedFd, id: &str, deadline: Instant) -> Result<Option<Self>> {
        let directory = lock_directory(root.as_fd(), id, deadline)?;
        Ok(directory.map(|directory| Self { root, directory, id: id.to_string() }))
    }

    /// The container's directory. The lock belongs to this open file description: a process that
    /// inherits it, rather than one of its own, can keep it.
    pub(crate) fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// The record, if it is that of this container: see [`super::Store::read`].
    pub(crate) fn read(&self, which: Option<&Identity>) -> Result<Record> {
        read_record(At(self.directory(), "."), &self.id, which)
    }

    /// Replaces the record: readers see the old one or the new one.
    pub(crate) fn write(&self, record: &Record) -> Result<()> {
        self.replace(record).map_err(|error| in_state_of(&self.id, error))
    }

    /// The first record comes by rename too: readers take no lock, and would see half of it.
    fn replace(&self, record: &Record) -> Result<()> {
        let directory = self.directory();
        write_file(directory, NEXT_RECORD, record)?;
        renameat(directory, NEXT_RECORD, directory, RECORD).map_err(|errno| {
            Error::os(format!("renameat(\"{NEXT_RECORD}\", \"{RECORD}\")"), errno as i32)
        })
    }

    /// `EEXIST` if there is a record. Whoever writes one has locked the directory.
    fn is_unwritten(&self) -> Result<()> {
        match fstatat(self.directory(), RECORD, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(Error::os(format!("fstatat(\"{RECORD}\")"), errno as i32)),
            Ok(_) => Err(Error::os(format!("fstatat(\"{RECORD}\")"), libc::EEXIST)),
        }
    }

    /// Writes down the placement beside the record.
    fn link_cgroups(&self, placement: &Placement) -> Result<()> {
        let text = serde_json::to_string(&(&self.id, placement))
            .map_err(|error| Error::new(ErrorKind::Internal, format!("JSON: {error}")))?;
        match symlinkat(text.as_str(), self.directory(), CGROUPS) {
            // A placement of 4 KiB and more has the record alone.
            Ok(()) | Err(Errno::ENAMETOOLONG) => Ok(()),
            Err(errno) => Err(Error::os(format!("symlinkat(\"{CGROUPS}\")"), errno as i32)),
        }
    }

    /// Where the cgroups are, for whoever can't read the record. `None` if nothing was made: the gate is
    /// made first, and as long as there is none, who is in those cgroups is somebody else's; and so are
    /// those of another container.
    pub(crate) fn cgroups(&self) -> Result<Option<Placement>> {
        if !has(At(self.directory(), "."), GATE, &self.id)? {
            return Ok(None);
        }
        let text = match readlinkat(self.directory(), CGROUPS) {
            Ok(text) => text,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => {
                let error = Error::os(format!("readlinkat(\"{CGROUPS}\")"), errno as i32);
                return Err(in_state_of(&self.id, error));
            }
        };
        let (id, placement): (String, Placement) = serde_json::from_slice(text.as_bytes())
            .map_err(|error| unreadable(&self.id, &format!("{CGROUPS}: {error}")))?;
        Ok((id == self.id).then_some(placement))
    }

    /// Removes the directory with all that is in it, whether its record can be read or not. From the
    /// first step on the id is free, and there is no container to be seen.
    pub(crate) fn remove(self) -> Result<()> {
        let bury = || -> Result<()> {
            // Who has made it could not lock it, and has taken it away again.
            if !is_at(self.root.as_fd(), &self.id, self.directory())? {
                return Ok(());
            }
            let name = self.rename_to_tomb()?;
            self.empty_and_remove(&name)
        };
        bury().map_err(|error| in_state_of(&self.id, error))
    }

    fn rename_to_tomb(&self) -> Result<String> {
        let (root, id) = (&self.root, self.id.as_str());
        let tomb = id::tomb(id);
        loop {
            match renameat(root, id, root, tomb.as_str()) {
                Ok(()) => return Ok(tomb),
                // An interrupted removal of an earlier container.
                Err(Errno::EEXIST | Errno::ENOTEMPTY) => sweep(root.as_fd(), id)?,
                // For an id of nearly 255 bytes. An interruption is then seen as a container without
                // a record, which can be deleted too.
                Err(Errno::ENAMETOOLONG) => return Ok(id.to_string()),
                Err(errno) => {
                    let call = format!("renameat(\"{id}\", \"{tomb}\")");
                    return Err(Error::os(call, errno as i32));
                }
            }
        }
    }

    fn empty_and_remove(&self, name: &str) -> Result<()> {
        let (root, directory) = (self.root.as_fd(), self.directory());
        for file in [GATE, RECORD, CGROUPS] {
            directory::remove_file(directory, file)?;
        }
        match remove_directory(root, name, directory) {
            Err(error) if error.errno() == Some(libc::ENOTEMPTY) => {
                directory::clear(directory)?;
                remove_directory(root, name, directory)
            }
            removed => removed,
        }
    }
}

/// Locks a directory, if it is still the one of this name when we have the lock. From then on it stays
/// that, because whoever renames or removes one has locked it.
fn lock_directory(root: BorrowedFd<'_>, id: &str, deadline: Instant) -> Result<Option<Lock>> {
    let lock = || -> Result<Option<Lock>> {
        let directory = open_directory(root, id)?.ok_or_else(not_found)?;
        let lock = Lock::take(directory, deadline)?;
        Ok(is_at(root, id, lock.as_fd())?.then_some(lock))
    };
    lock().map_err(|error| in_state_of(id, error))
}

/// Removes what an interrupted removal has left.
pub(super) fn sweep(root: BorrowedFd<'_>, id: &str) -> Result<()> {
    let tomb = id::tomb(id);
    match open_directory(root, &tomb)? {
        None => Ok(()),
        Some(directory) => {
            directory::clear(directory.as_fd())?;
            remove_directory(root, &tomb, directory.as_fd())
        }
    }
}

/// Removes an empty directory. Not there is all right: two may remove the same, but that it is gone is true
/// for both. So it is if another container of its id has been renamed over it since it was empty.
fn remove_directory(root: BorrowedFd<'_>, name: &str, directory: BorrowedFd<'_>) -> Result<()> {
    match unlinkat(root, name, UnlinkatFlags::RemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(Errno::ENOTEMPTY) if !is_at(root, name, directory)? => Ok(()),
        Err(errno) => Err(Error::os(format!("unlinkat(\"{name}\")"), errno as i32)),
    }
}

/// What create undoes; the failure that led here is what to tell.
fn remove_if_empty(root: BorrowedFd<'_>, name: &str) {
    unlinkat(root, name, UnlinkatFlags::RemoveDir).ok();
}

fn open_directory(root: BorrowedFd<'_>, name: &str) -> Result<Option<OwnedFd>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    match openat(root, name, flags, Mode::empty()) {
        Ok(directory) => Ok(Some(directory)),
        // A name that is too long to be there is not there either.
        Err(Errno::ENOENT | Errno::ENAMETOOLONG) => Ok(None),
        Err(errno) => Err(Error::os(format!("openat(\"{name}\")"), errno as i32)),
    }
}

/// Whether a directory is still the one of this name.
fn is_at(root: BorrowedFd<'_>, name: &str, directory: BorrowedFd<'_>) -> Result<bool> {
    let ours = fstat(directory).map_err(|errno| Error::os("fstat", errno as i32))?;
    match fstatat(root, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(there) => Ok((there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)),
        Err(Errno::ENOENT) => Ok(false),
        Err(errno) => Err(Error::os(format!("fstatat(\"{name}\")"), errno as i32)),
    }
}

/// Writes a record into a file, with one write.
fn write_file(directory: BorrowedFd<'_>, name: &str, record: &Record) -> Result<()> {
    let bytes = serde_json::to_vec(record)
        .map_err(|error| Error::new(ErrorKind::Internal, format!("JSON of the record: {error}")))?;
    let flags =
        OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mode = Mode::from_bits_truncate(0o600);
    let file = openat(directory, name, flags, mode)
        .map_err(|errno| Error::os(format!("openat(\"{name}\", O_CREAT)"), errno as i32))?;
    fchmod(&file, mode).map_err(|errno| Error::os(format!("fchmod(\"{name}\")"), errno as i32))?;
    File::from(file)
        .write_all(&bytes)
        .map_err(|error| Error::io(format!("write(\"{name}\")"), &error))
}

/// That there is no container is said without more words, as callers look for them.
pub(super) fn in_state_of(id: &str, error: Error) -> Error {
    if error.kind() == ErrorKind::NotFound && error.errno().is_none() {
        return error;
    }
    error.context(format_args!("state of container {id}"))
}

/// Races that can't be provoked reliably, played step by step.
#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::super::record::tests::record;
    use super::*;
    use std::fs;

    #[test]
    fn a_container_made_between_mkdirat_and_flock_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        drop(store.create(&record("a")).unwrap());
        let root = File::open(directory.path()).unwrap().into();
        let error = Entry::make(root, "a", &record("a"), Instant::now()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exists);
        assert!(store.read("a", None).is_ok());
    }

    #[test]
    fn a_removal_that_another_overtakes_leaves_the_other_one_alone() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        let entry = store.create(&record("a")).unwrap();
        let tomb = entry.rename_to_tomb().unwrap();
        fs::remove_file(directory.path().join(&tomb).join(RECORD)).unwrap();
        // The other one has got as far as to rename, over our empty directory.
        let other = store.create(&record("a")).unwrap();
        assert_eq!(other.rename_to_tomb().unwrap(), tomb);
        entry.empty_and_remove(&tomb).unwrap();
        assert!(directory.path().join(&tomb).join(RECORD).exists());
        other.empty_and_remove(&tomb).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_that_its_maker_takes_away_is_not_the_next_one_of_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        fs::create_dir(directory.path().join("a")).unwrap();
        let empty = store.lock("a").unwrap();
        fs::remove_dir(directory.path().join("a")).unwrap();
        drop(store.create(&record("a")).unwrap());
        assert_eq!(empty.read(None).unwrap_err().kind(), ErrorKind::InvalidState);
        assert!(empty.cgroups().unwrap().is_none());
        empty.remove().unwrap();
        assert!(store.read("a", None).is_ok());
    }

    #[test]
    fn a_sweep_that_a_removal_overtakes_leaves_that_alone() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        let interrupted = store.create(&record("a")).unwrap();
        let tomb = interrupted.rename_to_tomb().unwrap();
        directory::clear(interrupted.directory()).unwrap();
        let other = store.create(&record("a")).unwrap();
        assert_eq!(other.rename_to_tomb().unwrap(), tomb);
        remove_directory(other.root.as_fd(), &tomb, interrupted.directory()).unwrap();
        assert!(directory.path().join(&tomb).join(RECORD).exists());
        let error = remove_directory(other.root.as_fd(), &tomb, other.directory()).unwrap_err();
        assert_eq!(error.errno(), Some(libc::ENOTEMPTY));
        other.empty_and_remove(&tomb).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
