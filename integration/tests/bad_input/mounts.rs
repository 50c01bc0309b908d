//! Mounts: sources, targets, file systems and options.

use std::fs;
use std::os::unix::fs::symlink;

use integration::{Bundle, needs_root, peers_differ};

use super::place::{Inode, put};
use super::{RUN, Row, Setting, check, row};

/// A mount, by destination, type, source and options.
fn mount(
    destination: &'static str,
    kind: &'static str,
    source: &'static str,
    options: &'static [&'static str],
) -> impl Fn(Bundle) -> Bundle {
    move |bundle| bundle.mount(destination, kind, source, options)
}

#[test]
fn sources() {
    check(&[
        row(
            "no source",
            "{start}: mounts[7] /opt: open {bundle}/nosuch: open_tree: no such file or directory",
            mount("/opt", "bind", "nosuch", &["bind"]),
        ),
        row(
            "no source, run",
            "{start}: mounts[7] /opt: open /nosuch/dir: open_tree: no such file or directory",
            mount("/opt", "bind", "/nosuch/dir", &["rbind"]),
        )
        .command(RUN),
        row(
            "a source below a file",
            "{start}: mounts[7] /opt: open {bundle}/config.json/x: open_tree: not a directory",
            mount("/opt", "bind", "config.json/x", &["bind"]),
        ),
        row(
            "a source that is a loop",
            "{start}: mounts[7] /opt: open {bundle}/source: open_tree: too many levels of symbolic links",
            |bundle: Bundle| {
                Setting::from(bundle.mount("/opt", "bind", "source", &["bind"]))
                    .then(|bundle| put(&bundle.directory().join("source"), Inode::Loop))
            },
        ),
        row(
            "a source with a name that is too long",
            "{start}: mounts[7] /opt: open {bundle}/{*}: open_tree: file name too long",
            |bundle: Bundle| bundle.mount("/opt", "bind", &"x".repeat(256), &["bind"]),
        ),
        row(
            "a directory as a source for a file",
            "{start}: mounts[7] /etc/passwd: mount on /etc/passwd: move_mount: not a directory",
            mount("/etc/passwd", "bind", "decoy", &["bind"]),
        ),
        row(
            "a file as a source for a directory",
            "{start}: mounts[7] /opt: mount on /opt: move_mount: is a directory",
            mount("/opt", "bind", "config.json", &["bind"]),
        ),
    ]);
}

#[test]
fn file_systems_and_options() {
    check(&[
        row(
            "an unknown file system",
            "{start}: mounts[7] /opt: mount nosuchfs: fsopen: no such device",
            mount("/opt", "nosuchfs", "none", &[]),
        ),
        row(
            "bind as a file system",
            "{start}: mounts[7] /opt: mount bind: fsopen: no such device",
            mount("/opt", "bind", "decoy", &[]),
        ),
        row(
            "an unknown option",
            "{start}: mounts[7] /opt: mount tmpfs: fsconfig (tmpfs: Unknown parameter 'nosuch'): invalid argument",
            mount("/opt", "tmpfs", "tmpfs", &["nosuch"]),
        ),
        row(
            "an unknown option with a value",
            "{start}: mounts[7] /opt: mount tmpfs: fsconfig (tmpfs: Unknown parameter 'nosuch'): invalid argument",
            mount("/opt", "tmpfs", "tmpfs", &["nosuch=1"]),
        ),
        row(
            "a bad value",
            "{start}: mounts[7] /opt: mount tmpfs: fsconfig (tmpfs: Bad value for 'size'): invalid argument",
            mount("/opt", "tmpfs", "tmpfs", &["size=much"]),
        ),
        row(
            "a bad mode",
            "{start}: mounts[7] /opt: mount tmpfs: fsconfig (tmpfs: Bad value for 'mode'): invalid argument",
            mount("/opt", "tmpfs", "tmpfs", &["mode=99"]),
        ),
        row(
            "a block device that is none",
            "{start}: mounts[7] /opt: mount ext4: fsconfig (config.json: Can't lookup blockdev): no such file or directory",
            mount("/opt", "ext4", "config.json", &[]),
        ),
        row(
            "a block device that is not there",
            "{start}: mounts[7] /opt: mount ext4: fsconfig (/nosuch: Can't lookup blockdev): no such file or directory",
            mount("/opt", "ext4", "/nosuch", &[]),
        ),
        row(
            "an overlay without directories",
            "{start}: mounts[7] /opt: mount overlay: fsconfig: invalid argument",
            mount("/opt", "overlay", "overlay", &[]),
        ),
        row(
            "an overlay of nothing",
            "{start}: mounts[7] /opt: mount overlay: fsconfig: no such file or directory",
            mount("/opt", "overlay", "overlay", &["lowerdir=/nosuch"]),
        ),
        row(
            "copying up elsewhere than to a tmpfs",
            "",
            mount("/opt", "ramfs", "ramfs", &["tmpcopyup"]),
        )
        .crun("refuses it")
        .code(0),
        row(
            "a remount of nothing",
            "{start}: mounts[7] /opt: remount /opt: fspick: invalid argument",
            mount("/opt", "none", "none", &["remount", "ro"]),
        ),
        row(
            "an idmapped mount",
            "{bundle}/config.json: mounts[7].options[1]: not supported by this version",
            mount("/opt", "bind", "decoy", &["bind", "idmap"]),
        )
        .runc("1.1.5 doesn't know it"),
    ]);
}

