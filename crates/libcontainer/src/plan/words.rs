//! Operations in words, for whoever reads a plan: flags by their names, masks of capabilities in
//! hexadecimal.

use std::fmt::{self, Display, Formatter};

use super::format::{NO_SLOT, Operation, Texts, attach};

/// Names of bits.
type Names = &'static [(u64, &'static str)];

const NAMESPACES: Names = &[
    (libc::CLONE_NEWUSER.unsigned_abs() as u64, "user"),
    (libc::CLONE_NEWNS.unsigned_abs() as u64, "mount"),
    (libc::CLONE_NEWPID.unsigned_abs() as u64, "pid"),
    (libc::CLONE_NEWNET.unsigned_abs() as u64, "network"),
    (libc::CLONE_NEWIPC.unsigned_abs() as u64, "ipc"),
    (libc::CLONE_NEWUTS.unsigned_abs() as u64, "uts"),
    (libc::CLONE_NEWCGROUP.unsigned_abs() as u64, "cgroup"),
    (libc::CLONE_NEWTIME.unsigned_abs() as u64, "time"),
];

const PROPAGATION: Names = &[
    (libc::MS_REC, "recursive"),
    (libc::MS_UNBINDABLE, "unbindable"),
    (libc::MS_PRIVATE, "private"),
    (libc::MS_SLAVE, "slave"),
    (libc::MS_SHARED, "shared"),
];

/// The access times are values of one field; what stands for 0 is `relatime`.
const ATTRIBUTES: Names = &[
    (libc::MOUNT_ATTR_RDONLY, "ro"),
    (libc::MOUNT_ATTR_NOSUID, "nosuid"),
    (libc::MOUNT_ATTR_NODEV, "nodev"),
    (libc::MOUNT_ATTR_NOEXEC, "noexec"),
    (libc::MOUNT_ATTR_NOATIME, "noatime"),
    (libc::MOUNT_ATTR_STRICTATIME, "strictatime"),
    (libc::MOUNT_ATTR_NODIRATIME, "nodiratime"),
    (libc::MOUNT_ATTR_NOSYMFOLLOW, "nosymfollow"),
];

const FLAGS: Names = &[
    (libc::MS_RDONLY, "ro"),
    (libc::MS_NOSUID, "nosuid"),
    (libc::MS_NODEV, "nodev"),
    (libc::MS_NOEXEC, "noexec"),
    (libc::MS_NOSYMFOLLOW, "nosymfollow"),
    (libc::MS_NOATIME, "noatime"),
    (libc::MS_NODIRATIME, "nodiratime"),
    (libc::MS_RELATIME, "relatime"),
    (libc::MS_STRICTATIME, "strictatime"),
];

const ATTACH: Names = &[
    (attach::KEEP as u64, "keep the slot"),
    (attach::NO_SYMLINKS as u64, "no symlinks"),
    (attach::INSIDE_PROC as u64, "may be inside proc"),
    (attach::IS_PROC as u64, "must be proc"),
    (attach::COPY as u64, "a copy"),
];

/// Flags of seccomp(2).
const FILTER: Names = &[
    (1 << 1, "log"),
    (1 << 2, "spec_allow"),
    (1 << 3, "new_listener"),
    (1 << 5, "wait_killable_recv"),
];

/// The kernel's names, by number (asm-generic/resource.h).
const RESOURCES: [&str; 16] = [
    "cpu",
    "fsize",
    "data",
    "stack",
    "core",
    "rss",
    "nproc",
    "nofile",
    "memlock",
    "as",
    "locks",
    "sigpending",
    "msgqueue",
    "nice",
    "rtprio",
    "rttime",
];

/// Bits by their names; what has none, in hexadecimal.
struct Bits(u64, Names);

impl Display for Bits {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        let mut comma = "";
        for &(bits, name) in self.1 {
            if rest & bits == bits {
                write!(f, "{comma}{name}")?;
                rest &= !bits;
                comma = ",";
            }
        }
        match (rest, comma) {
            (0, "") => f.write_str("none"),
            (0, _) => Ok(()),
            _ => write!(f, "{comma}{rest:#x}"),
        }
    }
}

/// Namespaces, as flags of clone3(2).
pub(super) fn namespaces(flags: u64) -> impl Display {
    Bits(flags, NAMESPACES)
}

/// Options as they stand in a configuration: keys and values are joined again.
struct Options<'a>(Texts<'a>);

impl Display for Options<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut texts = self.0.iter();
        let mut comma = "";
        while let (Some(key), Some(value)) = (texts.next(), texts.next()) {
            let (key, value) = (key.bytes().escape_ascii(), value.bytes().escape_ascii());
            write!(f, "{comma}{key}{value}")?;
            comma = ",";
        }
        Ok(())
    }
}

