//! The numbers of the system calls (asm/unistd.h), and the kernel's constants that init needs.

macro_rules! numbers {
    ($($name:ident = $x86_64:literal, $aarch64:literal;)*) => {
        $(
            #[cfg(target_arch = "x86_64")]
            pub(crate) const $name: u32 = $x86_64;
            #[cfg(target_arch = "aarch64")]
            pub(crate) const $name: u32 = $aarch64;
        )*
    };
}

numbers! {
    READ = 0, 63;
    WRITE = 1, 64;
    CLOSE = 3, 57;
    MMAP = 9, 222;
    RT_SIGACTION = 13, 134;
    RT_SIGPROCMASK = 14, 135;
    IOCTL = 16, 29;
    GETPID = 39, 172;
    SENDFILE = 40, 71;
    SOCKET = 41, 198;
    SENDMSG = 46, 211;
    RECVMSG = 47, 212;
    EXECVE = 59, 221;
    UNAME = 63, 160;
    FCNTL = 72, 25;
    KILL = 62, 129;
    WAITID = 247, 95;
    GETCWD = 79, 17;
    CHDIR = 80, 49;
    FCHDIR = 81, 50;
    FCHMOD = 91, 52;
    FCHOWN = 93, 55;
    UMASK = 95, 166;
    SETSID = 112, 157;
    GETGROUPS = 115, 158;
    SETGROUPS = 116, 159;
    SETRESUID = 117, 147;
    GETRESUID = 118, 148;
    SETRESGID = 119, 149;
    GETRESGID = 120, 150;
    CAPGET = 125, 90;
    CAPSET = 126, 91;
    FSTATFS = 138, 44;
    PIVOT_ROOT = 155, 41;
    PRCTL = 157, 167;
    CHROOT = 161, 51;
    MOUNT = 165, 40;
    UMOUNT2 = 166, 39;
    SETHOSTNAME = 170, 161;
    SETDOMAINNAME = 171, 162;
    GETDENTS64 = 217, 61;
    EXIT_GROUP = 231, 94;
    KEYCTL = 250, 219;
    MKDIRAT = 258, 34;
    MKNODAT = 259, 33;
    FCHOWNAT = 260, 54;
    SYMLINKAT = 266, 36;
    READLINKAT = 267, 78;
    PPOLL = 271, 73;
    UNSHARE = 272, 97;
    ACCEPT4 = 288, 242;
    DUP3 = 292, 24;
    PRLIMIT64 = 302, 261;
    SETNS = 308, 268;
    SECCOMP = 317, 277;
    STATX = 332, 291;
    OPEN_TREE = 428, 428;
    MOVE_MOUNT = 429, 429;
    FSOPEN = 430, 430;
    FSCONFIG = 431, 431;
    FSMOUNT = 432, 432;
    FSPICK = 433, 433;
    PIDFD_OPEN = 434, 434;
    CLONE3 = 435, 435;
    CLOSE_RANGE = 436, 436;
    OPENAT2 = 437, 437;
    FACCESSAT2 = 439, 439;
    MOUNT_SETATTR = 442, 442;
}

pub(crate) const EPERM: u32 = 1;
pub(crate) const ENOENT: u32 = 2;
pub(crate) const EINTR: u32 = 4;
pub(crate) const EBADF: u32 = 9;
pub(crate) const EAGAIN: u32 = 11;
pub(crate) const EACCES: u32 = 13;
pub(crate) const EEXIST: u32 = 17;
pub(crate) const EXDEV: u32 = 18;
pub(crate) const ENOTDIR: u32 = 20;
pub(crate) const EISDIR: u32 = 21;
pub(crate) const EINVAL: u32 = 22;
pub(crate) const EMFILE: u32 = 24;
pub(crate) const EROFS: u32 = 30;
pub(crate) const ENAMETOOLONG: u32 = 36;
pub(crate) const ELOOP: u32 = 40;

pub(crate) const AT_FDCWD: i32 = -100;
pub(crate) const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
pub(crate) const AT_EACCESS: u32 = 0x200;
pub(crate) const AT_EMPTY_PATH: u32 = 0x1000;
pub(crate) const AT_RECURSIVE: u32 = 0x8000;