/// A directory as a source for what is there.
fn target(inode: Inode, message: &'static str) -> Row {
    row(&format!("a directory on a {inode:?}"), message, move |bundle: Bundle| {
        Setting::from(bundle.mount("/var/target", "bind", "decoy", &["bind"]))
            .then(|bundle| put(&bundle.rootfs("var/target"), inode))
    })
}

#[test]
fn targets() {
    check(&[
        target(
            Inode::File,
            "{start}: mounts[7] /var/target: mount on /var/target: move_mount: not a directory",
        ),
        target(
            Inode::Fifo,
            "{start}: mounts[7] /var/target: mount on /var/target: move_mount: not a directory",
        ),
        target(
            Inode::Socket,
            "{start}: mounts[7] /var/target: mount on /var/target: move_mount: not a directory",
        ),
        target(
            Inode::Device,
            "{start}: mounts[7] /var/target: mount on /var/target: move_mount: not a directory",
        ),
        target(
            Inode::Loop,
            "{start}: mounts[7] /var/target: mount on /var/target: openat2: too many levels of symbolic links",
        ),
        row("a file on a FIFO is fine", "", |bundle: Bundle| {
            Setting::from(bundle.mount("/var/target", "bind", "config.json", &["bind"]))
                .then(|bundle| put(&bundle.rootfs("var/target"), Inode::Fifo))
        })
        .command(RUN)
        .code(0),
        row("a file on a socket is fine", "", |bundle: Bundle| {
            Setting::from(bundle.mount("/var/target", "bind", "config.json", &["bind"]))
                .then(|bundle| put(&bundle.rootfs("var/target"), Inode::Socket))
        })
        .command(RUN)
        .code(0),
        row(
            "a target below a file",
            "{start}: mounts[7] /etc/passwd/x: mount on /etc/passwd/x: openat2: not a directory",
            mount("/etc/passwd/x", "tmpfs", "tmpfs", &[]),
        ),
        row(
            "a target below a FIFO",
            "{start}: mounts[7] /var/fifo/x: mount on /var/fifo/x: openat2: not a directory",
            |bundle: Bundle| {
                Setting::from(bundle.mount("/var/fifo/x", "tmpfs", "tmpfs", &[]))
                    .then(|bundle| put(&bundle.rootfs("var/fifo"), Inode::Fifo))
            },
        ),
        row(
            "the root as a target",
            "mounts[7] /: mountpoint \"/\" is on the top of rootfs",
            mount("/", "tmpfs", "tmpfs", &[]),
        ),
        row(
            "dots that are the root",
            "mounts[7] /opt/..: mountpoint \"/opt/..\" is on the top of rootfs",
            mount("/opt/..", "tmpfs", "tmpfs", &[]),
        ),
        row(
            "a name of 256 characters",
            "{start}: mounts[7] /opt/{*}: openat2: file name too long",
            |bundle: Bundle| {
                bundle.mount(&format!("/opt/{}", "x".repeat(256)), "tmpfs", "tmpfs", &[])
            },
        ),
        row(
            "a path of 5000 characters",
            "{start}: mounts[7] {*}: openat2: file name too long",
            |bundle: Bundle| bundle.mount(&"/x".repeat(2500), "tmpfs", "tmpfs", &[]),
        ).crun("1.8.1 makes such directories, one in the other"),
        row(
            "a target inside /proc",
            "{start}: mounts[7] /proc/sys/kernel: mount on /proc/sys/kernel: cannot be mounted because it is inside /proc",
            mount("/proc/sys/kernel", "tmpfs", "tmpfs", &[]),
        )
        .crun("1.8.1 mounts there")
        .runc("1.1.5 lets file systems other than bind mounts be there"),
        row(
            "a target that is not there inside /proc",
            "{start}: mounts[7] /proc/nosuch/x: mount on /proc/nosuch/x: mkdirat: no such file or directory",
            mount("/proc/nosuch/x", "tmpfs", "tmpfs", &[]),
        ),
        row(
            "a target that is not there inside /sys",
            "{start}: mounts[7] /sys/nosuch/x: mount on /sys/nosuch/x: mkdirat: read-only file system",
            mount("/sys/nosuch/x", "tmpfs", "tmpfs", &[]),
        ),
        row("a link to the /etc of the host ends in the image's", "", |bundle: Bundle| {
            Setting::from(bundle.mount("/var/link", "tmpfs", "tmpfs", &[]))
                .then(|bundle| symlink("/etc", bundle.rootfs("var/link")).unwrap())
        })
        .command(RUN)
        .code(0),
        row("a link to the /etc of the host by dots ends in the image's", "", |bundle: Bundle| {
            Setting::from(bundle.mount("/var/link", "tmpfs", "tmpfs", &[])).then(|bundle| {
                symlink("../../../../../../../../../etc", bundle.rootfs("var/link")).unwrap();
            })
        })
        .command(RUN)
        .code(0),
    ]);
}

