//! What rows put into the way: inodes of all types, mounts, cgroups, processes.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use integration::hierarchies;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::mkfifo;

/// What a path can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inode {
    Nothing,
    File,
    Directory,
    Fifo,
    Socket,
    Device,
    /// A link to itself.
    Loop,
    /// A link to nothing.
    Dangling,
}

/// Replaces what is at a path.
pub(crate) fn put(path: &Path, inode: Inode) {
    match fs::symlink_metadata(path) {
        Ok(data) if data.is_dir() => fs::remove_dir_all(path).expect("rm -r"),
        Ok(_) => fs::remove_file(path).expect("rm"),
        Err(_) => {}
    }
    let mode = Mode::from_bits_truncate(0o666);
    match inode {
        Inode::Nothing => {}
        Inode::File => fs::write(path, "text\n").expect("write"),
        Inode::Directory => fs::create_dir(path).expect("mkdir"),
        Inode::Fifo => mkfifo(path, mode).expect("mkfifo"),
        // The file stays when the listener is gone.
        Inode::Socket => drop(UnixListener::bind(path).expect("bind")),
        // Of a driver that there is not: opening it fails, and looks like nothing else.
        Inode::Device => mknod(path, SFlag::S_IFCHR, mode, makedev(240, 7)).expect("mknod"),
        Inode::Loop => symlink(path.file_name().expect("a name"), path).expect("symlink"),
        Inode::Dangling => symlink("nosuch/file", path).expect("symlink"),
    }
}

/// Makes a file executable.
pub(crate) fn program(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("write");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("chmod");
}

/// A tmpfs, as long as the value lives.
pub(crate) struct Tmpfs(PathBuf);

impl Tmpfs {
    pub(crate) fn new(path: &Path, options: &str) -> Self {
        let kind = Some("tmpfs");
        mount(kind, path, kind, MsFlags::empty(), Some(options)).expect("mount");
        Self(path.to_path_buf())
    }

    pub(crate) fn make_readonly(&self) {
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        mount(None::<&str>, &self.0, None::<&str>, flags, None::<&str>).expect("remount");
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        umount2(&self.0, MntFlags::MNT_DETACH).expect("umount");
    }
}

/// A v1 cgroup below the caller's own, as long as the value lives.
pub(crate) struct OwnCgroup(PathBuf);

impl OwnCgroup {
    pub(crate) fn new(controller: &str, name: &str) -> Self {
        let path = hierarchies::v1(controller).expect("a hierarchy").own.join(name);
        fs::create_dir(&path).expect("mkdir");
        Self(path)
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        fs::write(self.0.join(file), text).expect("write");
    }
}

impl Drop for OwnCgroup {
    fn drop(&mut self) {
        // What was in it was killed, and takes a moment to go.
        let removed = integration::until(|| fs::remove_dir(&self.0).is_ok());
        assert!(removed || std::thread::panicking(), "{}", self.0.display());
    }
}

/// A process, as long as the value lives.
pub(crate) struct Sleeper(Child);

impl Sleeper {
    pub(crate) fn new(change: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        let mut command = Command::new("sleep");
        Self(change(command.arg("4712")).spawn().expect("sleep"))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.0.kill().expect("kill of a child of ours");
        self.0.wait().expect("a child of ours");
    }
}
