//! Init as an executable file that nobody can change: it is what a container sees as `/proc/1/exe` until
//! the user's program runs (CVE-2019-5736).

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl, open, openat};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::{Mode, fstat};
use nix::sys::statvfs::{FsFlags, fstatvfs};

use crate::error::{Error, Result};
use crate::process::Inode;
use crate::sys::probe::memfd_exec;

/// The freestanding program that `build.rs` has built.
static PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init"));

/// Init, ready to be executed.
#[derive(Debug)]
pub(crate) struct Executable {
    file: OwnedFd,
    inode: Inode,
}

impl Executable {
    /// A sealed memfd or, where the system forbids executable ones (`vm.memfd_noexec`), an unlinked file
    /// in the container's state directory.
    ///
    /// `memfd_exec`: whether the kernel knows `MFD_EXEC`.
    pub(crate) fn new(memfd_exec: bool, directory: BorrowedFd<'_>) -> Result<Self> {
        let exec = if memfd_exec { MFD_EXEC } else { MFdFlags::empty() };
        let file = match sealed(c"tare-init", PROGRAM, exec) {
            Err(error) if error.errno() == Some(libc::EACCES) => unlinked(directory)?,
            file => file?,
        };
        let status = fstat(&file).map_err(|errno| Error::os("fstat", errno as i32))?;
        let inode = Inode { device: status.st_dev, number: status.st_ino };
        Ok(Self { file, inode })
    }

    /// What tells whether a process still executes it.
    pub(crate) fn inode(&self) -> Inode {
        self.inode
    }
}

impl AsFd for Executable {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Linux 6.3: asks for a memfd that can be executed.
const MFD_EXEC: MFdFlags = MFdFlags::from_bits_retain(libc::MFD_EXEC);

/// Linux 6.3: one that never can be.
const MFD_NOEXEC_SEAL: MFdFlags = MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);

/// The flag of memfds that are data: a kernel that knows both wants to be told which it is, and may refuse
/// one that doesn't say (`vm.memfd_noexec`).
pub(super) fn data_flag() -> MFdFlags {
    if memfd_exec() { MFD_NOEXEC_SEAL } else { MFdFlags::empty() }
}

/// A memfd that holds `bytes`, which nobody can change any more.
pub(super) fn sealed(name: &std::ffi::CStr, bytes: &[u8], exec: MFdFlags) -> Result<OwnedFd> {
    let name_text = name.to_string_lossy();
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING | exec;
    let file = memfd_create(name, flags)
        .map_err(|errno| Error::os(format!("memfd_create(\"{name_text}\")"), errno as i32))?;
    let mut file = File::from(file);
    file.write_all(bytes).map_err(|e| Error::io(format!("write to memfd {name_text}"), &e))?;
    let seals = SealFlag::F_SEAL_SEAL
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_WRITE;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))
        .map_err(|errno| Error::os(format!("fcntl({name_text}, F_ADD_SEALS)"), errno as i32))?;
    Ok(file.into())
}

/// An unlinked file, which is reopened for reading: one that is open for writing can't be executed.
fn unlinked(directory: BorrowedFd<'_>) -> Result<OwnedFd> {
    let failed = |call: &str, errno: Errno| {
        Error::os(call, errno as i32)
            .context("init in the state directory, without executable memfds")
    };
    let mount = fstatvfs(directory).map_err(|errno| failed("fstatvfs", errno))?;
    if mount.flags().contains(FsFlags::ST_NOEXEC) {
        let message = "init can't be executed: vm.memfd_noexec is 2, so that it is a file in the state \
                       directory, and that lies on a mount with noexec. Put the state root on one without, \
                       or set vm.memfd_noexec to 1";
        return Err(Error::os("execveat", libc::EACCES).in_words(message));
    }
    let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
    let file = openat(directory, c".", flags, Mode::from_bits_truncate(0o500))
        .map_err(|errno| failed("openat(O_TMPFILE)", errno))?;
    let mut file = File::from(file);
    file.write_all(PROGRAM).map_err(|e| Error::io("write init into the state directory", &e))?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    open(path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(|errno| failed("open(O_RDONLY)", errno))
}
