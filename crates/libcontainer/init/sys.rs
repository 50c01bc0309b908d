//! System calls, raw: the only way in which init touches the world. Each failure carries the number of
//! the call and the errno. The numbers are in `numbers`.

use core::arch::asm;

use super::format::Text;
use super::numbers as nr;
use super::protocol::Fault;

/// The result of a system call.
pub type Result<T> = core::result::Result<T, Fault>;

#[cfg(target_arch = "x86_64")]
fn raw(number: u32, a: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: every pointer among the arguments comes from the typed functions below, which take
    // references that outlive the call.
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result,
            in("rdi") a[0], in("rsi") a[1], in("rdx") a[2], in("r10") a[3], in("r8") a[4],
            in("r9") a[5], lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

#[cfg(target_arch = "aarch64")]
fn raw(number: u32, a: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: every pointer among the arguments comes from the typed functions below, which take
    // references that outlive the call.
    unsafe {
        asm!("svc 0", in("x8") number as usize, inlateout("x0") a[0] => result,
            in("x1") a[1], in("x2") a[2], in("x3") a[3], in("x4") a[4], in("x5") a[5],
            options(nostack));
    }
    result
}

/// Makes a system call; an interrupted one is made again, which no call of init minds.
fn call<const N: usize>(number: u32, arguments: [usize; N]) -> Result<usize> {
    let mut registers = [0; 6];
    for (register, argument) in registers.iter_mut().zip(arguments) {
        *register = argument;
    }
    loop {
        let result = raw(number, registers);
        match u32::try_from(result.unsigned_abs()) {
            Ok(nr::EINTR) if result < 0 => {}
            Ok(errno @ 1..4096) if result < 0 => return Err(Fault::call(number, errno)),
            _ => return Ok(result.unsigned_abs()),
        }
    }
}

/// The same for calls that return nothing of interest.
fn done<const N: usize>(number: u32, arguments: [usize; N]) -> Result<()> {
    call(number, arguments).map(|_| ())
}

/// The same for calls that return a descriptor.
#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "small numbers")]
fn opened<const N: usize>(number: u32, arguments: [usize; N]) -> Result<i32> {
    call(number, arguments).map(|fd| fd as i32)
}

/// A descriptor as a register.
#[allow(clippy::cast_sign_loss, reason = "the kernel takes the sign-extended register")]
const fn fd(fd: i32) -> usize {
    fd as isize as usize
}

#[allow(clippy::cast_possible_truncation, reason = "both architectures have 64 bits")]
const fn word(value: u64) -> usize {
    value as usize
}

fn address<T: ?Sized>(of: &T) -> usize {
    core::ptr::from_ref(of).cast::<u8>() as usize
}

fn address_mut<T: ?Sized>(of: &mut T) -> usize {
    core::ptr::from_mut(of).cast::<u8>() as usize
}

fn text(of: Text<'_>) -> usize {
    of.pointer() as usize
}

/// exit_group(2).
pub fn exit(status: i32) -> ! {
    loop {
        raw(nr::EXIT_GROUP, [fd(status), 0, 0, 0, 0, 0]);
    }
}

/// read(2).
pub fn read(from: i32, into: &mut [u8]) -> Result<usize> {
    call(nr::READ, [fd(from), address_mut(into), into.len()])
}

/// write(2).
pub fn write(to: i32, bytes: &[u8]) -> Result<usize> {
    call(nr::WRITE, [fd(to), address(bytes), bytes.len()])
}

/// close(2). Linux always closes, whatever it returns.
pub fn close(this: i32) {
    raw(nr::CLOSE, [fd(this), 0, 0, 0, 0, 0]);
}

/// close_range(2).
pub fn close_range(first: u32, last: u32) -> Result<()> {
    done(nr::CLOSE_RANGE, [first as usize, last as usize, 0])
}

/// dup3(2).
pub fn dup3(from: i32, to: i32) -> Result<()> {
    done(nr::DUP3, [fd(from), fd(to), 0])
}

/// How a file is mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mapping {
    /// Read-only.
    PrivateRead,
    /// Read and write, shared with others who map it.
    Shared,
}

