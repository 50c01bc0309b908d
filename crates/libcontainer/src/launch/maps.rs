//! What the host side writes and reads about init under `/proc`: id maps, the OOM score, cgroups.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

use crate::cgroup::Placement;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::IdMap;

fn open(path: &str, options: &mut OpenOptions) -> Result<File> {
    let file: File = options
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(path)
        .map_err(|e| Error::io(format!("open {path}"), &e))?;
    let status = fstatfs(&file).map_err(|e| Error::os(format!("fstatfs {path}"), e as i32))?;
    if status.filesystem_type() != PROC_SUPER_MAGIC {
        return Err(Error::new(ErrorKind::Permission, format!("{path} does not lie on a procfs")));
    }
    Ok(file)
}

/// Writes a file of a process with one write(2), as the kernel wants it for maps. The file must lie on
/// a procfs: somebody may have mounted something else over it.
fn write(pid: i32, name: &str, text: &str) -> Result<()> {
    let path = format!("/proc/{pid}/{name}");
    let file = open(&path, OpenOptions::new().write(true))?;
    let written = (&file).write(text.as_bytes());
    match written {
        Ok(length) if length == text.len() => Ok(()),
        Ok(_) => Err(Error::new(ErrorKind::Os, format!("write {path}: cut short"))),
        Err(e) => Err(Error::io(format!("write {path}"), &e)),
    }
}

/// Reads a file of a process, which must lie on a procfs too.
fn read(pid: i32, name: &str) -> Result<Vec<u8>> {
    let path = format!("/proc/{pid}/{name}");
    let mut file = open(&path, OpenOptions::new().read(true))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|e| Error::io(format!("read {path}"), &e))?;
    Ok(bytes)
}

fn not_in_force() -> Error {
    Error::new(ErrorKind::Os, "the kernel accepted the setting but does not report it")
}

/// Verifies that init is in its v1 cgroups: it moved itself by writing into files, of which it can only
/// say that the kernel took what was written. A v2 cgroup is one that the clone was made into.
pub(super) fn check_cgroups(pid: i32, placement: &Placement) -> Result<()> {
    if placement.v1.is_empty() {
        return Ok(());
    }
    let report = read(pid, "cgroup")?;
    let report: Vec<(&[u8], &[u8])> = report
        .split(|&byte| byte == b'\n')
        .filter_map(|line| {
            let mut fields = line.splitn(3, |&byte| byte == b':').skip(1);
            Some((fields.next()?, fields.next()?))
        })
        .collect();
    for place in &placement.v1 {
        // What the path begins with depends on the caller's cgroup namespace, and on what of the
        // hierarchy is mounted.
        let is_there = |path: &[u8]| Path::new(OsStr::from_bytes(path)).ends_with(&place.below);
        let found = report.iter().find(|(label, _)| *label == place.label.as_bytes());
        if !found.is_some_and(|(_, path)| is_there(path)) {
            return Err(not_in_force()
                .context(format_args!("join cgroup {place}"))
                .context("linux.cgroupsPath")
                .with_property("linux.cgroupsPath"));
        }
    }
    Ok(())
}

/// Maps the ids of init's new user namespace.
pub(super) fn map_ids(pid: i32, users: &[IdMap], groups: &[IdMap], deny: bool) -> Result<()> {
    if deny {
        // Whoever may not change groups could drop one that denies access (CVE-2014-8989).
        write(pid, "setgroups", "deny")?;
    }
    write(pid, "uid_map", &lines(users)).map_err(|e| e.with_property("linux.uidMappings"))?;
    write(pid, "gid_map", &lines(groups)).map_err(|e| e.with_property("linux.gidMappings"))
}

fn lines(maps: &[IdMap]) -> String {
    maps.iter().fold(String::new(), |mut lines, map| {
        // Writing into a String can't fail.
        writeln!(lines, "{} {} {}", map.container, map.host, map.size).ok();
        lines
    })
}

/// Sets how willingly the kernel kills init when memory is short (proc_pid_oom_score_adj(5)).
pub(super) fn set_oom_score(pid: i32, adjustment: i32) -> Result<()> {
    let adjustment = adjustment.to_string();
    write(pid, "oom_score_adj", &adjustment)
        .and_then(|()| match read(pid, "oom_score_adj")?.trim_ascii() {
            reported if reported == adjustment.as_bytes() => Ok(()),
            _ => Err(not_in_force()),
        })
        .map_err(|e| e.context("process.oomScoreAdj").with_property("process.oomScoreAdj"))
}