/// A limit (getrlimit(2)).
struct Limit(u64);

impl Display for Limit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            libc::RLIM_INFINITY => f.write_str("unlimited"),
            limit => write!(f, "{limit}"),
        }
    }
}

/// The type of a device, as `mknod` and the configuration write it.
fn device(kind: u32) -> char {
    match kind & libc::S_IFMT {
        libc::S_IFBLK => 'b',
        libc::S_IFIFO => 'p',
        _ => 'c',
    }
}

/// The name of a resource that has a limit.
fn limited(resource: u32) -> &'static str {
    let known = usize::try_from(resource).ok().and_then(|index| RESOURCES.get(index));
    known.unwrap_or(&"?")
}

impl Display for Operation<'_> {
    #[allow(clippy::too_many_lines, reason = "one arm an operation: a table")]
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Session {} => f.write_str("new session"),
            Self::NotDumpable {} => f.write_str("not dumpable"),
            Self::SetRlimit { resource, soft, hard } => {
                write!(f, "rlimit {} {} {}", limited(resource), Limit(soft), Limit(hard))
            }
            Self::RaiseRlimit { resource, hard } => {
                write!(f, "raise rlimit {} {}", limited(resource), Limit(hard))
            }
            Self::Stdio { first } => write!(f, "stdio from slot {first}"),
            Self::JoinNamespace { slot, kind } => {
                write!(f, "join {} namespace, slot {slot}", Bits(kind.into(), NAMESPACES))
            }
            Self::Clone { flags, cgroup } => {
                write!(f, "clone {}", Bits(flags, NAMESPACES))?;
                if cgroup == NO_SLOT { Ok(()) } else { write!(f, " into cgroup, slot {cgroup}") }
            }
            Self::JoinCgroups {} => f.write_str("join v1 cgroups"),
            Self::Unshare { flags } => write!(f, "unshare {}", Bits(flags, NAMESPACES)),
            Self::BecomeRoot {} => f.write_str("become root of the user namespace"),
            Self::SetHostname { name } => write!(f, "hostname {name:?}"),
            Self::SetDomainname { name } => write!(f, "domainname {name:?}"),
            Self::LoopbackUp {} => f.write_str("loopback up"),
            Self::Propagation { path, flags } => {
                write!(f, "propagation {path:?} {}", Bits(flags, PROPAGATION))
            }
            Self::OpenTree { slot, path, flags } => {
                let tree = if flags & RECURSIVE == 0 { "mount" } else { "tree" };
                write!(f, "slot {slot} = copy of {tree} {path:?}")
            }
            Self::OpenDevice { slot, path, kind, major, minor } => {
                write!(f, "slot {slot} = device {path:?} {} {major}:{minor}", device(kind))
            }
            Self::AttachRoot { slot, path } => write!(f, "attach root, slot {slot}, on {path:?}"),
            Self::Filesystem { slot, kind, source, options, attributes } => {
                write!(f, "slot {slot} = new {} from {source:?}", kind.bytes().escape_ascii())?;
                write!(f, " options \"{}\"", Options(options))?;
                write!(f, " attributes {}", Bits(attributes, ATTRIBUTES))
            }
            Self::Attributes { slot, set, clear, propagation, recursive } => {
                write!(f, "slot {slot}: ")?;
                changes(f, set, clear)?;
                if propagation != 0 {
                    write!(f, "propagation {} ", Bits(propagation, PROPAGATION))?;
                }
                f.write_str(if recursive == 0 { "of the mount" } else { "of the tree" })
            }
            Self::CopyMode { slot, target } => write!(f, "slot {slot}: mode of {target:?}"),
            Self::CopyUp { slot, target } => write!(f, "slot {slot}: copy up {target:?}"),
            Self::Attach { slot, target, flags } => {
                write!(f, "attach slot {slot} on {target:?}")?;
                if flags == 0 { Ok(()) } else { write!(f, " ({})", Bits(flags.into(), ATTACH)) }
            }
            Self::Flags { slot, set, clear, propagation } => {
                write!(f, "slot {slot}, by mount(2): +{} ", Bits(set, FLAGS))?;
                write!(f, "-{} ", Bits(clear, FLAGS))?;
                write!(f, "propagation {}", Bits(propagation, PROPAGATION))
            }
            Self::Remount { target, options, filesystem, set, clear, by_mount } => {
                write!(f, "remount {target:?}: ")?;
                if by_mount == 0 {
                    changes(f, set, clear)?;
                } else {
                    write!(f, "+{} -{} by mount(2) ", Bits(set, FLAGS), Bits(clear, FLAGS))?;
                }
                match filesystem {
                    0 => f.write_str("of the mount"),
                    _ => write!(f, "and of the file system \"{}\"", Options(options)),
                }
            }
            Self::RuntimeHooks {} => f.write_str("let the host side run its hooks"),
            Self::RunHook { path, arguments, timeout, .. } => {
                write!(f, "run {path:?} {arguments:?}")?;
                if timeout == 0 { Ok(()) } else { write!(f, " for {timeout} ms at the most") }
            }
            Self::MakeDirectory { path, mode } => write!(f, "mkdir {path:?} {mode:04o}"),
            Self::MakeNode { path, mode, major, minor, uid, gid } => {
                let (kind, mode) = (device(mode), mode & !libc::S_IFMT);
                write!(f, "mknod {path:?} {kind} {major}:{minor} {mode:04o} {uid}:{gid}")
            }
            Self::Symlink { target, path } => write!(f, "symlink {path:?} -> {target:?}"),
            Self::Terminal { columns, rows } => {
                write!(f, "terminal of {columns} columns and {rows} rows, on \"/dev/console\"")
            }
            Self::MakeReadonly { path, by_mount } => {
                write!(f, "read-only {path:?}{}", if by_mount == 0 { "" } else { ", by mount(2)" })
            }
            Self::Mask { path, null, empty } => {
                write!(f, "mask {path:?}, file: slot {null}, directory: slot {empty}")
            }
            Self::PivotRoot {} => f.write_str("pivot_root"),
            Self::MoveRoot {} => f.write_str("move root over /, chroot"),
            Self::CloseSlots {} => f.write_str("close slots"),
            Self::OwnStdio { uid } => write!(f, "stdio belongs to {uid}"),
            Self::Home { uid, passwd } => write!(f, "HOME of {uid} from {passwd:?}"),
            Self::Umask { mask } => write!(f, "umask {mask:04o}"),
            Self::Chdir { path, retry: 0 } => write!(f, "chdir {path:?}, if it may"),
            Self::Chdir { path, .. } => write!(f, "chdir {path:?}, unless it did"),
            Self::DropBounding { keep, last } => {
                write!(f, "bounding set {keep:#x} of 0 to {last}")
            }
            Self::SetGroups { groups } => write!(f, "groups {groups:?}"),
            Self::SetUser { uid, gid } => write!(f, "become {uid}:{gid}"),
            Self::SetCapabilities { bounding, effective, permitted, inheritable, ambient } => {
                write!(f, "capabilities bounding {bounding:#x} effective {effective:#x}")?;
                write!(f, " permitted {permitted:#x} inheritable {inheritable:#x}")?;
                write!(f, " ambient {ambient:#x}")
            }
            Self::NoNewPrivileges {} => f.write_str("no new privileges"),
            Self::OpenProc { detached, options } => {
                let whose = if detached == 0 { "the host's" } else { "detached" };
                write!(f, "open procfs, {whose} {}", Options(options))
            }
            Self::Sysctl { path, value, check } => {
                let check = if check == 0 { "" } else { ", read back" };
                write!(f, "write {value:?} to {path:?}{check}")
            }
            Self::SessionKeyring { name, permissions, label } => {
                write!(f, "session keyring {name:?} {permissions:#x}")?;
                if label.bytes().is_empty() { Ok(()) } else { write!(f, " label {label:?}") }
            }
            Self::ExecLabel { name, value, .. } => write!(f, "write {value:?} to own {name:?}"),
            Self::CloseProc {} => f.write_str("close procfs"),
            Self::FindProgram { name, candidates } => write!(f, "find {name:?} in {candidates:?}"),
            Self::Gate {} => f.write_str("created; wait for start"),
            Self::Filter { program, flags } => {
                let flags = Bits(flags.into(), FILTER);
                write!(f, "load a filter of {} instructions, flags {flags}", program.count())
            }
            Self::Execute { arguments, environment } => {
                write!(f, "execute {arguments:?} environment {environment:?}")
            }
        }
    }
}

/// `AT_RECURSIVE`, as the operations have it.
const RECURSIVE: u32 = libc::AT_RECURSIVE.unsigned_abs();

fn changes(f: &mut Formatter<'_>, set: u64, clear: u64) -> fmt::Result {
    const ATIME: u64 = libc::MOUNT_ATTR__ATIME;
    if set != 0 {
        write!(f, "+{} ", Bits(set, ATTRIBUTES))?;
    }
    // To change the field, the kernel wants it cleared.
    if clear & ATIME == ATIME && set & ATIME == libc::MOUNT_ATTR_RELATIME {
        f.write_str("+relatime ")?;
    }
    match clear & !ATIME {
        0 => Ok(()),
        clear => write!(f, "-{} ", Bits(clear, ATTRIBUTES)),
    }
}