/// mmap(2) of a file from its beginning.
pub fn map_file(file: i32, length: usize, mapping: Mapping) -> Result<*mut u8> {
    const READ: usize = 1;
    const WRITE: usize = 2;
    const SHARED: usize = 1;
    const PRIVATE: usize = 2;
    let (protection, flags) = match mapping {
        Mapping::PrivateRead => (READ, PRIVATE),
        Mapping::Shared => (READ | WRITE, SHARED),
    };
    call(nr::MMAP, [0, length, protection, flags, fd(file), 0]).map(|a| a as *mut u8)
}

/// mmap(2) of zeroed memory.
pub fn map_anonymous(length: usize) -> Result<*mut u8> {
    const READ_WRITE: usize = 3;
    const PRIVATE_ANONYMOUS: usize = 0x22;
    call(nr::MMAP, [0, length, READ_WRITE, PRIVATE_ANONYMOUS, usize::MAX, 0]).map(|a| a as *mut u8)
}

/// rt_sigaction(2): the default disposition.
pub fn default_signal(signal: usize) -> Result<()> {
    let default = [0u64; 4];
    done(nr::RT_SIGACTION, [signal, address(&default), 0, 8])
}

/// rt_sigprocmask(2): no signal blocked.
pub fn unblock_signals() -> Result<()> {
    const SIG_SETMASK: usize = 2;
    done(nr::RT_SIGPROCMASK, [SIG_SETMASK, address(&0u64), 0, 8])
}

/// prctl(2).
pub fn prctl(option: u32, a: u64, b: u64) -> Result<usize> {
    call(nr::PRCTL, [option as usize, word(a), word(b), 0, 0])
}

/// setsid(2).
pub fn setsid() -> Result<()> {
    done(nr::SETSID, [])
}

/// prlimit64(2) of this process.
pub fn setrlimit(resource: u32, soft: u64, hard: u64) -> Result<()> {
    let limit = [soft, hard];
    done(nr::PRLIMIT64, [0, resource as usize, address(&limit), 0])
}

/// setns(2).
pub fn setns(namespace: i32, kind: u32) -> Result<()> {
    done(nr::SETNS, [fd(namespace), kind as usize])
}

/// unshare(2).
pub fn unshare(flags: u64) -> Result<()> {
    done(nr::UNSHARE, [word(flags)])
}

/// What clone3(2) takes (struct clone_args of Linux 5.7).
#[repr(C)]
#[derive(Debug, Default)]
pub struct CloneArguments {
    pub flags: u64,
    pub pidfd: u64,
    pub child_tid: u64,
    pub parent_tid: u64,
    pub exit_signal: u64,
    pub stack: u64,
    pub stack_size: u64,
    pub tls: u64,
    pub set_tid: u64,
    pub set_tid_size: u64,
    pub cgroup: u64,
}

/// clone3(2) without sharing memory: returns twice, 0 in the child.
pub fn clone3(arguments: &CloneArguments) -> Result<usize> {
    call(nr::CLONE3, [address(arguments), size_of::<CloneArguments>()])
}

/// sethostname(2).
pub fn sethostname(name: &[u8]) -> Result<()> {
    done(nr::SETHOSTNAME, [address(name), name.len()])
}

/// setdomainname(2).
pub fn setdomainname(name: &[u8]) -> Result<()> {
    done(nr::SETDOMAINNAME, [address(name), name.len()])
}

/// socket(2) for ioctls on network interfaces.
pub fn inet_socket() -> Result<i32> {
    const AF_INET: usize = 2;
    const SOCK_DGRAM: usize = 2;
    opened(nr::SOCKET, [AF_INET, SOCK_DGRAM | word(nr::O_CLOEXEC), 0])
}

/// ioctl(2) with a structure.
pub fn ioctl<T>(on: i32, request: u32, argument: &mut T) -> Result<()> {
    done(nr::IOCTL, [fd(on), request as usize, address_mut(argument)])
}

/// mount(2) that changes the propagation alone.
pub fn set_propagation(target: Text<'_>, flags: u64) -> Result<()> {
    done(nr::MOUNT, [0, text(target), 0, word(flags), 0])
}