pub(crate) const O_RDONLY: u64 = 0;
pub(crate) const O_WRONLY: u64 = 1;
pub(crate) const O_RDWR: u64 = 2;
pub(crate) const O_NOCTTY: u64 = 0o400;
pub(crate) const O_NONBLOCK: u64 = 0o4000;
pub(crate) const O_CLOEXEC: u64 = 0o2_000_000;
pub(crate) const O_PATH: u64 = 0o10_000_000;
#[cfg(target_arch = "x86_64")]
pub(crate) const O_DIRECTORY: u64 = 0o200_000;
#[cfg(target_arch = "aarch64")]
pub(crate) const O_DIRECTORY: u64 = 0o40_000;
#[cfg(target_arch = "x86_64")]
pub(crate) const O_NOFOLLOW: u64 = 0o400_000;
#[cfg(target_arch = "aarch64")]
pub(crate) const O_NOFOLLOW: u64 = 0o100_000;

pub(crate) const RESOLVE_NO_XDEV: u64 = 1;
pub(crate) const RESOLVE_NO_MAGICLINKS: u64 = 2;
pub(crate) const RESOLVE_NO_SYMLINKS: u64 = 4;
pub(crate) const RESOLVE_BENEATH: u64 = 8;
pub(crate) const RESOLVE_IN_ROOT: u64 = 16;

pub(crate) const S_IFMT: u32 = 0o170_000;
pub(crate) const S_IFIFO: u32 = 0o010_000;
pub(crate) const S_IFCHR: u32 = 0o020_000;
pub(crate) const S_IFDIR: u32 = 0o040_000;
pub(crate) const S_IFREG: u32 = 0o100_000;
pub(crate) const S_IFLNK: u32 = 0o120_000;

pub(crate) const OPEN_TREE_CLONE: u32 = 1;
pub(crate) const OPEN_TREE_CLOEXEC: u32 = 0o2_000_000;
pub(crate) const MOVE_MOUNT_F_EMPTY_PATH: u32 = 0x4;
pub(crate) const MOVE_MOUNT_T_EMPTY_PATH: u32 = 0x40;
pub(crate) const MOUNT_ATTR_RDONLY: u64 = 1;
pub(crate) const MS_NOSYMFOLLOW: u64 = 0x100;
pub(crate) const MS_REMOUNT: u64 = 0x20;
pub(crate) const MS_BIND: u64 = 0x1000;
pub(crate) const MS_RDONLY: u64 = 1;
pub(crate) const MS_NOATIME: u64 = 0x400;
pub(crate) const MS_NODIRATIME: u64 = 0x800;
pub(crate) const MS_RELATIME: u64 = 0x20_0000;
pub(crate) const MS_STRICTATIME: u64 = 0x100_0000;
pub(crate) const ST_RELATIME: u64 = 0x1000;
pub(crate) const ST_NOSYMFOLLOW: u64 = 0x2000;
pub(crate) const MOUNT_ATTR_NOSUID: u64 = 2;
pub(crate) const MOUNT_ATTR_NODEV: u64 = 4;
pub(crate) const MOUNT_ATTR_NOEXEC: u64 = 8;
pub(crate) const MNT_DETACH: u32 = 2;

/// The inode of a procfs's root (linux/proc_ns.h).
pub(crate) const PROC_ROOT_INO: u64 = 1;
pub(crate) const PROC_SUPER_MAGIC: u64 = 0x9fa0;
pub(crate) const DEVPTS_SUPER_MAGIC: u64 = 0x1cd1;

pub(crate) const TIOCSCTTY: u32 = 0x540e;
pub(crate) const TIOCSWINSZ: u32 = 0x5414;
pub(crate) const TIOCGPTPEER: u32 = 0x5441;
pub(crate) const TIOCSPTLCK: u32 = 0x4004_5431;

pub(crate) const PR_SET_PDEATHSIG: u32 = 1;
pub(crate) const PR_GET_DUMPABLE: u32 = 3;
pub(crate) const PR_SET_DUMPABLE: u32 = 4;
pub(crate) const PR_SET_KEEPCAPS: u32 = 8;
pub(crate) const PR_CAPBSET_READ: u32 = 23;
pub(crate) const PR_CAPBSET_DROP: u32 = 24;
pub(crate) const PR_SET_NO_NEW_PRIVS: u32 = 38;
pub(crate) const PR_GET_NO_NEW_PRIVS: u32 = 39;
pub(crate) const PR_CAP_AMBIENT: u32 = 47;
pub(crate) const PR_CAP_AMBIENT_IS_SET: u32 = 1;
pub(crate) const PR_CAP_AMBIENT_RAISE: u32 = 2;
pub(crate) const PR_CAP_AMBIENT_CLEAR_ALL: u32 = 4;

pub(crate) const SECCOMP_FILTER_FLAG_NEW_LISTENER: u32 = 1 << 3;

pub(crate) const SIGKILL: u32 = 9;
pub(crate) const SIGSTOP: u32 = 19;
