//! Lines of `/proc/PID/mountinfo` (proc_pid_mountinfo(5)).
//!
//! They are read as bytes. A mount point may hold spaces (written `\040`) and need not be UTF-8, and
//! one such line, which may belong to somebody's USB stick, must not make the others unreadable.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// `36 35 0:29 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu`, as it was written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    /// The number of the mount: no other one has it at the same time, in any namespace.
    pub(crate) id: &'a [u8],
    /// The number of the mount that it lies on.
    pub(crate) parent: &'a [u8],
    /// The file system, as `MAJOR:MINOR`.
    pub(crate) device: &'a [u8],
    root: &'a [u8],
    mountpoint: &'a [u8],
    /// The type of the file system.
    pub(crate) kind: &'a [u8],
    /// The options of the file system.
    pub(crate) options: &'a [u8],
}

impl<'a> Line<'a> {
    /// None if the line is cut off.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        let mut fields = line.split(|b| *b == b' ');
        let [id, parent, device, root, mountpoint] = [(); 5].map(|()| fields.next());
        let (root, mountpoint) = (root?, mountpoint?);
        // The optional fields end with a lone hyphen.
        fields.by_ref().find(|field| *field == b"-")?;
        Some(Self {
            id: id?,
            parent: parent?,
            device: device?,
            root,
            mountpoint,
            kind: fields.next()?,
            options: fields.nth(1)?,
        })
    }

    /// Which part of the file system is mounted.
    pub(crate) fn root(&self) -> PathBuf {
        unescape(self.root)
    }

    /// Where, from the root directory of the process.
    pub(crate) fn mountpoint(&self) -> PathBuf {
        unescape(self.mountpoint)
    }
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        if let (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..]) = (first, tail) {
            bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
            rest = &tail[3..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}