/// umount2(2) of the working directory's mount, detached.
pub fn detach_here() -> Result<()> {
    done(nr::UMOUNT2, [address(c"."), nr::MNT_DETACH as usize])
}

/// pivot_root(2): the working directory becomes the root, and covers the old one.
pub fn pivot_root_here() -> Result<()> {
    done(nr::PIVOT_ROOT, [address(c"."), address(c".")])
}

/// chroot(2) to the working directory.
pub fn chroot_here() -> Result<()> {
    done(nr::CHROOT, [address(c".")])
}

/// fchdir(2).
pub fn fchdir(to: i32) -> Result<()> {
    done(nr::FCHDIR, [fd(to)])
}

/// chdir(2).
pub fn chdir(to: Text<'_>) -> Result<()> {
    done(nr::CHDIR, [text(to)])
}

/// chdir(2) to the root.
pub fn chdir_root() -> Result<()> {
    done(nr::CHDIR, [address(c"/")])
}

/// getcwd(2), raw: a directory that can't be reached from the root begins with `(unreachable)`.
pub fn getcwd(into: &mut [u8]) -> Result<usize> {
    call(nr::GETCWD, [address_mut(into), into.len()])
}

/// open_tree(2).
pub fn open_tree(directory: i32, path: Text<'_>, flags: u32) -> Result<i32> {
    opened(nr::OPEN_TREE, [fd(directory), text(path), flags as usize])
}

/// move_mount(2) of the mount `from` onto what `to` is open on.
pub fn move_mount(from: i32, to: i32) -> Result<()> {
    let flags = nr::MOVE_MOUNT_F_EMPTY_PATH | nr::MOVE_MOUNT_T_EMPTY_PATH;
    done(nr::MOVE_MOUNT, [fd(from), address(c""), fd(to), address(c""), flags as usize])
}

/// fsopen(2).
pub fn fsopen(kind: Text<'_>) -> Result<i32> {
    const FSOPEN_CLOEXEC: usize = 1;
    opened(nr::FSOPEN, [text(kind), FSOPEN_CLOEXEC])
}

/// fsconfig(2) `FSCONFIG_SET_FLAG`.
pub fn fsconfig_flag(context: i32, key: Text<'_>) -> Result<()> {
    done(nr::FSCONFIG, [fd(context), 0, text(key), 0, 0])
}

/// fsconfig(2) `FSCONFIG_SET_STRING`.
pub fn fsconfig_string(context: i32, key: Text<'_>, value: Text<'_>) -> Result<()> {
    done(nr::FSCONFIG, [fd(context), 1, text(key), text(value), 0])
}

/// fsconfig(2) `FSCONFIG_CMD_CREATE`.
pub fn fsconfig_create(context: i32) -> Result<()> {
    done(nr::FSCONFIG, [fd(context), 6, 0, 0, 0])
}

/// fsconfig(2) `FSCONFIG_CMD_RECONFIGURE`.
pub fn fsconfig_reconfigure(context: i32) -> Result<()> {
    done(nr::FSCONFIG, [fd(context), 7, 0, 0, 0])
}

/// fspick(2) of the mount that `mount` is open on.
pub fn fspick(mount: i32) -> Result<i32> {
    const FSPICK_CLOEXEC: usize = 1;
    const FSPICK_EMPTY_PATH: usize = 8;
    opened(nr::FSPICK, [fd(mount), address(c""), FSPICK_CLOEXEC | FSPICK_EMPTY_PATH])
}

/// fsmount(2).
pub fn fsmount(context: i32, attributes: u64) -> Result<i32> {
    const FSMOUNT_CLOEXEC: usize = 1;
    opened(nr::FSMOUNT, [fd(context), FSMOUNT_CLOEXEC, word(attributes)])
}

/// What mount_setattr(2) takes.
#[repr(C)]
#[derive(Debug, Default)]
pub struct MountAttributes {
    pub set: u64,
    pub clear: u64,
    pub propagation: u64,
    pub userns: u64,
}

