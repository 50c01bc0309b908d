//! Gives the container's v2 cgroup to the user in it, so that it can make cgroups below.
//!
//! Only the directory and the files that the kernel lists for it change hands: the limits stay the
//! caller's. Specification: config-linux.md, "Cgroup ownership"; v1 hierarchies are never given away.

use std::fs;
use std::io::ErrorKind as Io;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::unistd::{Uid, fchown, fchownat};

use super::create::Cgroup;
use super::directory::{Directory, os};
use crate::error::{Error, Result};

/// The files that may be given away, one a line (Linux 4.16).
const DELEGATE: &str = "/sys/kernel/cgroup/delegate";
/// What the specification takes for the list where there is none.
const FALLBACK: &str = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n";

impl Cgroup {
    /// Makes a user of the host the owner of the cgroup. Does nothing on a host with v1 hierarchies.
    pub(crate) fn give_to(&self, uid: u32) -> Result<()> {
        match self.unified_alone() {
            None => Ok(()),
            Some(directory) => give(directory, &files()?, Uid::from_raw(uid)),
        }
    }
}

fn files() -> Result<String> {
    match fs::read_to_string(DELEGATE) {
        Ok(files) => Ok(files),
        Err(error) if error.kind() == Io::NotFound => Ok(FALLBACK.to_string()),
        Err(error) => Err(Error::io(format_args!("read({DELEGATE:?})"), &error)),
    }
}

fn give(directory: &Directory, files: &str, uid: Uid) -> Result<()> {
    let call = format!("chown to {uid}");
    fchown(directory, Some(uid), None).map_err(|errno| os(&call, directory.path(), errno))?;
    for file in files.lines().filter(|file| !file.is_empty() && !file.contains('/')) {
        match fchownat(directory, Path::new(file), Some(uid), None, AtFlags::AT_SYMLINK_NOFOLLOW) {
            // The list has the files of all controllers, whichever this cgroup has.
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(os(&call, &directory.path().join(file), errno)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::metadata;
    use std::os::unix::fs::MetadataExt;

    use super::super::scratch::Scratch;
    use super::*;

    #[test]
    fn the_directory_and_the_listed_files_change_hands() {
        let Some(scratch) = Scratch::v2("owner") else {
            return;
        };
        let placement = scratch.place("/x");
        let mut cgroup = Cgroup::new(placement.clone());
        cgroup.make_unified().unwrap();
        cgroup.give_to(12_345).unwrap();
        let path = placement.unified.unwrap().directory();
        let owner = |file: &str| metadata(path.join(file)).unwrap().uid();
        for file in ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
            assert_eq!(owner(file), 12_345, "{file:?}");
        }
        for file in ["cgroup.kill", "cgroup.max.depth", "cgroup.freeze"] {
            assert_eq!(owner(file), 0, "{file:?}");
        }
        assert_eq!(metadata(&path).unwrap().gid(), 0);
    }

    #[test]
    fn v1_is_never_given_away() {
        let Some(scratch) = Scratch::host("keep") else {
            return;
        };
        let placement = scratch.place("/x");
        if placement.v1.is_empty() {
            return println!("skipped: this host has no v1 hierarchy");
        }
        let mut cgroup = Cgroup::new(placement.clone());
        cgroup.make_unified().unwrap();
        cgroup.make_v1().unwrap();
        cgroup.give_to(12_345).unwrap();
        for place in placement.places() {
            assert_eq!(metadata(place.directory()).unwrap().uid(), 0, "{place}");
        }
    }
}
