//! What a new directory of a v1 hierarchy needs before a process can join it.

use std::path::Path;

use super::create::{Made, frozen, refuse_used};
use super::directory::Directory;
use super::placement::Place;
use crate::error::{Error, ErrorKind, Result};

/// Checks a directory that was there, and fills in what the kernel leaves empty in a new one.
pub(super) fn prepare(root: &Directory, place: &Place, made: &Made) -> Result<()> {
    if !made.is_new() {
        refuse_used(&made.directory)?;
    }
    if place.has("freezer") {
        check_freezer(place, made)?;
    }
    if place.has("cpuset") {
        fill_cpuset(root, &place.below, made)?;
    }
    Ok(())
}

/// A new cgroup is frozen if its parent is. The hierarchy's root never is, so a new one right below it
/// needs no look.
fn check_freezer(place: &Place, made: &Made) -> Result<()> {
    if made.is_new() && place.below.components().count() == 1 {
        return Ok(());
    }
    match made.directory.read("freezer.state")?.trim() {
        "THAWED" => Ok(()),
        _ => Err(frozen(&made.directory)),
    }
}

/// A new v1 cpuset has no CPU and no memory node, and nothing can join it (ENOSPC) until it has.
fn fill_cpuset(root: &Directory, below: &Path, made: &Made) -> Result<()> {
    // Our own is known to be empty where it is new, so that it needn't be read.
    let known_empty = usize::from(made.is_new());
    for file in ["cpuset.cpus", "cpuset.mems"] {
        inherit(root, below, known_empty, file)?;
    }
    Ok(())
}

/// Copies a value from the nearest cgroup upwards that has one, down to `below`. The ones between are
/// those that we have just made; or that another create has just made and not filled yet, in which case
/// it writes the same.
fn inherit(root: &Directory, below: &Path, known_empty: usize, file: &str) -> Result<()> {
    let mut empty: Vec<&Path> = below.ancestors().take(known_empty).collect();
    for path in below.ancestors().skip(known_empty) {
        let value = root.read(path.join(file))?;
        if value.trim().is_empty() {
            empty.push(path);
            continue;
        }
        for path in empty.iter().rev() {
            root.write(path.join(file), value.trim())?;
        }
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Unsupported,
        format!(
            "{}: empty, so that nothing can join a cgroup below it",
            root.path().join(file).display()
        ),
    ))
}