/// mount_setattr(2) of the mount that `mount` is open on.
pub fn mount_setattr(mount: i32, flags: u32, attributes: &MountAttributes) -> Result<()> {
    let flags = flags | nr::AT_EMPTY_PATH;
    let size = size_of::<MountAttributes>();
    done(nr::MOUNT_SETATTR, [fd(mount), address(c""), flags as usize, address(attributes), size])
}

/// openat2(2).
pub fn openat2(at: i32, path: Text<'_>, flags: u64, mode: u64, resolve: u64) -> Result<i32> {
    let how = [flags | nr::O_CLOEXEC, mode, resolve];
    loop {
        // The kernel could not rule out that a concurrent rename led outside; it asks to try again.
        match opened(nr::OPENAT2, [fd(at), text(path), address(&how), size_of_val(&how)]) {
            Err(fault) if fault.errno == nr::EAGAIN => {}
            other => return other,
        }
    }
}

/// mkdirat(2).
pub fn mkdirat(at: i32, name: Text<'_>, mode: u32) -> Result<()> {
    done(nr::MKDIRAT, [fd(at), text(name), mode as usize])
}

/// mknodat(2).
pub fn mknodat(at: i32, name: Text<'_>, mode: u32, device: u64) -> Result<()> {
    done(nr::MKNODAT, [fd(at), text(name), mode as usize, word(device)])
}

/// symlinkat(2).
pub fn symlinkat(target: Text<'_>, at: i32, name: Text<'_>) -> Result<()> {
    done(nr::SYMLINKAT, [text(target), fd(at), text(name)])
}

/// readlinkat(2).
pub fn readlinkat(at: i32, name: Text<'_>, into: &mut [u8]) -> Result<usize> {
    call(nr::READLINKAT, [fd(at), text(name), address_mut(into), into.len()])
}

/// fchmod(2).
pub fn fchmod(file: i32, mode: u32) -> Result<()> {
    done(nr::FCHMOD, [fd(file), mode as usize])
}

/// fchown(2); `u32::MAX` leaves an id as it is.
pub fn fchown(file: i32, uid: u32, gid: u32) -> Result<()> {
    done(nr::FCHOWN, [fd(file), uid as usize, gid as usize])
}

/// fchownat(2) without following a symbolic link.
pub fn fchownat(at: i32, name: Text<'_>, uid: u32, gid: u32) -> Result<()> {
    let flags = nr::AT_SYMLINK_NOFOLLOW as usize;
    done(nr::FCHOWNAT, [fd(at), text(name), uid as usize, gid as usize, flags])
}

/// What statx(2) tells that init looks at.
#[derive(Debug, Clone, Copy)]
pub struct Status {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub major: u32,
    pub minor: u32,
    pub inode: u64,
    /// The id of the mount that it lies on.
    pub mount: u64,
}

impl Status {
    /// Whether the file is of this type (`S_IFDIR` and so on).
    pub fn is(&self, kind: u32) -> bool {
        self.mode & nr::S_IFMT == kind
    }
}

/// struct statx (linux/stat.h).
#[repr(C)]
#[derive(Default)]
struct Statx {
    mask: u32,
    block_size: u32,
    attributes: u64,
    links: u32,
    uid: u32,
    gid: u32,
    mode: u16,
    spare0: u16,
    inode: u64,
    size: u64,
    blocks: u64,
    attributes_mask: u64,
    times: [u64; 8],
    rdev_major: u32,
    rdev_minor: u32,
    dev_major: u32,
    dev_minor: u32,
    mount: u64,
    spare: [u64; 13],
}

fn statx(at: i32, path: usize, flags: u32) -> Result<Status> {
    const BASIC: usize = 0x7ff;
    const MOUNT_ID: usize = 0x1000;
    let mut buffer = Statx::default();
    done(nr::STATX, [fd(at), path, flags as usize, BASIC | MOUNT_ID, address_mut(&mut buffer)])?;
    Ok(Status {
        mode: u32::from(buffer.mode),
        uid: buffer.uid,
        gid: buffer.gid,
        size: buffer.size,
        major: buffer.rdev_major,
        minor: buffer.rdev_minor,
        inode: buffer.inode,
        mount: buffer.mount,
    })
}

