//! The mount options of the runtime-spec (config.md, "Linux mount options"): what each does to a mount,
//! as a table. Options that are not in it are data for the file system.

use libc::{
    MOUNT_ATTR__ATIME, MOUNT_ATTR_NOATIME, MOUNT_ATTR_NODEV, MOUNT_ATTR_NODIRATIME,
    MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NOSYMFOLLOW, MOUNT_ATTR_RDONLY,
    MOUNT_ATTR_RELATIME, MOUNT_ATTR_STRICTATIME,
};

/// What an option does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// Sets an attribute of the mount.
    Set(u64),
    /// Clears one.
    Clear(u64),
    /// Chooses how access times are updated.
    AccessTime(u64),
    /// Sets an attribute of the mount and of all below it.
    SetAll(u64),
    /// Clears one there.
    ClearAll(u64),
    /// Chooses there how access times are updated.
    AccessTimeAll(u64),
    /// Read-only or not: an attribute of the mount, and of the file system too.
    ReadOnly(bool),
    /// A property of the file system, which fsconfig(2) takes under this name.
    FileSystem(&'static str),
    /// Changes the propagation; with true, of all below it too.
    Propagation(u64, bool),
    /// The mount is a copy of another one; with true, with all below it.
    Bind(bool),
    /// A mount that is there is changed.
    Remount,
    /// A tmpfs begins with a copy of what it covers.
    CopyUp,
    /// Is the default.
    Default,
    /// The kernel's mount API has no such thing; it does not change what the container can do.
    Nothing,
}

/// Every option that tare knows, sorted.
#[rustfmt::skip]
const TABLE: &[(&str, Effect)] = &[
    ("async", Effect::FileSystem("async")),
    ("atime", Effect::AccessTime(MOUNT_ATTR_RELATIME)),
    ("bind", Effect::Bind(false)),
    ("defaults", Effect::Default),
    ("dev", Effect::Clear(MOUNT_ATTR_NODEV)),
    ("diratime", Effect::Clear(MOUNT_ATTR_NODIRATIME)),
    ("dirsync", Effect::FileSystem("dirsync")),
    ("exec", Effect::Clear(MOUNT_ATTR_NOEXEC)),
    ("iversion", Effect::Nothing),
    ("lazytime", Effect::FileSystem("lazytime")),
    ("loud", Effect::Nothing),
    ("mand", Effect::FileSystem("mand")),
    ("noatime", Effect::AccessTime(MOUNT_ATTR_NOATIME)),
    ("nodev", Effect::Set(MOUNT_ATTR_NODEV)),
    ("nodiratime", Effect::Set(MOUNT_ATTR_NODIRATIME)),
    ("noexec", Effect::Set(MOUNT_ATTR_NOEXEC)),
    ("noiversion", Effect::Nothing),
    ("nolazytime", Effect::FileSystem("nolazytime")),
    ("nomand", Effect::FileSystem("nomand")),
    ("norelatime", Effect::AccessTime(MOUNT_ATTR_RELATIME)),
    ("nostrictatime", Effect::AccessTime(MOUNT_ATTR_RELATIME)),
    ("nosuid", Effect::Set(MOUNT_ATTR_NOSUID)),
    ("nosymfollow", Effect::Set(MOUNT_ATTR_NOSYMFOLLOW)),
    ("private", Effect::Propagation(libc::MS_PRIVATE, false)),
    ("ratime", Effect::AccessTimeAll(MOUNT_ATTR_RELATIME)),
    ("rbind", Effect::Bind(true)),
    ("rdev", Effect::ClearAll(MOUNT_ATTR_NODEV)),
    ("rdiratime", Effect::ClearAll(MOUNT_ATTR_NODIRATIME)),
    ("relatime", Effect::AccessTime(MOUNT_ATTR_RELATIME)),
    ("remount", Effect::Remount),
    ("rexec", Effect::ClearAll(MOUNT_ATTR_NOEXEC)),
    ("rnoatime", Effect::AccessTimeAll(MOUNT_ATTR_NOATIME)),
    ("rnodev", Effect::SetAll(MOUNT_ATTR_NODEV)),
    ("rnodiratime", Effect::SetAll(MOUNT_ATTR_NODIRATIME)),
    ("rnoexec", Effect::SetAll(MOUNT_ATTR_NOEXEC)),
    ("rnorelatime", Effect::AccessTimeAll(MOUNT_ATTR_RELATIME)),
    ("rnostrictatime", Effect::AccessTimeAll(MOUNT_ATTR_RELATIME)),
    ("rnosuid", Effect::SetAll(MOUNT_ATTR_NOSUID)),
    ("rnosymfollow", Effect::SetAll(MOUNT_ATTR_NOSYMFOLLOW)),
    ("ro", Effect::ReadOnly(true)),
    ("rprivate", Effect::Propagation(libc::MS_PRIVATE, true)),
    ("rrelatime", Effect::AccessTimeAll(MOUNT_ATTR_RELATIME)),
    ("rro", Effect::SetAll(MOUNT_ATTR_RDONLY)),
    ("rrw", Effect::ClearAll(MOUNT_ATTR_RDONLY)),
    ("rshared", Effect::Propagation(libc::MS_SHARED, true)),
    ("rslave", Effect::Propagation(libc::MS_SLAVE, true)),
    ("rstrictatime", Effect::AccessTimeAll(MOUNT_ATTR_STRICTATIME)),
    ("rsuid", Effect::ClearAll(MOUNT_ATTR_NOSUID)),
    ("rsymfollow", Effect::ClearAll(MOUNT_ATTR_NOSYMFOLLOW)),
    ("runbindable", Effect::Propagation(libc::MS_UNBINDABLE, true)),
    ("rw", Effect::ReadOnly(false)),
    ("shared", Effect::Propagation(libc::MS_SHARED, false)),
    ("silent", Effect::Nothing),
    ("slave", Effect::Propagation(libc::MS_SLAVE, false)),
    ("strictatime", Effect::AccessTime(MOUNT_ATTR_STRICTATIME)),
    ("suid", Effect::Clear(MOUNT_ATTR_NOSUID)),
    ("symfollow", Effect::Clear(MOUNT_ATTR_NOSYMFOLLOW)),
    ("sync", Effect::FileSystem("sync")),
    ("tmpcopyup", Effect::CopyUp),
    ("unbindable", Effect::Propagation(libc::MS_UNBINDABLE, false)),
];

