//! The state root, ids, and commands for containers that are not there.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use integration::Bundle;

use super::place::{Inode, Tmpfs, put};
use super::{CREATE, Row, Setting, check, row};

/// The state root is on a tmpfs with these options.
fn on(options: &'static str) -> impl Fn(Bundle) -> Setting {
    move |bundle| {
        let setting = Setting::from(bundle);
        let tmpfs = Tmpfs::new(&setting.bundle.state_root(), options);
        setting.keep(tmpfs)
    }
}

fn root(inode: Inode) -> impl Fn(Bundle) -> Setting {
    move |bundle| Setting::from(bundle).then(|bundle| put(&bundle.state_root(), inode))
}

#[test]
fn roots() {
    check(&[
        row(
            "read-only",
            "mkdirat({bundle}/state, \"{id}\"): read-only file system",
            |bundle: Bundle| {
                let setting = Setting::from(bundle);
                let tmpfs = Tmpfs::new(&setting.bundle.state_root(), "mode=700");
                tmpfs.make_readonly();
                setting.keep(tmpfs)
            },
        )
        .never_again(),
        row(
            "without an inode",
            "mkdirat({bundle}/state, \"{id}\"): no space left on device",
            on("mode=700,nr_inodes=1"),
        )
        .never_again(),
        row(
            "with one inode",
            "state of container {id}: \
             symlinkat(\"cgroups\"): no space left on device",
            on("mode=700,nr_inodes=2"),
        )
        .crun("leaves its state")
        .never_again(),
        row(
            "with two inodes",
            "state of container {id}: \
             openat(\"record.json.next\", O_CREAT): no space left on device",
            on("mode=700,nr_inodes=3"),
        )
        .crun("leaves its state")
        .never_again(),
        row(
            "with three inodes",
            "bind of the gate: no space left on device",
            on("mode=700,nr_inodes=4"),
        )
        .runc("has fewer files")
        .never_again(),
        row(
            "with four inodes",
            "{start}: state of container {id}: \
             openat(\"record.json.next\", O_CREAT): no space left on device",
            on("mode=700,nr_inodes=5"),
        )
        .crun("has fewer files")
        .runc("has fewer files")
        .never_again(),
        row("a file", "state root: open(\"{bundle}/state\"): not a directory", root(Inode::File))
            .never_again(),
        row("a FIFO", "state root: open(\"{bundle}/state\"): not a directory", root(Inode::Fifo))
            .never_again(),
        row(
            "a loop of links",
            "state root: open(\"{bundle}/state\"): too many levels of symbolic links",
            root(Inode::Loop),
        )
        .never_again(),
        row(
            "others may write to it",
            "state root {bundle}/state: others may write to it: mode 0777",
            |bundle: Bundle| {
                Setting::from(bundle).then(|bundle| {
                    fs::set_permissions(bundle.state_root(), fs::Permissions::from_mode(0o777))
                        .unwrap();
                })
            },
        )
        .crun("takes it")
        .runc("takes it")
        .never_again(),
        row(
            "somebody else's",
            "state root {bundle}/state: it belongs to uid 1000, and we are 0",
            |bundle: Bundle| {
                Setting::from(bundle)
                    .then(|bundle| chown(bundle.state_root(), Some(1000), Some(1000)).unwrap())
            },
        )
        .crun("takes it")
        .runc("takes it")
        .never_again(),
    ]);
}

#[test]
fn a_full_root() {
    // Everything but the room for a record.
    check(&[row(
        "no room for data",
        "state of container {id}: symlinkat(\"cgroups\"): no space left on device",
        |bundle: Bundle| {
            let setting = on("mode=700,size=16k")(bundle);
            let full = setting.bundle.state_root().join("full");
            let mut size = 16 << 10;
            while fs::write(&full, vec![0; size]).is_err() {
                size -= 4096;
            }
            setting
        },
    )
    .crun("leaves its state")
    .never_again()]);
}

fn id_is(inode: Inode) -> impl Fn(Bundle) -> Setting {
    move |bundle| {
        Setting::from(bundle).then(|bundle| put(&bundle.state_root().join(bundle.id()), inode))
    }
}

#[test]
fn ids_that_are_taken() {
    check(&[
        row("a container", "container with given ID already exists", |bundle| bundle)
            .after(&[CREATE]),
        row(
            "an empty directory",
            "container with given ID already exists",
            id_is(Inode::Directory),
        )
        .never_again(),
        row("a file", "container with given ID already exists", id_is(Inode::File)).never_again(),
        row("a link to nothing", "container with given ID already exists", id_is(Inode::Dangling))
            .runc("follows it")
            .never_again(),
        row("a loop of links", "container with given ID already exists", id_is(Inode::Loop))
            .never_again(),
    ]);
}

fn unknown(command: &'static [&'static str], message: &str) -> Row {
    row(&format!("{command:?} of nothing"), message, |bundle| bundle).command(command)
}

#[test]
fn containers_that_are_not_there() {
    check(&[
        unknown(&["start", "{id}"], "container does not exist"),
        unknown(&["state", "{id}"], "container does not exist"),
        unknown(&["kill", "{id}"], "container does not exist"),
        unknown(&["kill", "--all", "{id}", "9"], "container does not exist"),
        unknown(&["delete", "{id}"], "container does not exist"),
        unknown(&["delete", "--force", "{id}"], "").code(0),
    ]);
}

#[test]
fn what_each_status_refuses() {
    const START: &[&str] = &["start", "{id}"];
    const KILL: &[&str] = &["kill", "{id}", "KILL"];
    let sleeping = |bundle: Bundle| bundle.args(&["sleep", "1000"]);
    check(&[
        row("running: create", "container with given ID already exists", sleeping)
            .after(&[CREATE, START]),
        row("running: start", "cannot start an already running container", sleeping)
            .after(&[CREATE, START])
            .command(START),
        row(
            "running: delete",
            "cannot delete container {id} that is not stopped: running",
            sleeping,
        )
        .after(&[CREATE, START])
        .command(&["delete", "{id}"]),
        row("running: an unknown signal", "unknown signal \"NOSUCH\"", sleeping)
            .crun("1.8.1 takes a signal that it does not know")
            .after(&[CREATE, START])
            .command(&["kill", "{id}", "NOSUCH"]),
        row(
            "running: a signal above the kernel's",
            "pidfd_send_signal({*}, 99): invalid argument",
            sleeping,
        )
        .after(&[CREATE, START])
        .command(&["kill", "{id}", "99"]),
        row("running: a signal with a tail", "unknown signal \"9x\"", sleeping)
            .crun("1.8.1 takes a signal that it does not know")
            .after(&[CREATE, START])
            .command(&["kill", "{id}", "9x"]),
        row(
            "running: a signal below zero",
            "pidfd_send_signal({*}, -9): invalid argument",
            sleeping,
        )
        .after(&[CREATE, START])
        .command(&["kill", "{id}", "-9"]),
        row("killed: create", "container with given ID already exists", sleeping)
            .after(&[CREATE, KILL]),
        row("killed: start", "cannot start a container that has stopped", sleeping)
            .after(&[CREATE, KILL])
            .command(START),
        row("killed: kill", "container not running", sleeping).after(&[CREATE, KILL]).command(KILL),
    ]);
}