/// statx(2) of what is open.
pub fn status(of: i32) -> Result<Status> {
    statx(of, address(c""), nr::AT_EMPTY_PATH)
}

/// statx(2) of a name, without following a symbolic link.
pub fn status_at(at: i32, name: Text<'_>) -> Result<Status> {
    statx(at, text(name), nr::AT_SYMLINK_NOFOLLOW)
}

/// statx(2) of a path, following symbolic links.
pub fn status_of(path: Text<'_>) -> Result<Status> {
    statx(nr::AT_FDCWD, text(path), 0)
}

/// fstatfs(2): the magic number of the file system.
pub fn filesystem_magic(of: i32) -> Result<u64> {
    let mut buffer = [0u64; 16];
    done(nr::FSTATFS, [fd(of), address_mut(&mut buffer)])?;
    Ok(buffer[0])
}

/// faccessat2(2): whether the effective user may execute.
pub fn may_execute(path: Text<'_>) -> Result<()> {
    const X_OK: usize = 1;
    let at = fd(nr::AT_FDCWD);
    done(nr::FACCESSAT2, [at, text(path), X_OK, nr::AT_EACCESS as usize])
}

/// getdents64(2).
pub fn getdents64(directory: i32, into: &mut [u8]) -> Result<usize> {
    call(nr::GETDENTS64, [fd(directory), address_mut(into), into.len()])
}

/// sendfile(2) between positions of both files.
pub fn sendfile(to: i32, from: i32, count: usize) -> Result<usize> {
    call(nr::SENDFILE, [fd(to), fd(from), 0, count])
}

/// umask(2).
pub fn umask(mask: u32) {
    raw(nr::UMASK, [mask as usize, 0, 0, 0, 0, 0]);
}

/// setgroups(2).
pub fn setgroups(groups: &[u8]) -> Result<()> {
    done(nr::SETGROUPS, [groups.len() / 4, address(groups)])
}

/// getgroups(2): puts them into `into`, and says how many there are.
pub fn getgroups(into: &mut [u32]) -> Result<usize> {
    call(nr::GETGROUPS, [into.len(), address_mut(into)])
}

/// setresuid(2).
pub fn setresuid(uid: u32) -> Result<()> {
    let uid = uid as usize;
    done(nr::SETRESUID, [uid, uid, uid])
}

/// setresgid(2).
pub fn setresgid(gid: u32) -> Result<()> {
    let gid = gid as usize;
    done(nr::SETRESGID, [gid, gid, gid])
}

/// getresuid(2): real, effective and saved.
pub fn getresuid() -> Result<[u32; 3]> {
    three_ids(nr::GETRESUID)
}

/// getresgid(2): real, effective and saved.
pub fn getresgid() -> Result<[u32; 3]> {
    three_ids(nr::GETRESGID)
}

fn three_ids(number: u32) -> Result<[u32; 3]> {
    let [mut real, mut effective, mut saved] = [0u32; 3];
    let into = [address_mut(&mut real), address_mut(&mut effective), address_mut(&mut saved)];
    done(number, into)?;
    Ok([real, effective, saved])
}

/// Version 3 of the capability interface: two words each of effective, permitted and inheritable.
const CAPABILITY_HEADER: [u32; 2] = [0x2008_0522, 0];

/// capset(2) of this thread.
pub fn capset(data: &[u32; 6]) -> Result<()> {
    done(nr::CAPSET, [address(&CAPABILITY_HEADER), address(data)])
}

/// capget(2) of this thread.
pub fn capget() -> Result<[u32; 6]> {
    let mut data = [0u32; 6];
    done(nr::CAPGET, [address(&CAPABILITY_HEADER), address_mut(&mut data)])?;
    Ok(data)
}

/// execve(2): returns only a failure.
pub fn execve(path: Text<'_>, arguments: &[*const u8], environment: &[*const u8]) -> Fault {
    match done(nr::EXECVE, [text(path), address(arguments), address(environment)]) {
        Err(fault) => fault,
        Ok(()) => Fault::call(nr::EXECVE, 0),
    }
}

