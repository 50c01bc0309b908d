//! The operations: everything that init can do. Compiled into the host side, which writes them, and into
//! init, which reads and executes them.

use super::format::{Field, Gids, Instructions, Reader, Sink, Text, Texts};

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident = $code:literal {
        $($(#[$field_doc:meta])* $field:ident: $kind:ty),* $(,)?
    })*) => {
        /// Everything that init can do.
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub(crate) enum Operation<'a> {
            $($(#[$doc])* $name { $($(#[$field_doc])* $field: $kind),* },)*
        }

        impl<'a> Operation<'a> {
            /// Writes code and fields; `property` stands between them.
            pub(crate) fn encode(&self, property: Text<'_>, sink: &mut impl Sink) {
                match self {
                    $(Self::$name { $($field),* } => {
                        u32::put(&$code, sink);
                        property.put(sink);
                        $($field.put(sink);)*
                    })*
                }
            }

            /// Reads the fields of the operation with this code.
            pub(crate) fn decode(code: u32, reader: &mut Reader<'a>) -> Option<Self> {
                Some(match code {
                    $($code => Self::$name { $($field: <$kind>::take(reader)?),* },)*
                    _ => return None,
                })
            }
        }

        #[cfg(test)]
        impl<'a> Operation<'a> {
            /// One of each, with the fields that the tests' `Sample` gives.
            pub(crate) fn samples() -> Vec<Self> {
                use super::tests::Sample;
                vec![$(Self::$name { $($field: <$kind>::sample()),* },)*]
            }
        }
    };
}

