//! Writes the limits into the container's cgroups, and reads them back.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::fcntl::OFlag;

use super::super::create::{Cgroup, Made};
use super::super::directory::Directory;
use super::super::placement::Place;
use super::{Absence, Check, Limit, Scope};
use crate::error::{Error, ErrorKind, Result};

impl Cgroup {
    /// Puts the limits in force. Comes after the directories are made, and before anything of the user's
    /// runs: hooks included.
    pub(crate) fn apply_limits(&self, limits: &[Limit]) -> Result<()> {
        for limit in limits.iter().filter(|limit| limit.scope == Scope::WithParents) {
            let (place, made) = self.of_controller(&limit.controller)?;
            made_parents(place, made)?
                .iter()
                .try_for_each(|parent| apply(parent, limit))
                .map_err(|error| because_of(limit, error))?;
        }
        for limit in limits {
            let (_, made) = self.of_controller(&limit.controller)?;
            if limit.scope == Scope::Reused && made.is_new() {
                continue;
            }
            apply(&made.directory, limit).map_err(|error| because_of(limit, error))?;
        }
        Ok(())
    }

    /// Whether the kernel has killed a process in the container for want of memory.
    pub(crate) fn has_killed_for_memory(&self) -> bool {
        let is_count = |line: &str| {
            let count = line.strip_prefix("oom_kill ").and_then(|count| count.trim().parse().ok());
            count.is_some_and(|count: u64| count > 0)
        };
        let files = ["memory.oom_control", "memory.events"];
        self.of_controller("memory").is_ok_and(|(_, made)| {
            let texts = files.iter().filter_map(|file| made.directory.read(file).ok());
            texts.into_iter().any(|text| text.lines().any(is_count))
        })
    }
}

fn because_of(limit: &Limit, error: Error) -> Error {
    error.context(&limit.property).with_property(&limit.property)
}

/// The parents that were made for the container, from the top.
fn made_parents(place: &Place, made: &Made) -> Result<Vec<Directory>> {
    let parents = made.levels.saturating_sub(1);
    if parents == 0 {
        return Ok(Vec::new());
    }
    let root = Directory::hierarchy(place)?;
    let mut paths: Vec<&Path> = place.below.ancestors().skip(1).take(parents).collect();
    paths.reverse();
    paths.into_iter().map(|path| root.open(path)).collect()
}

fn apply(directory: &Directory, limit: &Limit) -> Result<()> {
    let access = match limit.check {
        Check::No | Check::Within(_) => OFlag::O_WRONLY,
        _ => OFlag::O_RDWR,
    };
    let open = |file: &str| match directory.open_file(Path::new(file), access) {
        Err(error) if error.errno() == Some(libc::ENOENT) => Ok(None),
        opened => opened.map(Some),
    };
    let mut target = (limit.file.as_str(), limit.value.as_str());
    let mut opened = open(target.0)?;
    if let (None, Some((file, value))) = (&opened, &limit.instead) {
        target = (file, value);
        opened = open(file)?;
    }
    let Some(fd) = opened else {
        return match limit.absence {
            Absence::Fine => Ok(()),
            Absence::Fails => Err(absent(directory, limit)),
        };
    };
    let (file, value) = target;
    directory
        .write_to(&fd, Path::new(file), value)
        .map_err(|error| explain(directory, file, value, error))?;
    check(directory, limit, &File::from(fd))
}

/// Why a limit's file is not there.
fn absent(directory: &Directory, limit: &Limit) -> Error {
    let Limit { controller, file, .. } = limit;
    let path = directory.path().display();
    let message = match directory.read("cgroup.controllers") {
        // v1: its hierarchy is there, for the plan has seen to it.
        Err(_) => format!("this kernel has no {file} in {path}"),
        Ok(given)
            if controller == "cgroup" || given.split_whitespace().any(|c| c == controller) =>
        {
            format!("this kernel has no {file} in {path}")
        }
        Ok(given) if limit.property.starts_with("linux.resources.unified") => format!(
            "unified resource {file:?} can't be set: controller {controller:?} not available in {path} \
             (there are: {})",
            given.trim()
        ),
        Ok(given) => format!(
            "cannot set {controller} limit: controller {controller:?} not available in {path} \
             (there are: {})",
            given.trim()
        ),
    };
    Error::new(ErrorKind::Unsupported, message)
}

