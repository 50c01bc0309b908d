//! The directory that holds the state of containers.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use libcontainer::Runtime;

use crate::args::{self, Globals};
use crate::text;

/// What the choice of the directory depends on.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    /// `--root`.
    pub(crate) option: Option<OsString>,
    /// `$XDG_RUNTIME_DIR`.
    pub(crate) xdg_runtime_dir: Option<OsString>,
    /// `$USER`.
    pub(crate) user: Option<OsString>,
    /// The effective user is root.
    pub(crate) root: bool,
    /// The process is in a user namespace other than the first.
    pub(crate) user_namespace: bool,
}

/// Where the directory was taken from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Root {
    /// The option.
    Given(PathBuf),
    /// The user's runtime directory.
    Xdg(PathBuf),
    /// Nowhere.
    Default,
}

impl Surroundings {
    fn of_process(globals: &Globals) -> Self {
        let root = nix::unistd::geteuid().is_root();
        let xdg_runtime_dir = std::env::var_os("XDG_RUNTIME_DIR");
        Self {
            option: globals.root.clone(),
            user: std::env::var_os("USER"),
            root,
            user_namespace: root && xdg_runtime_dir.is_some() && in_user_namespace(),
            xdg_runtime_dir,
        }
    }

    /// The directory. The real root doesn't live in a user's runtime directory, even if su(1) has left
    /// the variable; the root of a rootless container does.
    fn choose(&self) -> anyhow::Result<Root> {
        if let Some(option) = args::given(self.option.as_ref()) {
            let path = args::absolute(Path::new(option)).map_err(|error| text::io(&error))?;
            if path == Path::new("/") {
                bail!("Option --root argument should not be set to /");
            }
            return Ok(Root::Given(path));
        }
        let is_named_root = self.user.as_deref() == Some(OsStr::new("root"));
        let honours_xdg = !self.root || (self.user_namespace && !is_named_root);
        Ok(match args::given(self.xdg_runtime_dir.as_ref()) {
            Some(directory) if honours_xdg => Root::Xdg(Path::new(directory).join("tare")),
            _ => Root::Default,
        })
    }
}

impl Root {
    /// Where the options say that the state is.
    pub(crate) fn find(globals: &Globals) -> anyhow::Result<Self> {
        Surroundings::of_process(globals).choose()
    }

    /// The path.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Given(path) | Self::Xdg(path) => path,
            Self::Default => Path::new("/run/tare"),
        }
    }
}

/// The runtime whose state lies where the options say.
pub(crate) fn runtime(globals: &Globals) -> anyhow::Result<Runtime> {
    let root = Root::find(globals)?;
    if let Root::Xdg(path) = &root {
        keep_from_cleaners(path)
            .map_err(|error| text::io(&error))
            .with_context(|| format!("mkdir {}", path.display()))
            .context("the path in $XDG_RUNTIME_DIR must be writable by the user")?;
    }
    Ok(Runtime::new(root.path()))
}

/// The XDG base directory specification has what carries the sticky bit left alone by cleaners.
fn keep_from_cleaners(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o1700))
}

/// Whether the ids are mapped otherwise than in the first user namespace (user_namespaces(7)).
fn in_user_namespace() -> bool {
    fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| !is_identity(&map))
}

fn is_identity(map: &str) -> bool {
    map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_follows_the_rules_of_runc() {
        let xdg = Some("/run/user/7");
        let own = || Root::Xdg("/run/user/7/tare".into());
        for (option, xdg, user, root, user_namespace, expected) in [
            (None, None, None, true, false, Root::Default),
            (None, xdg, None, true, false, Root::Default),
            (None, xdg, None, false, false, own()),
            (None, xdg, Some("root"), false, false, own()),
            (None, Some(""), None, false, false, Root::Default),
            (None, xdg, None, true, true, own()),
            (None, xdg, Some("u"), true, true, own()),
            (None, xdg, Some("root"), true, true, Root::Default),
            (Some("/s/./x/.."), xdg, None, false, false, Root::Given("/s".into())),
            (Some(""), None, None, true, false, Root::Default),
        ] {
            let surroundings = Surroundings {
                option: option.map(Into::into),
                xdg_runtime_dir: xdg.map(Into::into),
                user: user.map(Into::into),
                root,
                user_namespace,
            };
            assert_eq!(surroundings.choose().unwrap(), expected, "{surroundings:?}");
        }
    }

    #[test]
    fn the_root_of_the_system_is_refused() {
        for option in ["/", "/a/..", "//"] {
            let surroundings =
                Surroundings { option: Some(option.into()), ..Surroundings::default() };
            let error = surroundings.choose().unwrap_err();
            assert_eq!(error.to_string(), "Option --root argument should not be set to /");
        }
    }

    #[test]
    fn a_full_identity_map_is_the_first_namespace() {
        assert!(is_identity("         0          0 4294967295\n"));
        assert!(!is_identity("         0       1000          1\n"));
        assert!(!is_identity("0 0 4294967295\n1 1 1\n"));
        assert!(!is_identity(""));
    }
}