/// The names of all options, sorted: what `features` lists.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(name, _)| *name)
}

/// Changes of the attributes of a mount, as mount_setattr(2) takes them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AttributeChange {
    pub(crate) set: u64,
    pub(crate) clear: u64,
}

impl AttributeChange {
    pub(crate) const READ_ONLY: Self = Self { set: MOUNT_ATTR_RDONLY, clear: 0 };

    fn set(&mut self, attribute: u64) {
        self.set |= attribute;
        self.clear &= !attribute;
    }

    fn clear(&mut self, attribute: u64) {
        self.clear |= attribute;
        self.set &= !attribute;
    }

    /// The access time modes are values of one field: the kernel wants the whole field cleared.
    fn access_time(&mut self, mode: u64) {
        self.set = self.set & !MOUNT_ATTR__ATIME | mode;
        self.clear |= MOUNT_ATTR__ATIME;
    }

    pub(crate) fn is_none(self) -> bool {
        self == Self::default()
    }

    /// The same for mount(2), which kernels without mount_setattr(2) are left with.
    pub(crate) fn as_flags(self) -> Self {
        const SAME: u64 =
            MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
        let flags = |attributes: u64| {
            let has = |bit, flag| if attributes & bit == 0 { 0 } else { flag };
            attributes & SAME
                | has(MOUNT_ATTR_NODIRATIME, libc::MS_NODIRATIME)
                | has(MOUNT_ATTR_NOSYMFOLLOW, libc::MS_NOSYMFOLLOW)
        };
        let (mut set, mut clear) = (flags(self.set), flags(self.clear));
        if self.clear & MOUNT_ATTR__ATIME != 0 {
            clear |= libc::MS_NOATIME | libc::MS_STRICTATIME;
            set |= match self.set & MOUNT_ATTR__ATIME {
                MOUNT_ATTR_NOATIME => libc::MS_NOATIME,
                MOUNT_ATTR_STRICTATIME => libc::MS_STRICTATIME,
                _ => libc::MS_RELATIME,
            };
        }
        Self { set, clear }
    }
}