const LEAVES: &str = "leaves what it has made in the root filesystem";

#[test]
fn what_was_made_before_it_failed_is_removed() {
    let last = |bundle: Bundle| bundle.mount("/opt", "nosuchfs", "none", &[]);
    let rows = [
        row(
            "directories",
            "{start}: mounts[8] /opt: mount nosuchfs: fsopen: no such device",
            move |bundle| last(mount("/new/a/b", "tmpfs", "tmpfs", &[])(bundle)),
        ),
        row(
            "a file",
            "{start}: mounts[8] /opt: mount nosuchfs: fsopen: no such device",
            move |bundle| last(mount("/new/file", "bind", "config.json", &["bind"])(bundle)),
        ),
        row(
            "directories behind a link",
            "{start}: mounts[8] /opt: mount nosuchfs: fsopen: no such device",
            move |bundle| {
                Setting::from(last(mount("/var/link/a", "tmpfs", "tmpfs", &[])(bundle)))
                    .then(|bundle| symlink("../etc", bundle.rootfs("var/link")).unwrap())
            },
        ),
        row(
            "directories that the program is missing for",
            "{start}: exec: \"/nosuch\": stat /nosuch: no such file or directory",
            |bundle: Bundle| mount("/new/a/b", "tmpfs", "tmpfs", &[])(bundle).args(&["/nosuch"]),
        ),
        row(
            "a directory that was there stays",
            "{start}: mounts[8] /opt: mount nosuchfs: fsopen: no such device",
            move |bundle| {
                Setting::from(last(mount("/var/old/new", "tmpfs", "tmpfs", &[])(bundle)))
                    .then(|bundle| fs::create_dir(bundle.rootfs("var/old")).unwrap())
            },
        ),
        row(
            "a working directory",
            "{start}: exec: \"/nosuch\": stat /nosuch: no such file or directory",
            |bundle: Bundle| {
                bundle.set("/process/cwd", serde_json::json!("/new/cwd")).args(&["/nosuch"])
            },
        ),
    ];
    check(&rows.map(|row| row.runc(LEAVES).crun(LEAVES)));
}

#[test]
fn what_is_too_much_to_be_told_stays() {
    needs_root!();
    peers_differ!("runc", "leaves what it has made in the root filesystem");
    peers_differ!("crun", "leaves what it has made in the root filesystem");
    for (depth, stays) in [(200, false), (300, true)] {
        let deep = format!("/new{}", "/x".repeat(depth));
        let bundle = Bundle::new().mount(&deep, "tmpfs", "tmpfs", &[]).mount(
            "/opt",
            "nosuchfs",
            "none",
            &[],
        );
        assert_ne!(bundle.create().code, 0);
        assert_eq!(bundle.rootfs("new").exists(), stays, "{depth}");
    }
}