operations! {
    // 1 to 9: the process
    /// setsid(2).
    Session = 1 {}
    /// prctl(2) `PR_SET_DUMPABLE` 0: nobody in the container can trace init or open its descriptors.
    NotDumpable = 2 {}
    /// prlimit64(2) of init itself.
    SetRlimit = 3 { resource: u32, soft: u64, hard: u64 }
    /// Makes three slots from `first` on the standard streams.
    Stdio = 4 { first: u32 }
    /// prlimit64(2): a hard limit above the one in force, which takes the caller's privileges; any other
    /// stays, and so does the soft one.
    RaiseRlimit = 5 { resource: u32, hard: u64 }

    // 10 to 19: namespaces and cgroups
    /// setns(2) into the namespace in a slot.
    JoinNamespace = 10 { slot: u32, kind: u32 }
    /// clone3(2): the second stage goes on, as a child of init's parent, when the host side says so.
    Clone = 11 { flags: u64, cgroup: u32 }
    /// Asks the host side for the v1 cgroups and joins each by writing `0` into its `tasks`.
    JoinCgroups = 12 {}
    /// unshare(2).
    Unshare = 13 { flags: u64 }
    /// setresgid(2) and setresuid(2): become root of the user namespace.
    BecomeRoot = 14 {}
    /// sethostname(2).
    SetHostname = 15 { name: Text<'a> }
    /// setdomainname(2).
    SetDomainname = 16 { name: Text<'a> }
    /// Brings up the loopback interface of the network namespace.
    LoopbackUp = 17 {}

    // 20 to 39: mounts
    /// mount(2) with propagation flags alone, by path.
    Propagation = 20 { path: Text<'a>, flags: u64 }
    /// open_tree(2) of a host path: a detached copy of the mount there.
    OpenTree = 21 { slot: u32, path: Text<'a>, flags: u32 }
    /// The same for a device node, which must be this one.
    OpenDevice = 22 { slot: u32, path: Text<'a>, kind: u32, major: u32, minor: u32 }
    /// Attaches the container's root over the path that it was copied from.
    AttachRoot = 23 { slot: u32, path: Text<'a> }
    /// fsopen(2), fsconfig(2), fsmount(2): a detached new mount.
    Filesystem = 24 { slot: u32, kind: Text<'a>, source: Text<'a>, options: Texts<'a>, attributes: u64 }
    /// mount_setattr(2) of the mount in a slot.
    Attributes = 25 { slot: u32, set: u64, clear: u64, propagation: u64, recursive: u32 }
    /// The root of the detached tmpfs gets the mode of the directory that it is going to cover.
    CopyMode = 26 { slot: u32, target: Text<'a> }
    /// Copies what the container has below `target` into the detached tmpfs in the slot.
    CopyUp = 27 { slot: u32, target: Text<'a> }
    /// move_mount(2) of a detached mount onto a path of the container, which is made if it is missing.
    Attach = 28 { slot: u32, target: Text<'a>, flags: u32 }
    /// Changes a mount that is there: its attributes and, if asked, its file system: fspick(2). With
    /// `by_mount` the attributes are `MS_` flags, for mount(2).
    Remount = 29 { target: Text<'a>, options: Texts<'a>, filesystem: u32, set: u64, clear: u64, by_mount: u32 }
    /// For kernels without mount_setattr(2): mount(2) of the attached mount in a slot. These are `MS_` flags.
    Flags = 30 { slot: u32, set: u64, clear: u64, propagation: u64 }

    // 40 to 49: files
    /// mkdirat(2) of a directory and of those above it, where they are missing.
    MakeDirectory = 40 { path: Text<'a>, mode: u32 }
    /// mknodat(2), or the verification of a node that is there.
    MakeNode = 41 { path: Text<'a>, mode: u32, major: u32, minor: u32, uid: u32, gid: u32 }
    /// symlinkat(2), unless something is there.
    Symlink = 42 { target: Text<'a>, path: Text<'a> }
    /// A pseudoterminal of the container's devpts: ioctl(2) `TIOCSPTLCK`, `TIOCGPTPEER`, `TIOCSWINSZ`,
    /// `TIOCSCTTY`. It covers `/dev/console` and becomes the standard streams; its master end goes to
    /// the host side.
    Terminal = 45 { columns: u32, rows: u32 }

    // 50 to 59: the root
    /// Binds a path onto itself, read-only with everything below it; `by_mount`, by mount(2), without that.
    MakeReadonly = 50 { path: Text<'a>, by_mount: u32 }
    /// Covers a file with the null device in a slot, a directory with an empty read-only tmpfs.
    Mask = 51 { path: Text<'a>, null: u32, empty: u32 }
    /// pivot_root(2); what was `/` before is detached.
    PivotRoot = 52 {}
    /// For a host whose root is a ramfs: moves the root over `/`, then chroot(2).
    MoveRoot = 53 {}
    /// Closes everything that setting up needed.
    CloseSlots = 54 {}

    // 55 to 59: hooks
    /// Lets the host side run the hooks that are its business.
    RuntimeHooks = 55 {}
    /// Runs a hook in the container's namespaces; the peer gives the standard streams. The timeout is in
    /// milliseconds, 0 for none.
    RunHook = 56 { number: u32, path: Text<'a>, arguments: Texts<'a>, environment: Texts<'a>, timeout: u64 }

    // 60 to 79: the user
    /// Standard streams that are the host's null device become the container's, the others the user's.
    OwnStdio = 60 { uid: u32 }
    /// Finds the home directory of a user in the container's passwd file and adds it to the environment.
    Home = 61 { uid: u32, passwd: Text<'a> }
    /// umask(2).
    Umask = 62 { mask: u32 }
    /// chdir(2), and getcwd(2) must agree that the directory lies inside the root. A first try as root
    /// may fail with EACCES; the second one, as the user, comes to the same if the first went well.
    Chdir = 63 { path: Text<'a>, retry: u32 }
    /// prctl(2) `PR_CAPBSET_DROP` of all that are not kept.
    DropBounding = 64 { keep: u64, last: u32 }
    /// setgroups(2): bytes of little-endian numbers, four each, as the kernel takes them.
    SetGroups = 65 { groups: Gids<'a> }
    /// setresgid(2), setresuid(2) with the capabilities kept, and getres[ug]id(2) must agree.
    SetUser = 66 { uid: u32, gid: u32 }
    /// capset(2) and the ambient set, and reading all five must agree.
    SetCapabilities = 67 { bounding: u64, effective: u64, permitted: u64, inheritable: u64, ambient: u64 }
    /// prctl(2) `PR_SET_NO_NEW_PRIVS`.
    NoNewPrivileges = 68 {}

    // 80 to 89: the program
    /// Finds the program: the first of the candidates that can be executed.
    FindProgram = 80 { name: Text<'a>, candidates: Texts<'a> }
    /// Tells the host side that the container is created, and waits for `start`.
    Gate = 81 {}
    /// Keeps the filter (seccomp(2)) that `Execute` loads right before execve(2): a profile that denies
    /// what init does can't stop it half-way.
    Filter = 83 { program: Instructions<'a>, flags: u32 }
    /// execve(2).
    Execute = 82 { arguments: Texts<'a>, environment: Texts<'a> }

    // 90 to 99: procfs, keys, labels
    /// Opens a procfs to write through: a detached one, or the host's, verified.
    OpenProc = 90 { detached: u32, options: Texts<'a> }
    /// Sets a sysctl, a path below the procfs; if asked, reading it must agree.
    Sysctl = 91 { path: Text<'a>, value: Text<'a>, check: u32 }
    /// keyctl(2) `KEYCTL_JOIN_SESSION_KEYRING` and `KEYCTL_SETPERM`; asking which it is must agree. The
    /// SELinux label of the keyring, if there is one, goes through the procfs.
    SessionKeyring = 92 { name: Text<'a>, permissions: u32, label: Text<'a> }
    /// Writes the label for the next execve(2) into a file of init's directory in the procfs; reading it
    /// must give what is expected.
    ExecLabel = 93 { name: Text<'a>, value: Text<'a>, expected: Text<'a> }
    /// Closes the procfs.
    CloseProc = 94 {}
}

/// Flags of [`Operation::Attach`].
pub(crate) mod attach {
    /// The slot stays open for operations that come later.
    pub(crate) const KEEP: u32 = 1;
    /// The target must be an ordinary directory: nothing on the way is a symbolic link.
    pub(crate) const NO_SYMLINKS: u32 = 2;
    /// The target may lie in a procfs.
    pub(crate) const INSIDE_PROC: u32 = 4;
    /// What is mounted must be a procfs.
    pub(crate) const IS_PROC: u32 = 8;
    /// A copy is attached, and the slot stays as it is.
    pub(crate) const COPY: u32 = 16;
}
