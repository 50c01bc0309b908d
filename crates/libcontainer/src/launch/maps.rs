//! What the host side writes about init under `/proc`: id maps, the OOM score.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;

use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

use crate::error::{Error, ErrorKind, Result};
use crate::plan::IdMap;

/// Writes a file of a process with one write(2), as the kernel wants it for maps. The file must lie on
/// a procfs: somebody may have mounted something else over it.
fn write(pid: i32, name: &str, text: &str) -> Result<()> {
    let path = format!("/proc/{pid}/{name}");
    let file: File = OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(&path)
        .map_err(|e| Error::io(format!("open {path}"), &e))?;
    let status = fstatfs(&file).map_err(|e| Error::os(format!("fstatfs {path}"), e as i32))?;
    if status.filesystem_type() != PROC_SUPER_MAGIC {
        return Err(Error::new(ErrorKind::Permission, format!("{path} does not lie on a procfs")));
    }
    let written = (&file).write(text.as_bytes());
    match written {
        Ok(length) if length == text.len() => Ok(()),
        Ok(_) => Err(Error::new(ErrorKind::Os, format!("write {path}: cut short"))),
        Err(e) => Err(Error::io(format!("write {path}"), &e)),
    }
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
    write(pid, "oom_score_adj", &adjustment.to_string())
        .map_err(|e| e.context("process.oomScoreAdj").with_property("process.oomScoreAdj"))
}
