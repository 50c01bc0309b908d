//! The store: a directory for each container below the state root, with its record.
//!
//! `mkdirat` of the directory is what makes an id taken, flock(2) on it what makes verbs exclude each
//! other, and the record in it, written before anything else is made on the system, is all that
//! `delete --force` needs after a SIGKILL at any instruction (SECURITY.md, "State-machine discipline").
//! Reading takes no lock: a record is written once, or replaced by rename. Nothing is synced to a disk:
//! the root is a tmpfs, and where it isn't, records from before a reboot are told by their boot id, of
//! whose containers nothing is left but the record itself.
//!
//! The root is refused unless it is ours alone: what lies below may then be removed by name.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::stat::{Mode, fchmod, fstat, mkdirat};
use nix::unistd::geteuid;

use crate::error::{Context, Error, ErrorKind, Result};

mod directory;
mod entry;
mod id;
mod lock;
mod read;
mod record;
mod time;

pub(crate) use entry::{Entry, GATE};
pub(crate) use id::check_id;
use read::{At, read_record};
pub(crate) use record::{Agent, Identity, Init, Intent, Record};
pub(crate) use time::rfc3339;

/// How long a verb waits for another one on the same container. Longer than anything but a hook takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// The containers below one state root.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    root: PathBuf,
    patience: Duration,
}

impl Store {
    /// Containers below `root`. Nothing is opened or made yet.
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), patience: PATIENCE }
    }

    /// Takes an id: makes its directory, locks it, and writes the record, with which nothing else need
    /// have begun. Makes the root too if there is none.
    pub(crate) fn create(&self, record: &Record) -> Result<Entry> {
        let id = &record.intent.id;
        check_id(id)?;
        let deadline = self.deadline();
        loop {
            let root = match self.open_root()? {
                Some(root) => root,
                None => self.make_root()?,
            };
            match mkdirat(&root, id.as_str(), Mode::from_bits_truncate(0o711)) {
                Ok(()) => {}
                Err(Errno::EEXIST) => return Err(exists()),
                Err(errno) => {
                    let call = format!("mkdirat({}, \"{id}\")", self.root.display());
                    return Err(Error::os(call, errno as i32));
                }
            }
            // None: a `delete --force` came between. Nothing is lost, as nothing was made yet.
            if let Some(entry) = Entry::make(root, id, record, deadline)? {
                return Ok(entry);
            }
        }
    }

    /// The container, locked against all other verbs; [`ErrorKind::NotFound`] if there is none.
    pub(crate) fn lock(&self, id: &str) -> Result<Entry> {
        check_id(id)?;
        let deadline = self.deadline();
        loop {
            let root = self.open_root()?.ok_or_else(not_found)?;
            // None: it was removed while we waited, and perhaps made again.
            if let Some(entry) = Entry::lock(root, id, deadline)? {
                return Ok(entry);
            }
        }
    }

    /// The record of a container, without a lock; [`ErrorKind::NotFound`] if there is none, or not of the
    /// one that has this identity, whoever has got its id.
    pub(crate) fn read(&self, id: &str, which: Option<&Identity>) -> Result<Record> {
        check_id(id)?;
        let root = self.open_root()?.ok_or_else(not_found)?;
        read_record(At(root.as_fd(), id), id, which)
    }

    /// The records of all containers, sorted by id. A root that does not exist holds none. Names that
    /// no id can have are passed over: a removal is under way there, or was interrupted.
    pub(crate) fn list(&self) -> Result<Vec<(String, Result<Record>)>> {
        let Some(root) = self.open_root()? else {
            return Ok(Vec::new());
        };
        let mut list = Vec::new();
        for (name, is_directory) in
            directory::names(root.as_fd()).context(|| self.root.display())?
        {
            let Some(id) = name.to_str().filter(|name| is_directory && id::is_id(name)) else {
                continue;
            };
            match read_record(At(root.as_fd(), id), id, None) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                record => list.push((id.to_string(), record)),
            }
        }
        list.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(list)
    }

    /// Removes what an interrupted removal of this id has left, which is no container any more.
    pub(crate) fn sweep(&self, id: &str) -> Result<()> {
        check_id(id)?;
        match self.open_root()? {
            None => Ok(()),
            Some(root) => {
                entry::sweep(root.as_fd(), id).map_err(|error| entry::in_state_of(id, error))
            }
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.patience
    }

    fn open_root(&self) -> Result<Option<OwnedFd>> {
        let opened =
            fs::OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(&self.root);
        match opened {
            Ok(root) => {
                self.check_root(root.as_fd())?;
                Ok(Some(root.into()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.root_error("open", &error)),
        }
    }

    fn make_root(&self) -> Result<OwnedFd> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.root)
            .map_err(|error| self.root_error("mkdir", &error))?;
        let gone = io::Error::from_raw_os_error(libc::ENOENT);
        let root = self.open_root()?.ok_or_else(|| self.root_error("open", &gone))?;
        // The caller's umask can have taken away anything, and is not ours to change.
        fchmod(&root, Mode::S_IRWXU)
            .map_err(|errno| self.root_error("fchmod", &io::Error::from(errno)))?;
        Ok(root)
    }

    /// Whoever else can write here can have us remove, signal and mount what he likes.
    fn check_root(&self, root: BorrowedFd<'_>) -> Result<()> {
        let call = || format!("fstat(\"{}\")", self.root.display());
        let file = fstat(root).map_err(|errno| Error::os(call(), errno as i32))?;
        let ours = geteuid().as_raw();
        let why = if file.st_uid != ours {
            format!("it belongs to uid {}, and we are {ours}", file.st_uid)
        } else if file.st_mode & 0o022 != 0 {
            format!("others may write to it: mode {:04o}", file.st_mode & 0o7777)
        } else {
            return Ok(());
        };
        let message = format!("state root {}: {why}", self.root.display());
        Err(Error::new(ErrorKind::Permission, message))
    }

    fn root_error(&self, call: &str, error: &io::Error) -> Error {
        Error::io(format!("{call}(\"{}\")", self.root.display()), error).context("state root")
    }
}

fn exists() -> Error {
    Error::new(ErrorKind::Exists, "container with given ID already exists")
}

pub(crate) fn not_found() -> Error {
    Error::new(ErrorKind::NotFound, "container does not exist")
}

/// A path to a descriptor of ours, for what the standard library does by path only.
fn path_of(fd: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

#[cfg(test)]
mod tests;
