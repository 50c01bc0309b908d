//! The root filesystem, and what an image puts at the paths that the runtime touches.

use std::fs;
use std::os::unix::fs::symlink;

use integration::Bundle;
use integration::config::array;
use serde_json::json;

use super::place::{Inode, Tmpfs, put};
use super::{RUN, Row, Setting, check, row};

fn is(inode: Inode) -> impl Fn(Bundle) -> Setting {
    move |bundle| {
        Setting::from(bundle).then(|bundle| put(&bundle.directory().join("rootfs"), inode))
    }
}

#[test]
fn roots() {
    check(&[
        row(
            "no rootfs",
            "invalid rootfs: stat {bundle}/rootfs: no such file or directory",
            is(Inode::Nothing),
        ),
        row(
            "no rootfs, run",
            "invalid rootfs: stat {bundle}/rootfs: no such file or directory",
            is(Inode::Nothing),
        )
        .command(RUN),
        row(
            "the rootfs is a file",
            "invalid rootfs: {bundle}/rootfs: not a directory",
            is(Inode::File),
        ),
        row(
            "the rootfs is a FIFO",
            "invalid rootfs: {bundle}/rootfs: not a directory",
            is(Inode::Fifo),
        ),
        row(
            "the rootfs is a socket",
            "invalid rootfs: {bundle}/rootfs: not a directory",
            is(Inode::Socket),
        ),
        row(
            "the rootfs is a device",
            "invalid rootfs: {bundle}/rootfs: not a directory",
            is(Inode::Device),
        ),
        row(
            "the rootfs is a loop of links",
            "invalid rootfs: {bundle}/rootfs: not an absolute path, or a symlink",
            is(Inode::Loop),
        ),
        row(
            "the rootfs is a link to nothing",
            "invalid rootfs: {bundle}/rootfs: not an absolute path, or a symlink",
            is(Inode::Dangling),
        ),
        row(
            "the rootfs is a link to a directory",
            "invalid rootfs: {bundle}/rootfs: not an absolute path, or a symlink",
            |bundle| {
                Setting::from(bundle).then(|bundle| {
                    fs::rename(bundle.rootfs(""), bundle.directory().join("real")).unwrap();
                    symlink("real", bundle.directory().join("rootfs")).unwrap();
                })
            },
        )
        .crun("follows it"),
        row(
            "the rootfs is below a file",
            "invalid rootfs: stat {bundle}/config.json/rootfs: not a directory",
            |bundle: Bundle| bundle.set("/root/path", json!("config.json/rootfs")),
        ),
        row(
            "the rootfs has a name that is too long",
            "invalid rootfs: stat {bundle}/{*}: file name too long",
            |bundle: Bundle| bundle.set("/root/path", json!("x".repeat(256))),
        ),
        row(
            "the rootfs is empty",
            "{start}: exec: \"true\": executable file not found in $PATH",
            is(Inode::Directory),
        )
        .crun("leaves what it has made")
        .runc("leaves what it has made"),
        row(
            "the rootfs is empty and read-only",
            "{start}: mounts[0] /proc: mount on /proc: mkdirat: read-only file system",
            |bundle: Bundle| {
                let setting = is(Inode::Directory)(bundle);
                let tmpfs = Tmpfs::new(&setting.bundle.rootfs(""), "size=64k");
                tmpfs.make_readonly();
                setting.keep(tmpfs)
            },
        )
        .crun("makes them all the same"),
    ]);
}

/// A root filesystem with room for a few inodes only, of which the targets of the mounts take one each.
fn small(options: &'static str) -> impl Fn(Bundle) -> Setting {
    move |bundle| {
        let setting = Setting::from(bundle.set("/root/readonly", json!(false)));
        let tmpfs = Tmpfs::new(&setting.bundle.rootfs(""), options);
        setting.keep(tmpfs)
    }
}

const LEAVES: &str = "leaves what it has made in the root filesystem";

