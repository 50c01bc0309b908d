//! Reading the record of a container. It takes no lock: others may make and remove it meanwhile.

use std::fs::File;
use std::io::Read;
use std::os::fd::BorrowedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::fstatat;

use super::entry::{GATE, RECORD, in_state_of};
use super::not_found;
use super::record::{FORMAT, Identity, Record};
use crate::error::{Error, ErrorKind, Result};

/// No record is larger: the annotations in it come from a `config.json` that was read.
const RECORD_LIMIT: u64 = 64 << 20;

/// Where a container's directory is: at a path below a directory. Who has locked it has opened it, and
/// reads that one, whatever its id stands for by now.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a>(pub(super) BorrowedFd<'a>, pub(super) &'a str);

/// The record of a container: see [`super::Store::read`].
pub(super) fn read_record(at: At<'_>, id: &str, which: Option<&Identity>) -> Result<Record> {
    // Record and gate may be made after the first look for the one, and before that for the other.
    for _ in 0..2 {
        if let Some(file) = open(at, id)? {
            let record = parse(file, id)?;
            return match which {
                Some(which) if *which != record.identity() => Err(not_found()),
                _ => Ok(record),
            };
        }
        // What has an identity had a record, and then a gate. Where neither is, it is gone, and somebody
        // has taken its id, but written nothing yet.
        if !has(at, ".", id)? || which.is_some() && !has(at, GATE, id)? {
            return Err(not_found());
        }
    }
    Err(unreadable(id, "there is no record"))
}

fn parse(file: File, id: &str) -> Result<Record> {
    let mut bytes = Vec::with_capacity(4096);
    // `take` also spares the two calls with which read_to_end asks for the file's size.
    file.take(RECORD_LIMIT)
        .read_to_end(&mut bytes)
        .map_err(|error| failed(id, Error::io(format!("read(\"{RECORD}\")"), &error)))?;
    let record: Record =
        serde_json::from_slice(&bytes).map_err(|error| unreadable(id, &error.to_string()))?;
    if record.format != FORMAT {
        let message = format!("format {}, and we know {FORMAT}", record.format);
        return Err(unreadable(id, &message));
    }
    if record.intent.id != id {
        let message = format!("it is the record of container {}", record.intent.id);
        return Err(unreadable(id, &message));
    }
    Ok(record)
}

fn open(At(directory, path): At<'_>, id: &str) -> Result<Option<File>> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    let path = format!("{path}/{RECORD}");
    match openat2(directory, path.as_str(), how) {
        Ok(file) => Ok(Some(File::from(file))),
        // A name that is too long to be there is not there either.
        Err(Errno::ENOENT | Errno::ENAMETOOLONG) => Ok(None),
        Err(errno) => Err(failed(id, Error::os(format!("openat2(\"{path}\")"), errno as i32))),
    }
}

/// The record could not be opened or read. That something else stands in its place is damage, as what
/// [`unreadable`] tells is; what the kernel refuses for another reason may be all right.
fn failed(id: &str, error: Error) -> Error {
    match error.errno() {
        Some(libc::ELOOP | libc::EISDIR | libc::ENXIO | libc::ENODEV) => {
            in_state_of(id, error.with_kind(ErrorKind::InvalidState))
        }
        _ => in_state_of(id, error),
    }
}

/// Whether a name is in the container's directory. Before the gate is, nothing is on the system but the
/// directory itself (`.`), and before that nobody has taken the id.
pub(super) fn has(At(directory, path): At<'_>, name: &str, id: &str) -> Result<bool> {
    match fstatat(directory, &Path::new(path).join(name), AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        Err(Errno::ENOENT | Errno::ENAMETOOLONG) => Ok(false),
        Err(errno) => {
            let error = Error::os(format!("fstatat(\"{path}/{name}\")"), errno as i32);
            Err(in_state_of(id, error))
        }
    }
}

pub(super) fn unreadable(id: &str, why: &str) -> Error {
    in_state_of(
        id,
        Error::new(ErrorKind::InvalidState, format!("the state is unreadable: {RECORD}: {why}")),
    )
}