/// What the kernel's answer means where the errno alone doesn't tell.
fn explain(directory: &Directory, file: &str, value: &str, error: Error) -> Error {
    if file != "memory.limit_in_bytes" || error.errno() != Some(libc::EBUSY) {
        return error;
    }
    let read = |file| directory.read(file).unwrap_or_default();
    let usage = read("memory.usage_in_bytes");
    let peak = read("memory.max_usage_in_bytes");
    error.context(format_args!(
        "unable to set memory limit to {value} (current usage: {}, peak usage: {})",
        usage.trim(),
        peak.trim()
    ))
}

/// Reads back what is in force.
fn check(directory: &Directory, limit: &Limit, file: &File) -> Result<()> {
    let read = match limit.check {
        Check::No => return Ok(()),
        Check::Within(other) => directory.read(other)?,
        _ => read(file).map_err(|error| {
            let path = directory.path().join(&limit.file);
            Error::io(format_args!("read({:?})", path.display().to_string()), &error)
        })?,
    };
    let Err(words) = compare(&limit.check, &limit.value, read.trim()) else {
        return Ok(());
    };
    let message = words.unwrap_or_else(|| {
        let path = directory.path().join(&limit.file);
        format!(
            "{}: {:?} was written, but what is in force is {:?}",
            path.display(),
            limit.value,
            read.trim()
        )
    });
    Err(Error::new(ErrorKind::Unsupported, message))
}

/// The whole of a file that was just written through the same descriptor.
fn read(file: &File) -> std::io::Result<String> {
    let mut content = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let offset = u64::try_from(content.len()).unwrap_or(u64::MAX);
        match file.read_at(&mut buffer, offset)? {
            0 => return Ok(String::from_utf8_lossy(&content).into_owned()),
            length => content.extend_from_slice(buffer.get(..length).unwrap_or_default()),
        }
    }
}

/// Whether what was read is what was asked for; if not, in words if there are better ones than both.
fn compare(check: &Check, value: &str, read: &str) -> Result<(), Option<String>> {
    let holds = match check {
        Check::No => true,
        Check::Same => read == value,
        Check::Shares(shares) => {
            return match read.parse::<u64>() {
                Ok(read) if read < *shares => {
                    Err(Some(format!("the maximum allowed cpu-shares is {read}")))
                }
                Ok(read) if read > *shares => {
                    Err(Some(format!("the minimum allowed cpu-shares is {read}")))
                }
                Ok(_) => Ok(()),
                Err(_) => Err(None),
            };
        }
        Check::Rounded { number, unit } => {
            let read = if read == "max" { Ok(i64::MAX.unsigned_abs()) } else { read.parse() };
            read.is_ok_and(|read: u64| number.checked_sub(read).is_some_and(|less| less < *unit))
        }
        Check::Line(line) => read.lines().any(|other| other.trim() == line),
        // A notation that only the kernel knows can't be compared.
        Check::Within(_) => match (members(value), members(read)) {
            (Some(asked), Some(given)) => {
                given.iter().all(|(first, last)| covers(&asked, *first, *last))
            }
            (None, _) => true,
            (_, None) => false,
        },
    };
    if holds { Ok(()) } else { Err(None) }
}

/// The ranges of a list such as `0,2-3`, in order; none of another notation (`0-10:1/2`, `all`).
pub(crate) fn members(list: &str) -> Option<Vec<(u32, u32)>> {
    let range = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
    };
    let ranges = list.split(',').map(str::trim).filter(|range| !range.is_empty());
    let mut ranges: Vec<(u32, u32)> = ranges.map(range).collect::<Option<_>>()?;
    ranges.sort_unstable();
    Some(ranges)
}

/// Whether ordered ranges have all from `first` to `last`.
pub(crate) fn covers(ranges: &[(u32, u32)], first: u32, last: u32) -> bool {
    let mut wanted = first;
    for (from, to) in ranges {
        if *from > wanted {
            return false;
        }
        if *to >= last {
            return true;
        }
        wanted = wanted.max(to.saturating_add(1));
    }
    false
}

#[cfg(test)]
mod tests;