/// accept4(2).
pub fn accept(listener: i32) -> Result<i32> {
    opened(nr::ACCEPT4, [fd(listener), 0, 0, word(nr::O_CLOEXEC)])
}

/// struct pollfd.
#[repr(C)]
#[derive(Debug)]
pub struct Poll {
    pub fd: i32,
    pub events: i16,
    pub returned: i16,
}

/// ppoll(2) without a timeout.
pub fn poll(these: &mut [Poll]) -> Result<()> {
    done(nr::PPOLL, [address_mut(these), these.len(), 0, 0, 0])
}

/// struct iovec.
#[repr(C)]
struct Iovec {
    base: usize,
    length: usize,
}

/// struct msghdr.
#[repr(C)]
struct Header {
    name: usize,
    name_length: u32,
    vectors: usize,
    vector_count: usize,
    control: usize,
    control_length: usize,
    flags: u32,
}

/// The most descriptors that one message carries (SCM_MAX_FD).
pub const MOST_DESCRIPTORS: usize = 253;

/// A control message with descriptors: struct cmsghdr and what follows.
#[repr(C)]
struct Control {
    length: usize,
    level: u32,
    kind: u32,
    descriptors: [i32; MOST_DESCRIPTORS],
}

const CONTROL_HEADER: usize = 16;
const SOL_SOCKET: u32 = 1;
const SCM_RIGHTS: u32 = 1;

/// sendmsg(2), with a descriptor if there is one. A reader that is gone is an error, not a signal.
pub fn send(socket: i32, bytes: &[u8], descriptor: Option<i32>) -> Result<()> {
    const MSG_NOSIGNAL: usize = 0x4000;
    let vector = Iovec { base: address(bytes), length: bytes.len() };
    let mut control = Control {
        length: CONTROL_HEADER + 4,
        level: SOL_SOCKET,
        kind: SCM_RIGHTS,
        descriptors: [0; MOST_DESCRIPTORS],
    };
    control.descriptors[0] = descriptor.unwrap_or(-1);
    let header = Header {
        name: 0,
        name_length: 0,
        vectors: address(&vector),
        vector_count: 1,
        control: if descriptor.is_some() { address(&control) } else { 0 },
        control_length: if descriptor.is_some() { CONTROL_HEADER + 8 } else { 0 },
        flags: 0,
    };
    done(nr::SENDMSG, [fd(socket), address(&header), MSG_NOSIGNAL])
}

/// recvmsg(2): the bytes received, and how many descriptors were put into `descriptors`. That the kernel
/// had no room for all of them is a failure: it says so in a flag only, and what is missing would be a
/// cgroup that nobody joins.
pub fn receive(
    socket: i32,
    into: &mut [u8],
    descriptors: &mut [i32; MOST_DESCRIPTORS],
) -> Result<(usize, usize)> {
    const MSG_CMSG_CLOEXEC: usize = 0x4000_0000;
    const MSG_CTRUNC: u32 = 8;
    let vector = Iovec { base: address_mut(into), length: into.len() };
    let mut control = Control { length: 0, level: 0, kind: 0, descriptors: [-1; MOST_DESCRIPTORS] };
    let mut header = Header {
        name: 0,
        name_length: 0,
        vectors: address(&vector),
        vector_count: 1,
        control: address_mut(&mut control),
        control_length: size_of::<Control>(),
        flags: 0,
    };
    let bytes = call(nr::RECVMSG, [fd(socket), address_mut(&mut header), MSG_CMSG_CLOEXEC])?;
    if header.flags & MSG_CTRUNC != 0 {
        return Err(Fault::call(nr::RECVMSG, nr::EMFILE));
    }
    let rights = header.control_length >= CONTROL_HEADER
        && control.level == SOL_SOCKET
        && control.kind == SCM_RIGHTS;
    let count = if rights { control.length.saturating_sub(CONTROL_HEADER) / 4 } else { 0 };
    *descriptors = control.descriptors;
    Ok((bytes, count.min(MOST_DESCRIPTORS)))
}