/// The options of a mount, sorted by what they do. Later ones override earlier ones.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// For the mount alone.
    pub(crate) change: AttributeChange,
    /// For the mount and all below it.
    pub(crate) change_all: AttributeChange,
    /// Flags and values that only the file system understands.
    pub(crate) data: Vec<String>,
    /// Flags that every file system understands.
    pub(crate) generic: Vec<String>,
    /// Changes of the propagation, in order: the type, and whether for all below.
    pub(crate) propagation: Vec<(u64, bool)>,
    /// A bind mount; with true, a recursive one.
    pub(crate) bind: Option<bool>,
    pub(crate) remount: bool,
    pub(crate) copy_up: bool,
    pub(crate) read_only: bool,
}

impl Options {
    /// Sorts the options of a mount.
    pub(crate) fn parse<'a>(options: impl IntoIterator<Item = &'a str>) -> Self {
        let mut sorted = Self::default();
        for option in options {
            match TABLE.binary_search_by_key(&option, |(name, _)| name) {
                Ok(index) => sorted.apply(TABLE[index].1),
                Err(_) => sorted.data.push(option.to_string()),
            }
        }
        sorted
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Set(attribute) => self.change.set(attribute),
            Effect::Clear(attribute) => self.change.clear(attribute),
            Effect::AccessTime(mode) => self.change.access_time(mode),
            Effect::SetAll(attribute) => self.change_all.set(attribute),
            Effect::ClearAll(attribute) => self.change_all.clear(attribute),
            Effect::AccessTimeAll(mode) => self.change_all.access_time(mode),
            Effect::ReadOnly(read_only) => {
                self.read_only = read_only;
                if read_only {
                    self.change.set(MOUNT_ATTR_RDONLY);
                } else {
                    self.change.clear(MOUNT_ATTR_RDONLY);
                }
            }
            Effect::FileSystem(name) => self.generic.push(name.to_string()),
            Effect::Propagation(kind, all) => self.propagation.push((kind, all)),
            Effect::Bind(recursive) => {
                self.bind = Some(recursive || self.bind == Some(true));
            }
            Effect::Remount => self.remount = true,
            Effect::CopyUp => self.copy_up = true,
            Effect::Default | Effect::Nothing => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(TABLE.is_sorted_by_key(|(name, _)| name));
    }

    #[test]
    fn later_options_override_earlier_ones() {
        let options =
            Options::parse(["ro", "nosuid", "rw", "noatime", "relatime", "suid", "nodev"]);
        assert_eq!(options.change.set, MOUNT_ATTR_NODEV);
        let cleared = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR__ATIME;
        assert_eq!(options.change.clear, cleared);
        assert!(!options.read_only);
    }

    #[test]
    fn options_are_sorted_by_what_they_do() {
        let options = Options::parse([
            "rbind",
            "bind",
            "rshared",
            "private",
            "rro",
            "rnoatime",
            "mode=755",
            "sync",
            "tmpcopyup",
            "defaults",
        ]);
        assert_eq!(options.bind, Some(true));
        assert_eq!(options.propagation, [(libc::MS_SHARED, true), (libc::MS_PRIVATE, false)]);
        assert_eq!(options.change, AttributeChange::default());
        assert_eq!(options.change_all.set, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOATIME);
        assert_eq!(options.change_all.clear, MOUNT_ATTR__ATIME);
        assert_eq!(options.data, ["mode=755"]);
        assert_eq!(options.generic, ["sync"]);
        assert!(options.copy_up && !options.remount);
    }
}
