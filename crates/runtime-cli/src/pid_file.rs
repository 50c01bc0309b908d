//! The pid file: it appears with its whole content or not at all, because callers read it as soon as they
//! see it, and it has no newline, because containerd's shim would not parse the number.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use anyhow::Context;

use crate::text;

/// Writes `pid` into a new file beside `path`, and renames it.
pub(crate) fn write(path: &Path, pid: i32) -> anyhow::Result<()> {
    replace(path, pid)
        .map_err(|error| text::io(&error))
        .with_context(|| format!("write pid file {}", path.display()))
}

fn replace(path: &Path, pid: i32) -> io::Result<()> {
    let name = path.file_name().ok_or(ErrorKind::IsADirectory)?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    let temporary = path.with_file_name(hidden);
    // What a killed predecessor has left must not be in the way for ever.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
    let written =
        file.write_all(pid.to_string().as_bytes()).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first failure is the one to tell.
        fs::remove_file(&temporary).ok();
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_all_there_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("init.pid");
        for pid in [1, 4_194_304] {
            write(&path, pid).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), pid.to_string());
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_stale_temporary_file_or_link_is_replaced_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let victim = directory.path().join("victim");
        fs::write(&victim, "x").unwrap();
        std::os::unix::fs::symlink(&victim, directory.path().join(".init.pid")).unwrap();
        write(&directory.path().join("init.pid"), 7).unwrap();
        assert_eq!(fs::read_to_string(victim).unwrap(), "x");
    }

    #[test]
    fn a_failure_names_the_file_and_leaves_nothing() {
        let error = write(Path::new("/nonexistent/init.pid"), 1).unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "write pid file /nonexistent/init.pid: no such file or directory"
        );
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("init.pid");
        fs::create_dir(&path).unwrap();
        assert!(write(&path, 1).is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
