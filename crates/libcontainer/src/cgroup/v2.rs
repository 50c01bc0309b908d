//! What a directory of the v2 hierarchy needs before a process can be cloned into it.

use std::path::Path;

use super::create::{Made, from_the_top, frozen, refuse_used};
use super::directory::Directory;
use super::placement::Place;
use crate::error::{Error, ErrorKind, Result};

/// Whether the cgroups above give their controllers to the container's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Controllers {
    Enable,
    Leave,
}

/// Checks the directory, and gives it the controllers that there are.
pub(super) fn prepare(
    root: &Directory,
    place: &Place,
    made: &Made,
    controllers: Controllers,
) -> Result<()> {
    // A new cgroup inherits nothing from the root of the hierarchy, so that there is nothing to check.
    if !made.is_new() || place.below.components().count() > 1 {
        check_events(&made.directory)?;
        check_type(&made.directory)?;
    }
    match controllers {
        Controllers::Enable => enable(root, &place.below, &made.directory),
        Controllers::Leave => Ok(()),
    }
}

/// `cgroup.events` tells at once whether there are processes in it or below, and whether it is frozen,
/// by itself or by a parent.
fn check_events(directory: &Directory) -> Result<()> {
    let events = directory.read("cgroup.events")?;
    if events.lines().any(|line| line == "populated 1") {
        refuse_used(directory)?;
    }
    if events.lines().any(|line| line == "frozen 1") {
        return Err(frozen(directory));
    }
    Ok(())
}

/// Processes can't be cloned into a part of a threaded subtree.
fn check_type(directory: &Directory) -> Result<()> {
    match directory.read("cgroup.type")?.trim() {
        "domain" | "domain threaded" => Ok(()),
        other => Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "container's cgroup {} is of type \"{other}\": a cgroup above it is threaded, so that no \
                 process can be started in it",
                directory.path().display()
            ),
        )),
    }
}

/// Enables every available controller from the top down, where it isn't enabled yet.
///
/// A controller that can't be enabled is passed over: a cgroup with processes can't give any (EBUSY),
/// one above may not have it (ENOENT), `cpu` can't be while real-time processes run (EINVAL), threaded
/// cgroups take few (EOPNOTSUPP), and in a delegated subtree we may not. What is missing then is missed
/// by name when a limit is set that needs it, and only then.
fn enable(root: &Directory, below: &Path, leaf: &Directory) -> Result<()> {
    let available = root.read("cgroup.controllers")?;
    let given = leaf.read("cgroup.controllers")?;
    if missing(&available, &given).is_empty() {
        return Ok(());
    }
    let parent = below.parent().unwrap_or(Path::new(""));
    for path in std::iter::once(Path::new("")).chain(from_the_top(parent)) {
        let file = path.join("cgroup.subtree_control");
        let missing = missing(&available, &root.read(&file)?);
        if missing.is_empty() || root.write(&file, &missing.join(" ")).is_ok() {
            continue;
        }
        // One that can't be enabled spoils the whole write.
        for controller in &missing {
            tolerate(root.write(&file, controller))?;
        }
    }
    Ok(())
}

/// `+memory`, for each controller that is available and not enabled.
fn missing(available: &str, enabled: &str) -> Vec<String> {
    let is_enabled = |name: &&str| !enabled.split_whitespace().any(|other| other == *name);
    let missing = available.split_whitespace().filter(is_enabled);
    missing.map(|name| format!("+{name}")).collect()
}

fn tolerate(written: Result<()>) -> Result<()> {
    match written {
        Err(error)
            if matches!(
                error.errno(),
                Some(
                    libc::EBUSY
                        | libc::ENOENT
                        | libc::EINVAL
                        | libc::EOPNOTSUPP
                        | libc::EACCES
                        | libc::EPERM
                        | libc::EROFS
                )
            ) =>
        {
            Ok(())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_enabled() {
        for (available, enabled, expected) in [
            ("cpu io memory\n", "", vec!["+cpu", "+io", "+memory"]),
            ("cpu io memory\n", "io cpu\n", vec!["+memory"]),
            ("cpu cpuset\n", "cpuset\n", vec!["+cpu"]),
            ("\n", "\n", vec![]),
        ] {
            assert_eq!(missing(available, enabled), expected);
        }
    }

    #[test]
    fn a_failure_that_says_nothing_about_the_controller_counts() {
        let failed = |errno| tolerate(Err(Error::os("write", errno)));
        assert!(failed(libc::EBUSY).is_ok());
        assert_eq!(failed(libc::EIO).unwrap_err().errno(), Some(libc::EIO));
    }

    #[test]
    fn controllers_are_enabled_above_the_container_only() {
        let root = tempfile::tempdir().unwrap();
        let file = |path: &str| root.path().join(path);
        std::fs::create_dir_all(file("a/b")).unwrap();
        for (path, content) in [
            ("cgroup.controllers", "cpu memory\n"),
            ("cgroup.subtree_control", "cpu\n"),
            ("a/cgroup.subtree_control", ""),
            ("a/b/cgroup.controllers", ""),
            ("a/b/cgroup.subtree_control", ""),
        ] {
            std::fs::write(file(path), content).unwrap();
        }
        let top = Directory::of_files(root.path());
        let leaf = Directory::of_files(&file("a/b"));
        enable(&top, Path::new("a/b"), &leaf).unwrap();
        for (path, content) in [
            ("cgroup.subtree_control", "+memory"),
            ("a/cgroup.subtree_control", "+cpu +memory"),
            ("a/b/cgroup.subtree_control", ""),
        ] {
            assert_eq!(std::fs::read_to_string(file(path)).unwrap(), content, "{path}");
        }
    }
}
