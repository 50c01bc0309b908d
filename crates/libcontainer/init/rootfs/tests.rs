use std::ffi::CString;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use super::*;

/// A root with a file beside it that nothing may reach.
struct Root {
    above: tempfile::TempDir,
    descriptor: fs::File,
}

impl Root {
    fn new() -> Self {
        let above = tempfile::tempdir().unwrap();
        fs::create_dir_all(above.path().join("root/etc")).unwrap();
        fs::write(above.path().join("secret"), "x").unwrap();
        let descriptor = fs::File::open(above.path().join("root")).unwrap();
        Self { above, descriptor }
    }

    fn path(&self, below: &str) -> std::path::PathBuf {
        self.above.path().join("root").join(below)
    }

    fn link(&self, path: &str, target: &str) {
        symlink(target, self.path(path)).unwrap();
    }

    fn call<T>(
        &self,
        path: &str,
        call: impl FnOnce(i32, Text<'_>) -> sys::Result<T>,
    ) -> sys::Result<T> {
        let path = CString::new(path).unwrap();
        call(self.descriptor.as_raw_fd(), Text::from_c_str(&path))
    }

    fn is_clean(&self) -> bool {
        let mut names: Vec<_> =
            fs::read_dir(self.above.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names == ["root", "secret"]
    }
}

/// Whether the descriptor is of the file at this path.
fn is(descriptor: i32, path: &Path) -> bool {
    let link = fs::read_link(format!("/proc/self/fd/{descriptor}")).unwrap();
    sys::close(descriptor);
    link == path
}

#[test]
fn what_is_missing_is_made_inside_the_root() {
    for (links, path, made) in [
        (&[][..], "/a/b/c", "a/b/c"),
        (&[], "a//b/./c/", "a/b/c"),
        (&[], "/../../a/b", "a/b"),
        (&[("l", "/etc/new")], "/l/x", "etc/new/x"),
        (&[("l", "../../../new")], "/l/x", "new/x"),
        (&[("l", "m/"), ("m", "n//"), ("n", "etc/../far")], "/l/x", "far/x"),
        (&[("etc/l", "../new")], "/etc/l", "new"),
        (&[("etc/l", "new")], "/etc/l/", "etc/new"),
    ] {
        let root = Root::new();
        for (link, target) in links {
            root.link(link, target);
        }
        let fd = root.call(path, |root, path| directory(root, path, 0o750)).unwrap();
        assert!(is(fd, &root.path(made)), "{path}");
        assert!(root.path(made).is_dir() && root.is_clean(), "{path}");

        let file_path = format!("{path}/file");
        let fd = root.call(&file_path, file).unwrap();
        assert!(is(fd, &root.path(made).join("file")), "{file_path}");
    }
}

#[test]
fn files_are_made_where_links_point_to() {
    for (links, path, made) in [
        (&[("l", "/etc/new")][..], "/l", "etc/new"),
        (&[("l", "../../secret2")], "/l", "secret2"),
        (&[("etc/l", "m"), ("etc/m", "deep/er/n")], "/etc/l", "etc/deep/er/n"),
        (&[("l", "/../secret")], "/l", "secret"),
    ] {
        let root = Root::new();
        for (link, target) in links {
            root.link(link, target);
        }
        let fd = root.call(path, file).unwrap();
        assert!(is(fd, &root.path(made)), "{path}");
        assert_eq!(fs::metadata(root.path(made)).unwrap().size(), 0);
        assert!(root.is_clean());
    }
}

#[test]
fn paths_that_lead_nowhere_are_errors() {
    let root = Root::new();
    root.link("loop", "loop");
    root.link("ping", "pong");
    root.link("pong", "ping");
    root.link("fd", "/proc/self/fd/0");
    fs::write(root.path("file"), "").unwrap();
    let long = "x".repeat(300);
    let deep = "/x".repeat(3000);
    for (path, errno) in [
        ("/loop/x", nr::ELOOP),
        ("/ping", nr::ELOOP),
        ("/file/x", nr::ENOTDIR),
        (&format!("/{long}"), nr::ENAMETOOLONG),
        (&deep, nr::ENAMETOOLONG),
    ] {
        let made = root.call(path, |root, path| directory(root, path, 0o755));
        assert_eq!(made.unwrap_err().errno, errno, "{path}");
        let made = root.call(path, file);
        assert_eq!(made.unwrap_err().errno, errno, "{path}");
    }
    assert_eq!(root.call("/none", open_existing), Ok(None));
    assert_eq!(root.call("/file/none", open_existing), Ok(None));
    assert!(root.call("/loop", open_existing).is_err());
}

#[test]
fn procfs_needs_an_ordinary_directory() {
    let root = Root::new();
    root.link("link", "etc");
    fs::write(root.path("file"), "").unwrap();
    let refused = Err(Fault::of(Cause::NotOrdinaryDirectory));
    assert_eq!(root.call("/link", ordinary_directory), refused);
    assert_eq!(root.call("/link/below", ordinary_directory), refused);
    assert_eq!(root.call("/file", ordinary_directory), refused);
    assert!(is(root.call("/proc", ordinary_directory).unwrap(), &root.path("proc")));
}

#[test]
fn only_regular_files_are_read() {
    let root = Root::new();
    fs::write(root.path("etc/passwd"), "root").unwrap();
    root.link("link", "/etc/passwd");
    root.link("out", "/../secret");
    for (path, size) in
        [("/etc/passwd", Some(4)), ("/link", Some(4)), ("/etc", None), ("/out", None)]
    {
        let opened = root.call(path, open_regular).unwrap();
        if let Some((fd, _)) = opened {
            sys::close(fd);
        }
        assert_eq!(opened.map(|(_, size)| size), size, "{path}");
    }
    let fifo = CString::new(root.path("fifo").to_str().unwrap()).unwrap();
    let fifo = Text::from_c_str(&fifo);
    sys::mknodat(nr::AT_FDCWD, fifo, nr::S_IFIFO | 0o600, 0).unwrap();
    assert_eq!(root.call("/fifo", open_regular), Ok(None), "and does not block");
}

#[test]
fn links_and_nodes_are_made_once() {
    let root = Root::new();
    let target = Text::from_c_str(c"/proc/self/fd");
    for _ in 0..2 {
        root.call("/dev/fd", |root, path| symlink_in(root, target, path)).unwrap();
        assert_eq!(fs::read_link(root.path("dev/fd")).unwrap(), Path::new("/proc/self/fd"));
    }
    let ids = fs::metadata(root.path("etc")).map(|m| (m.uid(), m.gid())).unwrap();
    let fifo = |path: &str| {
        let mode = nr::S_IFIFO | 0o600;
        root.call(path, |root, path| node(root, path, mode, (0, 0), ids))
    };
    assert_eq!((fifo("/dev/fifo"), fifo("/dev/fifo")), (Ok(()), Ok(())));
    assert_eq!(fifo("/etc"), Err(Fault::of(Cause::WrongDevice)));
    assert_eq!(fifo("/dev/fd"), Err(Fault::of(Cause::WrongDevice)), "not what it points to");
    for path in ["/", "", "/dev/..", "/dev/."] {
        assert_eq!(fifo(path).unwrap_err().errno, nr::EEXIST, "{path}");
    }
}

use super::symlink as symlink_in;

#[test]
fn device_numbers_are_those_of_the_c_library() {
    for (major, minor) in [(1, 3), (8, 255), (8, 256), (259, 0xf_ffff), (0xfff, 0xfff), (0x1000, 1)]
    {
        assert_eq!(sys::device_number(major, minor), libc::makedev(major, minor));
    }
}