#[test]
fn roots_without_room() {
    let rows = [
        row(
            "no inode",
            "{start}: mounts[0] /proc: mount on /proc: mkdirat: no space left on device",
            small("nr_inodes=1"),
        ),
        row(
            "one inode",
            "{start}: mounts[1] /dev: mount on /dev: mkdirat: no space left on device",
            small("nr_inodes=2"),
        ),
        row(
            "two inodes",
            "{start}: mounts[5] /sys: mount on /sys: mkdirat: no space left on device",
            small("nr_inodes=3"),
        ),
        row(
            "three inodes",
            "{start}: exec: \"true\": executable file not found in $PATH",
            small("nr_inodes=4"),
        ),
        row(
            "no room for data",
            "{start}: exec: \"true\": executable file not found in $PATH",
            small("size=4k,nr_inodes=10"),
        ),
    ];
    check(&rows.map(|row| row.runc(LEAVES).crun(LEAVES)));
}

/// A file of the root filesystem that the runtime looks at or mounts something on.
fn at(path: &'static str, inode: Inode, why: &str) -> Row {
    let message = match why {
        "" => String::new(),
        why => format!("{{start}}: {why}"),
    };
    row(&format!("{path} is a {inode:?}"), &message, move |bundle: Bundle| {
        let bundle = bundle
            .set("/process/user", json!({ "uid": 1000, "gid": 1000 }))
            .set("/linux/maskedPaths", json!(["/var/masked"]))
            .set("/linux/readonlyPaths", json!(["/var/readonly"]));
        Setting::from(bundle).then(|bundle| put(&bundle.rootfs(path), inode))
    })
}

#[test]
fn every_inode_at_every_path() {
    use Inode::{Dangling, Device, Directory, Fifo, File, Loop, Socket};
    const LOOP: &str = "openat2: too many levels of symbolic links";
    const NOT_ORDINARY: &str = "must be mounted on ordinary directory";
    let mut rows = Vec::new();
    for path in ["etc/passwd", "var/masked", "var/readonly"] {
        for inode in [Dangling, Device, Directory, Fifo, File, Socket] {
            let row = at(path, inode, "").command(RUN).code(0);
            rows.push(match (path, inode) {
                ("etc/passwd", Directory) => row.runc("refuses it"),
                ("etc/passwd", Fifo) => row.runc("waits for a writer").crun("waits for a writer"),
                _ => row,
            });
        }
    }
    for inode in [Dangling, Device, Fifo, File, Loop, Socket] {
        rows.push(at("proc", inode, &format!("mounts[0] /proc: mount on /proc: {NOT_ORDINARY}")));
        rows.push(at("sys", inode, &format!("mounts[5] /sys: mount on /sys: {NOT_ORDINARY}")));
    }
    for inode in [Device, Fifo, File, Socket] {
        rows.push(at("dev", inode, "mounts[1] /dev: mount on /dev: move_mount: not a directory"));
        rows.push(at("etc", inode, "").command(RUN).code(0));
    }
    let home = format!("process.env: look for the home in /etc/passwd: {LOOP}");
    rows.push(at("etc/passwd", Loop, &home).runc("takes it").crun("takes it"));
    rows.push(at("etc", Loop, &home).runc("takes it").crun("takes it"));
    rows.push(at("dev", Loop, &format!("mounts[1] /dev: mount on /dev: {LOOP}")));
    rows.push(at("var/masked", Loop, &format!("linux.maskedPaths[0]: mask /var/masked: {LOOP}")));
    let readonly = format!("linux.readonlyPaths[0]: make /var/readonly read-only: {LOOP}");
    rows.push(at("var/readonly", Loop, &readonly));
    check(&rows);
}

const TAKES: &str = "takes what is there, or leaves what it has made";

#[test]
fn devices_that_are_something_else() {
    // Without a mount on /dev the devices are made in the image.
    let dev = |name: &'static str, inode| {
        move |bundle: Bundle| {
            let bundle = bundle.set("/root/readonly", json!(false)).edit(|config| {
                array(config, "/mounts")
                    .retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
            });
            Setting::from(bundle).then(|bundle| put(&bundle.rootfs("dev").join(name), inode))
        }
    };
    let other = |name, inode| {
        let why = "there is a file of another type or device";
        let message = format!("{{start}}: linux.devices: make device /dev/{name}: {why}");
        row(&format!("/dev/{name} is a {inode:?}"), &message, dev(name, inode))
    };
    let rows = [
        other("null", Inode::File),
        other("null", Inode::Directory),
        other("null", Inode::Fifo),
        other("null", Inode::Device),
        other("tty", Inode::Loop),
    ];
    check(&rows.map(|row| row.runc(TAKES).crun(TAKES)));
}
